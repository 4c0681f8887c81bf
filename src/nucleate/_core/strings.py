"""Instruction strings: what is halved, folded, permuted and drawn; rows follow their string."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

HALVES = ("choose", "report")
_FOLDS = 3
_STRATUM = 25
"""Fewest strings in a stratum of length: fewer than this leave little to permute."""
_RENAMED = 0.01
"""Where more of the permutations only rename the tasks, no value can exceed the 99 % point."""
_TEXTS = ("prompt", "text")
"""Columns that hold the whole text of a row."""


def number_strings(labels: Mapping[str, Sequence[str]]) -> Int[np.ndarray, "row"]:
    """Number the instruction strings of rows: the units of inference, of which rows are repeats.

    Rows are of one string if they have the same `task`, `family` and `instruction`. A row whose
    instruction announces nothing (see `announced`) is a unit of its own, together with rows of
    exactly the same text.

    Args:
        labels: column -> one text a row, as `PromptSet.labels`; of the columns `task`, `family`,
            `instruction`, `prompt` and `text` those that are there are used. At least one column.

    Returns:
        0, 1, ... in the order in which the strings first occur.
    """
    rows = range(len(next(iter(labels.values()))))
    said = labels.get("instruction", ("",) * len(rows))
    text = next((labels[name] for name in _TEXTS if name in labels), None)
    known = [labels[name] for name in ("task", "family") if name in labels]
    numbers: dict[tuple[object, ...], int] = {}
    found = []
    for row, announces in zip(rows, announced(labels).tolist(), strict=True):
        own = said[row] if announces else (row if text is None else text[row],)
        key = (own, *(column[row] for column in known))
        found.append(numbers.setdefault(key, len(numbers)))
    return np.array(found, dtype=np.int64)


def announced(labels: Mapping[str, Sequence[str]]) -> Bool[np.ndarray, "row"]:
    """Which rows have an instruction that can tell their task.

    An empty instruction cannot, nor one that all rows have in common, such as a system prompt.

    Args:
        labels: column -> one text a row, at least one column.
    """
    rows = len(next(iter(labels.values())))
    said = labels.get("instruction", ("",) * rows)
    if len(set(said)) == 1:
        return np.zeros(rows, dtype=bool)
    return np.array([bool(text) for text in said], dtype=bool)


@dataclass(frozen=True)
class Permutations:
    """Labelings of the same rows: the first is the label itself, the others are permuted."""

    labels: Int[Tensor, "labeling row"]
    blocks: Int[Tensor, "labeling row"] | None = None

    def rows(self, inside: Int[np.ndarray, "member"]) -> "Permutations":
        """The same labelings of some of the rows."""
        blocks = None if self.blocks is None else self.blocks[:, inside]
        return Permutations(self.labels[:, inside], blocks)

    def first(self, draws: int) -> "Permutations":
        """The label itself and the first so many permutations."""
        blocks = None if self.blocks is None else self.blocks[: draws + 1]
        return Permutations(self.labels[: draws + 1], blocks)

    @cached_property
    def renamed(self) -> float:
        """Share of the permutations that only rename the classes; of blocks where that is more."""
        tables = [each for each in (self.labels, self.blocks) if each is not None]
        return max(_renamed(table.numpy()) for table in tables)

    @property
    def hopeless(self) -> bool:
        """Whether not even clusters that equal the label could exceed the 99 % point."""
        return self.renamed >= _RENAMED


@dataclass(frozen=True)
class Strings:
    """The instruction strings of some rows.

    Attributes:
        of_row: the string of each row, from 0.
        task: the task of each string.
        family: the family of each string; of its own where families are not known.
        length: tokens of the prompt, a mean over the rows.
    """

    of_row: Int[np.ndarray, "row"]
    task: Int[np.ndarray, "string"]
    family: Int[np.ndarray, "string"]
    length: Float[np.ndarray, "string"]

    @classmethod
    def of(
        cls,
        of_row: Int[np.ndarray, "row"],
        task: Int[np.ndarray, "row"],
        family: Int[np.ndarray, "row"],
        lengths: Int[np.ndarray, "row"],
    ) -> "Strings":
        first = np.unique(of_row, return_index=True)[1]
        length = np.bincount(of_row, weights=lengths) / np.bincount(of_row)
        return cls(of_row, task[first], family[first], length)

    def __len__(self) -> int:
        return len(self.task)

    def halves(self, rng: np.random.Generator) -> Int[np.ndarray, "string"]:
        """Split the strings of each family in two, so that both halves hold every task."""
        half = np.zeros(len(self), dtype=np.int64)
        odd = 0
        for family in range(int(self.family.max()) + 1):
            members = rng.permutation(np.flatnonzero(self.family == family))
            half[members] = (odd + np.arange(len(members))) % 2
            odd += len(members)
        return half

    def folds(self, rng: np.random.Generator) -> Int[np.ndarray, "string"] | None:
        """Folds that each hold every task; None if a task has one string only."""
        sizes = np.bincount(self.task)
        folds = min(_FOLDS, int(sizes.min()))
        if folds < 2:
            return None
        fold = np.zeros(len(self), dtype=np.int64)
        for task in range(len(sizes)):
            members = rng.permutation(np.flatnonzero(self.task == task))
            fold[members] = np.arange(len(members)) % folds
        return fold

    def permuted(
        self,
        code: Int[np.ndarray, "row"],
        times: int,
        rng: np.random.Generator,
        within: Int[np.ndarray, "string"] | None = None,
    ) -> Permutations:
        """Permute a label of strings over strings, and the task's over families as well."""
        first = np.unique(self.of_row, return_index=True)[1]
        of_string = code[first]
        apart = np.zeros_like(of_string) if within is None else within
        strata = _strata(self.length, apart)
        moved = [of_string[permute_within(strata, rng)] for _ in range(times)]
        over_strings = _with_first(
            code, np.array(moved, dtype=np.int64).reshape(times, len(self))[:, self.of_row]
        )
        families = int(self.family.max()) + 1
        if not np.array_equal(of_string, self.task) or families in (
            int(self.task.max()) + 1,
            len(self),
        ):
            return Permutations(over_strings)
        task_of = np.zeros(families, dtype=np.int64)
        task_of[self.family] = self.task
        length = np.bincount(self.family, weights=self.length) / np.bincount(self.family)
        strata = _strata(length, np.zeros(families, dtype=np.int64))
        moved = [task_of[permute_within(strata, rng)] for _ in range(times)]
        of_family = np.array(moved, dtype=np.int64).reshape(times, families)
        return Permutations(over_strings, _with_first(code, of_family[:, self.family[self.of_row]]))


def permute_rows(
    code: Int[np.ndarray, "row"], times: int, rng: np.random.Generator
) -> Permutations:
    """Permute a label that belongs to rows over rows."""
    moved = np.array([rng.permutation(code) for _ in range(times)], dtype=np.int64)
    return Permutations(_with_first(code, moved.reshape(times, len(code))))


def permute_within(
    strata: Int[np.ndarray, "unit"], rng: np.random.Generator
) -> Int[np.ndarray, "unit"]:
    """A permutation that keeps every unit in its stratum."""
    order = np.argsort(strata, kind="stable")
    shuffled = np.lexsort((rng.random(len(strata)), strata))
    result = np.empty_like(order)
    result[order] = shuffled
    return result


def _strata(
    length: Float[np.ndarray, "unit"], apart: Int[np.ndarray, "unit"]
) -> Int[np.ndarray, "unit"]:
    smallest = int(np.bincount(apart).min())
    bins = max(1, min(4, smallest // _STRATUM))
    edges = np.quantile(length, np.linspace(0, 1, bins + 1)[1:-1])
    return np.asarray(apart * bins + np.searchsorted(edges, length, side="left"), dtype=np.int64)


def _renamed(labels: Int[np.ndarray, "labeling row"]) -> float:
    """Share of the labelings after the first that partition the rows as the first does."""
    if len(labels) == 1:
        return 0.0
    _, example, code = np.unique(labels[0], return_index=True, return_inverse=True)
    # The class that each class of the first labeling would have become, if any.
    becomes = labels[1:, example]
    same = (becomes[:, code] == labels[1:]).all(1)
    becomes = np.sort(becomes[same], axis=1)
    apart = (np.diff(becomes, axis=1) > 0).all(1)
    return float(apart.sum() / len(same))


def _with_first(
    code: Int[np.ndarray, "row"], moved: Int[np.ndarray, "times row"]
) -> Int[Tensor, "labeling row"]:
    return torch.from_numpy(np.concatenate([code[None], moved]))

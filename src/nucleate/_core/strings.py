"""Instruction strings: what is halved, folded, permuted and drawn; rows follow their string."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

HALVES = ("choose", "report")
_FOLDS = 3
_STRATUM = 25
"""Fewest strings in a stratum of length: fewer than this leave little to permute."""


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


def _with_first(
    code: Int[np.ndarray, "row"], moved: Int[np.ndarray, "times row"]
) -> Int[Tensor, "labeling row"]:
    return torch.from_numpy(np.concatenate([code[None], moved]))

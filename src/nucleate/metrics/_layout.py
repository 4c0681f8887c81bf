"""Which rows of a probe are measured at a position, under which labels, resamples and nulls."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate._errors import BadInput
from nucleate.metrics._bootstrap import resamples
from nucleate.tasks import Probe

APART = ("unseen_family", "unseen_input")
"""Splits on top of the crossed rows, which the clustering leaves out."""
LABELS = ("task", "family", "input", "output")
OF_STRING = ("task", "family")
HALVES = ("choose", "report")
_FOLDS = 3
_STRATUM = 25
"""Fewest strings in a stratum of length: fewer than this leave little to permute."""


@dataclass(frozen=True)
class Permutations:
    """Labellings of the same rows: the first is the label itself, the others are permuted."""

    labels: Int[Tensor, "labelling row"]
    blocks: Int[Tensor, "labelling row"] | None = None

    def rows(self, inside: Int[np.ndarray, "member"]) -> "Permutations":
        """The same labellings of some of the rows."""
        blocks = None if self.blocks is None else self.blocks[:, inside]
        return Permutations(self.labels[:, inside], blocks)


@dataclass(frozen=True)
class Layout:
    """One position of a probe, made ready for measuring; the same for all steps and streams.

    Attributes:
        rows: the rows of the probe that stand for the states there: the first of each group of
            equal prefixes, without the splits in `APART`.
        codes: a number for each class of each label that is defined here.
        undefined: label -> why it is not.
        conditioned: why nothing is left after conditioning on the input; empty if all is well.
        strings: which instruction string each row has, from 0.
        string_count: how many there are.
        halves: half -> which rows are in it.
        folds: which fold of nearest centroids each row is in; None if a task has one string only.
        nulls: label -> permutations; of the task also in each half and within the folds.
        weights: `all` and `report` -> resamples of the strings.
    """

    rows: Int[Tensor, "row"]
    codes: dict[str, Int[Tensor, "row"]]
    undefined: dict[str, str]
    conditioned: str
    strings: Int[Tensor, "row"]
    string_count: int
    halves: dict[str, Int[Tensor, "member"]]
    folds: Int[Tensor, "row"] | None
    nulls: dict[str, Permutations]
    weights: dict[str, Float[Tensor, "draw string"]]

    def classes(self, label: str) -> int:
        return int(self.codes[label].max()) + 1


def layout(probe: Probe, position: str, *, permutations: int, bootstraps: int, seed: int) -> Layout:
    """Choose rows, halves, folds and permutations of one position.

    Strings are split into the halves within each family, so that both hold every task. The label
    task is permuted over instruction strings within strata of prompt length (quantiles with at
    least 25 strings each), and, as a second and stricter null, over whole families where a task
    has several: strings of one family look alike, so clusters of families alone agree with tasks
    more than permuted strings do. Family labels go over strings; input and output belong to rows
    and go over rows.

    Raises:
        BadInput: fewer rows than classes of a label, or a probe with one task.
    """
    rows, groups = _distinct_rows(probe, position)
    text = {name: np.array(probe.labels[name])[rows] for name in (*LABELS, "instruction")}
    codes, undefined = _defined(probe, groups, text)
    _refuse_hopeless(position, text)
    strings = _numbers(text["instruction"], text["task"], text["family"])
    of_string = _Strings.of(strings, text, probe.prompt_lengths[rows])
    rng = np.random.default_rng(seed)
    half, folds = of_string.halves(rng), of_string.folds(rng)
    members = {name: np.flatnonzero(half[strings] == i) for i, name in enumerate(HALVES)}
    nulls = {
        name: of_string.permuted(code, strings, permutations, rng)
        if name in OF_STRING
        else _over_rows(code, permutations, rng)
        for name, code in codes.items()
    }
    if "task" in codes:
        code = codes["task"]
        part = of_string.permuted(code, strings, permutations, rng, within=half)
        nulls |= {name: part.rows(inside) for name, inside in members.items()}
        if folds is not None:
            nulls["folds"] = of_string.permuted(code, strings, permutations, rng, within=folds)
    count = len(half)
    return Layout(
        rows=torch.from_numpy(rows),
        codes={name: torch.from_numpy(code) for name, code in codes.items()},
        undefined=undefined,
        conditioned=_why_not_conditioned(codes, undefined),
        strings=torch.from_numpy(strings),
        string_count=count,
        halves={name: torch.from_numpy(inside) for name, inside in members.items()},
        folds=None if folds is None else torch.from_numpy(folds[strings]),
        nulls=nulls,
        weights={
            "all": resamples(np.arange(count), count, bootstraps, seed),
            "report": resamples(np.flatnonzero(half == 1), count, bootstraps, seed),
        },
    )


@dataclass(frozen=True)
class _Strings:
    """The instruction strings: what is drawn, halved and permuted."""

    task: Int[np.ndarray, "string"]
    family: Int[np.ndarray, "string"]
    length: Float[np.ndarray, "string"]

    @classmethod
    def of(
        cls, strings: Int[np.ndarray, "row"], text: dict[str, np.ndarray], lengths: np.ndarray
    ) -> "_Strings":
        first = np.unique(strings, return_index=True)[1]
        task = _numbers(text["task"])
        length = np.bincount(strings, weights=lengths) / np.bincount(strings)
        family = _numbers(text["task"], text["family"])
        return cls(task[first], family[first], length)

    def halves(self, rng: np.random.Generator) -> Int[np.ndarray, "string"]:
        half = np.zeros(len(self.task), dtype=np.int64)
        odd = 0
        for family in range(int(self.family.max()) + 1):
            members = rng.permutation(np.flatnonzero(self.family == family))
            half[members] = (odd + np.arange(len(members))) % 2
            odd += len(members)
        return half

    def folds(self, rng: np.random.Generator) -> Int[np.ndarray, "string"] | None:
        sizes = np.bincount(self.task)
        folds = min(_FOLDS, int(sizes.min()))
        if folds < 2:
            return None
        fold = np.zeros(len(self.task), dtype=np.int64)
        for task in range(len(sizes)):
            members = rng.permutation(np.flatnonzero(self.task == task))
            fold[members] = np.arange(len(members)) % folds
        return fold

    def permuted(
        self,
        code: Int[np.ndarray, "row"],
        strings: Int[np.ndarray, "row"],
        times: int,
        rng: np.random.Generator,
        within: Int[np.ndarray, "string"] | None = None,
    ) -> Permutations:
        """Permute a label of strings over strings, and the task's over families as well."""
        first = np.unique(strings, return_index=True)[1]
        of_string = code[first]
        apart = np.zeros_like(of_string) if within is None else within
        moved = [of_string[permute_within(_strata(self.length, apart), rng)] for _ in range(times)]
        over_strings = _with_first(
            code, np.array(moved, dtype=np.int64).reshape(times, len(of_string))[:, strings]
        )
        families = int(self.family.max()) + 1
        if not np.array_equal(of_string, self.task) or families in (
            int(self.task.max()) + 1,
            len(strings),
        ):
            return Permutations(over_strings)
        task_of = np.zeros(families, dtype=np.int64)
        task_of[self.family] = self.task
        length = np.bincount(self.family, weights=self.length) / np.bincount(self.family)
        strata = _strata(length, np.zeros(families, dtype=np.int64))
        moved = [task_of[permute_within(strata, rng)] for _ in range(times)]
        blocks = np.array(moved, dtype=np.int64).reshape(times, families)[:, self.family[strings]]
        return Permutations(over_strings, _with_first(code, blocks))


def permute_within(
    strata: Int[np.ndarray, "unit"], rng: np.random.Generator
) -> Int[np.ndarray, "unit"]:
    """A permutation that keeps every unit in its stratum."""
    order = np.argsort(strata, kind="stable")
    shuffled = np.lexsort((rng.random(len(strata)), strata))
    result = np.empty_like(order)
    result[order] = shuffled
    return result


def _over_rows(code: Int[np.ndarray, "row"], times: int, rng: np.random.Generator) -> Permutations:
    moved = np.array([rng.permutation(code) for _ in range(times)], dtype=np.int64)
    return Permutations(_with_first(code, moved.reshape(times, len(code))))


def _strata(
    length: Float[np.ndarray, "unit"], apart: Int[np.ndarray, "unit"]
) -> Int[np.ndarray, "unit"]:
    smallest = int(np.bincount(apart).min())
    bins = max(1, min(4, smallest // _STRATUM))
    edges = np.quantile(length, np.linspace(0, 1, bins + 1)[1:-1])
    return np.asarray(apart * bins + np.searchsorted(edges, length, side="left"), dtype=np.int64)


def _measured(probe: Probe) -> Int[np.ndarray, "row"]:
    return np.flatnonzero(~np.isin(probe.labels["split"], APART))


def _distinct_rows(
    probe: Probe, position: str
) -> tuple[Int[np.ndarray, "row"], Int[np.ndarray, "measured"]]:
    """The first measured row of each prefix group, and the group of each measured row."""
    measured = _measured(probe)
    if not len(measured):
        raise BadInput(
            f"all {len(probe)} rows of the probe are of the splits {' and '.join(APART)}, which "
            "are not clustered; give it rows of seen or unseen_string"
        )
    groups = probe.prefix_groups(position)[measured]
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return measured[first[order]], rank[inverse]


def _constant(values: np.ndarray, groups: Int[np.ndarray, "row"]) -> bool:
    first = np.unique(groups, return_index=True)[1]
    return bool((values[first][groups] == values).all())


def _numbers(*columns: np.ndarray) -> Int[np.ndarray, "row"]:
    """Number equal values alike, from 0, in the order in which they first occur."""
    seen: dict[tuple[str, ...], int] = {}
    keys = zip(*(column.tolist() for column in columns), strict=True)
    return np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=np.int64)


def _with_first(
    code: Int[np.ndarray, "row"], moved: Int[np.ndarray, "times row"]
) -> Int[Tensor, "labelling row"]:
    return torch.from_numpy(np.concatenate([code[None], moved]))


def _why_not_conditioned(codes: dict[str, np.ndarray], undefined: dict[str, str]) -> str:
    if "input" in undefined:
        return undefined["input"]
    if "task" in undefined:
        return undefined["task"]
    pairs = len(set(zip(codes["task"].tolist(), codes["input"].tolist(), strict=True)))
    if pairs < (codes["task"].max() + 1) * (codes["input"].max() + 1):
        return "undefined: the tasks do not share their inputs"
    return ""


def _defined(
    probe: Probe, groups: Int[np.ndarray, "measured"], text: dict[str, np.ndarray]
) -> tuple[dict[str, Int[np.ndarray, "row"]], dict[str, str]]:
    """The codes of the labels that rows have here, and why the others are undefined."""
    codes, undefined = {}, {}
    for name in LABELS:
        code = _numbers(text[name])
        classes = int(code.max()) + 1
        if not _constant(np.array(probe.labels[name])[_measured(probe)], groups):
            undefined[name] = f"undefined: the {name} is not known at this position"
        elif classes == 1:
            undefined[name] = f"undefined: all rows have the same {name}"
        elif classes == len(code):
            undefined[name] = f"undefined: each row has its own {name}"
        else:
            codes[name] = code
    return codes, undefined


def _refuse_hopeless(position: str, text: dict[str, np.ndarray]) -> None:
    tasks, rows = len(set(text["task"].tolist())), len(text["task"])
    if tasks == 1:
        raise BadInput(
            f"the probe has one task, {text['task'][0]!r}; clusters of tasks need at least two, "
            "so add rows of another"
        )
    if tasks == rows:
        raise BadInput(
            f"{tasks} tasks have {rows} rows at {position}: no more rows than clusters; "
            "give each task at least two instruction strings"
        )

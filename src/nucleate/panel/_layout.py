"""Which prompts are measured at a position, under which labels, resamples and nulls."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate._core.errors import BadInput
from nucleate._core.strings import (
    HALVES,
    Permutations,
    Strings,
    announced,
    number_strings,
    permute_rows,
)
from nucleate.metrics import resamples
from nucleate.prompts import PromptSet

APART = ("unseen_family", "unseen_input")
"""Splits on top of the crossed rows, which the clustering leaves out."""
TASK = "task"
LABELS = ("task", "family", "task x family", "input", "output", "length")
"""The labels that every panel is about; any other column of the prompt set comes after them."""
LENGTH = "length in tokens"
"""What the length of a prompt is called where the prompt set has a column `length`."""
NO_LABELS = ("instruction", "split", "prompt", "text")
"""Columns that name rows rather than group them."""
_LENGTHS = 8
"""More lengths than this are gathered in quantiles."""


@dataclass(frozen=True)
class Layout:
    """One position of a prompt set, made ready for measuring; the same for all steps and streams.

    Attributes:
        rows: the rows of the prompt set that stand for the states there: the first of each group of
            equal prefixes, without the splits in `APART`.
        codes: a number for each class of each label that is defined here.
        names: the text of each class of those labels.
        undefined: label -> why it is not.
        conditioned: why nothing is left after conditioning on the input; empty if all is well.
        strings: which instruction string each row has, from 0.
        string_count: how many there are.
        halves: half -> which rows are in it.
        folds: which fold each row is in, all rows of a string in one; None if a task has one
            string only, or the task is undefined here.
        single: why metrics that leave a row's own string out are undefined; empty if they are not.
        nulls: label -> permutations; of the task also in each half and within the folds. The label
            alone where they would only rename its classes.
        units: what each of those permutes: `strings`, `texts` (rows without an instruction are
            units of their own), `rows`, or `none`.
        no_null: why nothing is permuted where the unit is `none`.
        weights: `all` and `report` -> resamples of the strings.
    """

    rows: Int[Tensor, "row"]
    codes: dict[str, Int[Tensor, "row"]]
    names: dict[str, tuple[str, ...]]
    undefined: dict[str, str]
    conditioned: str
    strings: Int[Tensor, "row"]
    string_count: int
    halves: dict[str, Int[Tensor, "member"]]
    folds: Int[Tensor, "row"] | None
    single: str
    nulls: dict[str, Permutations]
    units: dict[str, str]
    no_null: dict[str, str]
    weights: dict[str, Float[Tensor, "draw string"]]

    def classes(self, label: str) -> int:
        return len(self.names[label])

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label of the prompt set, defined here or not."""
        known = (*self.codes, *self.undefined)
        return tuple(sorted(known, key=lambda name: (_rank(name), name)))

    @property
    def constant_within_strings(self) -> set[str]:
        """The defined labels that all rows of a string share."""
        return {name for name, code in self.codes.items() if _constant(code, self.strings)}


def layout(
    prompts: PromptSet, position: str, *, n_permutations: int, n_bootstraps: int, seed: int
) -> Layout:
    """Choose rows, halves, folds and permutations of one position.

    Strings are split into the halves within each family, so that both hold every task. The label
    task is permuted over instruction strings within strata of prompt length (quantiles with at
    least 25 strings each), and, as a second and stricter null, over whole families where a task
    has several: strings of one family look alike, so clusters of families alone agree with tasks
    more than permuted strings do. Labels that all rows of a string share go over strings, others
    over rows. What a string is, and that rows without an instruction are units of their own, says
    `number_strings`.

    Where each task has one string, the permutations only rename the tasks. Then there is no N0.
    Rows of one string are not permuted instead: they share whatever the string alone puts into
    the state, so that any model that tells strings apart would exceed such a null.

    Raises:
        BadInput: a prompt set without tasks, with one task, or with no more different prompts
            than tasks at every position.
    """
    prompts.check_labels(TASK, user="measure")
    rows, groups = _distinct_rows(prompts, position)
    columns = _columns(prompts, position)
    text = {name: values[rows] for name, values in columns.items()}
    codes, names, undefined = _defined(columns, _measured(prompts), groups, text)
    if TASK in undefined:
        _refuse_hopeless(prompts)
    strings = _strings(prompts, rows, text)
    rng = np.random.default_rng(seed)
    half, folds = strings.halves(rng), strings.folds(rng)
    members = {name: np.flatnonzero(half[strings.of_row] == i) for i, name in enumerate(HALVES)}
    nulls = {
        name: strings.permuted(code, n_permutations, rng)
        if _constant(code, strings.of_row)
        else permute_rows(code, n_permutations, rng)
        for name, code in codes.items()
    }
    if TASK in codes:
        part = strings.permuted(codes[TASK], n_permutations, rng, within=half)
        nulls |= {name: part.rows(inside) for name, inside in members.items()}
        if folds is not None:
            nulls["folds"] = strings.permuted(codes[TASK], n_permutations, rng, within=folds)
    no_null = {name: _no_null(name, each) for name, each in nulls.items() if each.hopeless}
    of_strings = "strings" if announced(prompts.labels)[rows].any() else "texts"
    over_rows = {name for name, code in codes.items() if not _constant(code, strings.of_row)}
    count = len(strings)
    return Layout(
        rows=torch.from_numpy(rows),
        codes={name: torch.from_numpy(code) for name, code in codes.items()},
        names=names,
        undefined=undefined,
        conditioned=_why_not_conditioned(codes, undefined),
        strings=torch.from_numpy(strings.of_row),
        string_count=count,
        halves={name: torch.from_numpy(inside) for name, inside in members.items()},
        # Folds are of tasks: where these are not known there are none.
        folds=None
        if folds is None or TASK not in codes
        else torch.from_numpy(folds[strings.of_row]),
        single=_single(strings.task),
        nulls={name: each.first(0) if name in no_null else each for name, each in nulls.items()},
        units={
            name: "none" if name in no_null else "rows" if name in over_rows else of_strings
            for name in nulls
        },
        no_null=no_null,
        weights={
            "all": resamples(np.arange(count), count, n_bootstraps, seed),
            "report": resamples(np.flatnonzero(half == 1), count, n_bootstraps, seed),
        },
    )


def measured_rows(prompts: PromptSet, position: str) -> Int[np.ndarray, "row"]:
    """The rows that stand for the states of a position.

    Rows of the splits unseen_family and unseen_input are left out; of rows with equal tokens up to
    the position, which share one state there, the first is kept.

    Args:
        prompts: of which the rows are.
        position: a name in `prompts.positions`.

    Returns:
        Numbers of rows, rising.

    Raises:
        BadInput: all rows are of the splits that are left out.
    """
    return _distinct_rows(prompts, position)[0]


def _no_null(label: str, permuted: Permutations) -> str:
    """Why a label's permutations say nothing."""
    of_half = " in this half of the strings" if label in HALVES else ""
    name = TASK if label in (*HALVES, "folds") else label
    if permuted.renamed == 1:
        return (
            f"N0 undefined: each {name} has one instruction string{of_half}, "
            "so that permuting them over strings only renames them"
        )
    return (
        f"N0 undefined: {permuted.renamed:.0%} of the permutations{of_half} only rename the "
        f"classes of {name}; more instruction strings or families are needed"
    )


def _single(task: Int[np.ndarray, "string"]) -> str:
    sizes = np.bincount(task)
    alone = int((sizes == 1).sum())
    if not alone:
        return ""
    which = "each task has" if alone == len(sizes) else f"{alone} of {len(sizes)} tasks have"
    return f"undefined: {which} one instruction string only"


def _columns(prompts: PromptSet, position: str) -> dict[str, np.ndarray]:
    """Every label as an array of texts [row]."""
    labels = prompts.labels
    found = {name: _texts(values) for name, values in labels.items() if name not in NO_LABELS}
    if "family" in found:
        pairs = list(zip(labels[TASK], labels["family"], strict=True))
        if len(set(pairs)) > len(set(labels["family"])):
            both = _texts([f"{task} x {family}" for task, family in pairs])
            found.setdefault("task x family", both)
    # A column of the user's own that is called so stays, and ours gets another name.
    found["length" if "length" not in found else LENGTH] = _lengths(prompts.ends(position))
    return found


def _texts(values: Sequence[str]) -> np.ndarray:
    """Texts as objects: numpy would make all as wide as the widest."""
    return np.array(values, dtype=object)


def _lengths(ends: Int[np.ndarray, "row"]) -> np.ndarray:
    """Tokens up to a position, in quantiles where there are many different numbers."""
    if len(np.unique(ends)) > _LENGTHS:
        edges = np.unique(np.quantile(ends, np.linspace(0, 1, _LENGTHS + 1)[1:-1]))
        return _texts([f"part {part}" for part in np.searchsorted(edges, ends)])
    return _texts([str(end) for end in ends])


def _strings(
    prompts: PromptSet, rows: Int[np.ndarray, "row"], text: dict[str, np.ndarray]
) -> Strings:
    task = _numbers(text[TASK])
    of_row = _numbers(number_strings(prompts.labels)[rows])
    family = _numbers(text[TASK], text["family"]) if "family" in text else task
    return Strings.of(of_row, task, family, prompts.prompt_lengths[rows])


def _rank(label: str) -> int:
    return LABELS.index(label) if label in LABELS else len(LABELS)


def _measured(prompts: PromptSet) -> Int[np.ndarray, "row"]:
    if "split" not in prompts.labels:
        return np.arange(len(prompts))
    return np.flatnonzero([split not in APART for split in prompts.labels["split"]])


def _distinct_rows(
    prompts: PromptSet, position: str
) -> tuple[Int[np.ndarray, "row"], Int[np.ndarray, "measured"]]:
    """The first measured row of each prefix group, and the group of each measured row."""
    measured = _measured(prompts)
    if not len(measured):
        raise BadInput(
            f"all {len(prompts)} prompts are of the splits {' and '.join(APART)}, which "
            "are not clustered; give it rows of seen or unseen_string"
        )
    groups = prompts.prefix_groups(position)[measured]
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return measured[first[order]], rank[inverse]


def _constant(values: np.ndarray | Tensor, groups: np.ndarray | Tensor) -> bool:
    values, groups = np.asarray(values), np.asarray(groups)
    first = np.unique(groups, return_index=True)[1]
    return bool((values[first][groups] == values).all())


def _numbers(*columns: np.ndarray) -> Int[np.ndarray, "row"]:
    """Number equal values alike, from 0, in the order in which they first occur."""
    seen: dict[tuple[str, ...], int] = {}
    keys = zip(*(column.tolist() for column in columns), strict=True)
    return np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=np.int64)


def _why_not_conditioned(codes: dict[str, np.ndarray], undefined: dict[str, str]) -> str:
    for name in ("input", TASK):
        if name not in codes:
            return undefined.get(name, f"undefined: the prompt set has no label {name!r}")
    pairs = len(set(zip(codes[TASK].tolist(), codes["input"].tolist(), strict=True)))
    if pairs < (codes[TASK].max() + 1) * (codes["input"].max() + 1):
        return "undefined: the tasks do not share their inputs"
    return ""


def _defined(
    columns: dict[str, np.ndarray],
    measured: Int[np.ndarray, "measured"],
    groups: Int[np.ndarray, "measured"],
    text: dict[str, np.ndarray],
) -> tuple[dict[str, Int[np.ndarray, "row"]], dict[str, tuple[str, ...]], dict[str, str]]:
    """The codes and names of the labels that rows have here, and why others are undefined."""
    codes: dict[str, Int[np.ndarray, row]] = {}
    names: dict[str, tuple[str, ...]] = {}
    undefined: dict[str, str] = {}
    for name in sorted(columns, key=lambda name: (_rank(name), name)):
        code = _numbers(text[name])
        classes = int(code.max()) + 1
        if not _constant(columns[name][measured], groups):
            undefined[name] = f"undefined: the {name} is not known at this position"
        elif classes == 1:
            undefined[name] = f"undefined: all rows have the same {name}"
        elif classes == len(code):
            undefined[name] = f"undefined: each row has its own {name}"
        else:
            codes[name] = code
            names[name] = tuple(dict.fromkeys(text[name].tolist()))
    return codes, names, undefined


def _refuse_hopeless(prompts: PromptSet) -> None:
    """Refuse a prompt set whose tasks cannot be clustered at any position."""
    tasks = len({prompts.labels[TASK][row] for row in _measured(prompts)})
    if tasks == 1:
        raise BadInput(
            f"the prompt set has one task, {prompts.labels[TASK][0]!r}; clusters of tasks need at "
            "least two, so add rows of another"
        )
    states = {name: len(measured_rows(prompts, name)) for name in prompts.positions}
    if all(tasks >= count for count in states.values()):
        there = " and ".join(f"{count} at {name}" for name, count in states.items())
        raise BadInput(
            f"{tasks} tasks have {there} different prompts: no more than clusters; "
            "give each task at least two instruction strings or inputs"
        )

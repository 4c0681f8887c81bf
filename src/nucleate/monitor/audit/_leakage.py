"""Whether an attribute of people can be read from states, or shapes the clusters."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from nucleate._core.arguments import check_whole
from nucleate._core.errors import BadInput
from nucleate._core.seeds import component_seed
from nucleate.findings import json_value
from nucleate.metrics import agreement, grouped_folds, linear_probe
from nucleate.monitor.audit._cells import Rules
from nucleate.monitor.audit._compare import adjusted
from nucleate.monitor.audit._table import AuditTable

_FOLDS = 5
_PERMUTATIONS = 199
_DRAWS = 200
_TOL = 1e-4
"""Of the probes: their accuracy moves by .002 on average."""
Question = Literal["decodable", "clustered"]
Word = Literal["beyond chance", "not beyond chance", "too few"]


@dataclass(frozen=True)
class Leak:
    """One question about one attribute, beside what chance gives.

    Attributes:
        column: the attribute.
        question: `decodable`: share of texts whose group a linear probe of their states tells, on
            texts it has not seen, as many of each group; `clustered`: adjusted mutual information
            of clusters and groups.
        rows, groups: how many were used; rows of groups that are too small are left out.
        value, low, high: with a 95 % interval over texts; None where there are too few.
        null, null_high: mean and 95 % quantile of the same with groups permuted over texts.
        within_task: whether they were permuted within each task, so that being asked about
            different things is no leak.
        p, p_adjusted: share of permutations that reach the value, itself counted; and after
            Benjamini and Hochberg over all questions asked together.
        word: in words.
    """

    column: str
    question: Question
    rows: int
    groups: int
    value: float | None
    low: float | None
    high: float | None
    null: float | None
    null_high: float | None
    within_task: bool
    p: float | None
    p_adjusted: float | None
    word: Word

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        found: dict[str, Any] = json_value(vars(self))
        return found


@dataclass(frozen=True)
class _Scored:
    rows: int
    groups: int
    value: float
    interval: tuple[float, float]
    null: Float[np.ndarray, "draw"]

    @property
    def p(self) -> float:
        reached = int((self.null >= self.value - 1e-12).sum())
        return (1 + reached) / (1 + len(self.null))


def leakage(
    table: AuditTable,
    rules: Rules | None = None,
    *,
    permutations: int | None = None,
    most: int = 300,
    seed: int = 0,
) -> tuple[Leak, ...]:
    """Ask of every group column whether it is decodable from states, and whether it is clustered.

    Args:
        table: the rows. Without vectors only the second is asked. With `task`, groups are permuted
            within each task; else over all texts.
        rules: what was decided before looking; the defaults if None.
        permutations: of groups over texts; the smallest p is one over one more. By default 199, or
            as many as the number of questions needs for a finding.
        most: texts of each group that a probe is fitted to at most; drawn where there are more.
        seed: of draws and permutations.

    Raises:
        BadInput: permutations so few that nothing could be found, or fewer texts than the rules'
            least.

    Notes:
        What is decodable need not be used, and a probe that fails proves no absence: it is linear.
        The interval is over texts, with the probe as it was fitted. Where the text itself names the
        attribute, it is decodable from any model that reads.
    """
    rules = rules or Rules()
    questions = len(table.groups) * (1 + (table.vectors is not None))
    permutations = _enough(permutations, questions, rules.level)
    check_whole("most", most, least=rules.least)
    check_whole("seed", seed, least=0)
    found: list[tuple[str, Question, _Scored | None]] = []
    for column in table.groups:
        rng = np.random.default_rng(component_seed(seed, f"leakage {column}"))
        rows, codes = _texts(table, column, rules.least)
        enough = len(np.unique(codes)) > 1
        if table.vectors is not None:
            decoded = _decodable(table, rows, codes, permutations, most, rng) if enough else None
            found.append((column, "decodable", decoded))
        clustered = _clustered(table, rows, codes, permutations, rng) if enough else None
        found.append((column, "clustered", clustered))
    p_adjusted = adjusted(np.array([np.nan if one is None else one.p for *_, one in found]))
    within = table.task is not None
    return tuple(
        _leak(column, question, one, within, float(p), rules.level)
        for (column, question, one), p in zip(found, p_adjusted, strict=True)
    )


def _enough(permutations: int | None, questions: int, level: float) -> int:
    """How many permutations; refused where one finding among the questions could not be told."""
    needed = math.ceil(questions / level) - 1
    if permutations is None:
        return max(_PERMUTATIONS, needed)
    check_whole("permutations", permutations, least=1)
    if permutations < needed:
        raise BadInput(
            f"permutations is {permutations}: of {questions} questions at level {level:g} none "
            f"could be answered with yes; give {needed} or more"
        )
    return permutations


def _texts(
    table: AuditTable, column: str, least: int
) -> tuple[Int[np.ndarray, "text"], Int[np.ndarray, "text"]]:
    """One row of each text and group, and the codes of those groups that have enough."""
    values = table.groups[column]
    text = np.unique(table.own_texts, return_inverse=True)[1]
    names, code = np.unique(values, return_inverse=True)
    known = np.flatnonzero(values != "")
    rows = known[np.unique(np.stack([text, code], 1)[known], axis=0, return_index=True)[1]]
    sizes = np.bincount(code[rows], minlength=len(names))
    rows = np.sort(rows[sizes[code[rows]] >= least])
    return rows, np.unique(code[rows], return_inverse=True)[1]


def _permuted(
    codes: Int[np.ndarray, "text"],
    task: Int[np.ndarray, "text"],
    permutations: int,
    rng: np.random.Generator,
) -> Int[np.ndarray, "labeling text"]:
    """The codes, then permutations of them within each task."""
    order = np.argsort(task, kind="stable")
    labelings = np.empty((permutations + 1, len(codes)), np.int64)
    labelings[0] = codes
    for each in labelings[1:]:
        mixed = np.lexsort((rng.random(len(codes)), task))
        each[order] = codes[mixed]
    return labelings


def _tasks(table: AuditTable, rows: Int[np.ndarray, "text"]) -> Int[np.ndarray, "text"]:
    if table.task is None:
        return np.zeros(len(rows), np.int64)
    return np.asarray(np.unique(table.task[rows], return_inverse=True)[1])


def _decodable(
    table: AuditTable,
    rows: Int[np.ndarray, "text"],
    codes: Int[np.ndarray, "text"],
    permutations: int,
    most: int,
    rng: np.random.Generator,
) -> _Scored:
    """Accuracy on equally many texts of each group, so that chance is one over their number."""
    assert table.vectors is not None
    each = min(most, int(np.bincount(codes).min()))
    kept = np.concatenate(
        [
            rng.choice(np.flatnonzero(codes == code), each, replace=False)
            for code in range(int(codes.max()) + 1)
        ]
    )
    rows, codes = rows[kept], codes[kept]
    x, texts = table.vectors[rows], table.own_texts[rows]
    text = np.unique(texts, return_inverse=True)[1]
    folds = grouped_folds(codes, text, _FOLDS)
    labelings = _permuted(codes, _tasks(table, rows), permutations, rng)
    correct = [linear_probe(x, labels, folds, text, tol=_TOL).correct for labels in labelings]
    null = np.array([each.mean() for each in correct[1:]])
    drawn = _text_draws(text, rng) @ np.stack([correct[0], np.ones(len(text))], 1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    value = float(correct[0].mean())
    return _Scored(len(rows), int(codes.max()) + 1, value, (float(low), float(high)), null)


def _text_draws(
    text: Int[np.ndarray, "row"], rng: np.random.Generator
) -> Float[np.ndarray, "draw row"]:
    """How often each row is in a sample of the texts with replacement."""
    count = int(text.max()) + 1
    drawn = rng.multinomial(count, np.full(count, 1 / count), _DRAWS)
    return drawn[:, text].astype(float)


def _clustered(
    table: AuditTable,
    rows: Int[np.ndarray, "text"],
    codes: Int[np.ndarray, "text"],
    permutations: int,
    rng: np.random.Generator,
) -> _Scored:
    """Adjusted mutual information of clusters and groups."""
    clusters = np.unique(table.cluster[rows], return_inverse=True)[1]
    labelings = _permuted(codes, _tasks(table, rows), permutations, rng)
    value, *null = np.asarray(agreement(clusters, labelings).ami)
    # A half without replacement differs from the whole as the whole does from the truth; samples
    # with replacement would hold rows twice, which agree with themselves.
    halves = []
    for _ in range(_DRAWS):
        half = rng.permutation(len(rows))[: len(rows) // 2]
        halves.append(float(agreement(clusters[half], codes[half]).ami) - value)
    low, high = value - np.quantile(halves, [0.975, 0.025])
    return _Scored(
        len(rows), int(codes.max()) + 1, float(value), (float(low), float(high)), np.array(null)
    )


def _leak(
    column: str,
    question: Question,
    found: _Scored | None,
    within: bool,
    p_adjusted: float,
    level: float,
) -> Leak:
    if found is None:
        empty = (None,) * 5
        return Leak(column, question, 0, 0, *empty, within, None, None, "too few")
    return Leak(
        column, question, found.rows, found.groups, found.value, *found.interval,
        float(found.null.mean()), float(np.quantile(found.null, 0.95)), within, found.p, p_adjusted,
        "beyond chance" if p_adjusted <= level else "not beyond chance",
    )  # fmt: skip

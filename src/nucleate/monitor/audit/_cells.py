"""What is said of a set of rows beside others, and how many such sentences may be false."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from nucleate._core.arguments import check_number, check_whole
from nucleate._core.errors import BadInput
from nucleate.findings import json_value
from nucleate.monitor.audit._compare import (
    adjusted,
    detectable,
    difference_interval,
    exact_p,
    level_in_force,
    wilson,
)

LEAST = 30
Kind = Literal["cluster", "group", "cell", "slice"]
Word = Literal["higher", "lower", "no difference found", "too few"]


@dataclass(frozen=True)
class Rules:
    """What was decided before looking.

    Attributes:
        least: rows below which nothing is said of a cell, nor of one whose others are fewer.
        level: share of false ones among the findings that is accepted on average (FDR).
        matters: smallest difference of two rates that matters.

    Raises:
        BadInput: fewer than 2 rows, a level outside of 0 to .5, or a difference outside of 0 to 1.
    """

    least: int = LEAST
    level: float = 0.05
    matters: float = 0.1

    def __post_init__(self) -> None:
        check_whole("least", self.least, least=2)
        for name, highest, example in (("level", 0.5, 0.05), ("matters", 1.0, 0.1)):
            value = getattr(self, name)
            check_number(name, value)
            if not 0 < value < highest:
                raise BadInput(
                    f"{name} is {value}; give a number between 0 and {highest}, such as {example}"
                )


@dataclass(frozen=True)
class Where:
    """Which rows are meant, and which they are compared with.

    Attributes:
        kind: `cluster`: a cluster, with all others; `group`: a group, with the other groups of its
            column; `cell`: a group within a cluster, with the other groups there; `slice`: rows
            that a search has found, with all others.
        outcome: what is counted.
        cluster, column, group: names, where the kind has them.
        rule: how a slice is told.
    """

    kind: Kind
    outcome: str
    cluster: str | None = None
    column: str | None = None
    group: str | None = None
    rule: str | None = None

    def __str__(self) -> str:
        group = f"{self.column} {self.group}"
        return {
            "cluster": f"cluster {self.cluster}",
            "group": group,
            "cell": f"{group} in cluster {self.cluster}",
            "slice": f"rows where {self.rule}",
        }[self.kind]


@dataclass(frozen=True)
class Count:
    """Rows and events of a set and of what it is compared with."""

    where: Where
    rows: int
    events: int
    others: int
    other_events: int
    expected: float | None = None


@dataclass(frozen=True)
class Cell:
    """One set of rows beside the others.

    Attributes:
        where: which.
        rows, events: how many, and in how many it happened.
        rate, low, high: share of events with its 95 % Wilson interval.
        others, others_rate: rows it is compared with, and their share of events.
        difference, difference_low, difference_high: of the two rates, 95 % (Newcombe).
        expected: for a group: its rate if each of its clusters went wrong as often as there for
            the other groups; what its mix of clusters explains. None where that is not known.
        p: of Fisher's exact test, two-sided; None where it was not tested.
        p_adjusted: after Benjamini and Hochberg, over everything tested beside it.
        detectable: the excess over the others' rate that would be found with power .9 at the level
            that a further finding must reach; None where any excess could be missed.
        word: `too few` where nothing is said.
        gap: whether the rate is higher, by as much as matters.
    """

    where: Where
    rows: int
    events: int
    rate: float
    low: float
    high: float
    others: int
    others_rate: float
    difference: float
    difference_low: float
    difference_high: float
    expected: float | None
    p: float | None
    p_adjusted: float | None
    detectable: float | None
    word: Word
    gap: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, in one level; names that a kind has none of are left out."""
        own = dict(vars(self))
        where = {name: value for name, value in vars(own.pop("where")).items() if value is not None}
        found: dict[str, Any] = json_value(where | own)
        return found


def compared(counts: Sequence[Count], rules: Rules) -> tuple[Cell, ...]:
    """Test every set that is large enough, and correct for their number."""
    counts = [count for count in counts if count.rows]
    if not counts:
        return ()
    numbers = [(c.rows, c.events, c.others, c.other_events) for c in counts]
    rows, events, others, other_events = np.array(numbers, np.int64).T
    enough = np.minimum(rows, others) >= rules.least
    p = np.full(len(counts), np.nan)
    p[enough] = exact_p(*(each[enough] for each in (events, rows, other_events, others)))
    p_adjusted = adjusted(p)
    seen = np.full(len(counts), np.nan)
    rate, rest = events / rows, other_events / np.maximum(others, 1)
    alpha = level_in_force(p_adjusted, rules.level)
    seen[enough] = detectable(rows[enough], others[enough], rest[enough], alpha)
    low, high = wilson(events, rows)
    between = np.full((2, len(counts)), np.nan)
    some = others > 0
    between[:, some] = difference_interval(
        *(each[some] for each in (events, rows, other_events, others))
    )
    cells = []
    for at, count in enumerate(counts):
        word = _word(p_adjusted[at], rate[at] - rest[at], rules.level)
        beside = float(rest[at]) if others[at] else np.nan
        cells.append(
            Cell(
                count.where, count.rows, count.events, float(rate[at]), float(low[at]),
                float(high[at]), count.others, beside, float(rate[at]) - beside,
                float(between[0, at]), float(between[1, at]), count.expected,
                _known(p[at]), _known(p_adjusted[at]), _known(seen[at]), word,
                bool(word == "higher" and rate[at] - rest[at] >= rules.matters),
            )
        )  # fmt: skip
    return tuple(cells)


def _word(p_adjusted: float, difference: float, level: float) -> Word:
    if not np.isfinite(p_adjusted):
        return "too few"
    if p_adjusted > level:
        return "no difference found"
    return "higher" if difference > 0 else "lower"


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

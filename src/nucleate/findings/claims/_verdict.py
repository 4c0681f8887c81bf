"""Claims over several seeds: when one is supported, not supported, or undecided."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from nucleate.findings._differences import middle
from nucleate.findings._format import interval, number
from nucleate.findings._seed_test import mean_interval

ClaimVerdict = Literal["supported", "not supported", "undecided"]
Word = Literal["yes", "no", "unsure"]

FEWEST_SEEDS_CLAIM = 6
"""Fewer seeds decide no claim: five that all agree still have p = .06 in a sign test."""
HOLDS, FAILS = 5 / 6, 1 / 2
"""A condition holds if it does in so many seeds, and fails if in no more than that many."""
CLAIM_RULES = (
    "a condition that is asked of every seed holds if at least 5 in 6 seeds meet it, fails if at "
    "most half do, and is unsure between",
    "a condition on a difference holds if its mean over seeds reaches the threshold and the 95 % "
    "interval lies above 0, and fails if the whole interval lies below the threshold",
    "supported: all conditions hold and no falsifier does; not supported: a condition fails, or a "
    f"falsifier holds; undecided: all else, and fewer than {FEWEST_SEEDS_CLAIM} seeds",
)


@dataclass(frozen=True)
class RunNumbers:
    """What a claim reads of one run.

    Attributes:
        numbers: by name; NaN where undefined.
        tasks: records of the tasks at some steps: `step`, `task`, `accuracy`, `loss`, `margin`.
    """

    numbers: Mapping[str, float]
    tasks: Sequence[Mapping[str, Any]] = ()


Arms = Mapping[str, Mapping[int, RunNumbers]]
"""Name of a condition of the experiment -> seed -> its run."""


@dataclass(frozen=True)
class Condition:
    """One condition, or falsifier, of a claim.

    Attributes:
        says: in words, with its threshold.
        held: whether it holds.
        value: mean over seeds of the number it is about; for an order in time, the median.
        low, high: its 95 % interval, by Student's t or, of a median, by the sign test; NaN where
            there is none.
        seeds: how many it rests on.
        met: in how many of them it is met; None where it is no matter of single seeds.
        falsifies: whether the claim falls if it holds.
        values: the number, seed by seed; empty where it is no matter of single seeds.
        threshold: that the number is held against; NaN where it is no single one.
    """

    says: str
    held: Word
    value: float
    low: float
    high: float
    seeds: int
    met: int | None = None
    falsifies: bool = False
    values: tuple[float, ...] = ()
    threshold: float = math.nan

    def __str__(self) -> str:
        met = "" if self.met is None else f", {self.met} of {self.seeds} seeds"
        found = f"{number(self.value)} {interval(self.low, self.high)}".strip()
        return f"{self.says}: {self.held} ({found}{met})"


@dataclass(frozen=True)
class ClaimResult:
    """A claim judged.

    Attributes:
        name: such as C1.
        says: the claim, in a sentence.
        verdict: by `CLAIM_RULES`.
        conditions: everything that it rests on; the first one is the main number.
        seeds: how many seeds have all runs that it needs.
        reason: what decided, from the numbers.
        null: verdict of the same rule on runs whose instructions say nothing of the task; None
            where those were not run.
    """

    name: str
    says: str
    verdict: ClaimVerdict
    conditions: tuple[Condition, ...]
    seeds: int
    reason: str
    null: "ClaimResult | None" = field(default=None)


def decide(name: str, says: str, conditions: Sequence[Condition], seeds: int) -> ClaimResult:
    """Judge a claim by its conditions, as `CLAIM_RULES` says."""
    failed = [c for c in conditions if not c.falsifies and c.held == "no"]
    against = [c for c in conditions if c.falsifies and c.held == "yes"]
    unsure = [c for c in conditions if c.held == "unsure"]
    verdict: ClaimVerdict
    if seeds < FEWEST_SEEDS_CLAIM:
        verdict, why = "undecided", f"{seeds} of at least {FEWEST_SEEDS_CLAIM} seeds"
    elif failed or against:
        verdict = "not supported"
        why = "; ".join(
            [*(f"not met: {c.says}" for c in failed), *(f"falsified: {c.says}" for c in against)]
        )
    elif unsure or not conditions:
        verdict, why = "undecided", "; ".join(f"unsure: {c.says}" for c in unsure)
    else:
        verdict, why = "supported", "every condition is met and no falsifier holds"
    return ClaimResult(name, says, verdict, tuple(conditions), seeds, why)


def numbers_of(arms: Arms, arm: str, name: str, seeds: Iterable[int]) -> np.ndarray:
    """One number of an arm, seed by seed; NaN where there is none."""
    runs = arms.get(arm, {})
    return np.array(
        [runs[s].numbers.get(name, math.nan) if s in runs else math.nan for s in seeds], float
    )


def by_seed(
    says: str,
    values: np.ndarray,
    met: Callable[[np.ndarray], np.ndarray] | np.ndarray,
    *,
    falsifies: bool = False,
    threshold: float = math.nan,
) -> Condition:
    """A condition that is asked of every seed; unknown values leave it unsure where they decide."""
    known = ~np.isnan(values)
    holds = (met(values) if callable(met) else met) & known
    total, count = len(values), int(holds.sum())
    unknown = total - int(known.sum())
    held: Word = "unsure"
    if total and count >= HOLDS * total:
        held = "yes"
    elif total and count + unknown <= FAILS * total:
        held = "no"
    value, low, high = _summary(values[known])
    each = tuple(values.tolist())
    return Condition(says, held, value, low, high, total, count, falsifies, each, threshold)


def by_difference(
    says: str, differences: np.ndarray, least: float, *, falsifies: bool = False
) -> Condition:
    """A condition on the mean of paired differences."""
    known = differences[~np.isnan(differences)]
    value, low, high = _summary(known)
    held: Word = "unsure"
    if value >= least and low > 0:
        held = "yes"
    elif high < least:
        held = "no"
    each = tuple(differences.tolist())
    return Condition(says, held, value, low, high, len(known), None, falsifies, each, least)


def _summary(values: np.ndarray) -> tuple[float, float, float]:
    if not len(values):
        return math.nan, math.nan, math.nan
    return float(middle(values)), *mean_interval(values)

"""Which setting gets there first: dates over seeds, ranked, and told apart only where they are."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nucleate.findings._seed_test import median_interval

_LEVEL = 0.05
Dates = Mapping[int, tuple[float, float]]
"""Seed -> a date, infinite where it never comes, and the last moment known to be before it."""
Standing = Literal["reference", "sooner", "later", "not told apart"]


@dataclass(frozen=True)
class Ranked:
    """One setting in a ranking.

    Attributes:
        setting: its name.
        rank: 1 is first; settings of the same median share a rank; 0 where it comes in too few
            seeds for a median.
        value: median over seeds; infinite where half of them or more never get there.
        low, high: its 95 % interval; NaN below six seeds.
        reached, seeds: how many seeds get there, of how many.
        sooner, later, same: seeds in which it is sooner or later than the reference; `same` where
            both never get there, or where it is not known which was first, as between two recorded
            steps.
        p: of the sign test of these, adjusted for all comparisons (Holm); NaN of the reference.
        standing: against the reference.
    """

    setting: str
    rank: int
    value: float
    low: float
    high: float
    reached: int
    seeds: int
    sooner: int
    later: int
    same: int
    p: float
    standing: Standing


def rank(settings: Mapping[str, Dates], reference: str) -> list[Ranked]:
    """Rank settings by the median of their dates, and compare each with one, seed by seed.

    The reference has to be chosen beforehand: comparing with whichever came out first would make
    differences out of luck.

    Args:
        settings: setting -> its dates by seed.
        reference: the setting that the others are compared with.

    Returns:
        The settings, the first one first; the reference is one of them.
    """
    from scipy.stats import binomtest
    from statsmodels.stats.multitest import multipletests

    own = settings[reference]
    counts = {name: _compared(dates, own) for name, dates in settings.items()}
    others = [name for name in settings if name != reference]
    raw = []
    for name in others:
        sooner, later, _ = counts[name]
        raw.append(binomtest(sooner, sooner + later).pvalue if sooner + later else 1.0)
    adjusted = multipletests(raw, method="holm")[1] if raw else []
    p = dict(zip(others, map(float, adjusted), strict=True))
    medians = {name: _median(dates) for name, dates in settings.items()}
    ordered = sorted(settings, key=lambda name: (math.isnan(medians[name]), medians[name]))
    found = []
    for name in ordered:
        value, dates = medians[name], np.array([date for date, _ in settings[name].values()])
        better = sum(other < value for other in medians.values())
        sooner, later, same = counts[name]
        found.append(
            Ranked(
                name, better + 1 if math.isfinite(value) else 0, value, *median_interval(dates),
                int(np.isfinite(dates).sum()), len(dates), sooner, later, same,
                p.get(name, math.nan), _standing(name == reference, sooner > later, p.get(name)),
            )
        )  # fmt: skip
    return found


def fewest_pairs(comparisons: int) -> int:
    """Seeds from which a sign test of so many comparisons can tell anything apart."""
    return next(n for n in range(1, 64) if 2 / 2**n * max(1, comparisons) <= _LEVEL)


def ranking_words(ranked: list[Ranked]) -> list[str]:
    """What a ranking says, in sentences that say no more than it does."""
    reference = next(one for one in ranked if one.standing == "reference")
    first = [one for one in ranked if one.rank == 1]
    if not first:
        told = ["No setting gets there in more than half of its seeds."]
    else:
        names = " and ".join(one.setting for one in first)
        told = [f"First by the median over seeds: {names}."]
    sooner = [one.setting for one in ranked if one.standing == "sooner"]
    later = [one.setting for one in ranked if one.standing == "later"]
    for apart, word in ((sooner, "sooner"), (later, "later")):
        if apart:
            told.append(f"Told apart from {reference.setting} as {word}: {'; '.join(apart)}.")
    undecided = [one.setting for one in ranked if one.standing == "not told apart"]
    if undecided:
        told.append(f"Not told apart from {reference.setting}: {'; '.join(undecided)}.")
        pairs = max(one.sooner + one.later + one.same for one in ranked if one is not reference)
        fewest = fewest_pairs(len(ranked) - 1)
        if pairs < fewest:
            told.append(
                f"{pairs} seeds are too few to tell {len(ranked) - 1} settings apart from one; "
                f"{fewest} can."
            )
    return told


def _compared(dates: Dates, own: Dates) -> tuple[int, int, int]:
    """Seeds of both in which the first is sooner, later, or neither for certain."""
    pairs = [(dates[seed], own[seed]) for seed in dates if seed in own]
    sooner = sum(mine[0] <= other[1] for mine, other in pairs)
    later = sum(other[0] <= mine[1] for mine, other in pairs)
    return sooner, later, len(pairs) - sooner - later


def _median(dates: Dates) -> float:
    return float(np.median([date for date, _ in dates.values()])) if dates else math.nan


def _standing(is_reference: bool, ahead: bool, p: float | None) -> Standing:
    if is_reference or p is None:
        return "reference"
    if p > _LEVEL:
        return "not told apart"
    return "sooner" if ahead else "later"

"""Onsets over seeds, and which of two comes first: the unit of inference is the seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Float

from nucleate._core.errors import BadInput
from nucleate.dynamics._onset import Onset, Trajectory, onset

Item = TypeVar("Item")

LEVEL = 0.95
"""Least coverage of the intervals of this room."""
FEWEST_SEEDS = 6
"""Five seeds that all agree still have p = .0625 in a two-sided sign test."""


@dataclass(frozen=True)
class SeedOnset:
    """The median onset over seeds.

    Attributes:
        median: of the seeds' onsets, those without one counting as later than all others; None
            if it falls among those.
        low, high: ends of an interval for the median of all seeds that might have been drawn.
            None where there are fewer than 6 seeds; high also where it falls among seeds without
            an onset: the interval is open.
        level: coverage of the interval, at least .95 whatever the onsets' distribution; None
            without an interval.
        seeds: number of them.
        without: how many have no onset.
    """

    median: float | None
    low: float | None
    high: float | None
    level: float | None
    seeds: int
    without: int


def onset_over_seeds(
    trajectories: Sequence[Trajectory],
    draws: Sequence[Float[np.ndarray, "_ _"]] | None = None,
) -> SeedOnset:
    """Find when the median seed rises above chance for good.

    Args:
        trajectories: one per seed; their steps may differ.
        draws: resampled values [step, draw] of each seed, as `onset` takes them.

    Returns:
        The median, and an interval made of two of the sorted seeds (the number of seeds below a
        median is binomial): from the lower end of one seed's onset to the upper end of the
        other's. Seeds without an onset are late, not left out. With draws those ends are of
        `onset`'s intervals. Without, they are the onset and the recorded step before it, so noise
        within a run makes the whole interval late: it covers 88 % where a ramp is slow, read often
        and no more than 5 standard errors high (`benchmarks/dynamics.py`).

    Raises:
        BadInput: no trajectories, or draws of another number of seeds.
    """
    trajectories = _several(trajectories)
    if not trajectories:
        raise BadInput("an onset over no seeds cannot be found; give one trajectory per seed")
    draws = None if draws is None else _several(draws, "draws")
    if draws is not None and len(draws) != len(trajectories):
        raise BadInput(
            f"draws of {len(draws)} seeds do not fit {len(trajectories)} trajectories; "
            "give one array per seed"
        )
    drawn = [None] * len(trajectories) if draws is None else list(draws)
    found = [onset(one, of_one) for one, of_one in zip(trajectories, drawn, strict=True)]
    steps = [math.inf if one.step is None else float(one.step) for one in found]
    lows, highs = zip(*map(_ends, trajectories, found), strict=True)
    rank, level = median_ranks(len(steps))
    return SeedOnset(
        median=_finite(median(steps)),
        low=None if level is None else sorted(lows)[rank],
        high=None if level is None else _finite(sorted(highs)[-1 - rank]),
        level=level,
        seeds=len(steps),
        without=steps.count(math.inf),
    )


def _several(given: Sequence[Item], what: str = "trajectories") -> list[Item]:
    if not isinstance(given, list | tuple):
        raise BadInput(f"{type(given).__name__} is no list of {what}; give one per seed")
    return list(given)


def _ends(trajectory: Trajectory, found: Onset) -> tuple[float, float]:
    """Steps between which a seed's onset lies; without one it is later than all of them."""
    steps = trajectory.steps
    if found.step is None:
        return float(steps[-1]), math.inf
    if found.low is not None and found.high is not None:
        return found.low, found.high
    before = int(np.searchsorted(steps, found.step)) - 1
    return float(steps[max(0, before)]), float(found.step)


@dataclass(frozen=True)
class Order:
    """Which of two onsets comes first, paired over seeds.

    Attributes:
        unit: of the differences: `step`, or `checkpoint` (recorded steps apart).
        differences: first minus second, one per seed: below 0 where the first is earlier; infinite
            where one of them has no onset, which counts as late; NaN where neither has.
        first_earlier, second_earlier, ties, neither: numbers of seeds of each kind.
        p: of the exact two-sided sign test, ties and seeds without either onset left out; 1 if
            none is left.
        median: of the differences; None if it is infinite or depends on seeds with neither.
        low, high: ends of an interval for the median difference; None where it is open on that
            side, and both with fewer than 6 seeds.
        level: coverage of the interval, at least .95; None without one.
        verdict: the earlier one, `first` or `second`, where p < .05 and the interval excludes 0;
            else `undecided`.
    """

    unit: Literal["step", "checkpoint"]
    differences: tuple[float, ...]
    first_earlier: int
    second_earlier: int
    ties: int
    neither: int
    p: float
    median: float | None
    low: float | None
    high: float | None
    level: float | None

    @property
    def seeds(self) -> int:
        """How many there are."""
        return len(self.differences)

    @property
    def verdict(self) -> Literal["first", "second", "undecided"]:
        """The earlier one, where the numbers decide it."""
        if self.level is None or self.p >= 1 - LEVEL or self.seeds < FEWEST_SEEDS:
            return "undecided"
        if self.high is not None and self.high < 0:
            return "first"
        return "second" if self.low is not None and self.low > 0 else "undecided"


def onset_order(
    first: Sequence[Trajectory],
    second: Sequence[Trajectory],
    unit: Literal["step", "checkpoint"] = "step",
) -> Order:
    """Compare two onsets, seed by seed.

    Args:
        first, second: one trajectory per seed each, in the same order of seeds.
        unit: of the differences; for `checkpoint` both of a pair have the same steps.

    Returns:
        Numbers of seeds, a sign test and an interval of the median difference. With fewer than 6
        seeds nothing can be decided. Differences are between recorded steps: each may be off by
        the gap before either onset, but the sign of one that is not 0 is not. An order in time is
        no cause, and it can be made by the read-out: a threshold device, a wider null band or more
        noise delays the onset of the same change, so compare two read-outs of each before
        believing it.

    Raises:
        BadInput: no seeds, different numbers of them, or pairs with different steps.
    """
    first, second = _several(first), _several(second)
    if not isinstance(unit, str) or unit not in ("step", "checkpoint"):
        raise BadInput(f"unit is {unit!r}; choose step or checkpoint")
    if not first or len(first) != len(second):
        raise BadInput(
            f"{len(first)} trajectories cannot be paired with {len(second)}; "
            "give one of each per seed, in the same order"
        )
    differences = [_difference(a, b, unit) for a, b in zip(first, second, strict=True)]
    known = [d for d in differences if not math.isnan(d)]
    earlier, later = sum(d < 0 for d in known), sum(d > 0 for d in known)
    earliest = [-math.inf if math.isnan(d) else d for d in differences]
    latest = [math.inf if math.isnan(d) else d for d in differences]
    rank, level = median_ranks(len(differences))
    least, most = median(earliest), median(latest)
    return Order(
        unit=unit,
        differences=tuple(differences),
        first_earlier=earlier,
        second_earlier=later,
        ties=len(known) - earlier - later,
        neither=len(differences) - len(known),
        p=sign_test(earlier, later),
        median=_finite(least) if least == most else None,
        low=None if level is None else _finite(sorted(earliest)[rank]),
        high=None if level is None else _finite(sorted(latest)[-1 - rank]),
        level=level,
    )


def sign_test(one: int, other: int) -> float:
    """Exact two-sided p that the odds of one and the other are even; 1 if there are none."""
    total = one + other
    tail = sum(math.comb(total, k) for k in range(min(one, other) + 1))
    return min(1.0, float(2 * tail / 2**total))


def median_ranks(count: int) -> tuple[int, float | None]:
    """Which of `count` sorted values bound the median with 95 %: that rank from either end, level.

    The rank is from 0; the level is None if even the extremes cover less.
    """
    rank, level = 0, None
    while 2 * rank < count - 1:
        tail = sum(math.comb(count, k) for k in range(rank + 1)) / 2**count
        if 1 - 2 * tail < LEVEL:
            break
        rank, level = rank + 1, 1 - 2 * tail
    return max(0, rank - 1), level


def median(values: Sequence[float]) -> float:
    """The median, where values may be infinite."""
    ranked = sorted(values)
    low, high = ranked[(len(ranked) - 1) // 2], ranked[len(ranked) // 2]
    if low == high:
        return low
    return (low + high) / 2 if math.isfinite(low) or math.isfinite(high) else math.nan


def _difference(first: Trajectory, second: Trajectory, unit: str) -> float:
    a, b = _onset_index(first), _onset_index(second)
    if unit == "checkpoint" and not np.array_equal(first.steps, second.steps):
        raise BadInput(
            "checkpoints of trajectories with different steps cannot be counted against each "
            'other; record both at the same steps, or ask for unit="step"'
        )
    if a is None or b is None:
        return math.nan if a is b else math.inf if a is None else -math.inf
    return float(a - b if unit == "checkpoint" else first.steps[a] - second.steps[b])


def _onset_index(trajectory: Trajectory) -> int | None:
    step = onset(trajectory).step
    return None if step is None else int(np.searchsorted(trajectory.steps, step))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

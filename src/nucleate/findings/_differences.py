"""Numbers of two settings set against each other: over seeds, or over strings with one run each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from nucleate.findings._run_numbers import ACCURACY, ONSET, Number, RunNumbers
from nucleate.findings._seed_test import LEVEL, Test, fewest_seeds, label_test, t_interval

Verdict = Literal["higher", "lower", "earlier", "later", "undecided", "one run a side"]
_RESAMPLES = 2000
Key = tuple[str, str]


@dataclass(frozen=True)
class Unit:
    """One seed of one setting: usually one run.

    Attributes:
        pair: what a unit of another setting must share to be its pair; None: never a pair.
        runs: the runs; their numbers are averaged.
    """

    pair: str | None
    runs: tuple[RunNumbers, ...]

    def value(self, key: Key) -> float:
        """The mean over its runs."""
        return float(np.mean([run.numbers[key].value for run in self.runs]))


@dataclass(frozen=True)
class Difference:
    """One number of two settings.

    Attributes:
        metric, where: what it is, and its position or split.
        first, second: the settings.
        of_first, of_second: means over seeds; of onsets the median where some seeds have none,
            infinite where most have none.
        null_first, null_second: the highest that either is by chance in any run; NaN where chance
            is not known.
        difference: second minus first.
        low, high: its 95 % interval; NaN where there is none.
        over: what the interval is over: `pairs of seeds`, `seeds`, `strings`, or nothing.
        seeds_first, seeds_second, pairs: how many there are.
        p: that labels of runs, exchanged, give as much in any of the numbers; NaN with one run a
            side.
        verdict: of the second against the first.
        reason: why it is undecided.
    """

    metric: str
    where: str
    first: str
    second: str
    of_first: float
    of_second: float
    null_first: float
    null_second: float
    difference: float
    low: float
    high: float
    over: str
    seeds_first: int
    seeds_second: int
    pairs: int
    p: float
    verdict: Verdict
    reason: str


def differences(
    names: tuple[str, str],
    sides: tuple[Sequence[Unit], Sequence[Unit]],
    keys: Sequence[Key],
    *,
    contrasts: int,
) -> list[Difference]:
    """Set all numbers of two settings against each other.

    Args:
        names: of the settings.
        sides: their seeds.
        keys: the numbers that all runs of both have.
        contrasts: how many pairs of settings are asked about; p is adjusted for them.
    """
    if not keys:
        return []
    first, second, paired = _matched(*sides)
    if len(first) == len(second) == 1:
        return [_of_strings(names, first[0], second[0], key) for key in keys]
    test = label_test(*_ranked(first, second, keys), paired=paired)
    return [
        _of_seeds(names, first, second, key, paired, test, float(p) * contrasts, contrasts)
        for key, p in zip(keys, test.p, strict=True)
    ]


def _matched(
    first: Sequence[Unit], second: Sequence[Unit]
) -> tuple[Sequence[Unit], Sequence[Unit], bool]:
    """Pairs in the same order, where every unit of the smaller side has one; else all units."""
    there: dict[str | None, Unit] = {unit.pair: unit for unit in second if unit.pair}
    mine = [unit for unit in first if unit.pair in there]
    if len(mine) >= 2 and len(mine) == min(len(first), len(second)):
        return mine, [there[unit.pair] for unit in mine], True
    return first, second, False


def _values(units: Sequence[Unit], key: Key) -> Float[np.ndarray, " unit"]:
    return np.array([unit.value(key) for unit in units])


def _ranked(
    first: Sequence[Unit], second: Sequence[Unit], keys: Sequence[Key]
) -> tuple[np.ndarray, np.ndarray]:
    """Values [unit, number] of both sides; onsets as ranks, since they may be infinite."""
    from scipy.stats import rankdata

    columns = []
    for key in keys:
        both = np.concatenate([_values(first, key), _values(second, key)])
        columns.append(rankdata(both) if key[0] == ONSET else both)
    table = np.stack(columns, axis=1)
    return table[: len(first)], table[len(first) :]


def _of_seeds(
    names: tuple[str, str],
    first: Sequence[Unit],
    second: Sequence[Unit],
    key: Key,
    paired: bool,
    test: Test,
    p: float,
    contrasts: int,
) -> Difference:
    a, b = _values(first, key), _values(second, key)
    of_a, of_b = middle(a), middle(b)
    finite = bool(np.isfinite(a).all() and np.isfinite(b).all())
    low, high = t_interval(b, a, paired=paired) if finite else (math.nan, math.nan)
    over = "" if math.isnan(low) else "pairs of seeds" if paired else "seeds"
    verdict, reason = _verdict(key, a, b, p, test.smallest * contrasts)
    return Difference(
        *key, *names, of_a, of_b, _null(first, key), _null(second, key),
        float(np.mean(b) - np.mean(a)) if finite else math.nan, low, high, over,
        len(first), len(second), len(first) if paired else 0, min(p, 1.0), verdict, reason,
    )  # fmt: skip


def _verdict(
    key: Key, a: np.ndarray, b: np.ndarray, p: float, smallest: float
) -> tuple[Verdict, str]:
    if math.isnan(p):
        return "undecided", "all runs have the same value"
    if smallest > LEVEL:
        fewest = fewest_seeds()
        counts = f"{len(a)} and {len(b)} seeds"
        return "undecided", f"{counts} are too few to decide; {fewest} of each would do"
    if p > LEVEL:
        return "undecided", ""
    up = bool(np.mean(np.where(np.isinf(b), 1e300, b)) > np.mean(np.where(np.isinf(a), 1e300, a)))
    if key[0] == ONSET:
        return ("later" if up else "earlier"), ""
    return ("higher" if up else "lower"), ""


def middle(values: Float[np.ndarray, " unit"]) -> float:
    """The mean; the median where some values are infinite."""
    return float((np.mean if np.isfinite(values).all() else np.median)(values))


def _null(units: Sequence[Unit], key: Key) -> float:
    known = [run.numbers[key].null for unit in units for run in unit.runs]
    return max((each for each in known if not math.isnan(each)), default=math.nan)


def _of_strings(names: tuple[str, str], first: Unit, second: Unit, key: Key) -> Difference:
    """One run a side: an interval over strings, which says nothing of other seeds."""
    one, other = first.runs[0], second.runs[0]
    a, b = one.numbers[key], other.numbers[key]
    low, high = _string_interval(one, other, a, b)
    gap = b.value - a.value if math.isfinite(a.value) and math.isfinite(b.value) else math.nan
    return Difference(
        *key, *names, a.value, b.value, a.null, b.null, gap, low, high,
        "" if math.isnan(low) else "strings", 1, 1, 0, math.nan, "one run a side",
        "one seed a side says nothing of other seeds",
    )  # fmt: skip


def _string_interval(
    one: RunNumbers, other: RunNumbers, a: Number, b: Number
) -> tuple[float, float]:
    """95 % interval of b minus a over instruction strings."""
    same = one.run.manifest["prompts_hash"] == other.run.manifest["prompts_hash"]
    if a.draws is not None and b.draws is not None and a.draws.size and b.draws.size:
        return _of_draws(a.draws, b.draws, paired=same and a.draws.shape == b.draws.shape)
    if a.metric == ONSET:
        return math.nan, math.nan
    if a.metric == ACCURACY and same and a.where in one.correct and a.where in other.correct:
        return _of_rows(*one.correct[a.where], other.correct[a.where][0])
    return _of_intervals(a, b)


def _of_draws(a: np.ndarray, b: np.ndarray, *, paired: bool) -> tuple[float, float]:
    """Of resampled values: drawn from the same strings together, else each for itself."""
    gaps = b - a if paired else (b[:, None] - a[None, :]).ravel()
    if not np.isfinite(gaps).all():
        return math.nan, math.nan
    low, high = np.quantile(gaps, [0.025, 0.975])
    return float(low), float(high)


def _of_rows(a: np.ndarray, strings: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Of the same rows in both runs: whole strings are resampled."""
    _, code = np.unique(strings, return_inverse=True)
    count = int(code.max()) + 1
    sizes = np.bincount(code)
    gaps = np.bincount(code, b.astype(float) - a.astype(float), minlength=count)
    drawn = np.random.default_rng(0).multinomial(count, [1 / count] * count, _RESAMPLES)
    low, high = np.quantile((drawn @ gaps) / (drawn @ sizes), [0.025, 0.975])
    return float(low), float(high)


def _of_intervals(a: Number, b: Number) -> tuple[float, float]:
    """Of two independent numbers, from their own intervals (Newcombe 1998); NaN without any."""
    gap = b.value - a.value
    low = gap - math.hypot(b.value - b.low, a.high - a.value)
    high = gap + math.hypot(b.high - b.value, a.value - a.low)
    return low, high

"""How bad a number may be: limits that healthy runs keep, over all numbers and readings at once."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import ceil
from typing import Literal

import numpy as np
from jaxtyping import Float

from nucleate._core.arguments import check_number
from nucleate._core.errors import BadInput
from nucleate.monitor.alarms._columns import STATISTICS, Source
from nucleate.monitor.alarms._excess import Band, aligned, falls_of
from nucleate.monitor.alarms._series import Series

Rule = Literal["own past", "reference runs"]
RULES: tuple[Rule, ...] = ("own past", "reference runs")
_SMALL = 1e-3


@dataclass(frozen=True)
class Worst:
    """The worst that each healthy run has been, by rule and statistic.

    Attributes:
        names: (rule, statistic) of each column of the table.
        table: over all places, tasks and readings of a run; NaN where never known.
        origin: what the runs were, in words.
    """

    names: tuple[tuple[Rule, str], ...]
    table: Float[np.ndarray, "run name"]
    origin: str

    def __len__(self) -> int:
        return len(self.table)

    def seen(self, rule: Rule, statistic: str, value: float) -> int:
        """In how many of the runs a statistic was as bad as this."""
        if (rule, statistic) not in self.names:
            return 0
        return int((self.table[:, self.names.index((rule, statistic))] >= value).sum())


@dataclass(frozen=True)
class Limits:
    """Limits that healthy runs exceed anywhere in a share `rate` of trainings, over all of them.

    Attributes:
        by_name: (rule, statistic) -> the limit.
        rate: share of healthy trainings in which any limit is exceeded at any reading.
        worst: what the limits were made from.
    """

    by_name: dict[tuple[Rule, str], float]
    rate: float
    worst: Worst


def check_rate(rate: object) -> None:
    """Refuse what is no rate of false alarms.

    Raises:
        BadInput: it is no number above 0 and below 1.
    """
    check_number("rate", rate)
    assert isinstance(rate, int | float)
    if not 0 < rate < 1:
        raise BadInput(
            f"rate is {rate}; give the share of healthy trainings that may alarm, as .05"
        )


def fewest_runs(rate: float) -> int:
    """The fewest healthy runs that can hold a rate: the worst of n is exceeded by 1 in n + 1."""
    return ceil(1 / rate - 1e-9) - 1


def limits_from(worst: Worst, rate: float, sources: Sequence[Source] | None = None) -> Limits:
    """Limits from the worst of healthy runs.

    Each statistic is put on the scale on which healthy runs' worst has mean 0 and deviation 1, each
    run by the others' mean and deviation; of each run the largest over all statistics counts. The
    limit is the value that a share `rate` of further runs exceeds: the rank ceil((n + 1)(1 - rate))
    of n (max-T; the rank is that of conformal prediction, exact where the runs are exchangeable).

    Args:
        worst: of at least `fewest_runs(rate)` runs.
        rate: above 0, below 1.
        sources: the statistics of these only.

    Raises:
        BadInput: the rate is out of range, or the runs are too few for it.
    """
    check_rate(rate)
    n = len(worst)
    if n < fewest_runs(rate):
        raise BadInput(
            f"{n} healthy runs cannot hold a rate of {rate:g} false alarms a training; give at "
            f"least {fewest_runs(rate)}, or ask for {1 / (n + 1):.2g} or more"
        )
    kept = [
        index
        for index, (_, name) in enumerate(worst.names)
        if sources is None or STATISTICS[name].source in sources
    ]
    table = worst.table[:, kept]
    known = np.isfinite(table)
    full = known.all(0)
    kept, table = [k for k, f in zip(kept, full, strict=True) if f], table[:, full]
    if not kept:
        return Limits({}, rate, worst)
    total, square = table.sum(0), np.square(table).sum(0)
    others = (total - table) / (n - 1)
    spread = np.sqrt(np.maximum((square - np.square(table)) / (n - 1) - np.square(others), 0))
    largest = np.sort(((table - others) / (spread + _SMALL)).max(1))
    place = min(ceil((n + 1) * (1 - rate) - 1e-9), n)
    factor = max(float(largest[place - 1]), 0.0)
    mean, deviation = table.mean(0), table.std(0) + _SMALL
    limit = mean + factor * deviation
    names = [worst.names[k] for k in kept]
    by_name = {name: max(float(v), _least(*name)) for name, v in zip(names, limit, strict=True)}
    return Limits(by_name, rate, worst)


def _least(rule: Rule, statistic: str) -> float:
    """Where healthy runs only ever get better: what is no difference is no alarm either."""
    return STATISTICS[statistic].least if rule == "own past" else 1.0


def worst_of(runs: Sequence[Series], *, bands: bool, origin: str = "") -> Worst:
    """The worst of each of some healthy runs.

    Args:
        runs: at least four where `bands` is asked for.
        bands: also lay each run beside the mean and spread of the others at each step.
        origin: what they are, in words.
    """
    own = np.array([_by_statistic(run, falls_of(run)) for run in runs])
    names: list[tuple[Rule, str]] = [("own past", name) for name in STATISTICS]
    parts = [own]
    if bands:
        steps = runs[0].steps
        values = aligned(runs, steps)
        away = []
        for index, run in enumerate(runs):
            band = Band(steps, np.delete(values, index, 0), run.columns)
            pairs = zip(run.steps, run.numbers, strict=True)
            away.append(_by_statistic(run, np.array([band.add(s, n.values) for s, n in pairs])))
        parts.append(np.array(away))
        names += [("reference runs", name) for name in STATISTICS]
    return Worst(tuple(names), np.concatenate(parts, 1), origin)


def _by_statistic(
    series: Series, excess: Float[np.ndarray, "step column"]
) -> Float[np.ndarray, "statistic"]:
    """The largest over columns and readings of each statistic."""
    found = np.full(len(STATISTICS), np.nan)
    largest = np.fmax.reduce(excess, axis=0, initial=-np.inf)
    for index, name in enumerate(STATISTICS):
        inside = [k for k, column in enumerate(series.columns) if column.statistic == name]
        value = max((float(largest[k]) for k in inside), default=-np.inf)
        found[index] = value if np.isfinite(value) else np.nan
    return found


@cache
def shipped() -> Worst:
    """The worst of the healthy runs that come with this package (docs/alarms.md)."""
    text = (files("nucleate.monitor.alarms") / "healthy.json").read_text(encoding="utf-8")
    known = json.loads(text)
    names = tuple((rule, name) for rule, name in known["names"])
    table = np.array(
        [[np.nan if v is None else v for v in row] for row in known["worst"]], dtype=np.float64
    )
    return Worst(names, table, known["origin"])

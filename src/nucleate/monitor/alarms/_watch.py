"""The rules: readings go in, alarms come out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nucleate._core.errors import BadInput
from nucleate.monitor.alarms._alarm import Alarm, not_finite
from nucleate.monitor.alarms._columns import Column, Kind, Source
from nucleate.monitor.alarms._excess import Band, Fall, aligned
from nucleate.monitor.alarms._gauge import Numbers
from nucleate.monitor.alarms._limits import (
    RULES,
    Limits,
    Rule,
    check_rate,
    fewest_runs,
    limits_from,
    shipped,
    worst_of,
)
from nucleate.monitor.alarms._series import Series

_FAMILIES: tuple[Sequence[Source] | None, ...] = (None, ("loss",), ("training",))
_CAUTION = 2
"""The package's healthy runs are not of the kind that is watched: they hold half the rate."""


@dataclass(frozen=True)
class Standard:
    """What a training is held against.

    Attributes:
        limits: over all statistics.
        loss: over evaluation loss and accuracy alone, at the same rate.
        training: over the training loss alone, at the same rate.
        references: healthy runs of the same kind; without them, or with too few for the rate, a
            training is compared with its own past only.
        note: what a reader should know of it, such as that references are too few; empty if
            nothing.
    """

    limits: Limits
    loss: Limits
    training: Limits
    references: tuple[Series, ...] = ()
    note: str = ""


def standard(references: Sequence[Series] = (), *, rate: float = 0.05) -> Standard:
    """Find the limits that hold a rate of false alarms.

    Without references, or with too few, they are those of the package's healthy runs at half the
    rate, since a training of another kind is not one of those.

    Args:
        references: series of healthy runs: other seeds of the training that is watched, of the same
            prompts, places and schedule of learning.
        rate: share of healthy trainings that may alarm at all.

    Raises:
        BadInput: references of other prompts or places than each other; a rate out of range.
    """
    check_rate(rate)
    given = tuple(references)
    for other in given[1:]:
        check_alike(other, given[0])
    enough = len(given) >= max(fewest_runs(rate), 4)
    note = ""
    if enough:
        worst, strict = worst_of(given, bands=True, origin="the reference runs"), rate
    else:
        worst, strict = shipped(), rate / _CAUTION
        if len(worst) < fewest_runs(strict):
            raise BadInput(
                f"the {len(worst)} healthy runs of the package cannot hold a rate of {rate:g}; ask "
                f"for {_CAUTION / (len(worst) + 1):.1g} or more, or give {fewest_runs(rate)} "
                "reference runs"
            )
    if given and not enough:
        note = (
            f"too few reference runs: {len(given)}, and a rate of {rate:g} needs "
            f"{max(fewest_runs(rate), 4)}; the training is compared with its own past only"
        )
    every, loss, training = (
        replace(limits_from(worst, strict, sources), rate=rate) for sources in _FAMILIES
    )
    return Standard(every, loss, training, given if enough else (), note)


def check_alike(series: Series, reference: Series) -> None:
    """Refuse a reference that cannot be compared.

    Raises:
        BadInput: it has other prompts or places.
    """
    if series.prompts_hash != reference.prompts_hash:
        raise BadInput(
            f"the runs {series.name} and {reference.name} were read with other prompts "
            f"({series.prompts_hash[:12]} and {reference.prompts_hash[:12]}); give reference runs "
            "of the same prompt set"
        )
    if series.columns != reference.columns:
        here, there = (_places(each.columns) for each in (series, reference))
        raise BadInput(
            f"the runs {series.name} and {reference.name} have numbers of other places ({here} and "
            f"{there}); give reference runs of the same model and the same places"
        )


def _places(columns: Sequence[Column]) -> str:
    return ", ".join(dict.fromkeys(column.place for column in columns if column.place)) or "none"


class Watch:
    """Holds one training against a standard, reading by reading.

    A kind of alarm is raised once for a task (or for the training, where it names none); what goes
    on being wrong raises no further one.

    Args:
        series: of the training, without numbers yet.
        against: the standard.

    Attributes:
        series: with the numbers so far.
        alarms: all so far, in the order of steps.

    Raises:
        BadInput: the standard's reference runs have other prompts or places.
    """

    def __init__(self, series: Series, against: Standard) -> None:
        for reference in against.references[:1]:
            check_alike(series, reference)
        self.series, self._against = series, against
        self._tasks, self._columns = series.tasks, series.columns
        self._places = list(dict.fromkeys(c.place for c in self._columns if c.place))
        self.alarms: list[Alarm] = []
        self._raised: set[tuple[Kind, str]] = set()
        self._first: dict[str, int] = {}
        self._fall = Fall(self._columns)
        self._band: Band | None = None
        if against.references:
            steps = against.references[0].steps
            self._band = Band(steps, aligned(against.references, steps), self._columns)
        self._limit = self._limits_of(against.limits)
        self._beside = {
            "loss": self._limits_of(against.loss),
            "training": self._limits_of(against.training),
        }

    @property
    def beside(self) -> dict[str, int]:
        """The first step at which the same rule alarmed on `loss` or `training` alone."""
        return dict(self._first)

    def _limits_of(self, limits: Limits) -> dict[Rule, np.ndarray]:
        known = limits.by_name
        return {
            rule: np.array([known.get((rule, c.statistic), np.inf) for c in self._columns])
            for rule in RULES
        }

    def add(self, numbers: Numbers) -> list[Alarm]:
        """Take the next reading; the alarms that it raises."""
        self.series.numbers.append(numbers)
        new: list[Alarm] = []
        if numbers.not_finite:
            new += self._not_finite(numbers)
        excess: dict[Rule, np.ndarray] = {"own past": self._fall.add(numbers.values)}
        levels: dict[Rule, np.ndarray] = {"own past": self._fall.level}
        if self._band is not None:
            levels["reference runs"] = self._band.at(numbers.step)[0]
            excess["reference runs"] = self._band.add(numbers.step, numbers.values)
        for name, limit in self._beside.items():
            exceeds = any(bool((excess[rule] > limit[rule]).any()) for rule in excess)
            if exceeds or numbers.not_finite:
                self._first.setdefault(name, numbers.step)
        for rule, found in excess.items():
            over = np.flatnonzero(found > self._limit[rule])
            new += self._of(rule, numbers, found, over, levels[rule])
        self.alarms += new
        return new

    def _of(
        self, rule: Rule, numbers: Numbers, excess: np.ndarray, over: np.ndarray, level: np.ndarray
    ) -> list[Alarm]:
        """Alarms of one rule: those of a kind together, named by the worst of them."""
        ratio = excess / self._limit[rule]
        kinds: dict[Kind, list[int]] = {}
        for index in sorted(over.tolist(), key=lambda k: -ratio[k]):
            kind: Kind = self._columns[index].about.kind if rule == "own past" else "off course"
            kinds.setdefault(kind, []).append(index)
        found = []
        for kind, inside in kinds.items():
            fresh = [k for k in inside if (kind, self._columns[k].task) not in self._raised]
            if not fresh:
                continue
            self._raised |= {(kind, self._columns[k].task) for k in fresh}
            worst = fresh[0]
            about = self._columns[worst]
            tasks = [self._columns[k].task for k in fresh if self._columns[k].task]
            if about.statistic == "separation":
                code = self._tasks.index(about.task)
                rival = self._tasks[int(numbers.rivals[self._places.index(about.place), code])]
                tasks = [about.task, rival, *tasks]
                self._raised.add((kind, rival))
            found.append(
                self._alarm(kind, rule, about, numbers, dict.fromkeys(tasks), worst, excess, level)
            )
        return found

    def _alarm(
        self,
        kind: Kind,
        rule: Rule,
        about: Column,
        numbers: Numbers,
        tasks: dict[str, None],
        at: int,
        excess: np.ndarray,
        level: np.ndarray,
    ) -> Alarm:
        worst, value = self._against.limits.worst, float(excess[at])
        return Alarm(
            kind, rule, about.statistic, numbers.step, about.place, tuple(tasks), value,
            float(self._limit[rule][at]),
            _plain(about, numbers.values[at]), _plain(about, level[at]),
            worst.seen(rule, about.statistic, value), len(worst), self._against.limits.rate,
            self._first.get("loss"), self._first.get("training"),
        )  # fmt: skip

    def _not_finite(self, numbers: Numbers) -> list[Alarm]:
        if ("not finite", "") in self._raised:
            return []
        self._raised.add(("not finite", ""))
        return [not_finite(numbers.step, numbers.not_finite, self._against.limits)]


def _plain(about: Column, value: float) -> float | None:
    return about.about.plain(float(value)) if np.isfinite(value) else None


def alarms_of(series: Series, against: Standard) -> list[Alarm]:
    """The alarms of a whole series.

    Raises:
        BadInput: the standard's reference runs have other prompts or places.
    """
    watch = Watch(replace(series, numbers=[]), against)
    for numbers in series.numbers:
        watch.add(numbers)
    return watch.alarms

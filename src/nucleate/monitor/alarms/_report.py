"""A run under watch: its alarms as one report, once or again and again while it trains."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nucleate._core.arguments import check_number
from nucleate._core.errors import BadInput
from nucleate.monitor.alarms._alarm import Alarm, not_finite
from nucleate.monitor.alarms._gauge import Gauge
from nucleate.monitor.alarms._series import empty_series, read_run, training_losses
from nucleate.monitor.alarms._watch import Standard, Watch
from nucleate.runs import Run

_FEWEST = 5
"""Readings before which only what is not finite can alarm."""


class RunWatch:
    """Watches a run's folder: `look` takes what is new in it. Nothing of it is changed.

    Args:
        run: a run, or its folder.
        against: the standard, of `standard`.
        places: as for `Gauge`; those of the reference runs, where there are any.

    Raises:
        BadInput: it is no run, its prompts have no tasks, or references are of another kind.
    """

    def __init__(
        self,
        run: Run | Path | str,
        against: Standard,
        places: Sequence[tuple[str, str]] | None = None,
    ) -> None:
        self._path = run.path if isinstance(run, Run) else Path(run)
        self._against, self._places = against, places
        self.run = Run(self._path)
        self._gauge = Gauge(self.run.prompts, places)
        self._watch: Watch | None = None
        self._failed: Alarm | None = None

    @property
    def alarms(self) -> list[Alarm]:
        """All that stand."""
        known = [] if self._watch is None else list(self._watch.alarms)
        if self._failed is not None and all(a.kind != "not finite" for a in known):
            known.append(self._failed)
        return known

    def look(self) -> list[Alarm]:
        """Take what the run holds now; alarms that are new."""
        self.run = Run(self._path)
        known = [alarm.words() for alarm in self.alarms]
        done = [] if self._watch is None else list(self._watch.series.steps)
        steps = self.run.steps
        if done != steps[: len(done)]:  # the training went back
            self._watch, done = None, []
        for numbers in read_run(self.run, self._gauge, after=done[-1] if done else -1):
            if self._watch is None:
                streams = self.run.shape(numbers.step)[0]
                empty = empty_series(self.run.path.name, self._gauge, streams)
                self._watch = Watch(empty, self._against)
            self._watch.add(numbers)
        self._failed = self._failure()
        return [alarm for alarm in self.alarms if alarm.words() not in known]

    def _failure(self) -> Alarm | None:
        """A training that ended with a loss that is not finite, before a reading could show it."""
        infinite = [
            step for step, loss in training_losses(self.run).items() if loss == float("inf")
        ]
        if not infinite:
            return None
        return not_finite(max(infinite), ("training loss",), self._against.limits)

    def report(self, *, trainings_a_month: float | None = None) -> dict[str, Any]:
        """The report `alarms.json`: every alarm with its numbers, and what they were made from.

        Args:
            trainings_a_month: for the number of false alarms that is expected of healthy ones.
        """
        limits = self._against.limits
        alarms, steps = self.alarms, [] if self._watch is None else self._watch.series.steps
        readings = len(steps)
        few = readings < _FEWEST
        verdict = "alarm" if alarms else ("too few" if few else "quiet")
        expected: dict[str, Any] = {"a_training": limits.rate}
        if trainings_a_month is not None:
            check_number("trainings_a_month", trainings_a_month)
            if trainings_a_month < 0:
                raise BadInput(f"trainings_a_month is {trainings_a_month}; give 0 or more")
            expected |= {
                "trainings_a_month": trainings_a_month,
                "a_month": limits.rate * trainings_a_month,
            }
        beside = {} if self._watch is None else self._watch.beside
        return {
            "kind": "alarms",
            "version": 1,
            "verdict": verdict,
            "inputs": {
                "run": self.run.path.name,
                "status": self.run.status,
                "prompts_hash": self._gauge.prompts_hash,
                "places": self._shown_places(),
                "references": [each.name for each in self._against.references],
            },
            "readings": readings,
            "last_step": max(steps, default=None),
            "rate": limits.rate,
            "healthy_runs": len(limits.worst),
            "healthy_are": limits.worst.origin,
            "note": self._note(few, readings),
            "expected_false_alarms": expected,
            "alarms": [alarm.json() for alarm in alarms],
            "first_alarm": min((alarm.step for alarm in alarms), default=None),
            "same_rule": {
                "loss and accuracy": beside.get("loss"),
                "training loss": beside.get("training"),
            },
        }

    def _shown_places(self) -> list[str]:
        columns = () if self._watch is None else self._watch.series.columns
        return list(dict.fromkeys(column.place for column in columns if column.place))

    def _note(self, few: bool, readings: int) -> str:
        notes = [self._against.note] if self._against.note else []
        if few:
            notes.append(f"{readings} readings: before the fifth only what is not finite can alarm")
        if self._gauge.uncrossed:
            notes.append(
                "of one instruction string only, so that their separation is not known: "
                + ", ".join(self._gauge.uncrossed)
            )
        return "; ".join(notes)


def follow(
    watch: RunWatch,
    tell: Callable[[Alarm], None],
    *,
    every: float = 10.0,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Look at a run until its training is over, and tell each alarm once.

    Args:
        watch: of the run.
        tell: called with each new alarm.
        every: seconds between two looks.
        stopping: asked between two looks, at least once a second.

    Raises:
        BadInput: `every` is not above 0, or the run has gone.
    """
    check_number("every", every)
    if every <= 0:
        raise BadInput(f"every is {every}; give seconds above 0")
    while True:
        for alarm in watch.look():
            tell(alarm)
        if watch.run.status != "running":
            return
        ends = time.monotonic() + every
        while (left := ends - time.monotonic()) > 0:
            if stopping():
                return
            time.sleep(min(1.0, left))


def words(report: dict[str, Any]) -> list[str]:
    """The report in lines."""
    inputs = report["inputs"]
    kind = "reference runs" if inputs["references"] else "healthy runs of the package"
    head = {
        "alarm": f"{len(report['alarms'])} alarms stand",
        "quiet": "no alarm",
        "too few": "too few readings to say",
    }[report["verdict"]]
    lines = [
        f"{inputs['run']}: {head}; {report['readings']} readings up to step {report['last_step']}, "
        f"{inputs['status']}"
    ]
    lines += [f"  {alarm['words']}" for alarm in report["alarms"]]
    if report["alarms"]:
        told = [
            f"{name} {'never' if step is None else f'at step {step}'}"
            for name, step in report["same_rule"].items()
        ]
        lines.append(f"  the same rule alone on {', on '.join(told)}")
    expected = report["expected_false_alarms"]
    line = (
        f"limits of {report['healthy_runs']} {kind}; expected of healthy trainings: "
        f"{expected['a_training']:g} with a false alarm each"
    )
    if "a_month" in expected:
        line += (
            f", {expected['a_month']:.2g} a month at {expected['trainings_a_month']:g} trainings"
        )
    lines.append(line)
    if report["note"]:
        lines.append(report["note"])
    return lines

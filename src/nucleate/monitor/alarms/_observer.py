"""The observer that a recorder calls: takes the light series, and raises alarms while it trains."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from nucleate._core.errors import BadInput
from nucleate.monitor.alarms._alarm import Alarm
from nucleate.monitor.alarms._gauge import Gauge
from nucleate.monitor.alarms._series import Series, empty_series, read_run, series_of
from nucleate.monitor.alarms._watch import Standard, Watch, standard
from nucleate.runs import Run, States

_log = logging.getLogger("nucleate")

_LINES = 512
"""Journal lines among which losses since the last reading are looked for."""


class AlarmObserver:
    """Watches a training while it runs: `Recorder(..., observers=[AlarmObserver()])`.

    At each reading it takes some numbers of the states at two places (`Gauge`), lays them beside
    the training's own past and, where given, beside healthy reference runs, and raises an alarm
    where any is worse than healthy runs ever are, but in a share `rate` of trainings. Alarms are
    left in the run's journal as events named `alarm`, and each is given to `notify`.

    The training goes on: what an alarm means for it is decided by who is told (see docs/alarms.md:
    stop, lower the rate, go back to `healthy_checkpoint`).

    Args:
        references: run folders, or files that `Series.save` wrote, or series, of healthy trainings
            of the same kind (prompts, places, settings; other seeds). 19 or more for a rate of .05.
        rate: share of healthy trainings that may alarm at all.
        places: (stream, position) of the states that count; by default the middle and the last
            block.
        notify: called with each alarm, in the training's thread, such as a `Webhook`. One that
            raises is logged once and not called again.

    Attributes:
        standard: what the training is held against.

    Raises:
        BadInput: a rate out of range, references that are no runs or not of one kind. In the first
            reading, which switches the observer off: references of other prompts or places.
    """

    def __init__(
        self,
        *,
        references: Iterable[Series | Run | Path | str] = (),
        rate: float = 0.05,
        places: Sequence[tuple[str, str]] | None = None,
        notify: Callable[[Alarm], None] | Sequence[Callable[[Alarm], None]] = (),
    ) -> None:
        known = [r if isinstance(r, Series) else series_of(r, places) for r in references]
        self.standard: Standard = standard(known, rate=rate)
        self._places = places
        self._notify = [notify] if callable(notify) else list(notify)
        for each in self._notify:
            if not callable(each):
                raise BadInput(f"notify holds {each!r}, which cannot be called; give functions")
        self._gauge: Gauge | None = None
        self._watch: Watch | None = None
        self._run: Run | None = None
        self._losses: list[float] = []
        self._after = -1

    @property
    def alarms(self) -> list[Alarm]:
        """Those that stand: a training that goes back leaves what came later behind."""
        return [] if self._watch is None else self._watch.alarms

    @property
    def series(self) -> Series | None:
        """The numbers of all readings; None before the first."""
        return None if self._watch is None else self._watch.series

    def begin(self, run: Run, step: int) -> None:
        """See `Observer.begin`: what the run holds up to a step is the training's own past."""
        self._run, self._gauge = run, Gauge(run.prompts, self._places)
        self._watch = None
        self._losses, self._after = [], step
        for numbers in read_run(run, self._gauge, after=-1):
            self._watching(run.shape(numbers.step)[0]).add(numbers)

    def reading(
        self, step: int, states: States, scores: Mapping[str, Tensor], scalars: Mapping[str, float]
    ) -> list[dict[str, Any]]:
        """See `Observer.reading`: the alarms of this reading, as events."""
        if self._gauge is None:
            raise RuntimeError("a reading came before begin")
        numbers = self._gauge.read(step, states, scores, self._loss(step, scalars))
        new = self._watching(states.streams).add(numbers)
        for alarm in new:
            _log.warning("%s", alarm.words())
            self._tell(alarm)
        return [event_of(alarm) for alarm in new]

    def log(self, step: int, scalars: Mapping[str, float]) -> None:  # noqa: ARG002
        """See `Observer.log`: the training loss is kept until the next reading."""
        if "loss" in scalars:
            self._losses.append(scalars["loss"])

    def _watching(self, streams: Sequence[str]) -> Watch:
        if self._watch is None:
            assert self._run is not None
            assert self._gauge is not None
            empty = empty_series(self._run.path.name, self._gauge, streams)
            self._watch = Watch(empty, self.standard)
        return self._watch

    def _loss(self, step: int, scalars: Mapping[str, float]) -> float | None:
        """The training loss since the last reading, from whoever tells it."""
        losses, self._losses = self._losses, []
        if not losses and "loss" in scalars:
            losses = [scalars["loss"]]
        if not losses and self._run is not None:
            for record in self._run.journal.newest(_LINES):
                if record["kind"] == "step" and "losses" in record:
                    own = enumerate(record["losses"], record["first"])
                    losses += [loss for at, loss in own if self._after < at <= step]
        self._after = step
        return float(np.mean(losses)) if losses else None

    def _tell(self, alarm: Alarm) -> None:
        for each in list(self._notify):
            try:
                each(alarm)
            except Exception:  # noqa: BLE001 - of whoever is told; it is logged
                self._notify.remove(each)
                _log.exception("%r is told of no further alarm, the training goes on", each)


def event_of(alarm: Alarm) -> dict[str, Any]:
    """An alarm as an event of the journal, whose step is that of the event."""
    known = {name: value for name, value in alarm.json().items() if name not in ("kind", "step")}
    return {"name": "alarm", "alarm": alarm.kind, **known}


def recorded_alarms(run: Run | Path | str) -> list[Alarm]:
    """The alarms that an observer left in a run's journal and that no rewind has made void."""
    opened = run if isinstance(run, Run) else Run(run)
    found = []
    for record in opened.journal.live("event"):
        if record.get("name") == "alarm":
            found.append(Alarm.of_json({**record, "kind": record["alarm"]}))
    return found


def healthy_checkpoint(
    run: Run | Path | str,
    alarms: Sequence[Alarm] | None = None,
    *,
    checkpoints: Sequence[int] | None = None,
) -> int | None:
    """The newest checkpoint from before what the first alarm is about began to show.

    An alarm is about two readings in a row: the checkpoint is at most as late as the reading before
    those two (before the reading itself, where something is not finite). What creeps in slowly may
    have begun earlier: compare the series before going on from it.

    Args:
        run: the run, or its folder.
        alarms: by default those in its journal.
        checkpoints: their steps, as a trainer's own; by default those in the run's folder.

    Returns:
        The step; None where there is no alarm, or no checkpoint is early enough.
    """
    opened = run if isinstance(run, Run) else Run(run)
    known = recorded_alarms(opened) if alarms is None else list(alarms)
    if not known:
        return None
    if checkpoints is None:
        folder = opened.path / "checkpoints"
        steps = {record["step"] for record in opened.journal.live("checkpoint")}
        checkpoints = [step for step in steps if (folder / str(step)).is_dir()]
    first = min(known, key=lambda alarm: alarm.step)
    before = [step for step in opened.steps if step < first.step]
    back = 1 if first.kind == "not finite" else 2
    if len(before) < back:
        return None
    return max((step for step in checkpoints if step <= before[-back]), default=None)

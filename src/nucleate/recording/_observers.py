"""Observers: what looks on while a recorder reads, and cannot touch the training."""

import json
import logging
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from nucleate._core.errors import BadInput
from nucleate.runs import Run, States

_log = logging.getLogger("nucleate")

Events = Iterable[Mapping[str, Any]] | None
"""What an observer leaves in the run's journal: JSON values, each with a `name`."""


@runtime_checkable
class Observer(Protocol):
    """Looks on while a `Recorder` reads a training, in the training's thread.

    It is given what was read and never the model. The random generators are as they were after each
    call, and one that raises is logged once and not called again: the training goes on bit for bit.
    Under torch.distributed rank 0 alone calls it. What it takes counts as the recorder's time.
    """

    def begin(self, run: Run, step: int) -> None:
        """A training begins or resumes: what was seen of steps after `step` is void."""

    def reading(
        self, step: int, states: States, scores: Mapping[str, Tensor], scalars: Mapping[str, float]
    ) -> Events:
        """The prompts were read.

        Args:
            step: optimizer steps taken.
            states: as read.
            scores: `correct`, `nll` and `predicted` of each row; empty where no row has an answer.
            scalars: what the training gave with it, such as `loss`; also what is not finite.

        Returns:
            Events for the run's journal, or None.
        """

    def log(self, step: int, scalars: Mapping[str, float]) -> Events:
        """The training gave numbers of a step, whether or not it was read."""


def check_observers(observers: object) -> tuple[Observer, ...]:
    """Refuse what cannot look on.

    Raises:
        BadInput: it is no sequence of observers.
    """
    given = tuple(observers) if isinstance(observers, Sequence) else (observers,)
    for each in given:
        if not isinstance(each, Observer):
            raise BadInput(
                f"observers hold {each!r}, which cannot look on; give objects with begin, reading "
                "and log, such as nucleate.monitor.alarms.AlarmObserver"
            )
    return given


class Observers:
    """Calls each observer, and keeps what goes wrong in it from the training.

    Args:
        observers: those that look on.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = list(observers)

    def __bool__(self) -> bool:
        return bool(self._observers)

    def begin(self, run: Run, step: int) -> None:
        """See `Observer.begin`."""
        self._call(lambda each: each.begin(run, step))

    def reading(
        self, step: int, states: States, scores: Mapping[str, Tensor], scalars: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """See `Observer.reading`; the events of all."""
        known = _numbers(scalars) if self else {}
        return self._call(lambda each: each.reading(step, states, scores, known))

    def log(self, step: int, scalars: Mapping[str, Any]) -> list[dict[str, Any]]:
        """See `Observer.log`; the events of all."""
        known = _numbers(scalars) if self else {}
        return self._call(lambda each: each.log(step, known))

    def _call(self, ask: Callable[[Observer], Events]) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        for each in list(self._observers):
            try:
                with _untouched(), torch.no_grad():
                    events += [_checked(event) for event in ask(each) or ()]
            except Exception:  # noqa: BLE001 - whatever it is, it ends looking on only
                self._observers.remove(each)
                _log.exception(
                    "the observer %s is switched off, the training goes on", type(each).__name__
                )
        return events


def _checked(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event that a journal can hold.

    Raises:
        ValueError: it has no name, a name that the journal's own fields have, or no JSON values.
    """
    if taken := {"kind", "time", "durable", "step"} & event.keys() or "name" not in event:
        raise ValueError(f"an event needs a name and no fields like {taken}: {event}")
    json.dumps(event)
    return dict(event)


def _numbers(scalars: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value.detach() if isinstance(value, Tensor) else value)
        for name, value in scalars.items()
    }


@contextmanager
def _untouched() -> Iterator[None]:
    """The random generators are afterwards as they were."""
    used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = [torch.cuda.current_device()] if used else []
    plain, ours = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(plain)
            np.random.set_state(ours)

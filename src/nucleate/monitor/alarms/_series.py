"""The numbers of a whole training, reading by reading."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate.monitor.alarms._columns import Column
from nucleate.monitor.alarms._gauge import Gauge, Numbers
from nucleate.runs import Run, write_json


@dataclass(frozen=True)
class Series:
    """The numbers of one training.

    Attributes:
        name: of the training, for messages.
        tasks: names, by code.
        columns: what each number is.
        prompts_hash: of the prompts that were read.
        numbers: of each reading, in the order of steps.
    """

    name: str
    tasks: tuple[str, ...]
    columns: tuple[Column, ...]
    prompts_hash: str
    numbers: list[Numbers] = field(default_factory=list)

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps of the readings."""
        return tuple(each.step for each in self.numbers)

    @property
    def values(self) -> Float[np.ndarray, "step column"]:
        """All numbers as one table."""
        return np.array([each.values for each in self.numbers]).reshape(-1, len(self.columns))

    def save(self, path: Path | str) -> None:
        """Write the series as JSON, so that it can be a reference without its run's states."""
        readings = [
            {
                "step": each.step,
                "values": [None if np.isnan(v) else round(float(v), 6) for v in each.values],
                "rivals": each.rivals.tolist(),
                "not_finite": list(each.not_finite),
            }
            for each in self.numbers
        ]
        known = {
            "kind": "training series", "version": 1, "name": self.name, "tasks": self.tasks,
            "columns": [[c.statistic, c.place, c.task] for c in self.columns],
            "prompts_hash": self.prompts_hash, "readings": readings,
        }  # fmt: skip
        write_json(as_path("path", path), known)

    @classmethod
    def load(cls, path: Path | str) -> "Series":
        """Read what `save` wrote.

        Raises:
            BadInput: the file is none.
        """
        place = as_path("path", path)
        try:
            known = json.loads(place.read_text(encoding="utf-8"))
            if known["kind"] != "training series":
                raise KeyError("kind")
            numbers = [_numbers(each) for each in known["readings"]]
            columns = tuple(Column(*each) for each in known["columns"])
            return cls(
                known["name"], tuple(known["tasks"]), columns, known["prompts_hash"], numbers
            )
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise BadInput(
                f"{place} is no series of a training ({error}); name a run folder, or a file that "
                "Series.save wrote"
            ) from error


def _numbers(known: Mapping[str, Any]) -> Numbers:
    values = np.array([np.nan if v is None else v for v in known["values"]], dtype=np.float64)
    rivals = np.array(known["rivals"], dtype=np.int64)
    return Numbers(known["step"], values, rivals, tuple(known["not_finite"]))


def series_of(run: Run | Path | str, places: Sequence[tuple[str, str]] | None = None) -> Series:
    """Take the numbers of every reading that a run holds; nothing of the run is changed.

    Args:
        run: a run, or its folder; or a file that `Series.save` wrote.
        places: as for `Gauge`.

    Raises:
        BadInput: it is no run, has no readings, or its prompts have no tasks.
    """
    if isinstance(run, str | Path) and as_path("run", run).is_file():
        return Series.load(run)
    opened = run if isinstance(run, Run) else Run(run)
    gauge = Gauge(opened.prompts, places)
    steps = opened.steps
    if not steps:
        raise BadInput(
            f"{opened.path} has no recorded step yet; watch it once its recorder has read"
        )
    found = empty_series(opened.path.name, gauge, opened.shape(steps[0])[0])
    found.numbers.extend(read_run(opened, gauge, after=-1))
    return found


def empty_series(name: str, gauge: Gauge, streams: Sequence[str]) -> Series:
    """A series without numbers yet, of a model with these streams."""
    return Series(name, gauge.tasks, gauge.columns(streams), gauge.prompts_hash, [])


def read_run(run: Run, gauge: Gauge, *, after: int) -> Iterator[Numbers]:
    """The numbers of a run's readings after a step, one by one."""
    losses = training_losses(run)
    before = max((step for step in run.steps if step <= after), default=-1)
    for step in run.steps:
        if step > after:
            mean = mean_loss(losses, before, step)
            yield gauge.read(step, run.states(step), run.rows(step), mean)
            before = step


def training_losses(run: Run) -> dict[int, float]:
    """Step -> the training loss that the journal has of it; infinite where it was not finite."""
    found: dict[int, float] = {}
    for record in run.journal.live():
        if record["kind"] == "step":
            if "losses" in record:
                found |= dict(enumerate(record["losses"], record["first"]))
            elif "loss" in record:
                found[record["step"]] = record["loss"]
        elif record["kind"] == "event" and record.get("name") == "training failed":
            found[int(record.get("at", 0))] = float("inf")
    return found


def mean_loss(losses: Mapping[int, float], after: int, step: int) -> float | None:
    """The mean loss of the steps after one and up to another; None where none is known."""
    inside = [loss for at, loss in losses.items() if after < at <= step]
    return float(np.mean(inside)) if inside else None

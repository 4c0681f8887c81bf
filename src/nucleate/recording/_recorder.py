"""The recorder: reads a prompt set out of a model in training, at chosen steps, into a run."""

import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import nn

from nucleate._core.errors import BadInput
from nucleate.activations import check_readable, read
from nucleate.prompts import PromptSet
from nucleate.recording._place import (
    Likeness,
    likeness_of,
    open_run,
    prompts_of,
    refusal_to_void,
)
from nucleate.recording._ranks import all_agree, is_main, is_sharded
from nucleate.recording._schedule import Schedule
from nucleate.recording._session import Session
from nucleate.recording._settings import model_settings
from nucleate.recording._writer import Writer
from nucleate.runs import PackedSnapshot, Run, pack_snapshot

_log = logging.getLogger("nucleate")

# Snapshots that may wait for the disk; one more makes the training wait, so memory is bounded.
_WAITING = 4
# Seconds without a line after which a heartbeat is written.
_HEARTBEAT = 10.0


class Recorder:
    """Records a model's states while somebody trains it, without changing the training.

    Reading happens in the caller's thread, writing in a background one. A step that the run
    already has is not read again, so that a resumed training may call `step` as before. An error
    after the start (see `step`) switches recording off and is logged; the training goes on.

    Under torch.distributed every rank makes the same calls with the same schedule: rank 0 alone
    touches the folder, and it alone reads, unless the model is sharded, when all read together.

    Args:
        where: a folder, which is created or, if it holds a run of the same prompt set, continued;
            or a run.
        prompts: the rows that are read; None takes the given run's own.
        schedule: when they are read.
        overwrite: let a training void what the run holds of another or a finished one; without
            it, the first `step` of a session refuses that.
        hyperparameters: settings of the training, nested or not, to stand in the run's manifest
            (`Run.hyperparameters`) beside those that a trainer's callback takes by itself and
            those of the model.

    Attributes:
        prompts: the rows that are read.
        schedule: when; `bound` to the last step by who knows it.
        seconds: time that the caller's thread spent in here.
        error: what ended recording; None while all is well. Whoever owns the training decides what
            a failed recording means.
        skipped: the steps of this session that the schedule's budget did not allow.

    Raises:
        BadInput: the folder holds a run of another prompt set, or cannot be used.

    Examples:
        >>> import tempfile
        >>> import nucleate as nc
        >>> from nucleate.training import ModelConfig, build_model
        >>> config = ModelConfig(depth=2, width=8, heads=2)
        >>> model = build_model(config, vocab_size=20, max_length=16, seed=0)
        >>> prompts = nc.PromptSet.from_records([{"ids": [3, 1]}, {"ids": [4]}], None,
        ...                                     positions="last")
        >>> folder = tempfile.TemporaryDirectory()
        >>> with nc.Recorder(folder.name, prompts, nc.Schedule.every(2)) as recorder:
        ...     for step in range(5):  # train for a step, then:
        ...         recorder.step(model, step)
        >>> nc.Run(folder.name).steps
        [0, 2, 4]
        >>> folder.cleanup()
    """

    def __init__(
        self,
        where: str | Path | Run,
        prompts: PromptSet | None,
        schedule: Schedule,
        *,
        overwrite: bool = False,
        hyperparameters: Mapping[str, Any] | None = None,
    ) -> None:
        self._run = open_run(where, prompts) if is_main() or isinstance(where, Run) else None
        self._where = where.path if isinstance(where, Run) else Path(where)
        self.prompts = prompts_of(self._run, prompts)
        self.schedule = schedule
        self.seconds = 0.0
        self.error: Exception | None = None
        self.skipped: list[int] = []
        self._done = set(self._run.steps) if self._run is not None and is_main() else set()
        self._overwrite = overwrite
        self._hyperparameters = dict(hyperparameters or {})
        self._taken: dict[str, Any] = {}
        self._refused: BadInput | None = None
        self._unwritable = False
        self._writer = Writer(_WAITING)
        self._session: Session | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # All that matters is in the folder: a copy in another process opens it again.
        again = partial(Recorder, overwrite=self._overwrite, hyperparameters=self._hyperparameters)
        return again, (self._where, self.prompts, self.schedule)

    def take_hyperparameters(self, settings: Mapping[str, Any]) -> None:
        """Take the trainer's settings; those that the recorder was made with stay above them.

        Args:
            settings: nested or not; written with the next session's first `step`.
        """
        self._taken = dict(settings)

    def due(self, step: int) -> bool:
        """Whether `step` is to be read: on the schedule, in the budget, and not recorded yet.

        Raises:
            BadInput: the schedule needs to know the last step and does not.
        """
        with self._guarded():
            self._show_life(step)
        return step in self.schedule and self._decide(step)

    def step(self, model: nn.Module, step: int, **scalars: Any) -> None:
        """Read the prompt set if `step` is due.

        The first call of a session makes the run fit the training. What the run has of later
        steps is void, since a training that resumes from a checkpoint records it anew. A snapshot
        that the run has of this very step is read again and compared: the same bits stay; equal
        up to rounding, as on another machine, it is replaced.

        Refused, unless the recorder was made with `overwrite=True`:

        - the run's snapshot of this step is of another model: in some place the difference is more
          than 3 % of the states' norm;
        - the run is finished (`Run.status`) and has later steps, unless this step is above 0 and
          its snapshot shows that the training resumes from there.

        Args:
            model: the model as it is now; bit for bit the same afterwards.
            step: optimizer steps taken so far.
            scalars: numbers to keep with a reading, such as `loss`, `learning_rate` and `tokens`
                (read by the training so far); those that are not finite are left out, and without
                a reading none is looked at.

        Raises:
            BadInput: in the first call of a session only: the model cannot be read, does not fit
                the prompt set, or would void what is refused above.

        Notes:
            A training with other settings from the same weights has the same states at step 0, so
            that an unfinished run cannot tell the two apart there.
        """
        self._visit(model, step, step in self.schedule, scalars)

    def saved(self, model: nn.Module, step: int) -> None:
        """A checkpoint is saved: read the prompt set if the schedule reads at saves, and flush.

        Best called just before: a training that is killed after it has saved resumes there,
        and what it read before and had not written yet is never read again.

        Args:
            model: as for `step`.
            step: as for `step`.

        Raises:
            BadInput: as for `step`.
        """
        self._visit(model, step, self.schedule.reads_saves, {})
        self.flush()

    def log(self, step: int, **scalars: Any) -> None:
        """Keep numbers of a step, whether or not it is read; those not finite are left out.

        Args:
            step: optimizer steps taken so far.
            scalars: such as `loss`, `learning_rate`, and `tokens` read by the training so far.
        """
        with self._guarded():
            if self._run is not None and is_main() and self.error is None:
                self._append_scalars(step, _finite(scalars))
            self._show_life(step)

    def rewind(self, step: int) -> None:
        """The training resumes from `step`: what the run recorded of later steps is void.

        Unlike the first `step` of a session, this refuses nothing.

        Args:
            step: optimizer steps taken at the checkpoint that training resumes from; -1 where it
                starts over.
        """
        with self._guarded():
            self._now.answer, self._now.placed = None, True
            self._done = {done for done in self._done if done <= step}
            if self._run is not None and is_main():
                self._writer.flush()
                if any(record.get("step", -1) > step for record in self._run.journal.live()):
                    self._run.journal.append("rewind", durable=True, to=step)
                self._done = set(self._run.steps)

    def flush(self) -> None:
        """Wait until everything that was read is on disk, or recording has failed."""
        with self._guarded():
            self._writer.flush()

    def close(self, *, end: int | None = None) -> None:
        """Flush, put on record what recording took, and end the session; a later call begins one.

        Args:
            end: the step at which the training is over, if it is.
        """
        self.flush()
        with self._guarded():
            ours = self._session is not None and self._refused is None
            if self._run is not None and is_main() and ours:
                journal = self._run.journal
                journal.append("event", durable=True, name="recording", **self._account())
                if end is not None and self.error is None:
                    journal.append("run_end", durable=True, step=end)
        self._writer.close()
        self._session = None

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _now(self) -> "Session":
        if self._session is None:
            self._session = Session(time.perf_counter(), self.seconds)
            self.skipped = []
        return self._session

    def _visit(self, model: nn.Module, step: int, wanted: bool, scalars: Mapping[str, Any]) -> None:
        if self._refused is not None:
            raise self._refused
        first = not self._now.started
        if first:
            check_readable(model, self.prompts)
            self._now.started = True
        with self._guarded(*((BadInput,) if first else ())):
            if first:
                self._find_place(model, step, scalars)
                self._save_hyperparameters(model)
            if wanted and self._decide(step):
                self._take(step, self._read(model, step), scalars)
            self._show_life(step)

    def _decide(self, step: int) -> bool:
        """Whether to read now: asked once a step, since every answer takes all ranks."""
        with self._guarded():
            if self._now.answer is None or self._now.answer[0] != step:
                self._now.answer = step, all_agree(self._vote(step))
            return self._now.answer[1]
        return False

    def _vote(self, step: int) -> bool:
        if self.error is not None or not is_main():
            return self.error is None
        if step in self._done:
            return False
        if self._now.allows(self.schedule.share, time.perf_counter(), self.seconds):
            return True
        self.skipped.append(step)
        return False

    def _find_place(self, model: nn.Module, step: int, scalars: Mapping[str, Any]) -> None:
        """Make the run fit a training that is at `step` now.

        Raises:
            BadInput: that would void what the run holds of another or a finished training.
        """
        if self._run is not None and is_main():
            self._writer.flush()
        held = all_agree(not is_main() or (self.error is None and step in self._done))
        snapshot = self._read(model, step) if held else None
        likeness = None
        if snapshot is not None and self._run is not None:
            likeness = likeness_of(self._run, step, snapshot)
        self._check_may_void(step, likeness)
        self.rewind(step)
        if held:
            if snapshot is not None and likeness != "same":
                self.rewind(step - 1)
                self._take(step, snapshot, scalars)
            self._now.answer = step, False

    def _save_hyperparameters(self, model: nn.Module) -> None:
        if self._run is not None and is_main() and self.error is None:
            known = model_settings(model) | self._taken | self._hyperparameters
            self._run.save_hyperparameters(known)

    def _check_may_void(self, step: int, likeness: Likeness | None) -> None:
        refusal = None
        if self._run is not None and is_main() and self.error is None and not self._overwrite:
            refusal = refusal_to_void(self._run, step, likeness)
        if all_agree(refusal is None):
            return
        self._session = None
        self.error = self._refused = BadInput(
            refusal or f"rank 0 refuses to record into {self._where}; its message says why"
        )
        raise self._refused

    def _read(self, model: nn.Module, step: int) -> PackedSnapshot | None:
        """Read the prompt set, where this rank has to; packed on rank 0, None on the others."""
        began = time.perf_counter()
        snapshot = None
        if is_main() or is_sharded(model):
            reading = read(model, self.prompts)
            # Packed here: tensor work in the writer's thread would bring up a second team of
            # compute threads, which slows every later training step by a tenth.
            if is_main():
                snapshot = pack_snapshot(step, reading.states, reading.scores)
        self._now.readings += 1
        self._now.costs.append(time.perf_counter() - began)
        return snapshot

    def _take(self, step: int, snapshot: PackedSnapshot | None, scalars: Mapping[str, Any]) -> None:
        """Hand a snapshot to the writer."""
        self._done.add(step)
        self._now.answer = step, False
        if snapshot is not None:
            self._writer.put(partial(self._commit, step, snapshot, _finite(scalars)))

    def _commit(self, step: int, snapshot: PackedSnapshot, scalars: dict[str, Any]) -> None:
        # What was read before a reading failed is sound and still written.
        if self._unwritable or self._run is None:
            return
        try:
            self._run.commit_snapshot(step, snapshot)
            self._append_scalars(step, scalars)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends recording only
            self._unwritable = True
            self._fail(error)

    def _append_scalars(self, step: int, scalars: dict[str, Any]) -> None:
        assert self._run is not None
        if scalars:
            self._run.journal.append("step", step=step, **scalars)

    def _show_life(self, step: int) -> None:
        """Leave a line at a session's start and where none was left for a while."""
        session, run = self._session, self._run
        if session is None or not session.placed or run is None or self.error is not None:
            return
        if (run.journal.idle > _HEARTBEAT or not session.shown) and is_main():
            run.journal.append("heartbeat", step=step, first=not session.shown)
            session.shown = True

    def _account(self) -> dict[str, Any]:
        """What recording took in this session, for the journal."""
        seconds = self.seconds - self._now.seconds_before
        training = time.perf_counter() - self._now.began - seconds
        return {
            "seconds": seconds,
            "training_seconds": training,
            "share": seconds / training if training > 0 else 0.0,
            "budget": self.schedule.share,
            "readings": self._now.readings,
            "skipped": self.skipped,
            "error": None if self.error is None else repr(self.error),
        }

    @contextmanager
    def _guarded(self, *raised: type[Exception]) -> Iterator[None]:
        """Count the time, and keep every error but those of the given kinds from the training."""
        began, before = time.perf_counter(), self.seconds
        try:
            yield
        except raised:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends recording only
            self._fail(error)
        finally:
            self.seconds = before + time.perf_counter() - began

    def _fail(self, error: Exception) -> None:
        if self.error is not None:
            return
        self.error = error
        _log.warning(
            "recording into %s is switched off, the training goes on", self._where, exc_info=error
        )
        # The journal may be what has failed.
        with suppress(Exception):
            if self._run is not None and is_main():
                self._run.journal.append("event", name="recording failed", error=repr(error))


def _finite(scalars: Mapping[str, Any]) -> dict[str, Any]:
    if taken := {"kind", "durable", "time"} & scalars.keys():
        raise BadInput(f"a scalar cannot be named {min(taken)!r}; choose another name")
    numbers = {
        name: float(value.detach() if isinstance(value, torch.Tensor) else value)
        for name, value in scalars.items()
    }
    return {name: number for name, number in numbers.items() if math.isfinite(number)}

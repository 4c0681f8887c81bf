"""The recorder: reads a prompt set out of a model in training, at chosen steps, into a run."""

import logging
import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import nn

from nucleate._core.errors import BadInput
from nucleate.activations import check_readable, read
from nucleate.prompts import PromptSet
from nucleate.recording._ranks import all_agree, is_main, is_sharded
from nucleate.recording._schedule import Schedule
from nucleate.recording._writer import Writer
from nucleate.runs import PackedSnapshot, Run, pack_snapshot

_log = logging.getLogger("nucleate")

# Snapshots that may wait for the disk; one more makes the training wait, so memory is bounded.
_WAITING = 4
# What the next reading takes is judged by the dearest of so many before it.
_RECENT = 3


class Recorder:
    """Records a model's states while somebody trains it, without changing the training.

    Reading happens in the caller's thread, writing in a background one. A step that the run
    already has is not read again, so that a resumed training may call `step` as before. An error
    after the start (see `step`) switches recording off and is logged; the training goes on.

    Under torch.distributed every rank makes the same calls with the same schedule: rank 0 alone
    touches the folder, and it alone reads, unless the model is sharded, when all read together.

    Args:
        where: a folder, which is created or, if it holds a run of the same prompt set, gone on
            with; or a run.
        prompts: the rows that are read; None takes the given run's own.
        schedule: when they are read.

    Attributes:
        prompts: the rows that are read.
        schedule: when; `bound` to the last step by who knows it.
        seconds: time that the caller's thread spent in here.
        error: what ended recording; None while all is well. Whoever owns the training decides what
            a failed recording means.
        skipped: the steps of this sitting that the schedule's budget did not allow.

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
        self, where: str | Path | Run, prompts: PromptSet | None, schedule: Schedule
    ) -> None:
        self._run = open_run(where, prompts) if is_main() or isinstance(where, Run) else None
        self._where = where.path if isinstance(where, Run) else Path(where)
        self.prompts = prompts_of(self._run, prompts)
        self.schedule = schedule
        self.seconds = 0.0
        self.error: Exception | None = None
        self.skipped: list[int] = []
        self._done = set(self._run.steps) if self._run is not None and is_main() else set()
        self._unwritable = False
        self._writer = Writer(_WAITING)
        self._sitting: _Sitting | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # All that matters is in the folder: a copy in another process opens it again.
        return Recorder, (self._where, self.prompts, self.schedule)

    def due(self, step: int) -> bool:
        """Whether `step` is to be read: on the schedule, in the budget, and not recorded yet.

        Raises:
            BadInput: the schedule needs to know the last step and does not.
        """
        return step in self.schedule and self._decide(step)

    def step(self, model: nn.Module, step: int, **scalars: Any) -> None:
        """Read the prompt set if `step` is due.

        The first call of a sitting makes the run fit the training: what the run has of later steps
        is void, and a state that it has of this very step is read again and replaced, with all
        that followed, unless it is the same bit for bit.

        Args:
            model: the model as it is now; bit for bit the same afterwards.
            step: optimizer steps taken so far.
            scalars: numbers to keep with a reading, such as `loss`; those that are not finite are
                left out, and without a reading none is looked at.

        Raises:
            BadInput: in the first call of a sitting only: the model cannot be read, or does not
                fit the prompt set.
        """
        self._visit(model, step, step in self.schedule, scalars)

    def saved(self, model: nn.Module, step: int) -> None:
        """A checkpoint is saved: read the prompt set if the schedule reads at saves, and flush.

        Best called just before: a training that is killed after it has saved goes on from there,
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
        """Keep numbers of a step, whether or not it is read; those not finite are left out."""
        with self._guarded():
            if self._run is not None and is_main() and self.error is None:
                self._append_scalars(step, _finite(scalars))

    def rewind(self, step: int) -> None:
        """The training goes on from `step`: what the run recorded of later steps is void.

        Args:
            step: optimizer steps taken at the checkpoint that training goes on from; -1 where it
                begins anew.
        """
        with self._guarded():
            self._now.answer = None
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
        """Flush, put on record what recording took, and end the sitting; a later call begins one.

        Args:
            end: the step at which the training is over, if it is.
        """
        self.flush()
        with self._guarded():
            if self._run is not None and is_main() and self._sitting is not None:
                journal = self._run.journal
                journal.append("event", durable=True, name="recording", **self._account())
                if end is not None and self.error is None:
                    journal.append("run_end", durable=True, step=end)
        self._writer.close()
        self._sitting = None

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
    def _now(self) -> "_Sitting":
        if self._sitting is None:
            self._sitting = _Sitting(time.perf_counter(), self.seconds)
            self.skipped = []
        return self._sitting

    def _visit(self, model: nn.Module, step: int, wanted: bool, scalars: Mapping[str, Any]) -> None:
        first = not self._now.started
        if first:
            check_readable(model, self.prompts)
            self._now.started = True
        with self._guarded(*((BadInput,) if first else ())):
            if first:
                self._find_place(model, step, scalars)
            if wanted and self._decide(step):
                self._take(step, self._read(model, step), scalars)

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
        """Make the run fit a training that is at `step` now."""
        self.rewind(step)
        if all_agree(not is_main() or (self.error is None and step in self._done)):
            snapshot = self._read(model, step)
            if snapshot is not None and not self._holds(step, snapshot):
                self.rewind(step - 1)
                self._take(step, snapshot, scalars)
            self._now.answer = step, False

    def _holds(self, step: int, snapshot: PackedSnapshot) -> bool:
        """Whether the run has the very states of `snapshot`, bit for bit."""
        from safetensors.torch import load

        assert self._run is not None
        try:
            there, here = self._run.states(step).values, load(snapshot.data)["states"]
        except BadInput as error:
            _log.warning("step %d is recorded anew: %s", step, error)
            return False
        return there.dtype == here.dtype and torch.equal(
            there.view(torch.int16), here.view(torch.int16)
        )

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

    def _account(self) -> dict[str, Any]:
        """What recording took in this sitting, for the journal."""
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


@dataclass
class _Sitting:
    """One sitting of a training as the recorder sees it.

    Attributes:
        began: when, in seconds of the monotonic clock.
        seconds_before: the recorder's seconds at that time.
        started: whether the model has been met.
        readings: how many there were.
        costs: seconds that the last ones took.
        answer: the step last asked for, and whether it is to be read.
    """

    began: float
    seconds_before: float
    started: bool = False
    readings: int = 0
    costs: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    answer: tuple[int, bool] | None = None

    def allows(self, share: float | None, now: float, seconds: float) -> bool:
        """Whether one more reading stays within `share` of the training's own time."""
        if share is None or not self.costs:
            return True
        spent = seconds - self.seconds_before
        return spent + max(self.costs) <= share * (now - self.began - spent)


def open_run(where: str | Path | Run, prompts: PromptSet | None) -> Run:
    """The run in a folder, which is created if there is none."""
    if isinstance(where, Run):
        return where
    if prompts is None:
        raise BadInput(
            f"{where} needs a prompt set; give one, or an existing run instead of a path"
        )
    folder = Path(where)
    try:
        if (folder / "manifest.json").exists():
            return Run(folder)
        positions = list(prompts.positions)
        return Run.create(folder, prompts, {"name": folder.resolve().name, "positions": positions})
    except OSError as error:
        raise BadInput(f"{folder} cannot hold a run ({error}); name another folder") from error


def prompts_of(run: Run | None, prompts: PromptSet | None) -> PromptSet:
    """The prompt set of a run, checked against the given one."""
    if prompts is None:
        assert run is not None
        return run.prompts
    if run is not None and run.manifest["prompts_hash"] != prompts.content_hash():
        raise BadInput(
            f"{run.path} holds a run of other prompts ({run.manifest['prompts_hash'][:12]}, given "
            f"is {prompts.content_hash()[:12]}); name another folder, or give that run's prompt set"
        )
    return prompts


def _finite(scalars: Mapping[str, Any]) -> dict[str, Any]:
    if taken := {"kind", "durable"} & scalars.keys():
        raise BadInput(f"a scalar cannot be named {min(taken)!r}; choose another name")
    numbers = {
        name: float(value.detach() if isinstance(value, torch.Tensor) else value)
        for name, value in scalars.items()
    }
    return {name: number for name, number in numbers.items() if math.isfinite(number)}

"""The recorder: reads a prompt set out of a model in training, at chosen steps, into a run."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import nn

from nucleate._core.errors import BadInput
from nucleate.activations import Reading, check_readable, is_sharded, read
from nucleate.prompts import PromptSet
from nucleate.recording._arguments import check, finite, whole_step
from nucleate.recording._first_batches import FirstBatches
from nucleate.recording._observers import Observer, Observers, check_observers
from nucleate.recording._output import Output, check_free
from nucleate.recording._place import (
    Likeness,
    likeness_of,
    open_run,
    prompts_of,
    refusal_to_void,
)
from nucleate.recording._ranks import all_agree, is_main
from nucleate.recording._schedule import Schedule
from nucleate.recording._session import Session, what_is_missing
from nucleate.recording._settings import model_settings
from nucleate.runs import PackedSnapshot, Run, check_writable, pack_snapshot

_log = logging.getLogger("nucleate")

# Seconds without a line after which a heartbeat is written.
_HEARTBEAT = 10.0
_DEFAULT = Schedule.log(40)


class Recorder:
    """Records a model's states while somebody trains it, without changing the training.

    Reading happens in the caller's thread, writing in a background one. A step that the run
    already has is not read again, so that a resumed training may call `step` as before. An error
    after the start (see `step`) switches recording off and is logged; the training goes on.

    One recorder at a time writes into a folder: from the first `step` of a session to `close`, or
    until the recorder is gone, any other is refused. A folder that is renamed, removed or replaced
    meanwhile ends recording as an error does.

    Under torch.distributed every rank makes the same calls with the same schedule: rank 0 alone
    touches the folder, and it alone reads, unless the model is sharded, when all read together.

    Args:
        where: a folder, which is created or, if it holds a run of the same prompt set, continued;
            or a run.
        prompts: the rows that are read; None takes the given run's own.
        schedule: when they are read; by default 40 steps evenly in log(step), for which somebody
            must know the last one (a trainer's callback does).
        overwrite: let a training void what the run holds of another or a finished one; without
            it, the first `step` of a session refuses that.
        hyperparameters: settings of the training, nested or not, to stand in the run's manifest
            (`Run.hyperparameters`) beside those that a trainer's callback takes by itself and
            those of the model.
        tokenizer: the model's; with it, the first batches that the model is trained on are compared
            with the prompts, and one warning tells if they are tokenized differently. A callback
            takes the trainer's. Without one, only a token in front of all rows can be told.
        observers: look on at each reading, such as `nucleate.monitor.alarms.AlarmObserver`; one
            that raises is logged and called no more. A copy in another process has none.

    Attributes:
        prompts: the rows that are read.
        schedule: when; `bound` to the last step by who knows it.
        seconds: time that the caller's thread spent in here.
        error: what ended recording; None while all is well. Whoever owns the training decides what
            a failed recording means.
        skipped: the steps of this session that the schedule's budget did not allow.
        moved: due step that never came -> the first step after it, which was read instead. Of
            several due ones the first is named; of those before the session, the last.
        missed: due steps that will not come, known once the training has ended.

    Raises:
        BadInput: the folder holds a run of another prompt set, is being written by somebody else,
            or cannot be used.

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
        schedule: Schedule = _DEFAULT,
        *,
        overwrite: bool = False,
        hyperparameters: Mapping[str, Any] | None = None,
        tokenizer: Any = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        check(where, prompts, schedule, hyperparameters, tokenizer)
        looking_on = check_observers(observers)
        self._open(where, prompts, schedule, overwrite, dict(hyperparameters or {}), tokenizer)
        self._observers = Observers(looking_on)
        if tokenizer is not None:
            self.prompts.check_tokenizer(tokenizer)
        if self._output is not None:
            check_free(self._output.run.path)
            check_writable(self._output.run.path, "name another folder, or make it writable")

    def _open(
        self,
        where: str | Path | Run,
        prompts: PromptSet | None,
        schedule: Schedule,
        overwrite: bool,
        hyperparameters: dict[str, Any],
        tokenizer: Any,
    ) -> None:
        run = open_run(where, prompts) if is_main() or isinstance(where, Run) else None
        self._where = where.path if isinstance(where, Run) else Path(where)
        self._output = Output(run) if run is not None and is_main() else None
        self.prompts = prompts_of(run, prompts)
        self.schedule = schedule
        self.seconds = 0.0
        self.error: Exception | None = None
        self.skipped: list[int] = []
        self.moved: dict[int, int] = {}
        self.missed: list[int] = []
        self._done = set(run.steps) if run is not None and is_main() else set()
        self._overwrite = overwrite
        self._hyperparameters = hyperparameters
        self.tokenizer = tokenizer
        self._first_batches: FirstBatches | None = None
        self._taken: dict[str, Any] = {}
        self._refused: BadInput | None = None
        self._unwritable = False
        self._session: Session | None = None
        self._observers = Observers(())

    def __reduce__(self) -> tuple[Any, ...]:
        # All that matters is in the folder: a copy in another process opens it again. A copy may
        # be made while this one writes, and is refused only if it wants to write then.
        given = (self._where, self.prompts, self.schedule, self._overwrite)
        return _copy, (*given, self._hyperparameters, self.tokenizer)

    def take_hyperparameters(self, settings: Mapping[str, Any]) -> None:
        """Take the trainer's settings; those that the recorder was made with stay above them.

        Args:
            settings: nested or not; written with the next session's first `step`.

        Raises:
            BadInput: it is no mapping.
        """
        if not isinstance(settings, Mapping):
            raise BadInput(f"hyperparameters cannot be {settings!r}; give names and values")
        self._taken = dict(settings)

    def due(self, step: int) -> bool:
        """Whether `step` is to be read: on the schedule, in the budget, and not recorded yet.

        Raises:
            BadInput: `step` is no whole number, or the schedule needs to know the last one and does
                not.
        """
        step = whole_step(step)
        with self._guarded():
            self._show_life(step)
        due, always = self._now.due(self.schedule, step), self._is_last(step)
        return (due is not None or always) and self._decide(step, due, always=always)

    def step(self, model: nn.Module, step: int, **scalars: Any) -> None:
        """Read the prompt set if `step` is due, or a step is that was left out before it.

        The first call of a session makes the run fit the training. What the run has of later
        steps is void, since a training that resumes from a checkpoint records it anew. A snapshot
        that the run has of this very step is read again and compared: the same bits stay; equal
        up to rounding, as on another machine, it is replaced. A step before the last one begins a
        new session.

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
            BadInput: `step` is no whole number from 0 on; or, in the first call of a session only,
                the model cannot be read, does not fit the prompt set, or would void what is
                refused above, or somebody else writes into the folder.

        Notes:
            A training with other settings from the same weights has the same states at step 0, so
            that an unfinished run cannot tell the two apart there.
        """
        self._visit(model, whole_step(step), scalars)

    def finish(self, model: nn.Module, step: int, **scalars: Any) -> None:
        """As `step`, of the step that the training ends with: read if the schedule asks for it.

        Every schedule but `at` and `at_saves` does. `close` puts the end on record then.

        Args:
            model: as it is after the training's last step.
            step: as for `step`.
            scalars: as for `step`.

        Raises:
            BadInput: as for `step`.
        """
        self._visit(model, whole_step(step), scalars, last=True)

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
        self._visit(model, whole_step(step), {}, save=True)
        self.flush()

    def log(self, step: int, **scalars: Any) -> None:
        """Keep numbers of a step, whether or not it is read; those not finite are left out.

        Args:
            step: optimizer steps taken so far.
            scalars: such as `loss`, `learning_rate`, and `tokens` read by the training so far.
        """
        with self._guarded():
            if self._writes():
                self._append_scalars(whole_step(step), finite(scalars))
                self._note(step, self._observers.log(step, scalars))
            self._show_life(step)

    def rewind(self, step: int) -> None:
        """The training resumes from `step`: what the run recorded of later steps is void.

        Unlike the first `step` of a session, this refuses nothing.

        Args:
            step: optimizer steps taken at the checkpoint that training resumes from; -1 where it
                starts over.

        Raises:
            BadInput: `step` is no whole number from -1 on.
        """
        step = whole_step(step, -1)
        with self._guarded():
            self._now.forget()
            self._now.placed = True
            self._done = {done for done in self._done if done <= step}
            if self._output is not None and is_main():
                self._output.flush()
                run = self._output.run
                if any(record.get("step", -1) > step for record in run.journal.live()):
                    self._output.append("rewind", durable=True, to=step)
                self._done = set(run.steps)
                self._observers.begin(run, step)

    def flush(self) -> None:
        """Wait until everything that was read is on disk, or recording has failed."""
        with self._guarded():
            if self._output is not None:
                self._output.flush()

    def close(self, *, end: int | None = None) -> None:
        """Flush, put on record what recording took, and end the session; a later call begins one.

        Args:
            end: the step at which the training is over, if it is; by default that of `finish`.

        Raises:
            BadInput: `end` is no whole number from 0 on.
        """
        end = None if end is None else whole_step(end)
        self.flush()
        with self._guarded():
            self._compare_rows(over=True)
        session, ours = self._session, self._session is not None and self._refused is None
        if session is not None and ours:
            end = session.end if end is None else end
            with self._guarded():
                self.missed = self._left_out(end)
                if self._output is not None and is_main():
                    self._output.append(
                        "event", durable=True, name="recording", **self._account(session)
                    )
                    if end is not None and self.error is None:
                        self._output.append("run_end", durable=True, step=end)
                    words = what_is_missing(self.schedule, session, self.skipped, self.missed, end)
                    if words and self.error is None:
                        _log.warning("%s: %s", self._where, words)
        if self._output is not None:
            with self._guarded():
                self._output.close()
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
            self.skipped, self.moved, self.missed = [], {}, []
        return self._session

    def _visit(
        self,
        model: nn.Module,
        step: int,
        scalars: Mapping[str, Any],
        *,
        save: bool = False,
        last: bool = False,
    ) -> None:
        if self._refused is not None:
            raise self._refused
        self._leave_if_forked()
        if not save and step < self._now.reached:
            self.close()  # the training has gone back, and its place is looked for anew
        first = not self._now.started
        due = None if save else self._now.due(self.schedule, step)
        if first:
            check_readable(model, self.prompts)
            self._now.started = True
        with self._guarded(*((BadInput,) if first else ())):
            if first:
                self._take_the_lock()
                self._find_place(model, step, scalars)
                self._save_hyperparameters(model)
            always = not save and (self._is_last(step) or (last and self.schedule.reads_last))
            wanted = self.schedule.reads_saves if save else due is not None or always
            if wanted and self._decide(step, due, always=always):
                if due is not None and due < step:
                    self.moved[due] = step
                self._take(step, *self._read(model, step), scalars)
            if first and self._writes():
                self._first_batches = FirstBatches(model, self.prompts, self.tokenizer)
            self._compare_rows()
            if not save:
                self._now.arrive(step, last=last)
            self._show_life(step)

    def _compare_rows(self, *, over: bool = False) -> None:
        """Say whether the rows of the training are tokenized as the prompts are."""
        told = None if self._first_batches is None else self._first_batches.said(over=over)
        if told:
            _log.warning("%s: %s; their states are not those of the training", self._where, told)
            if self._writes() and self._output is not None:
                self._output.append("event", name="tokenization", difference=told)

    def _is_last(self, step: int) -> bool:
        return self.schedule.reads_last and step == self.schedule.last

    def _decide(self, step: int, due: int | None, *, always: bool) -> bool:
        """Whether to read now: asked once a step, since every answer takes all ranks."""
        with self._guarded():
            known = self._now.answers(step)
            if always not in known:
                known[always] = all_agree(self._vote(step, due, always=always))
            return known[always]
        return False

    def _vote(self, step: int, due: int | None, *, always: bool) -> bool:
        if self.error is not None or not is_main():
            return self.error is None
        if step in self._done:
            return False
        if due is not None and not always:
            newest = self.schedule.latest(step)
            if newest is not None and any(newest <= done <= step for done in self._done):
                return False  # in an earlier session
        now = time.perf_counter()
        if always or self._now.allows(self.schedule, step, now, self.seconds):
            return True
        self.skipped.append(step)
        return False

    def _take_the_lock(self) -> None:
        refusal = None
        if self._output is not None and is_main() and self.error is None:
            try:
                self._output.hold()
            except BadInput as error:
                refusal = str(error)
        self._agree_to(refusal)

    def _find_place(self, model: nn.Module, step: int, scalars: Mapping[str, Any]) -> None:
        """Make the run fit a training that is at `step` now.

        Raises:
            BadInput: that would void what the run holds of another or a finished training.
        """
        self.flush()
        held = all_agree(not is_main() or (self.error is None and step in self._done))
        reading, snapshot = self._read(model, step) if held else (None, None)
        likeness: Likeness | None = None
        if snapshot is not None and self._output is not None:
            likeness = likeness_of(self._output.run, step, snapshot)
        refusal = None
        if self._writes() and not self._overwrite:
            assert self._output is not None
            refusal = refusal_to_void(self._output.run, step, likeness)
        self._agree_to(refusal)
        self.rewind(step)
        if held:
            if snapshot is not None and likeness != "same":
                self.rewind(step - 1)
                self._take(step, reading, snapshot, scalars)
            self._now.settle(step)

    def _agree_to(self, refusal: str | None) -> None:
        """Go on where no rank refuses to.

        Raises:
            BadInput: the refusal.
        """
        if all_agree(refusal is None):
            return
        if self._output is not None:
            self._output.close()
        self._session = None
        self.error = self._refused = BadInput(
            refusal or f"rank 0 refuses to record into {self._where}; its message says why"
        )
        raise self._refused

    def _save_hyperparameters(self, model: nn.Module) -> None:
        if self._writes():
            assert self._output is not None
            known = model_settings(model) | self._taken | self._hyperparameters
            self._output.save_hyperparameters(known)

    def _read(self, model: nn.Module, step: int) -> tuple[Reading | None, PackedSnapshot | None]:
        """Read the prompt set, where this rank has to; packed on rank 0 only."""
        began = time.perf_counter()
        reading, snapshot = None, None
        if is_main() or is_sharded(model):
            reading = read(model, self.prompts)
            # Packed here: tensor work in the writer's thread would bring up a second team of
            # compute threads, which slows every later training step by a tenth.
            if is_main():
                snapshot = pack_snapshot(step, reading.states, reading.scores)
        self._now.has_read(step, time.perf_counter() - began)
        return reading, snapshot

    def _take(
        self,
        step: int,
        reading: Reading | None,
        snapshot: PackedSnapshot | None,
        scalars: Mapping[str, Any],
    ) -> None:
        """Hand a snapshot to the writer, and what was read to those that look on."""
        self._done.add(step)
        self._now.settle(step)
        if snapshot is not None and self._output is not None:
            if snapshot.not_finite_at and not self._now.warned:
                self._now.warned = True
                _log.warning("states at step %d are not finite %s", step, snapshot.not_finite_at)
            self._output.put(partial(self._commit, step, snapshot, finite(scalars)))
            if reading is not None and self._observers:
                seen = self._observers.reading(step, reading.states, reading.scores, scalars)
                self._note(step, seen)

    def _note(self, step: int, events: Sequence[Mapping[str, Any]]) -> None:
        """Leave what observers say in the journal, as of this step."""
        for event in events:
            assert self._output is not None
            self._output.append("event", **{**event, "step": step})

    def _commit(self, step: int, snapshot: PackedSnapshot, scalars: dict[str, Any]) -> None:
        # What was read before a reading failed is sound and still written.
        if self._unwritable or self._output is None:
            return
        try:
            self._output.commit(step, snapshot)
            self._append_scalars(step, scalars)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends recording only
            self._unwritable = True
            self._fail(error)

    def _append_scalars(self, step: int, scalars: dict[str, Any]) -> None:
        assert self._output is not None
        if scalars:
            self._output.append("step", step=step, **scalars)

    def _writes(self) -> bool:
        self._leave_if_forked()
        return self._output is not None and is_main() and self.error is None

    def _leave_if_forked(self) -> None:
        """In a forked child, give up the session and the lock: they are the parent's."""
        if self._output is not None and self._output.is_forked():
            self._output, self._session = Output(self._output.run), None

    def _show_life(self, step: int) -> None:
        """Leave a line at a session's start and where none was left for a while."""
        session = self._session
        if session is None or not session.placed or not self._writes():
            return
        assert self._output is not None
        if self._output.run.journal.idle > _HEARTBEAT or not session.shown:
            self._output.append("heartbeat", step=step, first=not session.shown)
            session.shown = True

    def _left_out(self, end: int | None) -> list[int]:
        """The due steps that will not come, since the training has ended."""
        if end is None or self.error is not None:
            return []
        unread = self.schedule.reads_last and is_main() and end not in self._done
        return [*([end] if unread else []), *self.schedule.after_end(end)]

    def _account(self, session: Session) -> dict[str, Any]:
        """What recording took in this session, for the journal."""
        seconds = self.seconds - session.seconds_before
        training = time.perf_counter() - session.began - seconds
        return {
            "seconds": seconds,
            "training_seconds": training,
            "share": seconds / training if training > 0 else 0.0,
            "budget": self.schedule.share,
            "readings": session.readings,
            "skipped": self.skipped,
            "moved": list(self.moved.items()),
            "missed": self.missed,
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
        # What a disk or an argument can be needs no traceback; anything else may be a fault.
        trace = None if isinstance(error, OSError | BadInput) else error.__traceback__
        _log.warning(
            "recording into %s is switched off, the training goes on",
            self._where,
            exc_info=(type(error), error, trace),
        )
        # The journal may be what has failed.
        with suppress(Exception):
            if self._output is not None and is_main() and self._output.held:
                reached = max(0, self._session.reached) if self._session else 0
                self._output.append("event", name="recording failed", at=reached, error=repr(error))


def _copy(
    where: Path,
    prompts: PromptSet,
    schedule: Schedule,
    overwrite: bool,
    hyperparameters: dict[str, Any],
    tokenizer: Any,
) -> Recorder:
    recorder = Recorder.__new__(Recorder)
    recorder._open(where, prompts, schedule, overwrite, hyperparameters, tokenizer)
    return recorder

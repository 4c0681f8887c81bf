"""The recorder: reads a probe out of a model in training, at chosen steps, into a run."""

import queue
import threading
import time
from types import TracebackType

from torch import nn

from nucleate.recording._capture import read
from nucleate.recording._schedule import Schedule
from nucleate.runs import PackedSnapshot, Run, pack_snapshot

# Snapshots that may wait for the disk; one more makes the training wait, so memory is bounded.
_WAITING = 4


class Recorder:
    """Records a model's states while somebody trains it, without changing the training.

    Reading happens in the caller's thread, writing in a background one. A step that the run
    already has is not read again, so that a resumed training may call `step` as before.

    Args:
        run: where to; its probe is what is read.
        schedule: when.

    Attributes:
        seconds: time that the caller's thread spent in here.
        error: what ended recording; None while all is well. The training goes on without it, and
            whoever owns the training decides what a failed recording means.
    """

    def __init__(self, run: Run, schedule: Schedule) -> None:
        self._run = run
        self._schedule = schedule
        self._done = set(run.steps)
        self._queue: queue.Queue[tuple[int, PackedSnapshot] | None] = queue.Queue(_WAITING)
        self._writer = threading.Thread(target=self._write, name="nucleate-writer", daemon=True)
        self._writer.start()
        self.seconds = 0.0
        self.error: OSError | None = None

    def due(self, step: int) -> bool:
        """Whether `step` is on the schedule and not recorded yet."""
        return step in self._schedule and step not in self._done and self.error is None

    def step(self, model: nn.Module, step: int) -> None:
        """Read the probe if `step` is due.

        Args:
            model: the model as it is now; bit for bit the same afterwards.
            step: optimiser steps taken so far.
        """
        if not self.due(step):
            return
        began = time.perf_counter()
        reading = read(model, self._run.probe)
        rows = {"correct": reading.correct, "nll": reading.nll}
        # Packed here: tensor work in the writer's thread would bring up a second team of compute
        # threads, which slows every later training step by a tenth.
        self._queue.put((step, pack_snapshot(step, reading.states, rows)))
        self._done.add(step)
        self.seconds += time.perf_counter() - began

    def rewind(self, step: int) -> None:
        """The training goes on from `step`: what the run recorded of later steps is void.

        Args:
            step: optimiser steps taken at the checkpoint that training goes on from; -1 where it
                begins anew.
        """
        if any(record.get("step", -1) > step for record in self._run.journal.live()):
            self._run.journal.append("rewind", durable=True, to=step)
        self._done = set(self._run.steps)

    def flush(self) -> None:
        """Wait until everything that was read is on disk, or recording has failed."""
        began = time.perf_counter()
        self._queue.join()
        self.seconds += time.perf_counter() - began

    def close(self) -> None:
        """Flush and end the background thread."""
        self.flush()
        self._queue.put(None)
        self._writer.join()

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            step, snapshot = item
            try:
                if self.error is None:
                    self._run.commit_snapshot(step, snapshot)
            except OSError as error:
                self.error = error
            finally:
                self._queue.task_done()
        self._queue.task_done()

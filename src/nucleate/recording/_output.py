"""Where a recorder writes: the run, the lock on it, and the thread that writes snapshots."""

import gc
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nucleate._core.errors import BadInput
from nucleate.recording._writer import Writer
from nucleate.runs import Lock, PackedSnapshot, Run, check_unlocked

# Snapshots that may wait for the disk; one more makes the training wait, so memory is bounded.
_WAITING = 4


class Output:
    """A run that one recorder writes into, while it holds the folder's lock.

    Args:
        run: opened.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._lock: Lock | None = None
        self._giving_back: weakref.finalize[..., Any] | None = None
        self._writer = Writer(_WAITING)

    @property
    def held(self) -> bool:
        """Whether the lock is ours."""
        return self._lock is not None

    def hold(self) -> None:
        """Take the lock, unless it is held; it is given back when this object goes, at the latest.

        Raises:
            BadInput: somebody else writes into the folder.
        """
        if self._lock is None:
            check_free(self.run.path)
            self._lock = Lock(self.run.path)
            self._giving_back = weakref.finalize(self, self._lock.release)

    def is_forked(self) -> bool:
        """Whether this process is a child that got the object, with its lock, from its parent."""
        return self._lock is not None and self._lock.foreign

    def append(self, kind: str, *, durable: bool = False, **fields: Any) -> None:
        """Write a record into the journal, if the folder is still the one that was opened."""
        self._check()
        self.run.journal.append(kind, durable=durable, **fields)

    def commit(self, step: int, snapshot: PackedSnapshot) -> None:
        """Write a snapshot, if the folder is still the one that was opened."""
        self._check()
        self.run.commit_snapshot(step, snapshot)

    def save_hyperparameters(self, settings: dict[str, Any]) -> None:
        """Write settings into the manifest, if the folder is still the one that was opened."""
        self._check()
        self.run.save_hyperparameters(settings)

    def put(self, job: Callable[[], None]) -> None:
        """Let the background thread do a job, which looks after its own errors."""
        self._writer.put(job)

    def flush(self) -> None:
        """Wait until all jobs are done."""
        self._writer.flush()

    def close(self) -> None:
        """Wait until all jobs are done, and give the lock back."""
        self._writer.close()
        if self._giving_back is not None:
            self._giving_back()
        self._lock = self._giving_back = None

    def _check(self) -> None:
        self.hold()
        assert self._lock is not None
        self._lock.check()


def check_free(folder: Path) -> None:
    """Make sure that nobody writes into a run folder.

    Raises:
        BadInput: somebody does.
    """
    for pause in (0.0, 0.2, 0.5):
        try:
            return check_unlocked(folder)
        except BadInput:
            # It may be a recorder of this process that nobody can reach any more, of a training
            # that an exception has ended, as soon as its last snapshot is written.
            time.sleep(pause)
            gc.collect()
    return check_unlocked(folder)

"""Where the runs of a study are done: here, or in processes of their own side by side."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from nucleate._core.errors import Interrupted
from nucleate._core.progress import Tick, Watcher
from nucleate._core.workers import context

EXECUTORS = ("process", "inline")
_WORK = "nucleate.studies._do_run"
_SECONDS_BETWEEN_LOOKS = 0.2


@runtime_checkable
class Executor(Protocol):
    """Does runs somewhere; whatever becomes of them stands in their folders, so none is returned.

    A run that its worker did not survive is simply not done: the study asks for it again.
    """

    def __call__(
        self, folders: Sequence[Path], watcher: Watcher, ended: Callable[[Path], None]
    ) -> None:
        """Let `do_run` be called with every folder.

        Args:
            folders: of runs that are not done.
            watcher: hears of the runs' progress; once it asks to stop, no further run begins and
                those that are under way stop at a safe place.
            ended: is told of every folder whose run is over, in whatever way.

        Returns:
            When no run is under way any more.
        """
        ...


class Inline:
    """One run after the other in this process, with all its threads."""

    def __call__(
        self, folders: Sequence[Path], watcher: Watcher, ended: Callable[[Path], None]
    ) -> None:
        """See `Executor`."""
        from nucleate.studies._do_run import do_run

        for folder in folders:
            if watcher.stopping():
                return
            with suppress(Interrupted):
                do_run(folder, watcher)
            ended(folder)


@dataclass(frozen=True)
class _Child:
    folder: Path
    process: BaseProcess
    line: Connection


class Processes:
    """A process for each run, so many at a time, each with one thread.

    Args:
        workers: processes at a time.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._server = _started_server()

    def __call__(
        self, folders: Sequence[Path], watcher: Watcher, ended: Callable[[Path], None]
    ) -> None:
        """See `Executor`."""
        left, children = list(folders), list[_Child]()
        told = False
        try:
            while children or (left and not watcher.stopping()):
                while left and len(children) < self._workers and not watcher.stopping():
                    children.append(self._start(left.pop(0)))
                if watcher.stopping() and not told:
                    told = True
                    for child in children:
                        with suppress(OSError):
                            child.line.send("stop")
                for child in [c for c in children if _is_over(c, watcher)]:
                    children.remove(child)
                    child.line.close()
                    child.process.join()
                    ended(child.folder)
                if children:
                    wait([c.process.sentinel for c in children], _SECONDS_BETWEEN_LOOKS)
        finally:
            # Some are left only where this was broken off; what they wrote stays whole.
            for child in children:
                child.process.terminate()
                child.process.join()
                child.line.close()

    def _start(self, folder: Path) -> _Child:
        ours, theirs = self._server.Pipe()
        # No daemon: runs may have workers of their own.
        process = self._server.Process(target=_in_child, args=(folder, theirs), daemon=False)
        process.start()
        # With this copy closed, the line ends when the child does, and the other way round.
        theirs.close()
        return _Child(folder, process, ours)


def _started_server() -> ForkServerContext:
    """The server of the processes; Ctrl-C, which reaches it too, must not break off its imports."""
    if threading.current_thread() is not threading.main_thread():
        return context(_WORK)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return context(_WORK)
    finally:
        signal.signal(signal.SIGINT, before)


def executor_named(name: str, workers: int) -> Executor:
    """The executor of a name in `EXECUTORS`."""
    return Inline() if name == "inline" else Processes(workers)


def _is_over(child: _Child, watcher: Watcher) -> bool:
    """Whether a child has ended; what it said meanwhile is passed on."""
    with suppress(EOFError, OSError):
        while child.line.poll():
            watcher.say(child.line.recv())
    return not child.process.is_alive()


class _Relay:
    """The watcher inside a child: it stops when told to, or when the parent is gone."""

    def __init__(self, line: Connection) -> None:
        self._line, self._stop = line, False
        self._looked = 0.0

    def part(self, name: str, total: int) -> Tick:  # noqa: ARG002 - the protocol's form
        """Runs count as wholes: with many of them, their parts would bury the study's progress."""
        return lambda done, note: None

    def say(self, line: str) -> None:
        """Pass a line on."""
        with suppress(OSError):
            self._line.send(line)

    def stopping(self) -> bool:
        """Whether the parent said so, or has died."""
        now = time.monotonic()
        if not self._stop and now - self._looked >= _SECONDS_BETWEEN_LOOKS:
            self._looked = now
            try:
                self._stop = self._line.poll() and bool(self._line.recv())
            except (EOFError, OSError):
                self._stop = True
        return self._stop


def _log_into(file: Path) -> None:
    """Keep what is logged with the run: on a terminal nobody could tell whose words they are."""
    log = logging.getLogger("nucleate")
    log.addHandler(logging.FileHandler(file, delay=True))
    log.propagate = False


def _in_child(folder: Path, line: Any) -> None:
    import torch

    from nucleate.studies._do_run import do_run

    # Ctrl-C reaches the whole group: the parent decides, and tells by the line.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _log_into(folder / "log.txt")
    with suppress(Interrupted):
        do_run(folder, _Relay(line))

"""Where the runs of a study are done: here, or by workers side by side."""

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from nucleate._core.errors import BadInput, Interrupted
from nucleate._core.names import nearest
from nucleate._core.progress import Tick, Watcher
from nucleate._core.workers import context
from nucleate.studies._side_by_side import SECONDS_BETWEEN_LOOKS, do_watched, side_by_side

EXECUTORS = ("process", "inline", "submitit", "ray")
_WORK = "nucleate.studies._do_run"


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

        def pause(children: Sequence[Any]) -> None:
            wait([child.process.sentinel for child in children], SECONDS_BETWEEN_LOOKS)

        side_by_side(self._start, folders, self._workers, watcher, ended, pause)

    def _start(self, folder: Path) -> "_Child":
        ours, theirs = self._server.Pipe()
        # No daemon: runs may have workers of their own.
        process = self._server.Process(target=_in_child, args=(folder, theirs), daemon=False)
        process.start()
        # With this copy closed, the line ends when the child does, and the other way round.
        theirs.close()
        return _Child(folder, process, ours)


@dataclass(frozen=True)
class _Child:
    folder: Path
    process: BaseProcess
    line: Connection

    def is_over(self, watcher: Watcher) -> bool:
        with suppress(EOFError, OSError):
            while self.line.poll():
                watcher.say(self.line.recv())
        return not self.process.is_alive()

    def stop(self) -> None:
        with suppress(OSError):
            self.line.send("stop")

    def close(self) -> None:
        self.line.close()
        self.process.join()

    def break_off(self) -> None:
        self.process.terminate()
        self.close()


def _started_server() -> ForkServerContext:
    """The server of the processes; Ctrl-C, which reaches it too, must not break off its imports."""
    if threading.current_thread() is not threading.main_thread():
        return context(_WORK)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return context(_WORK)
    finally:
        signal.signal(signal.SIGINT, before)


def executor_named(name: str, workers: int, options: Mapping[str, Any] | None = None) -> Executor:
    """The executor of a name.

    Args:
        name: one of `EXECUTORS`.
        workers: runs at a time; `inline` does one.
        options: of `submitit` or `ray`, see `docs/studies.md`; the others have none.

    Raises:
        BadInput: the name or an option is unknown, or a package is missing.
    """
    if name == "submitit":
        from nucleate.studies._submitit import Submitit

        return Submitit(workers, options)
    if name == "ray":
        from nucleate.studies._ray import Ray

        return Ray(workers, options)
    if options:
        raise BadInput(
            f"the executor {name!r} has no option {next(iter(options))!r}; leave it out, or take "
            "submitit or ray"
        )
    if name not in EXECUTORS:
        raise BadInput(
            f"the executor {name!r} is unknown{nearest(name, EXECUTORS)}; take one of "
            f"{', '.join(EXECUTORS)}"
        )
    return Inline() if name == "inline" else Processes(workers)


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
        if not self._stop and now - self._looked >= SECONDS_BETWEEN_LOOKS:
            self._looked = now
            try:
                self._stop = self._line.poll() and bool(self._line.recv())
            except (EOFError, OSError):
                self._stop = True
        return self._stop


def _in_child(folder: Path, line: Any) -> None:
    # Ctrl-C reaches the whole group: the parent decides, and tells by the line.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    do_watched(folder, _Relay(line), threads=1)

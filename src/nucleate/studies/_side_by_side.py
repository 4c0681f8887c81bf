"""Several runs at a time, wherever they are done: begun, watched, told to stop."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from nucleate._core.errors import BadInput, Interrupted
from nucleate._core.progress import Tick, Watcher

SECONDS_BETWEEN_LOOKS = 0.2


class Worker(Protocol):
    """Who is at one run."""

    @property
    def folder(self) -> Path:
        """Of the run."""
        ...

    def is_over(self, watcher: Watcher) -> bool:
        """Whether the work has ended, in whatever way; news of it go to the watcher."""
        ...

    def stop(self) -> None:
        """Ask for an end at the next safe place."""
        ...

    def close(self) -> None:
        """Give back what was needed, once the work is over."""
        ...

    def break_off(self) -> None:
        """The work is not waited for any more; what it wrote stays whole."""
        ...


def side_by_side(
    begin: Callable[[Path], Worker],
    folders: Sequence[Path],
    workers: int,
    watcher: Watcher,
    ended: Callable[[Path], None],
    pause: Callable[[Sequence[Worker]], object] = lambda _: time.sleep(SECONDS_BETWEEN_LOOKS),
) -> None:
    """Let every run be done, so many at a time, as `Executor` says.

    Args:
        begin: gives the work on a run to a worker.
        folders: of the runs.
        workers: at a time.
        watcher: see `Executor`.
        ended: see `Executor`.
        pause: waits a little, at most until one of these workers is over.
    """
    left, working = list(folders), list[Worker]()
    told = False
    try:
        while working or (left and not watcher.stopping()):
            while left and len(working) < workers and not watcher.stopping():
                working.append(begin(left.pop(0)))
            if watcher.stopping() and not told:
                told = True
                for worker in working:
                    worker.stop()
            for worker in [each for each in working if each.is_over(watcher)]:
                working.remove(worker)
                worker.close()
                ended(worker.folder)
            if working:
                pause(working)
    finally:
        # Some are left only where this was broken off.
        for worker in working:
            worker.break_off()


class Flag:
    """A file that says to workers on any machine: go on. Once it is gone, they stop.

    A file that is removed rather than made: that also works on a full disk.

    Args:
        path: on a disk that the workers see.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._seen = path, time.monotonic()

    def part(self, name: str, total: int) -> Tick:  # noqa: ARG002 - the protocol's form
        """Runs count as wholes."""
        return lambda done, note: None

    def say(self, line: str) -> None:
        """Nobody listens on another machine, so it goes to the run's log."""
        logging.getLogger("nucleate").warning("%s", line)

    def stopping(self) -> bool:
        """Whether the flag is gone."""
        now = time.monotonic()
        if now - self._seen < SECONDS_BETWEEN_LOOKS:
            return False
        self._seen = now
        return not self._path.exists()


def do_watched(folder: Path, watcher: Watcher, threads: int) -> None:
    """Do a run in this process, which may do others later, as one of several workers.

    Args:
        folder: of the run.
        watcher: may ask to stop.
        threads: of torch.
    """
    import torch

    from nucleate.studies._do_run import do_run

    torch.set_num_threads(threads)
    with _logged_into(folder / "log.txt"), suppress(Interrupted):
        do_run(folder, watcher)


@contextmanager
def _logged_into(file: Path) -> Iterator[None]:
    """Keep what is logged with the run: on a terminal nobody could tell whose words they are."""
    log = logging.getLogger("nucleate")
    handler, before = logging.FileHandler(file, delay=True), log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()
        log.propagate = before


def needed(package: str, executor: str) -> Any:
    """Import a package that an extra brings.

    Raises:
        BadInput: it is not installed.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise BadInput(
            f"the executor {executor!r} needs the package {error.name!r}, which is not installed: "
            f"pip install 'nucleate[{executor}]', or take --executor process"
        ) from error

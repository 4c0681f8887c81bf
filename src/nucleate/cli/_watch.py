"""Display of progress: bars with the remaining time on a terminal, plain lines otherwise."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from nucleate._core.errors import Interrupted
from nucleate._core.progress import Silent, Tick, Watcher
from nucleate.cli._text import say

if TYPE_CHECKING:
    from nucleate.checkpoints import Series, SeriesReport

# Plain lines are read in logs: frequent enough to show progress, rare enough to read.
_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watcher]:
    """A watcher that fits standard error, with Ctrl-C meaning: stop at the next safe place."""
    console = Console(stderr=True)
    stop = _Stop(console)
    before = signal.signal(signal.SIGINT, stop.on_signal)
    try:
        if quiet:
            yield _Quiet(stop)
        elif console.is_terminal:
            yield from _with_bars(console, stop)
        else:
            yield _Lines(stop)
    finally:
        signal.signal(signal.SIGINT, before)


def checked(series: "Series", watcher: Watcher) -> "SeriesReport":
    """Check a series while a watcher shows how much is read; it stops when the user wants to."""
    from nucleate.checkpoints import check_series

    tick = None
    mebibyte = 2**20

    def progress(done: int, total: int) -> None:
        nonlocal tick
        if tick is None:
            tick = watcher.part("weights read, MiB", max(1, total // mebibyte))
        tick(max(1, total // mebibyte) if done == total else done // mebibyte, "")
        if watcher.stopping():
            raise Interrupted("stopped while weights were read; run again to check them")

    return check_series(series, progress=progress)


def _print(console: Console, line: str) -> None:
    """Print beside bars; words that are longer than a line stay whole."""
    console.print(line, highlight=False, markup=False, overflow="ignore", crop=False)


class _Stop:
    """Remembers a first Ctrl-C; a second one ends the program at once."""

    def __init__(self, console: Console) -> None:
        self.wanted = False
        self._console = console

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True
        _print(self._console, "stopping at the next safe place; Ctrl-C again stops at once")


class _Quiet(Silent):
    def __init__(self, stop: _Stop) -> None:
        self._stop = stop

    def stopping(self) -> bool:
        return self._stop.wanted


class _Lines(_Quiet):
    """A line every few seconds, and one at the end of each part."""

    def say(self, line: str) -> None:
        say(line, err=True)

    def part(self, name: str, total: int) -> Tick:
        began = time.monotonic()
        shown = [began]
        finished = False

        def tick(done: int, note: str) -> None:
            nonlocal finished
            now = time.monotonic()
            early = done < total and now - shown[0] < _SECONDS_BETWEEN_LINES
            if early or finished:
                return
            shown[0], finished = now, done >= total
            left = (now - began) / max(1, done) * (total - done)
            tail = f"{left:.0f} s left" if done < total else f"took {now - began:.1f} s"
            self.say(f"{name}: {done}/{total}, {tail}{', ' + note if note else ''}")

        return tick


class _Bars(_Quiet):
    """One bar per part."""

    def __init__(self, stop: _Stop, progress: Progress) -> None:
        super().__init__(stop)
        self._progress = progress

    def say(self, line: str) -> None:
        _print(self._progress.console, line)

    def part(self, name: str, total: int) -> Tick:
        bar: TaskID = self._progress.add_task(name, total=total, note="")

        def tick(done: int, note: str) -> None:
            self._progress.update(bar, completed=done, note=note)

        return tick


def _with_bars(console: Console, stop: _Stop) -> Iterator[Watcher]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    # Few redraws: they cost training time.
    with Progress(*columns, console=console, refresh_per_second=2) as progress:
        yield _Bars(stop, progress)

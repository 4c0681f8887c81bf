"""What has changed: one watcher for all pages, which looks at the sizes of journals."""

import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_EVERY = 1.0
_ALIVE = 15.0
"""Seconds after which a silent stream says that it is still there, for proxies."""
_KEPT = 4096


@dataclass(frozen=True)
class Event:
    """A run has so many lines in its journal now; without a run, the list has changed."""

    number: int
    run: str
    lines: int

    def text(self, life: str) -> str:
        """As it is sent."""
        kind = "run" if self.run else "runs"
        data = json.dumps({"run": self.run, "lines": self.lines})
        return f"id: {life}.{self.number}\nevent: {kind}\ndata: {data}\n\n"


class Events:
    """Lines of journals as they grow, for any number of pages.

    Args:
        runs: gives the run folders there are, by their ids.
    """

    def __init__(self, runs: Callable[[], Mapping[str, Path]]) -> None:
        self._runs = runs
        self._known: dict[str, int] | None = None
        self._lines: dict[str, tuple[int, int]] = {}
        self._events: deque[Event] = deque(maxlen=_KEPT)
        self._count = 0
        self._changed = asyncio.Condition()
        # Numbers of another server's life mean nothing here.
        self._life = secrets.token_hex(4)

    async def watch(self) -> None:
        """Look at all journals again and again; to be cancelled."""
        while True:
            started = time.monotonic()
            try:
                grown = await asyncio.to_thread(self.look)
            except OSError:  # a disk that is away for a while must not end the watching
                grown = []
            if grown:
                async with self._changed:
                    for run, lines in grown:
                        self._count += 1
                        self._events.append(Event(self._count, run, lines))
                    self._changed.notify_all()
            # Many runs on a slow disk: a tenth of the time at most is spent on looking.
            await asyncio.sleep(max(_EVERY, 9 * (time.monotonic() - started)))

    async def stream(self, last: str | None) -> AsyncIterator[str]:
        """Server-sent events after the one that a page has seen last.

        Args:
            last: the `Last-Event-ID` of the page; None for a new page, which gets what comes.
        """
        seen = self._seen(last)
        yield f"retry: 2000\nid: {self._life}.{seen}\n\n"
        while True:
            for event in [each for each in self._events if each.number > seen]:
                yield event.text(self._life)
                seen = event.number
            if not await self._grown_beyond(seen):
                yield ": still here\n\n"

    async def _grown_beyond(self, seen: int) -> bool:
        """Wait for an event after one; false where none comes for long."""
        try:
            async with asyncio.timeout(_ALIVE), self._changed:
                await self._changed.wait_for(lambda: self._count > seen)
        except TimeoutError:
            return False
        return True

    def _seen(self, last: str | None) -> int:
        life, _, number = (last or "").partition(".")
        if life == self._life and number.isdigit():
            return min(int(number), self._count)
        # A page of an earlier life cannot know what it missed: it gets all there is.
        return self._count if last is None else 0

    def look(self) -> list[tuple[str, int]]:
        """Runs whose journals have grown since the last look, with their lines.

        A run without a name stands for the list, where runs have come or gone. The first look
        takes sizes only: a journal is read once it grows.
        """
        runs = self._runs()
        sizes = {run: _size(folder) for run, folder in runs.items()}
        known, self._known = self._known, sizes
        if known is None:
            return []
        grown = [("", 0)] if sizes.keys() != known.keys() else []
        for run, size in sizes.items():
            if size == known.get(run, 0):
                continue
            read, lines = self._lines.get(run, (0, 0))
            if size < read:  # begun anew
                read, lines = 0, 0
            lines += _lines(runs[run] / "journal.jsonl", read, size)
            self._lines[run] = (size, lines)
            grown.append((run, lines))
        return grown


def _size(folder: Path) -> int:
    try:
        return (folder / "journal.jsonl").stat().st_size
    except OSError:
        return 0


def _lines(path: Path, start: int, end: int) -> int:
    """Whole lines between two places of a file; a torn last one is counted when it is whole."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(end - start).count(b"\n")
    except OSError:
        return 0

"""What has changed: one watcher for all pages, which looks at the sizes of journals."""

import asyncio
import json
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nucleate.app._listing import id_of

_EVERY = 1.0
_ALIVE = 15.0
"""Seconds after which a silent stream says that it is still there, for proxies."""
_KEPT = 4096


@dataclass(frozen=True)
class Event:
    """A run has so many lines in its journal now."""

    number: int
    run: str
    lines: int


class Events:
    """Lines of journals as they grow, for any number of pages.

    Args:
        runs: gives the run folders there are.
    """

    def __init__(self, runs: Callable[[], Sequence[Path]]) -> None:
        self._runs = runs
        self._known: dict[Path, tuple[int, int]] = {}
        self._events: deque[Event] = deque(maxlen=_KEPT)
        self._count = 0
        self._changed = asyncio.Condition()
        # Numbers of another server's life mean nothing here.
        self._life = secrets.token_hex(4)

    async def watch(self) -> None:
        """Look at all journals again and again; to be cancelled."""
        while True:
            grown = await asyncio.to_thread(self._look)
            if grown:
                async with self._changed:
                    for run, lines in grown:
                        self._count += 1
                        self._events.append(Event(self._count, run, lines))
                    self._changed.notify_all()
            await asyncio.sleep(_EVERY)

    async def stream(self, last: str | None) -> AsyncIterator[str]:
        """Server-sent events after the one that a page has seen last.

        Args:
            last: the `Last-Event-ID` of the page; None for a new page, which gets what comes.
        """
        seen = self._seen(last)
        yield f"retry: 2000\nid: {self._life}.{seen}\n\n"
        while True:
            for event in [each for each in self._events if each.number > seen]:
                data = json.dumps({"run": event.run, "lines": event.lines})
                yield f"id: {self._life}.{event.number}\nevent: run\ndata: {data}\n\n"
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

    def _look(self) -> list[tuple[str, int]]:
        grown = []
        for folder in self._runs():
            path = folder / "journal.jsonl"
            try:
                size = path.stat().st_size
            except OSError:
                size = 0
            before, lines = self._known.get(folder, (0, 0))
            if size == before:
                continue
            if size < before:  # begun anew
                before, lines = 0, 0
            lines += _lines(path, before, size)
            if folder in self._known or self._count:
                grown.append((id_of(folder), lines))
            self._known[folder] = (size, lines)
        return grown


def _lines(path: Path, start: int, end: int) -> int:
    """Whole lines between two places of a file; a torn last one is counted when it is whole."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(end - start).count(b"\n")
    except OSError:
        return 0

"""Which runs there are, and a line on each that is made again only where the run has changed."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nucleate._core.errors import BadInput
from nucleate.views import line_of

_DEPTH = 4
"""Runs are looked for in folders of folders, so many deep."""


def find_runs(places: Sequence[Path]) -> list[Path]:
    """Run folders: the places themselves, or those below them, in order of their paths.

    Args:
        places: run folders, or folders that hold some, at most four levels down.

    Raises:
        BadInput: a place is not there.
    """
    found: dict[Path, None] = {}
    for place in places:
        if not place.is_dir():
            why = "it is a file" if place.exists() else "there is no such folder"
            raise BadInput(f"{place} holds no runs: {why}; name a folder with runs")
        for run in sorted(_below(place, _DEPTH)):
            found.setdefault(run.resolve(), None)
    return list(found)


def check_runs(places: Sequence[Path]) -> None:
    """Make sure that there is a run, without looking for all of them.

    Raises:
        BadInput: there is none below any of the places, or a place is not there.
    """
    for place in places:
        if not place.is_dir():
            find_runs([place])
    if not any(True for place in places for _ in _below(place, _DEPTH)):
        raise BadInput(
            f"there is no run in {', '.join(map(str, places))}; make one with "
            "`nucleate reproduce --preset smoke --out runs/first`, or name another folder"
        )


def _below(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / "manifest.json").exists():
        yield folder
        return
    if depth == 0:
        return
    with suppress(OSError):  # a folder that cannot be listed has no runs to show
        for entry in os.scandir(folder):
            if entry.is_dir() and not entry.name.startswith("."):
                yield from _below(Path(entry.path), depth - 1)


def stamp_of(folder: Path, *, journal: bool = True) -> tuple[int, ...]:
    """Changes whenever anything of a run that is shown does.

    Args:
        folder: of the run.
        journal: false for what a line of loss does not change: states, prompts, measurements.
    """
    stamp: list[int] = []
    changing = "journal.jsonl" if journal else "states"
    for name in (
        "manifest.json",
        changing,
        "panel.csv",
        "causal_map.csv",
        "summary.json",
        "alarms.json",
    ):
        try:
            known = (folder / name).stat()
        except OSError:
            stamp += (-1, -1)
        else:
            stamp += (known.st_size, known.st_mtime_ns)
    return tuple(stamp)


@dataclass
class Listing:
    """Lines on runs, made again only where a run has changed."""

    _known: dict[Path, tuple[tuple[int, ...], dict[str, Any]]] = field(default_factory=dict)

    def of(self, folders: Sequence[Path]) -> list[dict[str, Any]]:
        """A line a run; a folder that cannot be read is listed with its fault."""
        return [self._line(folder) for folder in folders]

    def _line(self, folder: Path) -> dict[str, Any]:
        stamp = stamp_of(folder)
        known = self._known.get(folder)
        # A run that was running may have fallen silent without a byte written.
        if known is None or known[0] != stamp or known[1]["status"] == "running":
            known = (stamp, line_of(folder))
            self._known[folder] = known
        return known[1]

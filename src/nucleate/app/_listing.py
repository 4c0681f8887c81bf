"""Which runs there are, and a line on each: read from small files, without torch."""

import csv
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nucleate._core.errors import BadInput
from nucleate.runs import Journal, is_stale, read_manifest, status_of

_DEPTH = 4
"""Runs are looked for in folders of folders, so many deep."""
_SPARK = 40


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


def id_of(folder: Path) -> str:
    """A name for addresses: of the folder, and told apart by its whole path."""
    digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    slug = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")[:30] or "run"
    return f"{slug}-{digest}"


def stamp_of(folder: Path, *, journal: bool = True) -> tuple[int, ...]:
    """Changes whenever anything of a run that is shown does.

    Args:
        folder: of the run.
        journal: false for what a line of loss does not change: states, prompts, measurements.
    """
    stamp: list[int] = []
    changing = "journal.jsonl" if journal else "states"
    for name in ("manifest.json", changing, "panel.csv", "causal_map.csv", "summary.json"):
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


def line_of(folder: Path) -> dict[str, Any]:
    """What the list of runs shows of one folder.

    Returns:
        `id, name, folder, status, stale, step, steps, headline, clusters, used, places, accuracy,
        spark, updated, fault`; what is not known is None.
    """
    line: dict[str, Any] = {
        "id": id_of(folder), "name": folder.name, "folder": str(folder), "status": None,
        "stale": False, "step": None, "steps": 0, "headline": None, "clusters": None,
        "used": None, "places": None, "accuracy": None, "spark": [], "updated": None, "fault": None,
    }  # fmt: skip
    try:
        manifest = read_manifest(folder)
        journal = Journal(folder / "journal.jsonl")
    except BadInput as error:
        return line | {"fault": str(error)}
    except OSError as error:
        return line | {
            "fault": f"{folder} cannot be read ({error.strerror}); check its permissions"
        }
    records = list(journal.live())
    steps = sorted({record["step"] for record in records if record["kind"] == "snapshot"})
    now = time.time()
    times = [record["time"] for record in records if "time" in record]
    return line | {
        "name": str(manifest.get("name", folder.name)), "status": status_of(journal, now),
        "stale": is_stale(journal, now),
        "step": max((int(record.get("step", 0)) for record in records), default=0),
        "steps": len(steps), "updated": times[-1] if times else None,
        **_judged(folder), **_curve(folder, records),
    }  # fmt: skip


def _judged(folder: Path) -> dict[str, Any]:
    """What the summary says, where there is one."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        verdict = summary["verdict"]
        words = verdict["words"]
        places = [{key: place[key] for key in ("clusters", "verdict")}
                  for place in summary["places"]]  # fmt: skip
        return {"clusters": verdict["clusters"], "used": verdict["used"], "places": places,
                "headline": words[0] if words else None}  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _curve(folder: Path, records: list[dict[str, Any]]) -> dict[str, Any]:
    """Accuracy over steps, where it is in a table, else the loss of the journal."""
    rows: dict[str, list[float]] = {}
    with (
        suppress(OSError, ValueError, KeyError),
        (folder / "accuracy.csv").open(encoding="utf-8") as file,
    ):
        for row in csv.DictReader(file):
            rows.setdefault(row["split"], []).append(float(row["accuracy"]))
    if rows:
        values = rows.get("seen") or next(iter(rows.values()))
        return {"spark": _thinned(values), "accuracy": values[-1]}
    losses = [float(record["loss"]) for record in records if _is_number(record.get("loss"))]
    return {"spark": _thinned(losses)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and value == value and abs(value) != float("inf")


def _thinned(values: list[float]) -> list[float]:
    """At most so many of them, evenly, the last included."""
    if len(values) <= _SPARK:
        return values
    return [values[round(at * (len(values) - 1) / (_SPARK - 1))] for at in range(_SPARK)]

"""A line on a run: what a list of runs shows of it. Read from small files, without torch."""

import csv
import hashlib
import json
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate.runs import Journal, is_stale, read_manifest, status_of

_SPARK = 40
"""Points of the small curve."""


def id_of(folder: Path | str) -> str:
    """A name for addresses: of the folder, and told apart by its whole path.

    Args:
        folder: of a run.
    """
    folder = as_path("folder", folder)
    digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    slug = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")[:30] or "run"
    return f"{slug}-{digest}"


def line_of(folder: Path | str) -> dict[str, Any]:
    """What the list of runs shows of one folder.

    Args:
        folder: of a run, or of what should be one: a fault is told, not raised.

    Returns:
        `id, name, folder, status, stale, step, steps, headline, clusters, used, places, accuracy,
        spark, updated, fault`; what is not known is None.
    """
    folder = as_path("folder", folder)
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

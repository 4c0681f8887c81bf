"""The record of thresholds: which stood when, so that one changed after the fact is told."""

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate.monitor.gate._page import Page

RECORD = "thresholds.jsonl"


def record_thresholds(page: Page, file: Path | str, now: float | None = None) -> None:
    """Keep the thresholds of a page, with the time; what is on record already is not written twice.

    Args:
        page: of criteria.
        file: JSON Lines, each line with the hash of the one before; only ever appended to.
        now: in Unix seconds; the clock's by default.

    Raises:
        BadInput: the record is damaged.
    """
    file = as_path("the record of thresholds", file)
    lines = _lines(file)
    known = [line for line in lines if line["page"] == page.name]
    if known and known[-1]["digest"] == page.digest:
        return
    line = {
        "page": page.name,
        "digest": page.digest,
        "time": time.time() if now is None else now,
        "thresholds": page.thresholds,
        "before": lines[-1]["hash"] if lines else "",
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as record:
        record.write(_written({**line, "hash": _hash(line)}))
        record.flush()
        os.fsync(record.fileno())


def first_use(page: Page, file: Path | str) -> float | None:
    """When the thresholds of a page, as they are now, came on record; None: they are not.

    Raises:
        BadInput: the record is damaged.
    """
    for line in _lines(as_path("the record of thresholds", file)):
        if line["page"] == page.name and line["thresholds"] == page.thresholds:
            return float(line["time"])
    return None


def changes(page: Page, file: Path | str) -> list[dict[str, Any]]:
    """Each threshold that was another at the first use of a page of this name.

    Args:
        page: that is judged by.
        file: the record.

    Returns:
        `criterion`, `key`, `before`, `now`, and `time` of the first use; a criterion that is new
        or gone has the key `criterion`.

    Raises:
        BadInput: the record is damaged.
    """
    lines = _lines(as_path("the record of thresholds", file))
    first = next((line for line in lines if line["page"] == page.name), None)
    if first is None:
        return []
    before, now = first["thresholds"], page.thresholds
    found = []
    for name in dict.fromkeys([*before, *now]):
        if name not in before or name not in now:
            found.append((name, "criterion", name in before, name in now))
            continue
        found += [
            (name, key, before[name].get(key), value)
            for key, value in now[name].items()
            if before[name].get(key) != value
        ]
    return [
        {"criterion": name, "key": key, "before": old, "now": new, "time": first["time"]}
        for name, key, old, new in found
    ]


def other_pages(page: Page, file: Path | str) -> list[str]:
    """Names of other pages on the same record."""
    lines = _lines(as_path("the record of thresholds", file))
    return list(dict.fromkeys(line["page"] for line in lines if line["page"] != page.name))


def _lines(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    lines: list[dict[str, Any]] = []
    try:
        for text in file.read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            whole = {key: value for key, value in line.items() if key != "hash"}
            if line["hash"] != _hash(whole):
                raise ValueError(f"line {len(lines) + 1} is not as it was written")
            if line["before"] != (lines[-1]["hash"] if lines else ""):
                raise ValueError(f"before line {len(lines) + 1} a line is missing")
            lines.append(line)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{file} is damaged ({error}); it says which thresholds stood when: restore it, or "
            "begin with another folder"
        ) from error
    return lines


def _hash(line: dict[str, Any]) -> str:
    text = json.dumps(line, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _written(line: dict[str, Any]) -> bytes:
    return (json.dumps(line, ensure_ascii=False) + "\n").encode()

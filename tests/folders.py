"""Folders of data, as `from_folder` reads them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

INTENTS = {"pay": "money", "owe": "money", "fly": "travel", "stay": "travel"}


def write(
    folder: Path, rows: Iterable[Mapping[str, Any]], tasks: Iterable[Mapping[str, Any]] = ()
) -> Path:
    """Write `data.jsonl` and `tasks.jsonl`."""
    folder.mkdir(exist_ok=True)
    for name, records in (("data.jsonl", rows), ("tasks.jsonl", tasks)):
        lines = [json.dumps(record) + "\n" for record in records]
        if lines:
            (folder / name).write_text("".join(lines), encoding="utf-8")
    return folder


def requests(folder: Path) -> Path:
    """Four tasks of two categories, each of 20 requests without an input."""
    rows = [
        {"task": task, "instruction": f"{task} number {k}", "input": "", "output": task,
         "split": "test" if k % 5 == 4 else "train"}
        for task in INTENTS for k in range(20)
    ]  # fmt: skip
    tasks = [{"task": task, "category": domain} for task, domain in INTENTS.items()]
    return write(folder, rows, tasks)


def with_inputs(folder: Path) -> Path:
    """Two tasks in eight wordings each, and no file of tasks."""
    rows = [
        {"task": task, "instruction": f"{verb} it, way {k % 8}", "input": f"x{k}",
         "output": f"{task}{k}", "split": "test" if k % 10 == 0 else "train"}
        for task, verb in (("a", "double"), ("b", "halve")) for k in range(40)
    ]  # fmt: skip
    return write(folder, rows)

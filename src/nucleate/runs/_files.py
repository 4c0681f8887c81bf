"""Writing files so that a crash leaves the old file or the new one, never half of either."""

import json
import os
import shutil
from pathlib import Path
from typing import Any


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` at `path` by way of a temporary file: written, synced, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    _sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Put a JSON value at `path`, indented, the keys as they come."""
    write_whole(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def publish_folder(partial: Path, final: Path) -> None:
    """Rename a finished folder to its place, replacing what a crashed attempt left there."""
    if final.exists():
        shutil.rmtree(final)
    for file in partial.iterdir():
        with file.open("rb+") as handle:
            os.fsync(handle.fileno())
    partial.rename(final)
    _sync_folder(final.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

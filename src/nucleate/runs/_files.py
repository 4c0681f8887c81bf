"""Writing files so that a crash leaves the old file or the new one, never half of either."""

import json
import os
import shutil
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from nucleate._core.errors import BadInput


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


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written into, before any work is done for it.

    Raises:
        BadInput: it is a file, or it, or the nearest of its parents that exists, is read-only.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        if not there.is_dir():
            raise NotADirectoryError("it is a file")
        with NamedTemporaryFile(dir=there, prefix=".nucleate"):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInput(
            f"{there} cannot be written into ({reason.lower()}); name another folder with --out"
        ) from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

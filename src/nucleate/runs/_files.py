"""Writing files so that a crash leaves the old file or the new one, never half of either."""

import json
import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput

_ELSEWHERE = "write elsewhere with --out FOLDER (out=...), or make it writable"


def write_whole(path: Path | str, data: bytes) -> None:
    """Put `data` at `path` by way of a temporary file: written, synced, then renamed."""
    path = as_path("path", path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        with suppress(OSError):  # half a file on a full disk is in everybody's way
            partial.unlink()
        raise
    _sync_folder(path.parent)


def check_writable(folder: Path | str, remedy: str = _ELSEWHERE) -> None:
    """Make sure, before the work, that a run folder can be written at its end.

    Tries it: makes an empty file in the folder, or in the nearest one above it that exists, and
    removes it.

    Args:
        folder: of a run; it need not be there.
        remedy: what to do about it, for the message.

    Raises:
        BadInput: the folder, its `states`, or its journal cannot be written.
    """
    folder = Path(folder)
    existing = next((one for one in (folder, *folder.parents) if one.exists()), Path())
    journal, states = folder / "journal.jsonl", folder / "states"
    try:
        for place in (existing, states) if states.is_dir() else (existing,):
            probe = place / f".writable.{os.getpid()}.{threading.get_ident()}"
            os.close(os.open(probe, os.O_CREAT | os.O_WRONLY, 0o644))
            probe.unlink()
        if journal.exists():
            os.close(os.open(journal, os.O_WRONLY | os.O_APPEND))
    except OSError as error:
        raise BadInput(
            f"{folder} cannot be written ({error.strerror or error}); {remedy}"
        ) from error


def write_json(path: Path | str, value: Any) -> None:
    """Put a JSON value at `path`, indented, the keys as they come."""
    path = as_path("path", path)
    write_whole(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def publish_folder(partial: Path | str, final: Path | str) -> None:
    """Rename a finished folder to its place, replacing what a crashed attempt left there."""
    final = as_path("final", final)
    partial = as_path("partial", partial)
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

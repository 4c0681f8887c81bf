"""The user's folder for what can be made again at any time."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import platformdirs

MOST_BYTES = 2 * 10**9
"""What the folder may hold after `trim_cache`."""


def cache_folder(kind: str) -> Path:
    """Where files of one kind are kept; the variable NUCLEATE_CACHE names another place.

    Args:
        kind: such as `clouds`.
    """
    place = os.environ.get("NUCLEATE_CACHE")
    folder = Path(place) if place else Path(platformdirs.user_cache_dir("nucleate", False))
    return folder / kind


def trim_cache(folder: Path, most: int = MOST_BYTES) -> None:
    """Delete the files that were not used for longest until no more than `most` bytes are left.

    Args:
        folder: of one kind.
        most: bytes.
    """
    known = sorted(_files(folder))
    left = sum(size for _, size, _ in known)
    for _, size, path in known:
        if left <= most:
            return
        with suppress(OSError):  # another process may have taken it away
            path.unlink()
        left -= size


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """When each file was last read or written, its bytes and its path."""
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file():
                about = path.stat()
                yield max(about.st_atime, about.st_mtime), about.st_size, path

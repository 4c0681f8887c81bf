"""A full disk, told in a sentence."""

import errno
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nucleate._core.errors import RunFailed
from nucleate.runs import write_whole

_ROOM = 2**20
"""Bytes that every run needs."""


def full_disk(error: BaseException) -> OSError | None:
    """The error that says that a disk is full, if that is what this one comes from."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, OSError) and at.errno in (errno.ENOSPC, errno.EDQUOT):
            return at
        at = at.__cause__ or at.__context__
    return None


@contextmanager
def told_when_full(folder: Path) -> Iterator[None]:
    """Say in a sentence that a disk is full.

    Raises:
        RunFailed: it is.
    """
    try:
        yield
    except OSError as error:
        if full_disk(error) is not error:
            raise
        raise RunFailed(
            f"the disk of {folder} is full ({error}); free some of it and run again to resume"
        ) from error


def why_full(folder: Path) -> str:
    """A sentence if the disk of a folder is full, else nothing.

    Tried, since a quota shows nowhere else; a run on a full disk may have no room to say why it
    ended.
    """
    probe = folder / f".room-{uuid.uuid4().hex}"
    try:
        with suppress(OSError), told_when_full(folder):  # other errors are the run's to tell
            write_whole(probe, bytes(_ROOM))
    except RunFailed as error:
        return str(error)
    finally:
        probe.unlink(missing_ok=True)
    return ""

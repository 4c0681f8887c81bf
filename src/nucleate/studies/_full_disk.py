"""A full disk, told in a sentence."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nucleate._core.errors import RunFailed


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

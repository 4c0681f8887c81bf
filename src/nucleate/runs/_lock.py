"""One writer a run folder: a lock file that names the writer, and a sign of life from it."""

import fcntl
import json
import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput

_log = logging.getLogger("nucleate")

_NAME = "writer.lock"
# A lock's file is touched so often, by a thread of its own, whatever the training does.
_BEAT = 20.0
# Of a writer that cannot be asked (another machine), so much silence means that it is gone.
_SILENCE = 180.0
# What the start of a process, as its machine counts it, may differ by between two looks.
_TOLERANCE = 5.0


@dataclass(frozen=True)
class Writer:
    """Who writes into a run folder.

    Attributes:
        pid: process.
        host: name of the machine.
        machine: what tells the machine's process numbers from those of others.
        born: when the process started, in Unix seconds.
        since: when it began to write, in Unix seconds.
        token: of this one lock.
    """

    pid: int
    host: str
    machine: str
    born: float
    since: float
    token: str

    def __str__(self) -> str:
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host} since {began}"


class Lock:
    """The right to write into a run folder, held by one writer at a time.

    The file is created in one step that fails if it is there, which also holds on network file
    systems. Reading needs no lock, nor does what is written beside the states (panels, maps).

    Args:
        folder: of the run; it must exist.

    Raises:
        BadInput: somebody else writes there.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path | str) -> None:
        folder = as_path("folder", folder)
        self._path = folder / _NAME
        self._me = _myself()
        while not self._create():
            check_unlocked(folder)
            self._remove_stale()
        self._ended = threading.Event()
        beat = threading.Thread(target=self._beat, name="nucleate-lock", daemon=True)
        beat.start()

    @property
    def foreign(self) -> bool:
        """Whether this is a forked child's copy: the lock is the parent's."""
        return self._me.pid != os.getpid()

    def check(self) -> None:
        """Make sure that the folder is still the one that was locked, and the lock ours.

        Raises:
            FileNotFoundError: it was renamed, removed or replaced, or another has the lock.
        """
        if not self._is_ours():
            raise FileNotFoundError(
                f"{self._path.parent} was renamed, removed or taken over while it was written"
            )

    def release(self) -> None:
        """Give the lock back; a copy in a forked child does nothing."""
        self._ended.set()
        if not self.foreign and self._is_ours():
            with suppress(OSError):
                self._path.unlink()

    def _is_ours(self) -> bool:
        there = _read(self._path)
        return there is not None and there.token == self._me.token

    def _create(self) -> bool:
        try:
            handle = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(asdict(self._me), file)
        except OSError:  # a full disk: a lock without a name would keep everybody out
            self._path.unlink(missing_ok=True)
            raise
        return True

    def _remove_stale(self) -> None:
        """Remove the lock of a writer that is gone, unless somebody else was quicker."""
        with _alone_with(self._path) as there:
            writer = _read(self._path)
            if there and _is_gone(self._path, writer):
                self._path.unlink()
                name = writer or "a writer that left no name"
                _log.warning("%s: taking over from %s, which is gone", self._path.parent, name)

    def _beat(self) -> None:
        while not self._ended.wait(_BEAT) and self._is_ours():
            with suppress(OSError):
                os.utime(self._path)


def check_unlocked(folder: Path | str) -> None:
    """Make sure that nobody writes into a run folder.

    Raises:
        BadInput: somebody does; a lock whose writer is gone does not count.
    """
    path = Path(folder) / _NAME
    writer = _read(path)
    if not path.exists() or _is_gone(path, writer):
        return
    own = writer is not None and writer.pid == os.getpid() and writer.machine == _machine()
    remedy = "call close() on the recorder that does" if own else "wait for it or stop it"
    raise BadInput(
        f"{folder} is being written by {writer or 'a process that left no name'}"
        f"{', this very process' if own else ''}; {remedy}, or name another folder"
    )


def _is_gone(path: Path, writer: Writer | None) -> bool:
    """Whether the writer of a lock has ended, as far as that can be told from here."""
    if writer is not None and writer.machine == _machine():
        return not _runs(writer)
    return _silence(path) > _SILENCE


def _myself() -> Writer:
    pid = os.getpid()
    born = psutil.Process(pid).create_time()
    return Writer(pid, platform.node(), _machine(), born, time.time(), uuid.uuid4().hex)


def _machine() -> str:
    """Two processes with the same one can ask for each other: same boot, same numbering."""
    parts: list[Any] = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _runs(writer: Writer) -> bool:
    try:
        process = psutil.Process(writer.pid)
        same = abs(process.create_time() - writer.born) <= _TOLERANCE
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _read(path: Path) -> Writer | None:
    try:
        return Writer(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _silence(path: Path) -> float:
    """Seconds since a lock was touched, by the clock of its file system; 0 if there is none."""
    try:
        touched = path.stat().st_mtime
    except OSError:
        return 0.0
    probe = path.with_name(f".{_NAME}.{uuid.uuid4().hex}")
    try:
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
    except OSError:
        now = time.time()
    return now - touched


@contextmanager
def _alone_with(path: Path) -> Iterator[bool]:
    """Yields whether `path` is there, and keeps others out who would replace it as well."""
    try:
        with path.open("rb") as file:
            with suppress(OSError):  # where a file system knows no such locks
                fcntl.flock(file, fcntl.LOCK_EX)
            yield path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        yield False

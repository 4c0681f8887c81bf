"""The journal: an append-only file of records, a checksum a line, the truth about a run."""

import errno
import fcntl
import json
import math
import os
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput

Record = dict[str, Any]


class Journal:
    """Append-only records in `journal.jsonl`; each line is a CRC-32 in hex, a space, JSON.

    Opening a journal reads it and changes no byte, so a reader beside a writer is harmless. A
    record is acknowledged once `append` returns; with `durable` it then also survives a power cut.
    An incomplete last line (a crash, or a writer that is in the middle of it) is left out when
    reading and cut off before the next append; a line damaged anywhere else is refused, since
    what follows it cannot be trusted.

    Args:
        path: the file; it is created by the first `append`.

    Raises:
        BadInput: a line other than the last is damaged.
    """

    def __init__(self, path: Path | str) -> None:
        path = as_path("path", path)
        self._path = path
        self._records: list[Record] = []
        self._size = 0  # bytes of the file that hold `_records`
        self._written = -math.inf  # when this object last wrote, on the monotonic clock
        self._lock = threading.Lock()
        if path.exists():
            self._catch_up()

    def append(self, kind: str, *, durable: bool = False, **fields: Any) -> None:
        """Write one record of the given kind, with the time of now as `time` in Unix seconds.

        Args:
            kind: what the record is: `step`, `snapshot`, `checkpoint`, `rewind`, `heartbeat`,
                `event`, `part`, `run_end`.
            durable: wait until the disk has it.
            fields: JSON values.

        Raises:
            OSError: the disk is full or gone; the file is then as it was before the call.
            BadInput: somebody else has shortened the file meanwhile.
        """
        record: Record = {"kind": kind, "time": round(time.time(), 3), **fields}
        text = json.dumps(record, separators=(",", ":"))
        line = f"{zlib.crc32(text.encode()):08x} {text}\n".encode()
        with self._lock, self._path.open("ab", buffering=0) as file, _locked(file):
            size = os.fstat(file.fileno()).st_size
            if size < self._size:
                raise BadInput(
                    f"{self._path} has become shorter since it was opened ({size} bytes, "
                    f"{self._size} were known); restore it, or open the run anew"
                )
            if size > self._size:
                self._catch_up()
                file.truncate(self._size)
            try:
                # One write of one line through O_APPEND: a reader sees all of it or a last line
                # that it leaves out.
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
                if durable:
                    os.fsync(file.fileno())
            except OSError:
                file.truncate(self._size)
                raise
            self._size += len(line)
            self._records.append(record)
        self._written = time.monotonic()

    def _catch_up(self) -> None:
        """Read the complete lines that follow what is known already."""
        with self._path.open("rb") as file:
            file.seek(self._size)
            records, size = _parse(file.read(), self._path, after=len(self._records))
        self._records += records
        self._size += size

    @property
    def idle(self) -> float:
        """Seconds since this object last wrote a record; infinite if it never did."""
        return time.monotonic() - self._written

    def newest(self, count: int) -> list[Record]:
        """The last records of the file, oldest first, whether or not they still hold."""
        return self._records[-count:]

    def live(self, kind: str | None = None) -> Iterator[Record]:
        """The records that still hold: a `rewind` voids everything of a later step before it."""
        kept: list[Record] = []
        for record in self._records:
            if record["kind"] == "rewind":
                kept = [r for r in kept if r.get("step", -1) <= record["to"]]
            kept.append(record)
        return (r for r in kept if kind is None or r["kind"] == kind)

    def last(self, kind: str, **fields: Any) -> Mapping[str, Any] | None:
        """The newest live record of a kind whose fields have the given values, or None."""
        found = None
        for record in self.live(kind):
            if all(record.get(name) == value for name, value in fields.items()):
                found = record
        return found


@contextmanager
def _locked(file: IO[bytes]) -> Iterator[None]:
    """Keep other writers out; where a file system knows no locks, one writer is trusted."""
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX)
    yield  # closing the file unlocks it


def _parse(data: bytes, path: Path, *, after: int) -> tuple[list[Record], int]:
    """All sound records, and how many bytes they take; `after` lines stand before these."""
    records: list[Record] = []
    sound_bytes = 0
    lines = data.splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        record = _parse_line(line)
        if record is None:
            if number == len(lines):
                break
            raise BadInput(
                f"{path}, line {after + number} is damaged (its checksum does not fit); restore "
                "the file from a copy, or cut it before that line and run again"
            )
        records.append(record)
        sound_bytes += len(line)
    return records, sound_bytes


def _parse_line(line: bytes) -> Record | None:
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    record: Record = json.loads(text)
    return record

"""The journal: an append-only file of records, a checksum a line, the truth about a run."""

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nucleate._errors import BadInput

Record = dict[str, Any]


class Journal:
    """Append-only records in `journal.jsonl`; each line is a CRC-32 in hex, a space, JSON.

    A record is acknowledged once `append` returns; with `durable` it then also survives a power
    cut. A line that a crash tore off at the end is dropped when the journal is opened again; a
    line damaged anywhere else is refused, since what follows it cannot be trusted.

    Args:
        path: the file; it is created by the first `append`.

    Raises:
        BadInput: a line other than the last is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._records: list[Record] = []
        if path.exists():
            self._records, sound_bytes = _parse(path)
            if sound_bytes < path.stat().st_size:
                os.truncate(path, sound_bytes)

    def append(self, kind: str, *, durable: bool = False, **fields: Any) -> None:
        """Write one record of the given kind.

        Args:
            kind: what the record is: `step`, `snapshot`, `checkpoint`, `rewind`, `event`.
            durable: wait until the disk has it.
            fields: JSON values.
        """
        record: Record = {"kind": kind, **fields}
        text = json.dumps(record, separators=(",", ":"))
        line = f"{zlib.crc32(text.encode()):08x} {text}\n"
        # One write of one line through O_APPEND: a reader never sees half a record.
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        self._records.append(record)

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


def _parse(path: Path) -> tuple[list[Record], int]:
    """All sound records, and how many bytes of the file they take."""
    records: list[Record] = []
    sound_bytes = 0
    lines = path.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        record = _parse_line(line)
        if record is None:
            if number == len(lines):
                break
            raise BadInput(
                f"{path}, line {number} is damaged (its checksum does not fit); restore the file "
                "from a copy, or cut it before that line and run again"
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

"""A journal of what was audited and decided: each line holds the hash of the line before."""

import fcntl
import hashlib
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from json import JSONDecodeError, loads
from pathlib import Path
from typing import Any

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate.monitor.audit._table import HASH
from nucleate.runs import Journal

START = "0" * 64
"""What stands for the hash of a line before the first."""
_HEAD = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[\w .:+/-]{1,60}")


@dataclass(frozen=True)
class Chain:
    """What checking a journal found.

    Attributes:
        entries: what its lines say, those before the first fault.
        head: hash of the last of these; who keeps it elsewhere can tell later whether anything was
            altered or cut off since.
        faults: a sentence for each thing that is wrong, in the order of the lines; after the first
            one, later lines prove nothing.
        grown: lines after the head that was given; None if none was given, or it is not there.
        torn: bytes of an incomplete last line.
    """

    entries: tuple[Mapping[str, Any], ...]
    head: str
    faults: tuple[str, ...]
    grown: int | None = None
    torn: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "ok": self.ok, "lines": len(self.entries), "head": self.head,
            "faults": list(self.faults), "grown": self.grown,
        }  # fmt: skip

    def lines(self) -> list[str]:
        """What was found, in words."""
        count = len(self.entries)
        if self.faults:
            return [*self.faults, f"{_lines(count)} before that, head {self.head}"]
        said = f"{_lines(count)}, nothing wrong, head {self.head}"
        if self.grown is None:
            return [said, "whether lines were cut off at the end is told by a head kept elsewhere"]
        return [said, f"the given head is there; {_lines(self.grown)} added since"]


def verify_journal(path: Path | str, head: str | None = None) -> Chain:
    """Check that no line of a journal was altered, removed, put elsewhere, or cut off.

    Args:
        path: of the journal.
        head: hash that the journal had earlier, as kept elsewhere. Without it, lines that were
            removed from the end leave no trace, nor does a journal that was written anew.

    Raises:
        BadInput: there is no such file, or the head is no hash.
    """
    path = as_path("path", path)
    if head is not None and not _HEAD.fullmatch(head):
        raise BadInput(f"head is {head!r}; give the 64 hexadecimal digits that were printed")
    if not path.is_file():
        raise BadInput(f"{path} does not exist; give the journal that an audit wrote")
    return _check(path.read_bytes(), head)


def _check(content: bytes, head: str | None = None) -> Chain:
    *lines, rest = content.split(b"\n")
    entries: list[Mapping[str, Any]] = []
    faults: list[str] = []
    hashes = [START]
    for number, line in enumerate(lines, 1):
        entry = _entry(line)
        fault = _fault(entry, number, hashes[-1])
        if fault:
            faults.append(fault)
            break
        assert entry is not None
        entries.append(entry)
        hashes.append(hashlib.sha256(line).hexdigest())
    broken = bool(faults)
    if rest and not broken:
        faults.append(
            f"line {len(lines) + 1} is not whole: the writer was stopped within it, or its end was "
            "cut off"
        )
    grown = len(hashes) - 1 - hashes.index(head) if head in hashes else None
    if head is not None and grown is None and not broken:
        faults.append(
            "the given head is of no line: lines were cut off, or altered together with all that "
            "followed them"
        )
    return Chain(tuple(entries), hashes[-1], tuple(faults), grown, len(rest))


def _entry(line: bytes) -> dict[str, Any] | None:
    """What a line says; None where it was damaged."""
    checksum, _, text = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        entry = loads(text)
    except (JSONDecodeError, UnicodeDecodeError):
        return None
    return entry if isinstance(entry, dict) else None


def _fault(entry: dict[str, Any] | None, number: int, before: str) -> str | None:
    if entry is None:
        return f"line {number} was altered: it does not fit its own checksum"
    if entry.get("previous") == before and entry.get("number") == number:
        return None
    own = entry.get("number")
    if own == number:
        there = f"line {number - 1} or {number} was altered" if number > 1 else "line 1 was altered"
        return f"{there}: line {number} holds the hash of another line than stands before it"
    return f"line {number} says that it is number {own}: lines were removed, added or put elsewhere"


def append_entry(
    path: Path | str,
    kind: str,
    *,
    verdict: str,
    hashes: Mapping[str, str],
    counts: Mapping[str, int] | None = None,
) -> Chain:
    """Add a line to a journal, and wait until the disk has it.

    The line says what was done, when, with which verdict, on what (hashes), and the hash of the
    line before. Writers take turns. An incomplete last line, of a writer that was stopped within
    it, is cut off, and the new line says so; a journal in which anything else is wrong is refused.

    Args:
        path: of the journal; it is created where there is none.
        kind: what was done: `audit`, `gate` ...
        verdict: the word that it ended with.
        hashes: of what was looked at and of the report, in hexadecimal, by name.
        counts: numbers that belong to it, such as rows.

    Returns:
        The journal as it is now; its `head` is worth keeping elsewhere.

    Raises:
        BadInput: the journal is damaged; a word is longer than 60 characters or a hash is none, so
            that no text of a request can get in.
        OSError: the disk is full or gone; the file is then as it was before.
    """
    path = as_path("path", path)
    counts = dict(counts or {})
    _check_words(kind, verdict, hashes, counts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        there = _check(path.read_bytes()) if path.exists() else Chain((), START, ())
        if len(there.faults) > bool(there.torn):
            raise BadInput(
                f"{path} is damaged ({there.faults[0]}); keep it as evidence and begin another one"
            )
        fields: dict[str, Any] = {"cut": there.torn} if there.torn else {}
        Journal(path).append(
            kind, durable=True, number=len(there.entries) + 1, verdict=verdict,
            hashes=dict(hashes), counts=counts, previous=there.head, **fields,
        )  # fmt: skip
        _sync(path.parent)
        return _check(path.read_bytes())


def _check_words(
    kind: str, verdict: str, hashes: Mapping[str, str], counts: Mapping[str, int]
) -> None:
    for name, word in (("kind", kind), ("verdict", verdict), *(("name", n) for n in hashes),
                       *(("name", n) for n in counts)):  # fmt: skip
        if not isinstance(word, str) or not _WORD.fullmatch(word):
            raise BadInput(
                f"the journal's {name} is no short word; give at most 60 letters, digits and spaces"
            )
    for name, value in hashes.items():
        if not isinstance(value, str) or not HASH.fullmatch(value):
            raise BadInput(f"the journal's {name} is no hash; give hexadecimal digits")
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int):
            raise BadInput(f"the journal's count of {name} is no whole number; give one")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other writers out from reading the head to writing the line: `Journal` locks only that.

    What is locked is the folder, since the file may not be there yet, and `Journal` locks that one.
    """
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # where a file system knows no locks, one writer is trusted
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _lines(count: int) -> str:
    return f"{count} line{'' if count == 1 else 's'}"

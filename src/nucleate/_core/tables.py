"""Tables in files: JSON Lines, JSON, CSV, and those that `arrow` reads; also packed."""

import bz2
import csv
import gzip
import io
import json
import lzma
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from numbers import Real
from pathlib import Path
from typing import Any

from nucleate._core.arrow import FORMS as BINARY
from nucleate._core.arrow import file_rows, saved_rows
from nucleate._core.errors import BadInput

Row = tuple[str, dict[str, Any]]
"""Where a row stands, to name it in a sentence; and its columns."""
_JSON, _CSV = (".jsonl", ".ndjson", ".json"), (".csv", ".tsv")
_PACKED = {
    b"\x1f\x8b": gzip.decompress, b"BZh": bz2.decompress, b"\xfd7zXZ\x00": lzma.decompress
}  # fmt: skip
_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\x00\x00": "utf-32", b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}  # fmt: skip
_DELIMITERS = {".csv": ",;\t|", ".tsv": "\t,;|"}
_NESTED = ("ids", "messages", "conversations")
_INDEX = "index"


def read_table(
    path: Path, columns: Collection[str], limit: int | None = None, *, other: str = ""
) -> list[Row]:
    """Read the rows of a file, or of a folder that `datasets` has saved.

    Args:
        path: `.jsonl`, `.json` (lines, a list of objects, or one object of columns), `.csv` or
            `.tsv` (commas, semicolons or tabs), `.parquet`, `.arrow`; texts in UTF-8, or in UTF-16
            with its mark; also packed (`.gz`, `.bz2`, `.xz`).
        columns: names that a table is expected to have some of; they tell what separates cells.
        limit: the most rows; all if None.
        other: the form of a file with another ending, such as `.jsonl`; refused if empty.

    Returns:
        Each row with its place. Lines are counted from 1, rows of binary files from 0. A value
        that is not there (null, NaN) is None; a class label is its name.

    Raises:
        BadInput: there is no such file, it has another form, or it is damaged.
    """
    path = path.expanduser()
    suffix = _suffix(path)
    suffix = suffix if suffix in (*_JSON, *_CSV, *BINARY) else other
    rows: Iterator[Row]
    if path.is_dir():
        rows = saved_rows(path)
    elif suffix in BINARY:
        rows = file_rows(path)
    elif suffix in _JSON:
        rows = _json_rows(_text(path), path, suffix, columns)
    elif suffix in _CSV:
        rows = iter(_csv_rows(_text(path), path, _DELIMITERS[suffix], columns, limit))
    else:
        known = ", ".join((*_JSON, *_CSV, *BINARY))
        raise BadInput(f"{path} has a form that is not read: save it as one of {known}.")
    return [(where, without_missing(row)) for where, row in islice(rows, limit)]


def without_missing(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row with None for values that are missing, and its names as texts."""
    return {str(name): None if is_missing(value) else value for name, value in row.items()}


def is_missing(value: Any) -> bool:
    """Whether a value says that there is none: None, NaN, or pandas' NA and NaT."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, Real) and bool(value != value)


def rows_of_columns(columns: Mapping[Any, Any], what: str) -> Iterator[Row]:
    """Rows of a mapping from columns to lists of one length."""
    lengths = {str(name): len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise BadInput(f"{what} has columns of different lengths ({listed}): give one per row.")
    for index in range(max(lengths.values(), default=0)):
        yield f"row {index}", {str(name): values[index] for name, values in columns.items()}


def _suffix(path: Path) -> str:
    name = path.name.lower()
    for packed in (".gz", ".bz2", ".xz"):
        name = name.removesuffix(packed)
    return Path(name).suffix


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        for mark, unpack in _PACKED.items():
            if content.startswith(mark):
                content = unpack(content)
    except (OSError, EOFError, lzma.LZMAError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise BadInput(f"{path} cannot be read ({reason}): give a readable file.") from error
    encoding = next((one for mark, one in _MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInput(f"line {line} of {path} is not UTF-8: save the file in UTF-8.") from error
    if "\0" in text:
        raise BadInput(f"{path} is not text in UTF-8, it holds zero bytes: save it in UTF-8.")
    return text


def _json_rows(text: str, path: Path, suffix: str, columns: Collection[str]) -> Iterator[Row]:
    whole = _whole(text) if suffix == ".json" or text.lstrip().startswith("[") else None
    if isinstance(whole, list) and (suffix == ".json" or _is_table(whole)):
        return _entries(whole, path)
    if isinstance(whole, dict):
        return _object_rows(whole, path, columns)
    return _line_rows(text, path)


def _whole(text: str) -> Any:
    """The text as one JSON value; None where it is none, or several."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(e, dict) for e in value)


def _entries(entries: list[Any], path: Path) -> Iterator[Row]:
    for index, entry in enumerate(entries):
        where = f"entry {index} of {path}"
        if not isinstance(entry, dict):
            raise BadInput(f"{where} is a {type(entry).__name__}: write a list of objects.")
        yield where, entry


def _object_rows(found: dict[str, Any], path: Path, columns: Collection[str]) -> Iterator[Row]:
    """Rows of one object: of columns, of a list under a name of its own, or itself a row."""
    values = list(found.values())
    tables = [value for value in values if _is_table(value)]
    if values and all(isinstance(value, dict) for value in values):  # as pandas writes it
        return rows_of_columns(
            {name: [*cells.values()] for name, cells in found.items()}, f"{path}"
        )
    if len(tables) == 1 and not set(found).intersection(columns):
        return _entries(tables[0], path)
    if values and all(isinstance(value, list) for value in values):
        nested = [found[name] for name in _NESTED if name in found]
        if all(isinstance(entry, list) for value in nested for entry in value):
            return rows_of_columns(found, f"{path}")
    return iter([(f"the object in {path}", found)])


def _line_rows(text: str, path: Path) -> Iterator[Row]:
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"line {number} of {path}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            remedy = "write one object per line"
            if number == len(lines) > 1:
                remedy = "the file ends within it, so write the file anew or remove the line"
            raise BadInput(f"{where} is not JSON ({error}): {remedy}.") from error
        if not isinstance(record, dict):
            raise BadInput(f"{where} is a {type(record).__name__}: write one object per line.")
        yield where, record


def _csv_rows(
    text: str, path: Path, delimiters: str, columns: Collection[str], limit: int | None
) -> list[Row]:
    rows: list[tuple[str, list[str]]] = []
    with _long_cells():
        delimiter = _delimiter(text, delimiters, columns)
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
        try:
            for cells in reader:
                where = f"line {reader.line_num} of {path}"
                if rows and cells and len(cells) != len(rows[0][1]):
                    raise BadInput(
                        f"{where} has {len(cells)} cells and the header {len(rows[0][1])}: give "
                        f"every row one cell per column, in quotes where it holds {delimiter!r}."
                    )
                rows += [(where, cells)] if cells else []
                if limit is not None and len(rows) > limit:
                    break
        except csv.Error as error:
            raise BadInput(
                f"line {reader.line_num} of {path} is not CSV ({error}): correct its quotes."
            ) from error
    names = _names(rows)
    return [
        (where, {name: cell for name, cell in zip(names, cells, strict=True) if name is not None})
        for where, cells in rows[1:]
    ]


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let the csv module read cells of any length; its limit is one for the whole process."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _delimiter(text: str, delimiters: str, columns: Collection[str]) -> str:
    """What separates the header into the most known names; the first one if none does."""

    def known(delimiter: str) -> int:
        try:
            header = next(csv.reader([text.split("\n", 1)[0]], delimiter=delimiter), [])
        except csv.Error:
            return 0
        return len(set(columns).intersection(name.strip() for name in header))

    return max(delimiters, key=known)


def _names(rows: list[tuple[str, list[str]]]) -> list[str | None]:
    """The header's names; None for a column without name and cells.

    A nameless first column with cells is the index that pandas writes; it is called so.
    """
    if not rows:
        return []
    where, header = rows[0]
    names: list[str | None] = []
    for place, name in enumerate(header):
        nameless = not name.strip()
        if nameless and not any(cells[place] for _, cells in rows[1:]):
            names.append(None)
        else:
            names.append(_INDEX if nameless and place == 0 and _INDEX not in header else name)
    for known in (name for name in names if name is not None):
        if not known.strip() or names.count(known) > 1:
            raise BadInput(f"{where} names the column {known!r} not once: name each column once.")
    return names

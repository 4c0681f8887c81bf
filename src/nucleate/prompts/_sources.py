"""Rows as people keep them: JSON Lines, CSV, data sets, anything that gives mappings."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

from nucleate._core.errors import BadInput

Row = tuple[str, dict[str, Any]]
"""Where a row stands, to name it in a sentence; and its columns."""
_JSON, _CSV = (".jsonl", ".ndjson"), (".csv",)


def read_rows(source: object, limit: int | None) -> list[Row]:
    """Read the rows of a source, the first `limit` of them.

    Args:
        source: path to a .jsonl or .csv file in UTF-8, or an iterable of mappings, such as a list
            of dictionaries or a `datasets.Dataset`.
        limit: the most rows; all if None.

    Returns:
        Each row with its place: lines of a file are counted from 1, other rows from 0.

    Raises:
        BadInput: the source is none of these, cannot be read, or is empty; a line is broken.
    """
    if limit is not None and limit < 1:
        raise BadInput(f"limit is {limit}: give at least 1.")
    if isinstance(source, str | PathLike):
        path = Path(source)
        rows, name = _file_rows(path), str(path)
    elif isinstance(source, Iterable) and not isinstance(source, Mapping | bytes):
        rows, name = _mappings(source), "the source"
    else:
        parts = f" of {', '.join(map(str, source))}" if isinstance(source, Mapping) else ""
        raise BadInput(
            f"the source is a {type(source).__name__}{parts}: give a path to a .jsonl or .csv file "
            "or an iterable of rows."
        )
    found = list(islice(rows, limit))
    if not found:
        raise BadInput(f"{name} has no rows: a prompt set needs at least one.")
    return found


def _mappings(source: Iterable[object]) -> Iterator[Row]:
    for index, row in enumerate(source):
        if not isinstance(row, Mapping):
            raise BadInput(
                f"row {index} is a {type(row).__name__}: give each row as a mapping from columns "
                "to values."
            )
        yield f"row {index}", {str(name): value for name, value in row.items()}


def _file_rows(path: Path) -> Iterator[Row]:
    suffix = path.suffix.lower()
    if suffix not in (*_JSON, *_CSV):
        raise BadInput(f"{path} is neither .jsonl nor .csv: give a file of one of these forms.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror}): give a readable file."
        ) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInput(f"line {line} of {path} is not UTF-8: save the file in UTF-8.") from error
    yield from _json_rows(text, path) if suffix in _JSON else _csv_rows(text, path)


def _json_rows(text: str, path: Path) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"line {number} of {path}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{where} is not JSON ({error}): write one object per line.") from error
        if not isinstance(record, dict):
            raise BadInput(f"{where} is a {type(record).__name__}: write one object per line.")
        yield where, record


def _csv_rows(text: str, path: Path) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    try:
        for cells in reader:
            where = f"line {reader.line_num} of {path}"
            if not cells:
                continue
            if not header:
                header = _checked_header(cells, where)
            elif len(cells) != len(header):
                raise BadInput(
                    f"{where} has {len(cells)} cells and the header {len(header)}: give every row "
                    "one cell per column, in quotes where it holds a comma."
                )
            else:
                yield where, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise BadInput(
            f"line {reader.line_num} of {path} is not CSV ({error}): correct its quotes."
        ) from error


def _checked_header(names: list[str], where: str) -> list[str]:
    for name in names:
        if not name.strip() or names.count(name) > 1:
            raise BadInput(f"{where} names the column {name!r} not once: name each column once.")
    return names

"""Rows as people keep them: files, data sets, data frames, anything that gives mappings."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

from nucleate._core.arguments import check_whole
from nucleate._core.arrow import class_names, named_row, table_rows
from nucleate._core.errors import BadInput
from nucleate._core.tables import Row, read_table, rows_of_columns, without_missing
from nucleate.prompts._forms import COLUMNS, FORMS


def read_rows(source: object, limit: int | None) -> list[Row]:
    """Read the rows of a source, the first `limit` of them.

    Args:
        source: path to a file or a saved data set; or rows in memory, see `from_records`.
        limit: the most rows; all if None.

    Returns:
        Each row with its place: lines of a file are counted from 1, other rows from 0. A value
        that is not there is None.

    Raises:
        BadInput: the source is none of these, cannot be read, or is empty; a line is broken.
    """
    if limit is not None:
        check_whole("limit", limit, least=1)
    if isinstance(source, str | PathLike):
        found, name = read_table(Path(source), COLUMNS, limit), str(source)
    else:
        rows = islice(_in_memory(source), limit)
        found, name = [(where, without_missing(row)) for where, row in rows], "the source"
    if not found:
        raise BadInput(f"{name} has no rows: a prompt set needs at least one.")
    return found


def _in_memory(source: Any) -> Iterator[Row]:
    if isinstance(source, Mapping):
        return _mapping(source)
    if hasattr(source, "columns") and hasattr(source, "iloc"):
        return _frame_rows(source)
    if hasattr(source, "with_format") and hasattr(source, "features"):
        return _dataset_rows(source)
    if hasattr(source, "__arrow_c_stream__"):
        return _arrow_rows(source)
    if isinstance(source, Iterable) and not isinstance(source, bytes):
        return _mappings(source)
    raise BadInput(
        f"the source is a {type(source).__name__}: give a path to a file of rows, or an iterable "
        "of mappings."
    )


def _mapping(source: Mapping[Any, Any]) -> Iterator[Row]:
    """A mapping of columns; one of splits is refused."""
    names = ", ".join(map(str, source))
    if set(FORMS).isdisjoint(source):
        first = next(iter(source), "train")
        raise BadInput(
            f"the source is a {type(source).__name__} of {names}: give one of them, as in "
            f"source[{first!r}], or an iterable of rows."
        )
    for name, values in source.items():
        if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__"):
            raise BadInput(
                f"the source is a {type(source).__name__} of {names}, and {name} holds no list: "
                "give a list of rows, each a mapping from columns to values."
            )
    return rows_of_columns(source, "the source")


def _frame_rows(frame: Any) -> Iterator[Row]:
    """Rows of a pandas data frame; its index is left out."""
    names = [str(name) for name in frame.columns]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"the source names the column {name!r} not once: name each once.")
    columns = []
    for place in range(len(names)):
        column = frame.iloc[:, place]
        there = column.notna()
        # Whole numbers become floats in pandas as soon as one of them is missing.
        whole = column.dtype.kind == "f" and not there.all() and (column[there] % 1 == 0).all()
        columns.append(
            [
                (int(value) if whole else value) if known else None
                for value, known in zip(column.tolist(), there.tolist(), strict=True)
            ]
        )
    for index, values in enumerate(zip(*columns, strict=True)):
        yield f"row {index}", dict(zip(names, values, strict=True))


def _dataset_rows(source: Any) -> Iterator[Row]:
    """Rows of a data set of `datasets`, whatever format it is set to give."""
    labels = class_names(source.features or {})
    for index, row in enumerate(source.with_format(None)):
        yield f"row {index}", named_row(row, labels)


def _arrow_rows(source: Any) -> Iterator[Row]:
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
    except ImportError as error:
        raise BadInput(
            f"the source is a {type(source).__name__}, which needs pyarrow: install it with pip "
            "install pyarrow."
        ) from error
    try:
        table = pa.table(source)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise BadInput(
            f"the source is a {type(source).__name__}, which is no table: give rows, each a "
            "mapping from columns to values."
        ) from error
    return table_rows(table)


def _mappings(source: Iterable[object]) -> Iterator[Row]:
    for index, row in enumerate(source):
        if not isinstance(row, Mapping):
            raise BadInput(
                f"row {index} is a {type(row).__name__}: give each row as a mapping from columns "
                "to values."
            )
        yield f"row {index}", {str(name): value for name, value in row.items()}

"""The forms of rows: which columns a prompt is made of, and how values are read."""

import json
from operator import index as as_index
from typing import Any

from nucleate._core.errors import BadInput

FORMS = ("ids", "messages", "conversations", "text", "instruction", "prompt", "chosen")
"""Columns that a prompt can be made of; where a row has several the first one counts."""
OPTIONS = ("tools", "documents", "chat_template_kwargs")
"""Columns that are handed to the chat template beside the messages."""
ANSWERS = ("completion", "response", "chosen")
COLUMNS = (*FORMS, *OPTIONS, *ANSWERS, "input", "output", "task", "split")
"""Columns that mean something here."""
MAY_LACK = ("input", "output", "completion", "response", "instruction_end", *OPTIONS)
Row = tuple[str, dict[str, Any]]


def form_of(rows: list[Row]) -> str:
    """The rows' form; all must have the columns of the first, but for those in `MAY_LACK`.

    Raises:
        BadInput: a row has no column of a prompt, or other columns than the first.
    """
    first_where, first = rows[0]
    form = next((name for name in FORMS if name in first), None)
    if form is None:
        raise BadInput(
            f"{first_where} has the columns {', '.join(first)}: name the one with the prompt "
            f"{', '.join(FORMS[:-1])} or {FORMS[-1]}."
        )
    columns = set(first).difference(MAY_LACK)
    for where, row in rows:
        for name in sorted(columns.symmetric_difference(set(row).difference(MAY_LACK))):
            has, lacks = (first_where, where) if name in first else (where, first_where)
            raise BadInput(
                f"{lacks} has no column {name!r}, which {has} has: give all rows the same columns."
            )
    return form


def is_chat(form: str, row: dict[str, Any]) -> bool:
    """Whether the prompt of a row is a list of messages."""
    value = row.get(form)
    if form not in ("prompt", "chosen"):
        return form in ("messages", "conversations")
    if isinstance(value, str):
        return value.lstrip().startswith('[{"')
    return isinstance(plain(value), list)


def text_in(row: dict[str, Any], column: str, where: str) -> str:
    """A text that a row needs."""
    value = row.get(column)
    if not isinstance(value, str):
        raise BadInput(f"{where} has {column} = {value!r}: it must be a text.")
    if not value.strip():
        raise BadInput(f"{where} has an empty {column}: fill it or leave the row out.")
    return unicode_of(value, column, where)


def optional_text(row: dict[str, Any], column: str, where: str) -> str:
    """A text that a row may have; an empty one if not."""
    value = "" if row.get(column) is None else row[column]
    if not isinstance(value, str):
        raise BadInput(f"{where} has {column} = {value!r}: it must be a text.")
    return unicode_of(value, column, where)


def unicode_of(text: str, column: str, where: str) -> str:
    """The text, if it can be written in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(
            f"{where} has half a character in {column} ({error}): correct it."
        ) from error
    return text


def json_cell(value: Any, column: str, where: str) -> Any:
    """A list, object or number that a CSV cell holds as JSON; anything else in plain Python."""
    if not isinstance(value, str):
        return plain(value)
    try:
        return json.loads(value) if value.strip() else None
    except ValueError as error:
        form = '[{"role": "user", "content": "..."}]' if column in FORMS[1:] else "[1, 2, 3]"
        raise BadInput(
            f"{where} has {column} = {value!r}, which is not JSON: write it like {form}."
        ) from error


def integer(value: Any) -> int:
    """A whole number; TypeError if it is none."""
    if isinstance(value, bool):
        raise TypeError
    return as_index(value)


def plain(value: Any) -> Any:
    """A nested value with lists and numbers of Python instead of arrays, tensors and tuples."""
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return plain(value.tolist()) if hasattr(value, "tolist") else value


def as_text(value: object) -> str:
    """A label's value as text; what is not there is empty."""
    value = plain(value)
    if value is None or value != value:
        return ""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)

"""From rows of four forms to prompts, answers, labels and chance."""

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from operator import index as as_index
from typing import Any

import numpy as np
from jaxtyping import Float

from nucleate._core.errors import BadInput
from nucleate.prompts._encoding import Encoder
from nucleate.prompts._positions import Prompt
from nucleate.prompts._sources import Row
from nucleate.prompts._text import Message, TextEncoder
from nucleate.tasks import input_text

FORMS = ("ids", "messages", "text", "instruction")
"""Columns that a prompt can be made of; where a row has several the first one counts."""
_NO_LABELS = ("ids", "messages")
_MAY_LACK = ("input", "output", "instruction_end")
_LARGEST_ID = 2**31 - 1
AnyEncoder = Encoder | TextEncoder
Encoded = tuple[Prompt, list[int], dict[str, str]]
"""A prompt, its answer's ids, and labels that are not columns of the row."""


@dataclass(frozen=True)
class EncodedRows:
    """Rows as tokens; every list has one entry per row; `wheres` names the rows in errors."""

    wheres: list[str]
    prompts: list[Prompt]
    answers: list[list[int]]
    labels: dict[str, tuple[str, ...]]
    chance: Float[np.ndarray, "row"]
    tokenizer_hash: str

    def fitted(self, max_length: int | None, truncate: str | None) -> "EncodedRows":
        """Refuse rows of more than `max_length` tokens, or shorten their prompts if asked to."""
        if truncate not in (None, "left", "right"):
            raise BadInput(f"truncate is {truncate!r}: use 'left', 'right' or None.")
        if max_length is None:
            return self
        if max_length < 1:
            raise BadInput(f"max_length is {max_length}: give at least 1.")
        rows = zip(self.wheres, self.prompts, self.answers, strict=True)
        return replace(self, prompts=[_fit(*row, max_length, truncate) for row in rows])


def encoder_for(tokenizer: Any, template: str | None) -> AnyEncoder:
    """Make a tokenizer an encoder, or leave an encoder as it is."""
    if not isinstance(tokenizer, Encoder | TextEncoder):
        return TextEncoder(tokenizer, template=template)
    if template is not None:
        raise BadInput(
            f"template is {template!r}, but the encoder has a form of its own: leave the template "
            "out, or give the tokenizer instead of the encoder."
        )
    return tokenizer


def encode_rows(
    rows: list[Row], tokenizer: Any, template: str | None
) -> tuple[EncodedRows, AnyEncoder | None]:
    """Check the rows' columns, choose the encoder that they need, and tokenize them."""
    form = _form(rows)
    encoder = _encoder(form, tokenizer, template)
    encoded = [_encode(form, row, encoder, where) for where, row in rows]
    answers = [answer for _, answer, _ in encoded]
    labels = _labels(rows, [extra for _, _, extra in encoded])
    done = EncodedRows(
        wheres=[where for where, _ in rows],
        prompts=[prompt for prompt, _, _ in encoded],
        answers=answers,
        labels=labels,
        chance=_chance(labels, answers),
        tokenizer_hash=encoder.tokenizer_hash if encoder else "",
    )
    return done, encoder


def _form(rows: list[Row]) -> str:
    """The rows' form; all must have the columns of the first, but for inputs and outputs."""
    first_where, first = rows[0]
    form = next((name for name in FORMS if name in first), None)
    if form is None:
        raise BadInput(
            f"{first_where} has the columns {', '.join(first)}: name the one with the prompt "
            f"{', '.join(FORMS[:-1])} or {FORMS[-1]}."
        )
    columns = set(first).difference(_MAY_LACK)
    for where, row in rows:
        for name in sorted(columns.symmetric_difference(set(row).difference(_MAY_LACK))):
            has, lacks = (first_where, where) if name in first else (where, first_where)
            raise BadInput(
                f"{lacks} has no column {name!r}, which {has} has: give all rows the same columns."
            )
    return form


def _encoder(form: str, tokenizer: Any, template: str | None) -> AnyEncoder | None:
    if tokenizer is None:
        if form != "ids":
            raise BadInput(f"rows of {form} need a tokenizer: give the model's.")
        return None
    if form in ("ids", "text") and template is not None:
        raise BadInput(
            f"template is {template!r}, but rows of {form} are used as they are: leave it out."
        )
    if form == "messages" and template not in (None, "chat"):
        raise BadInput(
            f"template is {template!r}, but messages need the chat template: set it to 'chat'."
        )
    wraps = isinstance(tokenizer, Encoder | TextEncoder)
    chat = form == "messages" and not wraps
    return encoder_for(tokenizer, "chat" if chat else template)


def _encode(form: str, row: dict[str, Any], encoder: AnyEncoder | None, where: str) -> Encoded:
    if encoder is None or form == "ids":
        encoded: Encoded = _from_ids(row, encoder, where), [], {}
    elif form == "text":
        encoded = encoder.encode_text(_text(row, "text", where)), [], {}
    elif form == "messages":
        encoded = _from_messages(row, encoder, where)
    else:
        encoded = _from_instruction(row, encoder, where)
    prompt = encoded[0]
    if len(prompt.ids) <= prompt.opening + prompt.closing:
        raise BadInput(f"{where} gives no tokens: its {form} needs at least one.")
    return encoded


def _from_instruction(row: dict[str, Any], encoder: AnyEncoder, where: str) -> Encoded:
    instruction = _text(row, "instruction", where)
    given = input_text("" if row.get("input") is None else row["input"], where)
    try:
        prompt = encoder.encode_prompt(instruction, _unicode(given, "input", where))
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error
    output = _output(row, where)
    return prompt, encoder.answer_part(output) if output else [], {"input": given}


def _from_messages(row: dict[str, Any], encoder: AnyEncoder, where: str) -> Encoded:
    """A chat; its answer is the row's output, or what the assistant says last."""
    if not isinstance(encoder, TextEncoder):
        raise BadInput("messages need a Hugging Face tokenizer with a chat template: give one.")
    messages, output = _messages(row["messages"], where), _output(row, where)
    if len(messages) > 1 and messages[-1]["role"] == "assistant":
        if output:
            raise BadInput(
                f"{where} has an output and ends with a message of the assistant: leave out one."
            )
        output = messages.pop()["content"]
    try:
        prompt = encoder.encode_chat(messages)
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error
    asked = [message["content"] for message in messages if message["role"] == "user"]
    labels = {"output": output}
    if asked and "instruction" not in row:
        labels["instruction"] = asked[-1]
    return prompt, encoder.answer_part(output) if output else [], labels


def _from_ids(row: dict[str, Any], encoder: AnyEncoder | None, where: str) -> Prompt:
    value = _json_cell(row["ids"], "ids", where)
    largest = encoder.vocab_size - 1 if encoder else _LARGEST_ID
    try:
        ids = [_integer(token) for token in value]
    except TypeError as error:
        raise BadInput(
            f"{where} has ids that are not a list of whole numbers: give one."
        ) from error
    for token in ids:
        if not 0 <= token <= largest:
            raise BadInput(
                f"{where} has the token {token}, outside of 0..{largest}: give ids of this "
                "tokenizer's vocabulary."
            )
    end = _json_cell(row.get("instruction_end"), "instruction_end", where)
    if end is None:
        return Prompt(ids)
    try:
        stop = _integer(end) + 1
    except TypeError as error:
        raise BadInput(f"{where} has instruction_end = {end!r}: give a token's index.") from error
    if not 0 < stop <= len(ids):
        raise BadInput(
            f"instruction_end {end} is beyond {where}, which has {len(ids)} tokens: count from 0."
        )
    return Prompt(ids, (0, stop))


def _fit(
    where: str, prompt: Prompt, answer: list[int], max_length: int, truncate: str | None
) -> Prompt:
    length, room = len(prompt.ids) + len(answer), max_length - len(answer)
    if length <= max_length:
        return prompt
    if truncate is None:
        raise BadInput(
            f"{where} has {length} tokens ({len(answer)} of them its answer), more than max_length "
            f"{max_length}: shorten it, or set truncate to 'left' or 'right'."
        )
    if room <= prompt.opening + prompt.closing:
        raise BadInput(
            f"{where} has an answer of {len(answer)} tokens, which leaves its prompt no room in "
            f"max_length {max_length}: set a larger one."
        )
    return prompt.shortened(room, truncate)


def _labels(rows: list[Row], extra: list[dict[str, str]]) -> dict[str, tuple[str, ...]]:
    """Every column as text, and what a form adds; a value that is not there is an empty text."""
    merged = [{**row, **more} for (_, row), more in zip(rows, extra, strict=True)]
    names = dict.fromkeys(name for row in merged for name in row)
    return {
        name: tuple(
            _unicode(_as_text(row.get(name)), name, where)
            for row, (where, _) in zip(merged, rows, strict=True)
        )
        for name in names
        if name not in _NO_LABELS
    }


def _chance(
    labels: dict[str, tuple[str, ...]], answers: list[list[int]]
) -> Float[np.ndarray, "row"]:
    """How often the output of a task drawn at random is the row's, among tasks with its input."""
    chance = np.full(len(answers), np.nan)
    if "task" not in labels or "output" not in labels:
        return chance
    inputs = labels.get("input", ("",) * len(answers))
    outputs: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    rows = list(zip(inputs, labels["task"], labels["output"], strict=True))
    for (name, task, output), answer in zip(rows, answers, strict=True):
        if answer:
            outputs[name][task].add(output)
    for index, (name, _, output) in enumerate(rows):
        if answers[index]:
            given = outputs[name].values()
            chance[index] = sum(output in own for own in given) / len(given)
    return chance


def _messages(value: Any, where: str) -> list[Message]:
    messages = _json_cell(value, "messages", where)
    if not isinstance(messages, list) or not messages:
        raise BadInput(
            f"{where} has messages that are not a list with an entry: give a chat's list."
        )
    checked = []
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise BadInput(f"{where} has a message {message!r}: give each role and content.")
        checked.append({"role": message["role"], "content": _text(message, "content", where)})
    return checked


def _text(row: dict[str, Any], column: str, where: str) -> str:
    value = row.get(column)
    if not isinstance(value, str):
        raise BadInput(f"{where} has {column} = {value!r}: it must be a text.")
    if not value.strip():
        raise BadInput(f"{where} has an empty {column}: fill it or leave the row out.")
    return _unicode(value, column, where)


def _output(row: dict[str, Any], where: str) -> str:
    value = "" if row.get("output") is None else row["output"]
    if not isinstance(value, str):
        raise BadInput(f"{where} has output = {value!r}: it must be a text.")
    return _unicode(value, "output", where)


def _unicode(text: str, column: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(
            f"{where} has half a character in {column} ({error}): correct it."
        ) from error
    return text


def _json_cell(value: Any, column: str, where: str) -> Any:
    """A list or number that a CSV cell holds as JSON; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else None
    except ValueError as error:
        raise BadInput(
            f"{where} has {column} = {value!r}, which is not JSON: write it like [1, 2, 3]."
        ) from error


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    return as_index(value)


def _as_text(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)

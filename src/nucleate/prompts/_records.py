"""From rows of any form to prompts, answers, labels and chance."""

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any
from warnings import warn

import numpy as np
from jaxtyping import Float

from nucleate._core.arguments import check_whole
from nucleate._core.errors import BadInput
from nucleate.prompts._conversations import chat_of, last_text
from nucleate.prompts._encoding import Encoder
from nucleate.prompts._forms import (
    ANSWERS,
    OPTIONS,
    Row,
    as_text,
    form_of,
    integer,
    is_chat,
    json_cell,
    optional_text,
    text_in,
    unicode_of,
)
from nucleate.prompts._positions import Prompt
from nucleate.prompts._text import TextEncoder
from nucleate.tasks import input_text

_NO_LABELS = ("ids", "messages", "conversations")
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
        check_whole("max_length", max_length, least=1)
        rows = zip(self.wheres, self.prompts, self.answers, strict=True)
        return replace(self, prompts=[_fit(*row, max_length, truncate) for row in rows])


def say_torn(rows: EncodedRows) -> EncodedRows:
    """Warn where a token holds text of both prompt and answer."""
    torn = [where for where, prompt in zip(rows.wheres, rows.prompts, strict=True) if prompt.torn]
    if torn:
        warn(
            f"in {len(torn)} of {len(rows.wheres)} rows ({torn[0]} first) one token holds the end "
            "of the prompt and the beginning of the answer; it is counted to the answer: put "
            "white space between them to have it otherwise",
            stacklevel=3,
        )
    return rows


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
    form = form_of(rows)
    encoder = _encoder(form, rows[0][1], tokenizer, template)
    encoded = [_encode(form, row, encoder, where) for where, row in rows]
    answers = [answer for _, answer, _ in encoded]
    labels = _labels(form, rows, [extra for _, _, extra in encoded])
    done = EncodedRows(
        wheres=[where for where, _ in rows],
        prompts=[prompt for prompt, _, _ in encoded],
        answers=answers,
        labels=labels,
        chance=_chance(labels, answers),
        tokenizer_hash=encoder.tokenizer_hash if encoder else "",
    )
    return done, encoder


def _encoder(
    form: str, first: dict[str, Any], tokenizer: Any, template: str | None
) -> AnyEncoder | None:
    if tokenizer is None:
        if form != "ids":
            raise BadInput(f"rows of {form} need a tokenizer: give the model's.")
        return None
    chat = is_chat(form, first)
    if not chat and form != "instruction" and template is not None:
        raise BadInput(
            f"template is {template!r}, but rows of {form} are used as they are: leave it out."
        )
    if chat and template not in (None, "chat"):
        raise BadInput(
            f"template is {template!r}, but messages need the chat template: set it to 'chat'."
        )
    wraps = isinstance(tokenizer, Encoder | TextEncoder)
    return encoder_for(tokenizer, "chat" if chat and not wraps else template)


def _encode(form: str, row: dict[str, Any], encoder: AnyEncoder | None, where: str) -> Encoded:
    if encoder is None or form == "ids":
        encoded: Encoded = _from_ids(row, encoder, where), [], {}
    elif form == "text":
        encoded = encoder.encode_text(text_in(row, "text", where)), [], {}
    elif is_chat(form, row):
        encoded = _from_messages(form, row, encoder, where)
    elif form == "instruction":
        encoded = _from_instruction(row, encoder, where)
    else:
        encoded = _from_prompt(row, encoder, where)
    prompt = encoded[0]
    if len(prompt.ids) <= prompt.opening + prompt.closing:
        raise BadInput(f"{where} gives no tokens: its {form} needs at least one.")
    return encoded


def _from_instruction(row: dict[str, Any], encoder: AnyEncoder, where: str) -> Encoded:
    instruction = text_in(row, "instruction", where)
    given = input_text("" if row.get("input") is None else row["input"], where)
    unicode_of(given, "input", where)
    output = optional_text(row, "output", where)
    try:
        prompt, answer = encoder.encode_row(instruction, given, output)
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error
    return prompt, answer, {"input": given}


def _from_prompt(row: dict[str, Any], encoder: AnyEncoder, where: str) -> Encoded:
    """Raw text and what follows it."""
    if "prompt" not in row:
        raise BadInput(
            f"{where} has texts as chosen and rejected and no prompt: give the prompt in a column "
            "of its own."
        )
    if encoder_is_chat(encoder):
        raise BadInput(f"{where} has a text as prompt where others have messages: give one form.")
    prompt = text_in(row, "prompt", where)
    named = [name for name in (*ANSWERS, "output") if row.get(name) not in (None, "")]
    if len(named) > 1:
        raise BadInput(f"{where} has the answers {' and '.join(named)}: leave out one.")
    answer = optional_text(row, named[0], where) if named else ""
    encoded, ids = encoder.encode_completion(prompt, answer)
    labels = {"output": answer} | _rejected(row, where)
    return encoded, ids, labels | ({} if "instruction" in row else {"instruction": prompt})


def encoder_is_chat(encoder: AnyEncoder) -> bool:
    """Whether an encoder renders chats."""
    return isinstance(encoder, TextEncoder) and encoder.chat


def _from_messages(form: str, row: dict[str, Any], encoder: AnyEncoder, where: str) -> Encoded:
    """A chat; its answer is the row's, or what the assistant says last."""
    if not isinstance(encoder, TextEncoder):
        raise BadInput("messages need a Hugging Face tokenizer with a chat template: give one.")
    chat, said = chat_of(form, row, where)
    try:
        prompt, answer = encoder.encode_chat(chat)
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error
    labels = {"output": said} | _rejected(row, where)
    if chat.asked and "instruction" not in row:
        labels["instruction"] = chat.asked
    return prompt, answer, labels


def _rejected(row: dict[str, Any], where: str) -> dict[str, str]:
    given = row.get("rejected")
    return {} if given is None else {"rejected": last_text(given, "rejected", where)}


def _from_ids(row: dict[str, Any], encoder: AnyEncoder | None, where: str) -> Prompt:
    value = json_cell(row["ids"], "ids", where)
    largest = encoder.vocab_size - 1 if encoder else _LARGEST_ID
    try:
        ids = [integer(token) for token in value]
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
    end = json_cell(row.get("instruction_end"), "instruction_end", where)
    end = int(end) if isinstance(end, float) and end.is_integer() else end
    if end is None:
        return Prompt(ids)
    try:
        stop = integer(end) + 1
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


def _labels(form: str, rows: list[Row], extra: list[dict[str, str]]) -> dict[str, tuple[str, ...]]:
    """Every column as text, and what a form adds; a value that is not there is an empty text."""
    merged = [{**row, **more} for (_, row), more in zip(rows, extra, strict=True)]
    names = dict.fromkeys(name for row in merged for name in row)
    used = {*_NO_LABELS, *(ANSWERS if form in ("prompt", "chosen") else ())}
    if is_chat(form, rows[0][1]):
        used |= {form, *OPTIONS}
    return {
        name: tuple(
            unicode_of(as_text(row.get(name)), name, where)
            for row, (where, _) in zip(merged, rows, strict=True)
        )
        for name in names
        if name not in used
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

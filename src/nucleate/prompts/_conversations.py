"""Rows that hold a chat: the prompt's messages, the answer's, and what the template is told."""

import json
from typing import Any

from nucleate._core.errors import BadInput
from nucleate.prompts._chat import Chat, Message, text_of
from nucleate.prompts._forms import (
    ANSWERS,
    OPTIONS,
    as_text,
    json_cell,
    optional_text,
    plain,
    unicode_of,
)

_ASSISTANT = "assistant"
_SPEAKERS = {
    "human": "user", "user": "user", "gpt": _ASSISTANT, "assistant": _ASSISTANT,
    "chatgpt": _ASSISTANT, "bing": _ASSISTANT, "bard": _ASSISTANT, "model": _ASSISTANT,
    "system": "system", "developer": "developer", "tool": "tool", "observation": "tool",
    "function_response": "tool", "function_call": "function_call",
}  # fmt: skip


def chat_of(form: str, row: dict[str, Any], where: str) -> tuple[Chat, str]:
    """The chat of a row, and its answer as text.

    The answer is the row's `completion` or `chosen`, else its `output`, else the last message if
    it is the assistant's and not to be continued.

    Raises:
        BadInput: the messages are no messages, or the row has two answers.
    """
    options = _options(row, where)
    messages, after = _parts(form, row, where)
    output = optional_text(row, "output", where)
    continued = bool(options.get("continue_final_message"))
    if form == "prompt" and messages[-1]["role"] == _ASSISTANT and not continued:
        options["continue_final_message"] = continued = True
    if not after and not continued and len(messages) > 1 and messages[-1]["role"] == _ASSISTANT:
        after = [messages.pop()]
    if after and output:
        raise BadInput(
            f"{where} has an output and ends with a message of the assistant: leave out one, or "
            'set chat_template_kwargs to {"continue_final_message": true}.'
        )
    if output:
        after = [{"role": _ASSISTANT, "content": output}]
    said = "" if not after else text_of(after[-1]) or as_text(after[-1].get("tool_calls"))
    return Chat(messages, after, options), said


def last_text(value: Any, column: str, where: str) -> str:
    """The text of a value that is a text, or a list of messages of which the last one counts."""
    if isinstance(value, str) and not value.lstrip().startswith('[{"'):
        return value
    messages = _messages(value, column, where)
    return text_of(messages[-1])


def _parts(form: str, row: dict[str, Any], where: str) -> tuple[list[Message], list[Message]]:
    """The messages of the prompt, and those that are given as its answer."""
    if form == "chosen":
        chosen = _messages(row["chosen"], "chosen", where)
        rejected = _messages(row.get("rejected"), "rejected", where)
        pairs = zip(chosen, rejected, strict=False)
        same = next((i for i, (a, b) in enumerate(pairs) if a != b), len(chosen) - 1)
        if same < 1:
            raise BadInput(
                f"{where} has chosen and rejected messages without a common beginning: give the "
                "prompt in a column of its own."
            )
        return chosen[:same], chosen[same:]
    messages = _messages(row[form], form, where)
    if form == "conversations" and messages[0]["role"] != "system":
        system = optional_text(row, "system", where)
        messages = [{"role": "system", "content": system}] * bool(system) + messages
    if form != "prompt":
        return messages, []
    answer = next((name for name in ANSWERS if row.get(name) is not None), None)
    return messages, [] if answer is None else _messages(row[answer], answer, where)


def _options(row: dict[str, Any], where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in OPTIONS:
        value = json_cell(row.get(name), name, where)
        wanted = dict if name == "chat_template_kwargs" else list
        if value is not None and not isinstance(value, wanted):
            kind = "an object" if wanted is dict else "a list"
            raise BadInput(f"{where} has {name} = {row[name]!r}: give {kind}.")
        if value:
            found |= value if wanted is dict else {name: value}
    return found


def _messages(value: Any, column: str, where: str) -> list[Message]:
    messages = json_cell(value, column, where)
    if not isinstance(messages, list) or not messages:
        raise BadInput(
            f"{where} has {column} that are not a list with an entry: give a chat's list."
        )
    return [_message(message, where) for message in messages]


def _message(message: Any, where: str) -> Message:
    if isinstance(message, dict) and "role" not in message and "from" in message:
        message = _from_speaker(message, where)
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise BadInput(f"{where} has a message {message!r}: give each role and content.")
    content = message.get("content")
    unicode_of(json.dumps(plain(message), ensure_ascii=False, default=str), "messages", where)
    if isinstance(content, list):
        for part in content:
            _check_part(part, where)
    elif content is None:
        others = {name for name, one in message.items() if one} - {"role", "name", "content"}
        if not others:
            raise BadInput(f"{where} has content = None: it must be a text.")
    elif not isinstance(content, str):
        raise BadInput(f"{where} has content = {content!r}: it must be a text.")
    return dict(message)


def _check_part(part: Any, where: str) -> None:
    if not isinstance(part, dict) or not isinstance(part.get("text"), str):
        kind = part.get("type") if isinstance(part, dict) else part
        raise BadInput(
            f"{where} has {kind!r} as a part of a message, and only parts with text are read: "
            'write {"type": "text", "text": "..."}, or leave it out.'
        )


def _from_speaker(message: dict[str, Any], where: str) -> Message:
    """A message with `from` and `value` as one with `role` and `content`."""
    speaker, value = message["from"], message.get("value")
    role = _SPEAKERS.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        raise BadInput(
            f"{where} has a message from {speaker!r}: use one of {', '.join(_SPEAKERS)}."
        )
    others = {name: one for name, one in message.items() if name not in ("from", "value")}
    if role != "function_call":
        return {"role": role, "content": value, **others}
    calls = json_cell(value, "function_call", where)
    calls = calls if isinstance(calls, list) else [calls]
    functions = [{"type": "function", "function": call} for call in calls]
    return {"role": _ASSISTANT, "content": None, "tool_calls": functions, **others}

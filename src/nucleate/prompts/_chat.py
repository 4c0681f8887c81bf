"""Chats as text: what a tokenizer's own template makes of messages, and where the parts stand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nucleate._core.errors import BadInput

_MARK = "\ue000\ue001\ue000"
Message = dict[str, Any]
"""`role`, and whatever else the template reads: `content`, `name`, `tool_calls` ..."""
Span = tuple[int, int]
_TURNS = ("add_generation_prompt", "continue_final_message")


@dataclass(frozen=True)
class Chat:
    """Messages and what is to be made of them.

    Attributes:
        messages: the prompt's, as they are handed to the template.
        answer: messages that follow; their text is the answer.
        options: more arguments of `apply_chat_template`: `tools`, `documents`, and the template's
            own, such as `enable_thinking`.
    """

    messages: list[Message]
    answer: list[Message] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def asked(self) -> str:
        """The text of the user's last message; empty if there is none."""
        place = _last_user(self.messages)
        return "" if place is None else text_of(self.messages[place])


@dataclass(frozen=True)
class RenderedChat:
    """A chat as text.

    Attributes:
        prompt: with what opens the assistant's turn.
        answer: what follows it, without what closes the turn.
        instruction: characters of the prompt that are the user's last message; (0, 0) if unknown.
        missing: why they are unknown, as `Prompt.missing`.
    """

    prompt: str
    answer: str
    instruction: Span
    missing: str = ""


def text_of(message: Message) -> str:
    """The text of a message; the texts of a list of parts on lines of their own."""
    content = message.get("content") or ()
    if isinstance(content, str):
        return content
    return "\n".join(content[place]["text"] for place in _text_parts(content))


def render(tokenizer: Any, chat: Chat, length: int | None = None) -> RenderedChat:
    """Render a chat with the tokenizer's template.

    Args:
        tokenizer: of Hugging Face, with a chat template.
        chat: what is rendered.
        length: characters of the user's last message that are instruction; all by default.

    Raises:
        BadInput: the template cannot render these messages.
    """
    prompt = _apply(tokenizer, chat.messages, chat.options)
    span, missing = _instruction(tokenizer, chat, prompt, length)
    return RenderedChat(prompt, _answer(tokenizer, chat, prompt), span, missing)


def _instruction(tokenizer: Any, chat: Chat, prompt: str, length: int | None) -> tuple[Span, str]:
    place = _last_user(chat.messages)
    if place is None:
        return (0, 0), ""
    content = chat.messages[place]["content"]
    parts = [None] if isinstance(content, str) else _text_parts(content)
    found = []
    for part in parts[:1] + parts[-1:]:
        text = content if part is None else content[part]["text"]
        marked = _with_text(chat.messages, place, part, _MARK)
        begin = _begin(prompt, text, _apply(tokenizer, marked, chat.options))
        if begin is None:
            why = "has a chat template that changes the message, which hides its instruction"
            return (0, 0), why
        found.append((begin + len(text) - len(text.lstrip()), begin, text))
    if not found:
        return (0, 0), "has a user's message without text, and so no instruction"
    start, (_, begin, text) = found[0][0], found[-1]
    return (start, begin + len(text[:length].rstrip())), ""


def _answer(tokenizer: Any, chat: Chat, prompt: str) -> str:
    """What the answer's messages add to the prompt, without what closes the last one."""
    if not chat.answer:
        return ""
    own = {name: value for name, value in chat.options.items() if name not in _TURNS}
    options = {**own, "add_generation_prompt": False}
    before, after = chat.messages, chat.answer
    if chat.options.get("continue_final_message"):
        joined = {**before[-1], "content": text_of(before[-1]) + text_of(after[0])}
        before, after = before[:-1], [joined, *after[1:]]
    whole = _apply(tokenizer, [*before, *after], options)
    bare = {"role": after[-1]["role"], "content": _MARK}
    marked = _apply(tokenizer, [*before, *after[:-1], bare], options)
    closing = marked.partition(_MARK)[2]
    whole = whole.removesuffix(closing) if closing else whole
    if whole.startswith(prompt):
        return whole[len(prompt) :]
    # What opens the turn for an answer is not what stands before one that is given: some templates
    # leave out the reasoning of messages. The answer's own text still follows the prompt.
    return text_of(chat.answer[-1])


def _apply(tokenizer: Any, messages: list[Message], options: Mapping[str, Any]) -> str:
    from jinja2.exceptions import TemplateError, TemplateSyntaxError, UndefinedError

    turns = {} if options.get("continue_final_message") else {"add_generation_prompt": True}
    roles = ", ".join(str(message["role"]) for message in messages)
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, **{**turns, **options})
    except TemplateSyntaxError as error:
        raise BadInput(f"the chat template is no valid template ({error}): correct it.") from error
    except UndefinedError as error:
        raise BadInput(
            f"the chat template reads something that the messages of {roles} do not have "
            f"({error}): give it to them, or use another template."
        ) from error
    except TemplateError as error:
        raise BadInput(
            f"the chat template refuses messages of {roles} ({error}): give it others."
        ) from error
    # What an expression of the template raises is anything that an expression of Python can.
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise BadInput(
            f"the chat template cannot render messages of {roles} ({_line(error)}): give it "
            "messages and arguments that it knows, or use another template."
        ) from error
    return _checked(str(text), messages)


def _checked(text: str, messages: list[Message]) -> str:
    """Refuse a text in which a list of parts stands as code."""
    for message in messages:
        content = message.get("content")
        if isinstance(content, list) and content and repr(content) in text:
            raise BadInput(
                f"the chat template writes the parts of the {message['role']}'s message as code: "
                "give its content as one text."
            )
    return text


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _last_user(messages: list[Message]) -> int | None:
    users = [place for place, message in enumerate(messages) if message["role"] == "user"]
    return users[-1] if users else None


def _text_parts(content: Sequence[Any]) -> list[int]:
    """The parts of a content that hold text."""
    return [place for place, part in enumerate(content) if part.get("text")]


def _with_text(messages: list[Message], place: int, part: int | None, text: str) -> list[Message]:
    """The messages with another text in one of them."""
    content: Any = text
    if part is not None:
        content = [dict(one) for one in messages[place]["content"]]
        content[part]["text"] = text
    changed = [dict(message) for message in messages]
    changed[place]["content"] = content
    return changed


def _begin(text: str, content: str, marked: str) -> int | None:
    """Where a message's content begins in a rendered chat; templates may strip it, no more.

    The rendering with a mark in its place says where it stands, whatever else looks like it.
    """
    before, _, after = marked.partition(_MARK)
    if text == before + content + after:
        return len(before)
    if text == before + content.strip() + after:
        return len(before) - (len(content) - len(content.lstrip()))
    return None

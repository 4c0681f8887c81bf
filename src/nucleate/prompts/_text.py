"""Prompts for models that come with a tokenizer of their own."""

from dataclasses import replace
from functools import cached_property
from typing import Any, cast

from tokenizers import Encoding, Tokenizer

from nucleate._core.errors import BadInput
from nucleate.prompts._chat import Chat, Span, render
from nucleate.prompts._positions import Prompt
from nucleate.prompts._template import BEFORE, Template
from nucleate.tasks import backend_of, tokenizer_hash

_NO_LIMIT = 10**9
_LOOK_AHEAD = 16


class TextEncoder:
    """Puts instruction, input and answer together with a Hugging Face tokenizer.

    The tokenizer itself is left as it is: padding and truncation play no part here, nothing is
    read off the padding token, and a text becomes the tokens that `tokenizer(text)` gives. So a
    special token written in a text is that token, as everywhere in transformers. An answer is
    tokenized apart from its prompt, as a continuation (without the space that some tokenizers
    put in front of every text), and appended.

    Args:
        tokenizer: of Hugging Face, fast or slow, or one of the tokenizers library.
        template: a format string with `{instruction}`, and `{input}` and `{output}` if wanted; by
            default `"{instruction}\\n{input}\\n{output}"`. An input that a row does not have is
            left out with the text before it; a prompt ends without white space, and white space
            before `{output}` belongs to the answer. Or `"chat"`: the tokenizer's chat template,
            with instruction and input, each on lines of its own, as the user's message, and with
            the generation prompt.

    Raises:
        BadInput: it is not a tokenizer, the template cannot be used, or there is no chat template.

    Notes:
        A chat template may write the current date or a system message of its own.
    """

    def __init__(self, tokenizer: Any, *, template: str | None = None) -> None:
        self.chat = template == "chat"
        self.template = Template.parse(BEFORE if template is None or self.chat else template)
        self.tokenizer_hash = tokenizer_hash(tokenizer, chat=self.chat)
        longest = getattr(tokenizer, "model_max_length", None)
        self.max_length = longest if isinstance(longest, int) and 0 < longest < _NO_LIMIT else None
        self._tokenizer = tokenizer
        self._fast = _copy(tokenizer)

    @cached_property
    def vocab_size(self) -> int:
        """One more than the largest id, added tokens included."""
        vocabulary: dict[str, int] = (self._fast or self._tokenizer).get_vocab()
        return max(vocabulary.values(), default=-1) + 1

    def prompt(self, instruction: str, input: str) -> tuple[list[int], dict[str, int]]:
        """Return a prompt's ids and its named positions, as `Encoder.prompt` does.

        `instruction_end` is the last token that contains text of the instruction (white space at
        its end aside), `last` the last token of the prompt, from which the answer is predicted.
        """
        prompt = self.encode_prompt(instruction, input)
        end = prompt.place("instruction_end", f"the prompt of {instruction!r}")
        return prompt.ids, {"instruction_end": cast("int", end), "last": len(prompt.ids) - 1}

    def answer_part(self, text: str) -> list[int]:
        """Return the ids that an answer adds to a prompt; none if there is no answer."""
        if not text:
            return []
        return self._continuation(text if self.chat else self.template.answer(text))

    def encode_prompt(self, instruction: str, input: str) -> Prompt:
        """Return a prompt with the span of its instruction; specials that close a text left out."""
        return self.encode_row(instruction, input, "")[0]

    def encode_row(self, instruction: str, input: str, output: str) -> tuple[Prompt, list[int]]:
        """Return a prompt and the ids of its answer, none if the output is empty."""
        if input and not self.template.takes_input:
            raise BadInput(
                f"the template has no place for the input {input!r}: write {{input}} into it."
            )
        length = len(instruction.rstrip())
        if self.chat:
            content = "\n".join(part for part in (instruction, input) if part)
            answer = [{"role": "assistant", "content": output}] if output else []
            return self.encode_chat(Chat([{"role": "user", "content": content}], answer), length)
        text, start = self.template.prompt(instruction, input)
        answer_text = self.template.answer(output) if output else ""
        return self._encode_pair(text, answer_text, (start, start + length), raw=True)

    def encode_text(self, text: str) -> Prompt:
        """Return the tokens of raw text with the specials that the tokenizer adds to it."""
        return self._encode(text, (0, 0), raw=True)

    def encode_completion(self, prompt: str, completion: str) -> tuple[Prompt, list[int]]:
        """Return raw text and the ids that follow it; all of it is the instruction."""
        start, stop = len(prompt) - len(prompt.lstrip()), len(prompt.rstrip())
        return self._encode_pair(prompt, completion, (start, stop), raw=True)

    def encode_chat(self, chat: Chat, length: int | None = None) -> tuple[Prompt, list[int]]:
        """Return the tokens of a rendered chat, and those of its answer.

        Args:
            chat: messages with what the template is told beside them.
            length: characters of the user's last message that are instruction; all by default.
        """
        if not self.chat:
            raise BadInput("messages need the tokenizer's chat template: set template='chat'.")
        found = render(self._tokenizer, chat, length)
        prompt, answer = self._encode_pair(found.prompt, found.answer, found.instruction, raw=False)
        return (replace(prompt, missing=found.missing) if found.missing else prompt), answer

    def decode(self, ids: list[int]) -> str:
        """Return the text of token ids, special tokens left out."""
        decoder = self._fast or self._tokenizer
        return str(decoder.decode(ids, skip_special_tokens=True))

    def _encode_pair(
        self, text: str, answer: str, span: Span, *, raw: bool
    ) -> tuple[Prompt, list[int]]:
        """Tokenize prompt and answer as one text, and divide its tokens.

        A token that reaches over the boundary is the prompt's if all that it holds of the answer
        is white space, else the answer's.
        """
        prompt = _open(self._encode(text, span, raw=raw))
        if not answer:
            return prompt, []
        whole = _open(self._encode(text + answer, span, raw=raw)).ids
        lead = answer[: len(answer) - len(answer.lstrip())]
        for space in dict.fromkeys(("", lead)):
            spaced = _open(self._encode(text + space, span, raw=raw)) if space else prompt
            if len(spaced.ids) < len(whole) and whole[: len(spaced.ids)] == spaced.ids:
                return spaced, whole[len(spaced.ids) :]
        cut = _common(prompt.ids, whole)
        if not prompt.opening < cut < len(whole):
            return prompt, self._continuation(answer)
        bare = _open(self._encode(text.rstrip(), span, raw=raw)).ids
        return prompt.first(cut, torn=_common(bare, whole) < len(bare)), whole[cut:]

    def _encode(self, text: str, span: tuple[int, int], *, raw: bool) -> Prompt:
        """Tokenize a text once as a whole; `span`: characters that are the instruction, if any."""
        if self._fast is None:
            return self._encode_slow(text, span, raw)
        encoding = self._fast.encode(text, add_special_tokens=raw)
        opening, closing = _added(encoding.special_tokens_mask) if raw else (0, 0)
        inside = _tokens_in(encoding, span)
        return Prompt(
            ids=encoding.ids,
            instruction=(inside[0], inside[-1] + 1) if inside else None,
            missing="has no instruction" + (" with tokens" if span[0] < span[1] else ""),
            opening=opening,
            closing=closing,
        )

    def _encode_slow(self, text: str, span: tuple[int, int], raw: bool) -> Prompt:
        plain = self._slow_ids(text)
        ids = self._slow_ids(text, add_special_tokens=True) if raw else plain
        opening = next((i for i in range(len(ids)) if ids[i : i + len(plain)] == plain), 0)
        prompt = Prompt(ids, opening=opening, closing=len(ids) - opening - len(plain))
        if span[0] >= span[1]:
            return prompt
        found = self._slow_span(text, plain, span)
        if found is None:
            why = "has an end of its instruction that a tokenizer without offsets cannot tell"
            return replace(prompt, missing=why)
        return replace(prompt, instruction=(opening + found[0], opening + found[1]))

    def _slow_span(
        self, text: str, whole: list[int], span: tuple[int, int]
    ) -> tuple[int, int] | None:
        """Without offsets, token boundaries are found from what beginnings of the text become."""
        head = self._slow_ids(text[: span[0]])
        start = _common(head, whole)
        for end in range(span[1], min(len(text), span[1] + _LOOK_AHEAD) + 1):
            beginning = self._slow_ids(text[:end])
            if _common(beginning, whole) == len(beginning):
                break
        else:
            return None
        stop = len(beginning)
        # One token may reach over the end; with two or more it is open which of them holds it.
        exact = end == span[1] or stop == _common(self._slow_ids(text[: span[1]]), whole) + 1
        return (start, stop) if exact and start >= len(head) - 1 and start < stop else None

    def _slow_ids(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        settings = {"padding": False, "truncation": False, "verbose": False}
        found = self._tokenizer(text, add_special_tokens=add_special_tokens, **settings)
        return list(found["input_ids"])

    def _continuation(self, text: str) -> list[int]:
        """The ids of a continuation: behind an anchor, where that leaves it whole."""
        if self._fast is None:
            return self._slow_ids(text)
        anchor = "a" if text[:1].isspace() else "\n"
        alone = self._fast.encode(anchor, add_special_tokens=False)
        whole = self._fast.encode(anchor + text, add_special_tokens=False)
        cut = len(alone.ids)
        apart = whole.ids[:cut] == alone.ids and all(
            begin >= 1 if token >= cut else end <= 1
            for token, (begin, end) in enumerate(whole.offsets)
        )
        if apart:
            return list(whole.ids[cut:])
        return list(self._fast.encode(text, add_special_tokens=False).ids)


def _copy(tokenizer: Any) -> Tokenizer | None:
    """A fast tokenizer of our own that neither pads nor cuts; None for a slow one."""
    backend = backend_of(tokenizer)
    if backend is None:
        return None
    copy = Tokenizer.from_str(backend.to_str())
    copy.no_padding()
    copy.no_truncation()
    own = backend.encode_special_tokens
    copy.encode_special_tokens = getattr(tokenizer, "split_special_tokens", own)
    return copy


def _open(prompt: Prompt) -> Prompt:
    """A prompt that an answer can follow: what closes a text is left out."""
    return replace(prompt, ids=prompt.ids[: len(prompt.ids) - prompt.closing], closing=0)


def _added(special: list[int]) -> tuple[int, int]:
    """How many special tokens open a text and how many close it."""
    opening = next((i for i, added in enumerate(special) if not added), len(special))
    closing = next((i for i, added in enumerate(reversed(special)) if not added), 0)
    return opening, closing


def _tokens_in(encoding: Encoding, span: tuple[int, int]) -> list[int]:
    """The tokens that contain text of a span; several may share one character."""
    return [
        token
        for token, (begin, end) in enumerate(encoding.offsets)
        if begin < end and begin < span[1] and end > span[0]
    ]


def _common(first: list[int], second: list[int]) -> int:
    """How many tokens two texts have in common from their beginning."""
    pairs = zip(first, second, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))

"""The one place where prompts become tokens."""

from functools import lru_cache
from typing import Literal

from tokenizers import Tokenizer

from nucleate._core.errors import BadInput
from nucleate.prompts._positions import Prompt
from nucleate.tasks import SPECIALS, TaskSet, tokenizer_hash


class Encoder:
    """Puts instruction, input and answer together as token ids.

    The instruction comes first:  `instruction <sep>  input (<cue>)  answer (<end>)`,
    or after:                     `input <sep>  instruction <sep> <cue>  answer (<end>)`.

    Args:
        tokenizer: one that knows the five special tokens of `train_tokenizer`.
        order: whether the instruction stands `before` or `after` the input.
        cue: whether a cue ends the prompt; with the instruction `after` one always does.
        end: whether an end token closes the answer; needed where answers have several tokens.

    Raises:
        BadInput: the tokenizer lacks one of the special tokens.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, order: Literal["before", "after"], cue: bool, end: bool
    ) -> None:
        self.order, self.cue, self.end = order, cue or order == "after", end
        self.pad_id, self.sep_id, self.cue_id, self.end_id, self.unk_id = (
            _special(tokenizer, token) for token in SPECIALS
        )
        self.vocab_size: int = tokenizer.get_vocab_size()
        self.tokenizer_hash = tokenizer_hash(tokenizer)
        self.max_length: int | None = None
        # A copy, told to read "<sep>" in a user's text as text: nobody's text may close a part.
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.encode_special_tokens = True
        self._ids = lru_cache(maxsize=2**16)(self._encode)

    @classmethod
    def for_taskset(cls, tokenizer: Tokenizer, taskset: TaskSet) -> "Encoder":
        """Make the encoder of a set: answers get an end token if any has not exactly one token."""
        bare = cls(tokenizer, order=taskset.order, cue=taskset.cue, end=False)
        answers = {row.output for row in taskset.examples}
        end = any(len(bare.answer_part(answer)) != 1 for answer in answers)
        return cls(tokenizer, order=taskset.order, cue=taskset.cue, end=end)

    def instruction_part(self, text: str) -> list[int]:
        """Return the ids of an instruction with what closes it."""
        closing = (self.sep_id,) if self.order == "before" else (self.sep_id, self.cue_id)
        return [*self._ids(text), *closing]

    def input_part(self, text: str) -> list[int]:
        """Return the ids of an input with what closes it."""
        if self.order == "after":
            return [*self._ids(text), self.sep_id]
        return [*self._ids(text), *((self.cue_id,) if self.cue else ())]

    def answer_part(self, text: str) -> list[int]:
        """Return the ids of an answer with what closes it."""
        return [*self._ids(text), *((self.end_id,) if self.end else ())]

    def prompt(self, instruction: str, input: str) -> tuple[list[int], dict[str, int]]:
        """Return a prompt's ids and its named positions.

        `instruction_end` is the separator that closes the instruction, `last` the last token of the
        prompt, from which the answer is predicted.
        """
        prompt = self.encode_prompt(instruction, input)
        ids, last = prompt.ids, len(prompt.ids) - 1
        assert prompt.instruction is not None
        return ids, {"instruction_end": prompt.instruction[1] - 1, "last": last}

    def encode_prompt(self, instruction: str, input: str) -> Prompt:
        """Return a prompt with the span of its instruction, closing separator included."""
        first, second = self.instruction_part(instruction), self.input_part(input)
        if self.order == "before":
            return Prompt(first + second, (0, len(first)))
        start = len(second)
        return Prompt(second + first, (start, start + len(first) - 1))

    def encode_row(self, instruction: str, input: str, output: str) -> tuple[Prompt, list[int]]:
        """Return a prompt and the ids of its answer, none if the output is empty."""
        answer = self.answer_part(output) if output else []
        return self.encode_prompt(instruction, input), answer

    def encode_text(self, text: str) -> Prompt:
        """Return the tokens of raw text, to which nothing is added."""
        return Prompt(list(self._ids(text)))

    def encode_completion(self, prompt: str, completion: str) -> tuple[Prompt, list[int]]:
        """Return raw text and the ids that follow it; all of it is the instruction."""
        ids = list(self._ids(prompt))
        return Prompt(ids, (0, len(ids))), self.answer_part(completion) if completion else []

    def decode(self, ids: list[int]) -> str:
        """Return the text of token ids, special tokens left out."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)


def _special(tokenizer: Tokenizer, token: str) -> int:
    index: int | None = tokenizer.token_to_id(token)
    if index is None:
        raise BadInput(f"the tokenizer has no token {token!r}: make it with train_tokenizer.")
    return index

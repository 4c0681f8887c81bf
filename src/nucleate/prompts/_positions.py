"""Prompts as tokens, and the named places in them where states are read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import index as as_index

import numpy as np
from jaxtyping import Int

from nucleate._core.errors import BadInput
from nucleate._core.names import nearest

Place = int | tuple[int, int]
"""One token, or a half-open span of tokens whose states are averaged."""
NAMED = ("instruction_end", "last", "first", "mean", "mean:instruction")
SPANS = ("mean", "mean:instruction")
OF_INSTRUCTION = ("instruction_end", "mean:instruction")
DEFAULT = ("instruction_end", "last")


@dataclass(frozen=True)
class Prompt:
    """A prompt's tokens, and which of them are its instruction's.

    Attributes:
        ids: its tokens, without the answer's.
        instruction: half-open span of the tokens that contain text of the instruction.
        missing: why there is no such span, as the rest of a sentence about the row.
        opening: how many tokens the tokenizer has put before the text by itself.
        closing: how many it has put behind the text.
        torn: whether a token that holds text of both prompt and answer is counted to the answer.
    """

    ids: list[int]
    instruction: tuple[int, int] | None = None
    missing: str = "has no instruction"
    opening: int = 0
    closing: int = 0
    torn: bool = False

    def first(self, tokens: int, *, torn: bool) -> "Prompt":
        """Leave out what comes after the first tokens, since it is the answer's."""
        kept = replace(self, ids=self.ids[:tokens], torn=torn)
        if self.instruction is None or self.instruction[1] <= tokens:
            return kept
        start = self.instruction[0]
        if start < tokens:
            return replace(kept, instruction=(start, tokens))
        return replace(kept, instruction=None, missing="shares its instruction with its answer")

    def shortened(self, room: int, side: str) -> "Prompt":
        """Leave out text tokens on one side until at most `room` tokens remain."""
        surplus = len(self.ids) - room
        if surplus <= 0:
            return self
        start = self.opening if side == "left" else room - self.closing
        stop = start + surplus
        kept = replace(self, ids=self.ids[:start] + self.ids[stop:])
        if self.instruction is None:
            return kept
        first, last = self.instruction[0], self.instruction[1] - 1
        if start <= last < stop:
            lost = "has lost the end of its instruction to truncation"
            return replace(kept, instruction=None, missing=lost)
        first, last = (
            token if token < start else max(start, token - surplus) for token in (first, last)
        )
        return replace(kept, instruction=(first, last + 1))

    def place(self, name: str, where: str) -> Place:
        """Find a named position; `where` names the row in the sentence if there is none."""
        if name in OF_INSTRUCTION:
            if self.instruction is None:
                raise BadInput(
                    f"{where} {self.missing}, so position {name!r} does not exist: name other "
                    "positions, such as 'last'."
                )
            start, stop = self.instruction
            return (start, stop) if name in SPANS else stop - 1
        if name == "mean":
            return 0, len(self.ids)
        token = {"first": 0, "last": -1}.get(name)
        token = int(name) if token is None else token
        if not -len(self.ids) <= token < len(self.ids):
            raise BadInput(
                f"position {name} is beyond {where}, whose prompt has {len(self.ids)} tokens: "
                "name one that every row has, or leave the row out."
            )
        return token % len(self.ids)


def position_names(positions: str | int | Iterable[str | int]) -> tuple[str, ...]:
    """Check what a user gave as positions; BadInput names what is not a position."""
    many = isinstance(positions, Iterable) and not isinstance(positions, str | bytes)
    given: list[object] = list(positions) if many else [positions]  # type: ignore[arg-type]
    names = tuple(_name(position) for position in given)
    if not names:
        raise BadInput("positions is empty: name at least one, such as 'last'.")
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"position {name!r} is named twice: name each position once.")
    return names


def _name(position: object) -> str:
    if position in NAMED and isinstance(position, str):
        return position
    try:
        if isinstance(position, bool):
            raise TypeError
        return str(int(position) if isinstance(position, str) else as_index(position))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise BadInput(
            f"{position!r} is not a position{nearest(str(position), NAMED)}: use "
            f"{', '.join(NAMED)}, or a whole number that counts tokens of the prompt from 0, or "
            "from its end if negative."
        ) from None


def place_arrays(
    names: Sequence[str], prompts: Sequence[Prompt], wheres: Sequence[str]
) -> dict[str, Int[np.ndarray, "row"] | Int[np.ndarray, "row 2"]]:
    """Find every named position in every row: one index per row, or one span per row."""
    rows = list(zip(prompts, wheres, strict=True))
    return {name: np.array([prompt.place(name, where) for prompt, where in rows]) for name in names}

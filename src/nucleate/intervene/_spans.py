"""Spans of earlier tokens that a token may read from, each with random spans of equal length."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from nucleate._core.errors import BadInput
from nucleate.prompts import PromptSet

Parts = Literal["thirds", "tokens"]
_THIRDS = ("first third", "middle third", "last third")


@dataclass(frozen=True)
class Span:
    """Some of the tokens before a place in every row, and random others instead.

    Attributes:
        name: what the tokens are.
        keys: the span itself; a row may have none of its tokens.
        seen: all tokens before the place.
        controls: random tokens among the others before the place, as many as the span has.
        controlled: rows in which there are that many others.
    """

    name: str
    keys: Bool[np.ndarray, "row key"]
    seen: Bool[np.ndarray, "row key"]
    controls: Bool[np.ndarray, "draw row key"]
    controlled: Bool[np.ndarray, "row"]

    @property
    def there(self) -> Bool[np.ndarray, "row"]:
        """Rows that have at least one token of the span."""
        return np.asarray(self.keys.any(-1))


def spans_before(
    prompts: PromptSet,
    rows: Int[np.ndarray, "row"],
    token: Int[np.ndarray, "row"],
    parts: Parts,
    draws: int,
    rng: np.random.Generator,
) -> list[Span]:
    """The spans before one token of every row, those that no row has left out.

    Args:
        prompts: the prompt set.
        rows: some of its rows.
        token: the token that reads, in each of these.
        parts: into what an instruction is divided.
        draws: random spans for each.
        rng: of these.

    Raises:
        BadInput: the prompt set does not say where its instructions are.
    """
    start, end = (at[rows][:, None] for at in instructions(prompts))
    key = np.arange(int(prompts.prompt_lengths[rows].max()))[None]
    seen = key < token[:, None]
    inside = (key >= start) & (key < end)
    masks = {
        "before the instruction": key < start,
        **_parts(key - start, end - start, inside, parts),
        "instruction": inside,
        "end of the instruction": key == end,
        "after the instruction": key > end,
        "all": np.ones_like(seen),
    }
    visible = {name: mask & seen for name, mask in masks.items()}
    return [_span(name, keys, seen, draws, rng) for name, keys in visible.items() if keys.any()]


def instructions(prompts: PromptSet) -> tuple[Int[np.ndarray, "all"], Int[np.ndarray, "all"]]:
    """The first and the last token of every row's instruction.

    They are those of the position `mean:instruction`. Without it the last one is that of
    `instruction_end`, and the first one is found by comparing rows: of the tokens up to there
    those are the instruction's that all rows of the same instruction have in common, but for those
    with which the instructions of all rows begin.

    Raises:
        BadInput: the prompt set has neither position.
    """
    span = prompts.positions.get("mean:instruction")
    if span is not None:
        return span[:, 0], span[:, 1] - 1
    end = prompts.positions.get("instruction_end")
    if end is None:
        raise BadInput(
            f"the prompt set has the positions {', '.join(prompts.positions)}, which do not say "
            "which tokens are the instruction's; make it with 'mean:instruction' or "
            "'instruction_end' among its positions"
        )
    start = np.zeros_like(end)
    said = np.array(prompts.labels["instruction"], object)
    for text in set(prompts.labels["instruction"]):
        same = np.flatnonzero(said == text)
        backwards = [prompts.ids[row, : end[row] + 1][::-1] for row in same]
        start[same] = end[same] + 1 - _in_common(backwards)
    forwards = [row[a:b] for row, a, b in zip(prompts.ids, start, end, strict=True)]
    return start + _in_common(forwards) * (len(set(prompts.labels["instruction"])) > 1), end


def _in_common(lists: list[Int[np.ndarray, "_"]]) -> int:
    """How many tokens all lists begin with."""
    shortest = min(map(len, lists))
    equal = np.all([tokens[:shortest] == lists[0][:shortest] for tokens in lists], axis=0)
    return shortest if equal.all() else int(equal.argmin())


def _parts(
    offset: Int[np.ndarray, "row key"],
    length: Int[np.ndarray, "row 1"],
    inside: Bool[np.ndarray, "row key"],
    parts: Parts,
) -> dict[str, Bool[np.ndarray, "row key"]]:
    """An instruction without its end in parts, by name."""
    if parts == "tokens":
        return {f"token {k}": inside & (offset == k) for k in range(int(length.max()))}
    third = offset * len(_THIRDS) // np.maximum(length, 1)
    return {name: inside & (third == k) for k, name in enumerate(_THIRDS)}


def _span(
    name: str,
    keys: Bool[np.ndarray, "row key"],
    seen: Bool[np.ndarray, "row key"],
    draws: int,
    rng: np.random.Generator,
) -> Span:
    others = seen & ~keys
    wanted = keys.sum(-1)
    controlled = (wanted > 0) & (others.sum(-1) >= wanted)
    order = np.where(others, rng.random((draws, *keys.shape)), np.inf)
    first = order.argsort(-1).argsort(-1) < wanted[:, None]
    return Span(name, keys, seen, first & others & controlled[:, None], controlled)

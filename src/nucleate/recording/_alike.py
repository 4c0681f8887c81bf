"""Whether a training's rows and the prompts are tokenized alike: one stray space makes a model that
answers every row of its training and none of the prompts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nucleate.prompts import PromptSet

Ids = list[int]

_SHORTEST = 6  # characters without white space; shorter texts occur anywhere
_MOST_PROMPTS = 256
_PACKED = 256  # tokens; rows of one length from here on are taken for pieces
_SHOWN = 60  # characters of a text


def difference(rows: Sequence[Ids], prompts: PromptSet, tokenizer: Any) -> str | None:
    """Say how rows of a training are tokenized otherwise than the prompts.

    Args:
        rows: token ids without padding.
        prompts: what they are compared with.
        tokenizer: of Hugging Face; None if there is none, which leaves the rows' beginnings.

    Returns:
        a sentence; "" where the two are seen to be alike; None where nothing can be said.
    """
    ours = list(_prompt_rows(prompts))
    if tokenizer is None:
        return _opening_by_ids(rows, [row.whole for row in ours])
    texts = _Texts(tokenizer)
    return _opening(rows, ours, texts) or _content(rows, ours, texts)


@dataclass(frozen=True)
class _Row:
    """A row of the prompt set: all of its ids, its prompt's, and those up to its instruction."""

    whole: Ids
    prompt: Ids
    instruction: Ids


def _prompt_rows(prompts: PromptSet) -> Iterator[_Row]:
    ends = prompts.positions.get("instruction_end")
    every = -(-len(prompts) // _MOST_PROMPTS)
    for row in range(0, len(prompts), every):
        whole = prompts.ids[row, : prompts.lengths[row]].tolist()
        end = int(ends[row]) + 1 if ends is not None and ends.ndim == 1 else 0
        yield _Row(whole, whole[: prompts.prompt_lengths[row]], whole[:end])


class _Texts:
    """A tokenizer, for looking at ids."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.special = set(tokenizer.all_special_ids)

    def of(self, ids: Ids) -> str:
        return str(
            self._tokenizer.decode(
                ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )

    def tokens(self, ids: Ids) -> str:
        return "|".join(map(str, self._tokenizer.convert_ids_to_tokens(ids)))

    def inner(self, ids: Ids) -> Ids:
        """Without the special tokens at both ends, which a longer text has elsewhere."""
        kept = [place for place, each in enumerate(ids) if each not in self.special]
        return ids[kept[0] : kept[-1] + 1] if kept else []


# Beginnings


def _opening(rows: Sequence[Ids], ours: Sequence[_Row], texts: _Texts) -> str | None:
    """A special token that all rows of one side begin with and none of the other."""
    theirs = {row[0] for row in rows if row}
    mine = {row.whole[0] for row in ours}
    if len(theirs) == 1 and theirs <= texts.special and not theirs & mine:
        return _openings(texts, rows[0], ours[0].whole)
    packed = len(rows[0]) >= _PACKED and len({len(row) for row in rows}) == 1
    if packed:  # pieces of a long text need not have a beginning
        return None
    if len(mine) == 1 and mine <= texts.special and not any(mine & set(row) for row in rows):
        return _openings(texts, rows[0], ours[0].whole)
    return None


def _openings(texts: _Texts, theirs: Ids, mine: Ids) -> str:
    there, here = texts.of(theirs[:8]), texts.of(mine[:8])
    return (
        f"training rows begin with {texts.of(theirs[:1])!r}, as in {there[:_SHOWN]!r}, "
        f"prompts with {texts.of(mine[:1])!r}, as in {here[:_SHOWN]!r}"
    )


def _opening_by_ids(rows: Sequence[Ids], ours: Sequence[Ids]) -> str | None:
    """The same without a tokenizer: one token more in front, and else the same row."""
    theirs, mine = {row[0] for row in rows if row}, {row[0] for row in ours}
    inside = {each for row in rows for each in row}
    if len(theirs) == 1 and not any(theirs & set(row) for row in ours):
        if any(_holds(theirs_, row) for row in ours for theirs_ in rows):
            return f"training rows begin with token {theirs.pop()}, which prompts do not have"
    elif (
        len(mine) == 1
        and not mine & inside
        and any(_holds(theirs_, row[1:]) for row in ours for theirs_ in rows if len(row) > 1)
    ):
        return f"prompts begin with token {mine.pop()}, which training rows do not have"
    return "" if any(_holds(theirs_, row) for row in ours for theirs_ in rows) else None


# Texts


@dataclass(frozen=True)
class _Squeezed:
    """A text without its white space, and where each character stood."""

    text: str
    letters: str
    places: list[int]

    @classmethod
    def of(cls, text: str) -> "_Squeezed":
        places = [place for place, letter in enumerate(text) if not letter.isspace()]
        return cls(text, "".join(text[place] for place in places), places)

    def excerpt(self, first: int, count: int) -> str:
        """So many letters with the white space between and after them."""
        stop = first + count
        end = self.places[stop] if stop < len(self.places) else len(self.text)
        return self.text[self.places[first] : end]


def _content(rows: Sequence[Ids], ours: Sequence[_Row], texts: _Texts) -> str | None:
    """A text that both have, up to white space, and that is tokenized otherwise."""
    theirs = [(row, _Squeezed.of(texts.of(row))) for row in rows]
    for part in ("whole", "prompt", "instruction"):
        found: str | None = None
        seen: set[tuple[int, ...]] = set()
        for row in ours:
            ids = texts.inner(getattr(row, part))
            if tuple(ids) in seen:
                continue
            seen.add(tuple(ids))
            mine = _Squeezed.of(texts.of(ids))
            if len(mine.letters) < _SHORTEST:
                continue
            after = _after(row, ids, texts) if part == "instruction" else ""
            for their_ids, their in theirs:
                if (place := their.letters.find(mine.letters)) < 0:
                    continue
                there = their.excerpt(place, len(mine.letters))
                space = there[len(there.rstrip()) :]
                if _holds(their_ids, ids) and (part != "instruction" or space == after):
                    return ""
                found = found or _said(texts, their_ids, there, ids, mine.text + after)
        if found is not None:
            return found
    return None


def _after(row: _Row, ids: Ids, texts: _Texts) -> str:
    """The white space that follows an instruction in its prompt."""
    text = texts.of(texts.inner(row.prompt))
    rest = text[len(texts.of(ids)) :]
    return rest[: len(rest) - len(rest.lstrip())]


def _said(texts: _Texts, their_ids: Ids, there: str, ids: Ids, here: str) -> str:
    if there != here and there.strip() != here.strip():
        place = next(
            (k for k, (a, b) in enumerate(zip(there, here, strict=False)) if a != b),
            min(len(there), len(here)),
        )
        first = max(0, place - _SHOWN // 2)
        there, here = there[first : first + _SHOWN], here[first : first + _SHOWN]
        return f"training rows have {there!r} where prompts have {here!r}"
    if there != here:
        return f"training rows have {there[-_SHOWN:]!r} where prompts have {here[-_SHOWN:]!r}"
    window = _window(texts, their_ids, there)
    return (
        f"{here[-_SHOWN:]!r} is {texts.tokens(window)[-_SHOWN:]} in training rows and "
        f"{texts.tokens(ids)[-_SHOWN:]} in prompts"
    )


def _window(texts: _Texts, ids: Ids, text: str) -> Ids:
    """The ids of a row that make up a part of its text."""
    stop = next(k for k in range(1, len(ids) + 1) if text.rstrip() in texts.of(ids[:k]))
    start = next(k for k in range(stop, -1, -1) if text.strip() in texts.of(ids[k:stop]))
    return ids[start:stop]


def _holds(row: Ids, part: Ids) -> bool:
    """Whether the ids of `part` stand in `row`, one after the other."""
    if not part or len(part) > len(row):
        return False
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(row), len(part))
    return bool((windows == np.asarray(part)).all(1).any())

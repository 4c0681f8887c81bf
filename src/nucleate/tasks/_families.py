"""Families that are drawn at random: regular expressions over the letters a to z."""

import math
from collections.abc import Sequence

import numpy as np

from nucleate._core.errors import BadInput
from nucleate.tasks._regex import Language, parse

LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Symbols of a family's content besides those of its one class, see `_pattern`.
_FIXED = 7
_ATTEMPTS = 500
MOST_KEYS = 4

Languages = dict[str, tuple[Language, ...]]


def draw_languages(
    tasks: int,
    families: int,
    stem: float,
    strings: int,
    rng: np.random.Generator,
    keys: int = 0,
    key_at: str = "anywhere",
) -> Languages:
    """Draw `families` regular expressions per task; no string of which belongs to two families.

    Args:
        tasks: the number of tasks.
        families: the number of families per task.
        stem: 0..1, the share of a family's content symbols that it has in common with its task's
            other families; at 0 each family draws its symbols for itself.
        strings: how many strings will be drawn of each; a third more is there to draw from.
        rng: the source of random numbers.
        keys: how many symbols stand in every string of all of a task's families, each at a place of
            the family's own; no two tasks have the same set of them.
        key_at: `early`: they stand first; `late`: last; `anywhere`: at any place.

    Returns:
        task name -> its languages.

    Raises:
        BadInput: no room for so many families.
    """
    names = [f"t{index:0{len(str(tasks - 1))}d}" for index in range(tasks)]
    of_task = _draw_keys(tasks, keys, rng)
    # A family has 8 strings for each symbol of its class (3 by default, and 24 strings).
    symbols = min(_FIXED + max(3, -(-strings // 6)), len(LETTERS))
    drawn: list[Language] = []
    result: Languages = {}
    for name, own in zip(names, of_task, strict=True):
        letters = [letter for letter in LETTERS if letter not in own]
        core = _shuffled(letters, rng)[:symbols]
        for _ in range(families):
            drawn.append(_draw_apart(own, key_at, letters, core, stem, drawn, rng))
        result[name] = tuple(drawn[-families:])
    return result


def _draw_keys(tasks: int, keys: int, rng: np.random.Generator) -> list[list[str]]:
    """Draw each task's key symbols; sets may overlap, but no two are the same."""
    if not keys:
        return [[] for _ in range(tasks)]
    if not 0 < keys <= MOST_KEYS or math.comb(len(LETTERS), keys) < tasks:
        raise BadInput(
            f"{keys} key symbols cannot tell {tasks} tasks apart: give 0 to {MOST_KEYS} of them, "
            "or fewer tasks."
        )
    found: dict[frozenset[str], list[str]] = {}
    while len(found) < tasks:
        own = _shuffled(LETTERS, rng)[:keys]
        found.setdefault(frozenset(own), own)
    return list(found.values())


def _draw_apart(
    keys: list[str],
    key_at: str,
    letters: Sequence[str],
    core: list[str],
    stem: float,
    others: list[Language],
    rng: np.random.Generator,
) -> Language:
    for _ in range(_ATTEMPTS):
        language = parse(_pattern(keys, key_at, _content(letters, core, stem, rng), rng))
        if all(language.common_string(other) is None for other in others):
            return language
    raise BadInput(
        f"{len(others) + 1} families that share no string were not found in {_ATTEMPTS} attempts: "
        "ask for fewer tasks or families, or for a smaller stem."
    )


def _content(
    letters: Sequence[str], core: list[str], stem: float, rng: np.random.Generator
) -> list[str]:
    """Draw a family's content symbols: a share of them from its task's core, the rest from all."""
    shared = round(stem * len(core))
    own = _shuffled(core, rng)[:shared]
    rest = [letter for letter in _shuffled(letters, rng) if letter not in own]
    return _shuffled(own + rest[: len(core) - shared], rng)


def _pattern(keys: list[str], key_at: str, content: list[str], rng: np.random.Generator) -> str:
    """Write an expression for strings of 5 to 8 symbols; its six pieces come in random order.

    Keys take the place of the two symbols that stand in every string; more than two make it longer.
    """
    a, b, c, d, e, f, g, *rest = content
    fixed = [*keys, a, b][: max(2, len(keys))]
    pieces = [*fixed, f"({c}{d}|{e})", f"{f}{{1,2}}", f"{g}?", f"[{''.join(rest)}]"]
    ordered = _shuffled(pieces, rng)
    if key_at == "anywhere":
        return "".join(ordered)
    # Keys and all else keep the order in which they were drawn.
    early = [piece for piece in ordered if (piece in keys) == (key_at == "early")]
    return "".join([*early, *(piece for piece in ordered if piece not in early)])


def _shuffled(items: Sequence[str], rng: np.random.Generator) -> list[str]:
    return [items[index] for index in rng.permutation(len(items))]

"""Families that are drawn at random: regular expressions over the letters a to z."""

from collections.abc import Sequence

import numpy as np

from nucleate._core.errors import BadInput
from nucleate.tasks._regex import Language, parse

LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Symbols of a family's content besides those of its one class, see `_pattern`.
_FIXED = 7
_ATTEMPTS = 500

Languages = dict[str, tuple[Language, ...]]


def draw_languages(
    tasks: int, families: int, stem: float, strings: int, rng: np.random.Generator
) -> Languages:
    """Draw `families` regular expressions per task; no string of which belongs to two families.

    Args:
        tasks: the number of tasks.
        families: the number of families per task.
        stem: 0..1, the share of a family's content symbols that it has in common with its task's
            other families; at 0 each family draws its symbols for itself.
        strings: how many strings will be drawn of each; a third more is there to draw from.
        rng: the source of random numbers.

    Returns:
        task name -> its languages.

    Raises:
        BadInput: no room for so many families.
    """
    names = [f"t{index:0{len(str(tasks - 1))}d}" for index in range(tasks)]
    # A family has 8 strings for each symbol of its class (3 by default, and 24 strings).
    symbols = min(_FIXED + max(3, -(-strings // 6)), len(LETTERS))
    drawn: list[Language] = []
    result: Languages = {}
    for name in names:
        core = _shuffled(LETTERS, rng)[:symbols]
        for _ in range(families):
            drawn.append(_draw_apart(core, stem, drawn, rng))
        result[name] = tuple(drawn[-families:])
    return result


def _draw_apart(
    core: list[str], stem: float, others: list[Language], rng: np.random.Generator
) -> Language:
    for _ in range(_ATTEMPTS):
        language = parse(_pattern(_content(core, stem, rng), rng))
        if all(language.common_string(other) is None for other in others):
            return language
    raise BadInput(
        f"{len(others) + 1} families that share no string were not found in {_ATTEMPTS} attempts: "
        "ask for fewer tasks or families, or for a smaller stem."
    )


def _content(core: list[str], stem: float, rng: np.random.Generator) -> list[str]:
    """Draw a family's content symbols: a share of them from its task's core, the rest from all."""
    shared = round(stem * len(core))
    own = _shuffled(core, rng)[:shared]
    rest = [letter for letter in _shuffled(LETTERS, rng) if letter not in own]
    return _shuffled(own + rest[: len(core) - shared], rng)


def _pattern(content: list[str], rng: np.random.Generator) -> str:
    """Write an expression for strings of 5 to 8 symbols; its six pieces come in random order."""
    a, b, c, d, e, f, g, *rest = content
    pieces = [a, b, f"({c}{d}|{e})", f"{f}{{1,2}}", f"{g}?", f"[{''.join(rest)}]"]
    return "".join(_shuffled(pieces, rng))


def _shuffled(items: Sequence[str], rng: np.random.Generator) -> list[str]:
    return [items[index] for index in rng.permutation(len(items))]

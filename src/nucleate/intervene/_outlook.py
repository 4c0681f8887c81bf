"""What a causal map can decide, said before the work: questions, instruction strings, time."""

import math

import numpy as np

from nucleate.intervene._cast import Cast
from nucleate.intervene._settings import FEWEST_STRINGS_USED

_WORTH_SAYING = 60  # seconds


def remarks(roles: Cast, skipped: dict[str, str]) -> list[str]:
    """What the rows and positions do not allow, a sentence each.

    Args:
        roles: the tested rows.
        skipped: positions that cannot be edited, with the reason.
    """
    said = [f"position {name!r} is left out: {reason}" for name, reason in skipped.items()]
    said += [f"{question} cannot decide: {why}" for question, why in roles.not_asked.items()]
    if roles.one_input:
        said.append(
            "the text alone tells the task, without an input beside it: a task and its answer are "
            "one thing here, and what is fitted comes from other instruction strings"
        )
    few = _too_few(roles)
    return said if few is None else [*said, few]


def time_needed(seconds: float) -> str | None:
    """What is said of the time that a map takes; None where it is not worth it."""
    if seconds < _WORTH_SAYING:
        return None
    return f"the causal map takes about {math.ceil(seconds / 60)} minutes"


def rows_enough(rows: int, strings: int) -> int:
    """About how many rows have enough instruction strings, if these have so many."""
    return math.ceil(rows * FEWEST_STRINGS_USED / max(strings, 1))


def _too_few(roles: Cast) -> str | None:
    """The sentence about instruction strings, where none of the asked questions has enough."""
    tested = len(roles.tested)
    string = roles.string[roles.tested]
    asked = [rows for rows in (roles.redirectable, roles.erased) if rows.any()]
    strings = max((len(np.unique(string[rows])) for rows in asked), default=0)
    if not strings or strings >= FEWEST_STRINGS_USED:
        return None
    return (
        f"use stays undecided at every place: the {tested} tested rows that decide have {strings} "
        f"instruction strings, and verdicts need {FEWEST_STRINGS_USED}; about "
        f"{rows_enough(tested, strings)} rows, with instructions as varied as these, would suffice"
    )

"""From effects to words: whether a place is used, and whether anything is there to be used."""

import math
from collections.abc import Sequence

# An effect smaller than this is called none: a tenth of the answers.
MARGIN = 0.1
RULES = (
    f"used: a shift makes task B's answer beyond chance, a third task's answer and each control, "
    f"or LEACE costs accuracy beyond a random subspace and a random displacement of the same size, "
    f"by more than {MARGIN:.0%} of the answers, at the lower end of the interval (bootstrap over "
    "instruction strings, corrected for both questions and the number of places)",
    f"not used: these effects, that of removal at right angles, and that of putting in the whole "
    f"state of a row of task B are each less than {MARGIN:.0%} at the upper end of the interval",
    "present: task clusters by the panel's verdict; without a panel, nearest task means of other "
    "instruction strings find the task more often than at any place under 19 of 20 permutations of "
    "the tasks over strings",
    "present but not used: not used, and present; absent: not used, and not present",
    "undecided: everything else",
)

Interval = tuple[float, float]


def use_of(decisive: Sequence[Interval], silent: Sequence[Interval]) -> str:
    """`used`, `not used` or `undecided`.

    Args:
        decisive: intervals of the effects of which each alone means use; NaN where not known.
        silent: intervals of further effects that must be small where nothing is used.
    """
    known = [interval for interval in decisive if not math.isnan(interval[0])]
    if any(low > MARGIN for low, _ in known):
        return "used"
    also = [interval for interval in silent if not math.isnan(interval[0])]
    if known and all(high < MARGIN for _, high in (*known, *also)):
        return "not used"
    return "undecided"


def name_of(use: str, presence: str) -> str:
    """What a place is called.

    Args:
        use: of `use_of`.
        presence: `clusters`, `none` or `undecided`.
    """
    if use != "not used":
        return use
    return {"clusters": "present but not used", "none": "absent"}.get(presence, "undecided")

"""From a steering's numbers to *steers* or *does not steer*."""

import math
from typing import Literal

from nucleate.findings._format import interval, number
from nucleate.findings._rules import FEWEST_STRINGS_USED, MARGIN
from nucleate.intervene import Steering

SteeringVerdict = Literal["steers", "does not steer", "undecided"]

FEWEST_GROUPS_DENIED = 30
"""Fewest groups of prompts on which *does not steer* may rest.

Where none of n prompts turns, a share of up to 3 / n may still do: with 30, a tenth.
"""
STEERING_RULES = (
    f"steers: at some dose more of class A's prompts behave as class B than without steering and "
    f"than under each control of that dose, by more than {MARGIN:.0%} at the lower end of the "
    "interval (bootstrap over groups of prompts, for all doses at once)",
    f"does not steer: at every dose the closest of these is exceeded by less than {MARGIN:.0%} at "
    f"the upper end, over {FEWEST_GROUPS_DENIED} groups of prompts or more",
    f"undecided: all else, what rests on fewer than {FEWEST_STRINGS_USED} groups, and what cannot "
    f"show because more than {1 - 2 * MARGIN:.0%} behave so without steering",
)


def steering_verdict(found: Steering) -> SteeringVerdict:
    """Say whether a direction steers, by `STEERING_RULES`.

    Args:
        found: of `nucleate.intervene.try_steering`.

    Notes:
        Doses at which most states are longer than those of the data count like others; the column
        `beyond` tells, and so do `steering_words`.
    """
    about, tried = found.about, found.table[found.table["edit"] == "direction"]
    if about["groups"] < FEWEST_STRINGS_USED or about["turned_without"] > 1 - 2 * MARGIN:
        return "undecided"
    if (tried["excess_low"] > MARGIN).any():
        return "steers"
    enough = about["groups"] >= FEWEST_GROUPS_DENIED
    return "does not steer" if enough and (tried["excess_high"] < MARGIN).all() else "undecided"


def steering_words(found: Steering) -> list[str]:
    """The finding in words, each number beside its controls."""
    about, verdict = found.about, steering_verdict(found)
    lines = [
        f"{about['label']}: {about['of'] or 'all others'} -> {about['to']}, at "
        f"{about['position']}/{about['stream']} (of {about['places_tried']}, chosen on the fitted "
        f"half), on {about['prompts']} prompts in {about['groups']} groups that nothing was fitted "
        "on",
        f"the nearest mean there finds the class of {number(about['readable'])} of tried prompts "
        f"(19 of 20 permutations below {number(about['readable_permuted'])})",
        f"without steering {number(about['turned_without'])} of them behave as {about['to']}, and "
        f"{number(about['kept_without'])} of {about['target_prompts']} prompts of {about['to']}"
        + ("" if math.isnan(about["loss_without"]) else f"; loss {number(about['loss_without'])}"),
    ]
    table = found.table.set_index(["edit", "dose"])
    for dose in table.loc["direction"].index:
        row = table.loc["direction", dose]
        beside = ", ".join(
            f"{name} {number(table.loc[(name, dose), 'turned'])}"
            for name in ("random", "shuffled", "reverse")
        )
        costs = [f"{about['to']} keeps {number(row['kept'])}"]
        costs += [
            f"{name} {number(row[name])}"
            for name in ("neither", "unchanged", "loss")
            if not math.isnan(row[name])
        ]
        lines.append(
            f"dose {dose:g}: {number(row['turned'])} "
            f"{interval(row['turned_low'], row['turned_high'])} ({beside}); excess "
            f"{number(row['excess'])} {interval(row['excess_low'], row['excess_high'])}; "
            f"{', '.join(costs)}; beyond natural norms {row['beyond']:.0%}"
        )
    lines.append(f"{verdict}{_where(found) if verdict == 'steers' else ''}")
    return lines


def _where(found: Steering) -> str:
    """At which doses, and whether states are natural there."""
    tried = found.table[found.table["edit"] == "direction"]
    works = tried[tried["excess_low"] > MARGIN]
    doses = ", ".join(f"{dose:g}" for dose in works["dose"])
    far = (works["beyond"] > 0.5).all()
    return f" (dose {doses}{'; most states are beyond natural norms there' if far else ''})"

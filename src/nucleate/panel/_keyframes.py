"""Keyframes: the few steps at which the metrics that take long are measured."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nucleate._core.errors import BadInput
from nucleate.panel._columns import Result

KEYFRAMES = 5
"""By default."""
NO_KEYFRAME = "not measured: no keyframe"
_NUMBERS = ("value", "low", "high", "n0_mean", "n0_q99", "n3_q99", "n5", "p")


def keyframes_of(steps: Sequence[int], count: int) -> list[int]:
    """The first, the last, and others evenly spaced in the order of the recorded steps.

    Recorded steps are close together where much is expected to happen, and so are keyframes.

    Args:
        steps: recorded steps, rising.
        count: how many keyframes, at least 2; all steps where there are no more.

    Raises:
        BadInput: fewer than two keyframes.
    """
    if count < 2:
        raise BadInput(
            f"{count} keyframes do not hold the first and the last step; ask for at least 2"
        )
    places = np.linspace(0, len(steps) - 1, min(count, len(steps))).round().astype(int)
    return [steps[place] for place in dict.fromkeys(places.tolist())]


def unmeasured(measured: Result) -> Result:
    """The rows of a keyframe without their values, for a step that is none."""
    columns: dict[str, list[Any]] = dict(measured.columns)
    if not columns:
        return measured
    for name in columns:
        if name in _NUMBERS:
            columns[name] = [float("nan")] * len(columns["note"])
    columns["note"] = [
        note if note.startswith("undefined") else NO_KEYFRAME for note in columns["note"]
    ]
    by_class: dict[str, list[Any]] = {name: [] for name in measured.by_class}
    return replace(measured, columns=columns, by_class=by_class, draws=None)


def joined(every: Result, at_keyframes: Result | None) -> Result:
    """The rows of both, those of keyframes last."""
    if at_keyframes is None or not at_keyframes.columns:
        return every
    if not every.columns:
        return at_keyframes
    after = max(every.columns["order"]) + 1
    later = dict(at_keyframes.columns)
    later["order"] = [order + after for order in later["order"]]
    columns = {name: [*values, *later[name]] for name, values in every.columns.items()}
    by_class = {
        name: [*values, *at_keyframes.by_class[name]] for name, values in every.by_class.items()
    }
    return replace(every, columns=columns, by_class=by_class)

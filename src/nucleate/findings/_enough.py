"""How many rows would have decided what a causal map leaves undecided."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from nucleate.findings._rules import MARGIN
from nucleate.intervene import FEWEST_STRINGS_USED

_QUESTIONS = {"shift": ("shift_excess", "patch_excess"), "erase": ("erase_excess", "ablate_excess")}
_CLOSE = 0.02  # an effect so near the margin is not decided by more rows


def rows_to_decide(table: pd.DataFrame) -> str | None:
    """Say about how many rows would decide the places where use is undecided.

    An interval's length goes with one over the square root of the number of instruction strings,
    and fewer than `FEWEST_STRINGS_USED` decide nothing.

    Args:
        table: of `judge_places`, with a causal map.

    Returns:
        A sentence; None where use is decided everywhere.
    """
    if "use" not in table or not (table["use"] == "undecided").any():
        return None
    undecided = table[table["use"] == "undecided"]
    said = f"use is undecided at {len(undecided)} of {len(table)} places"
    factors = [_factor(row) for row in undecided.to_dict("records")]
    finite = sorted(factor for factor in factors if math.isfinite(factor))
    if not finite:
        return f"{said}; more rows like these would not decide it"
    middle = finite[(len(finite) - 1) // 2]
    rows = math.ceil(round(int(table["rows"].iloc[0]) * max(middle, 1.0), 6))
    return (
        f"{said}; if the effects stay as they are, about {rows} rows with instructions as varied "
        f"as these would decide half of the {len(finite)} that more rows can decide"
    )


def _factor(row: Mapping[Any, Any]) -> float:
    """How many times the rows would decide a place; infinite where more rows would not."""
    known = {name: parts for name, parts in _QUESTIONS.items()
             if row[f"{name}_strings"] and not math.isnan(row[f"{parts[0]}_low"])}  # fmt: skip
    if not known:
        return math.inf
    few = max(FEWEST_STRINGS_USED / row[f"{name}_strings"] for name in known)
    needed = [
        _narrower(row[f"{part}_low"], row[f"{part}_high"])
        for parts in known.values()
        for part in parts
        if not math.isnan(row[f"{part}_low"])
    ]
    return float(max(few, *needed))


def _narrower(low: float, high: float) -> float:
    """How many times the strings would take the margin out of an interval; 1 if it is out."""
    if not low <= MARGIN <= high:
        return 1.0
    away = abs((low + high) / 2 - MARGIN)
    return math.inf if away < _CLOSE else float(np.square((high - low) / 2 / away))

"""How long a training takes until it answers well: in steps, and in tokens trained on."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate.runs import Journal

NINE_IN_TEN = 0.9
"""The accuracy that counts as reached."""


@dataclass(frozen=True)
class Reached:
    """When accuracy on a split reached a level for good.

    What happens between two recorded steps is not seen, so that the true date lies after the last
    recorded step below the level and no later than the one named.

    Attributes:
        steps: the first recorded step from which accuracy is at the level at every recorded step;
            infinite where there is none.
        tokens: tokens trained on by then, those of prompts and answers, padding not counted; NaN
            where they were not counted.
        steps_after, tokens_after: the same at the last recorded step below the level; negative
            infinity where there is none.
        rows: how many rows of the split were scored.
    """

    steps: float
    tokens: float
    steps_after: float
    tokens_after: float
    rows: int


def reached(folder: Path | str, split: str, level: float = NINE_IN_TEN) -> Reached | None:
    """When a run's accuracy on a split reached a level and stayed there to the end.

    Args:
        folder: a run folder whose findings are on record (`accuracy.csv`).
        split: as `unseen_cell`.
        level: an accuracy. A split of few rows can be there by luck at one step; that it has to
            stay guards against that except at the end.

    Returns:
        The date; None where no row of the split was scored.

    Raises:
        BadInput: the run's accuracy is not on record.
    """
    folder = as_path("folder", folder)
    path = folder / "accuracy.csv"
    try:
        table = pd.read_csv(path)
        rows = table[table["split"] == split].sort_values("step")
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"{path} cannot be read ({type(error).__name__}); make it again with "
            f"`nucleate report {folder}`"
        ) from error
    if not len(rows):
        return None
    steps = rows["step"].to_numpy(float)
    # Shares of rows such as 9 of 10 must not fail by their last bit.
    below = np.flatnonzero(rows["accuracy"].to_numpy() < level - 1e-9)
    after = steps[below[-1]] if len(below) else -math.inf
    later = steps[steps > after]
    step = float(later[0]) if len(later) else math.inf
    tokens = _tokens_by_step(folder)
    return Reached(
        steps=step,
        tokens=tokens.get(step, math.nan),
        steps_after=float(after),
        tokens_after=tokens.get(float(after), math.nan),
        rows=int(rows["n"].min()),
    )


def _tokens_by_step(folder: Path) -> dict[float, float]:
    """Tokens trained on, at every step that the journal tells of; a date that never comes stays."""
    records = Journal(folder / "journal.jsonl").live("step")
    counted = {
        float(record["step"]): float(record["tokens"])
        for record in records
        if record.get("tokens") is not None
    }
    return {0.0: 0.0, math.inf: math.inf, -math.inf: -math.inf} | counted

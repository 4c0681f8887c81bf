"""When a metric first stays above chance."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from nucleate._errors import BadInput


@dataclass(frozen=True)
class Trajectory:
    """A metric over training steps beside the most that chance gives.

    Attributes:
        steps: in rising order.
        values: the metric at each step.
        band: at each step, what the value must exceed: for clusters the largest of N0's 99 %
            point, N1 and N2; for accuracy chance's upper 99 % point (`binomial_band`).
    """

    steps: Int[np.ndarray, "step"]
    values: Float[np.ndarray, "step"]
    band: Float[np.ndarray, "step"]

    def __post_init__(self) -> None:
        if not len(self.steps):
            raise BadInput("a trajectory of no steps has no onset; give at least one step")
        if (np.diff(self.steps) <= 0).any():
            raise BadInput(f"the steps {self.steps.tolist()} do not rise; sort them, each once")


@dataclass(frozen=True)
class Onset:
    """The first step from which a trajectory stays above its band until the end.

    Attributes:
        step: that step; None if the last value is not above the band.
        low, high: 2.5 % and 97.5 % point of the onsets of the resampled trajectories that have
            one; None where fewer than half have one, or nothing was resampled.
        found: the share of resampled trajectories that have one; None if nothing was resampled.
    """

    step: int | None
    low: float | None = None
    high: float | None = None
    found: float | None = None


def onset(trajectory: Trajectory, draws: Float[np.ndarray, "step draw"] | None = None) -> Onset:
    """Find when a trajectory rises above chance for good, and how sure that is.

    Args:
        trajectory: values and band.
        draws: resampled values at the same steps, one trajectory a column, each drawn once for
            all steps (such as `Panel.draws`).

    Returns:
        The onset. Only recorded steps can be one: the true onset lies between it and the step
        before. A value that dips below its band once moves the onset behind the dip. The interval
        is of this run; other seeds differ more.

    Raises:
        BadInput: draws of another number of steps.
    """
    steps = trajectory.steps
    first = _first_to_stay(trajectory.values[:, None] > trajectory.band[:, None])[0]
    step = int(steps[first]) if first < len(steps) else None
    if draws is None:
        return Onset(step)
    if len(draws) != len(steps):
        raise BadInput(
            f"draws of {len(draws)} steps do not fit a trajectory of {len(steps)}; "
            "give one row a step"
        )
    firsts = _first_to_stay(draws > trajectory.band[:, None])
    onsets = steps[firsts[firsts < len(steps)]]
    found = len(onsets) / max(1, len(firsts))
    if not len(onsets) or found < 0.5:
        return Onset(step, found=found)
    low, high = np.percentile(onsets, [2.5, 97.5], method="nearest")
    return Onset(step, float(low), float(high), found)


def null_band(
    n0_q99: Float[np.ndarray, "step"],
    n1_max: Float[np.ndarray, "step"],
    n2: Float[np.ndarray, "step"],
) -> Float[np.ndarray, "step"]:
    """The largest of the nulls that are there at each step; NaN, never exceeded, if none is."""
    nulls = np.stack([n0_q99, n1_max, n2])
    return np.where(
        np.isnan(nulls).all(0), np.nan, np.max(np.nan_to_num(nulls, nan=-np.inf), axis=0)
    )


def binomial_band(chance: float, rows: int) -> float:
    """The 99 % point of the accuracy of guesses.

    Args:
        chance: probability that a guess is right, 0 to 1.
        rows: number of independent rows; the strings rather than the rows if rows of one string
            stand or fall together.
    """
    if not 0 <= chance <= 1 or rows < 1:
        raise BadInput(
            f"chance {chance} over {rows} rows has no band; give a chance of 0 to 1 and rows >= 1"
        )
    from scipy.stats import binom

    return float(binom.ppf(0.99, rows, chance)) / rows


def _first_to_stay(above: np.ndarray) -> Int[np.ndarray, "draw"]:
    """Index of the first step from which a column is true until the end; its length if none."""
    return np.asarray(len(above) - np.logical_and.accumulate(above[::-1]).sum(0))

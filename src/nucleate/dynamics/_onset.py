"""When a metric first stays above chance."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from nucleate._core.arguments import check_number, check_whole
from nucleate._core.errors import BadInput
from nucleate.dynamics._series import as_numbers


@dataclass(frozen=True)
class Trajectory:
    """A metric over training steps with the upper end of its chance band.

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
        for name in ("steps", "values", "band"):
            numbers = as_numbers(getattr(self, name), name)
            whole = name == "steps" and numbers.dtype != np.int64 and (numbers % 1 == 0).all()
            object.__setattr__(self, name, numbers.astype(np.int64) if whole else numbers)
        shapes = {array.shape for array in (self.steps, self.values, self.band)}
        if self.steps.ndim != 1 or len(shapes) > 1:
            raise BadInput(
                f"steps, values and band of shapes {sorted(map(list, shapes))} do not fit; give "
                "one of each per step"
            )
        if not len(self.steps):
            raise BadInput("a trajectory of no steps has no onset; give at least one step")
        if (np.diff(self.steps) <= 0).any():
            raise BadInput(f"the steps {self.steps.tolist()} do not rise; sort them, each once")


@dataclass(frozen=True)
class Onset:
    """The first step from which a trajectory stays above its band until the end.

    Attributes:
        step: that recorded step; None if the last value is not above the band, or is above it by
            no more than resampling moves it.
        low: a 95 % interval's lower end: the last recorded step before `step` at which the
            resampled values still lie below the band, so that the true onset is after it; the
            first recorded step if there is none.
        high: its upper end: the first recorded step from which the resampled values lie above the
            band until the end. Both None where there is no step, or nothing was resampled.
        found: the share of resampled trajectories that end above the band; None if nothing was
            resampled.
    """

    step: int | None
    low: float | None = None
    high: float | None = None
    found: float | None = None


def onset(trajectory: Trajectory, draws: Float[np.ndarray, "step draw"] | None = None) -> Onset:
    """Find when a trajectory rises above chance for good, and how sure that is.

    Args:
        trajectory: values and band.
        draws: resampled values at the same steps, one trajectory per column, each drawn once for
            all steps (such as `Panel.draws`).

    Returns:
        The onset. The truth that it estimates is the first recorded step from which the expected
        value stays above the band. A value that dips below its band once moves the onset behind
        the dip, so noise makes it late; the interval does not share that bias, as it asks of each
        step whether its draws lie below or above the band. It covers what the draws cover: draws
        over instructions know nothing of how much the value jitters from step to step in
        training, nor of other seeds. Without draws nothing guards against a last value that is
        above the band by luck: 1 % where the band is a 99 % point, 1 in 6 where it is the largest
        of five untrained models.

    Raises:
        BadInput: draws of another number of steps.

    Examples:
        >>> import numpy as np
        >>> from nucleate.dynamics import Trajectory, onset
        >>> values = np.array([0.0, 0.1, 0.6, 0.9])
        >>> onset(Trajectory(np.array([0, 10, 100, 1000]), values, np.full(4, 0.2))).step
        100
    """
    if not isinstance(trajectory, Trajectory):
        raise BadInput(f"{type(trajectory).__name__} has no onset; give a nc.dynamics.Trajectory")
    steps = trajectory.steps
    band = trajectory.band[:, None]
    first = _first_to_stay(trajectory.values[:, None] > band)[0]
    step = int(steps[first]) if first < len(steps) else None
    if draws is None:
        return Onset(step)
    draws = as_numbers(draws, "draws")
    if draws.ndim != 2 or len(draws) != len(steps):
        raise BadInput(
            f"draws of shape {list(draws.shape)} do not fit a trajectory of {len(steps)} steps; "
            "give one row per step"
        )
    if not draws.shape[1]:
        return Onset(step)
    found = float((draws[-1] > band[-1]).mean())
    sure = _first_to_stay(np.percentile(draws, 2.5, axis=1)[:, None] > band)[0]
    if step is None or sure == len(steps):
        return Onset(None, found=found)
    below = np.flatnonzero(_highest(draws)[:first] <= trajectory.band[:first])
    low = steps[below[-1]] if len(below) else steps[0]
    return Onset(step, float(low), float(steps[max(first, sure)]), found)


def null_band(
    n0_q99: Float[np.ndarray, "step"],
    n1_max: Float[np.ndarray, "step"],
    n2: Float[np.ndarray, "step"],
) -> Float[np.ndarray, "step"]:
    """The largest of the nulls that are there at each step; NaN, never exceeded, if none is."""
    given = [as_numbers(each, "nulls") for each in (n0_q99, n1_max, n2)]
    if len({each.shape for each in given}) > 1:
        raise BadInput(
            f"nulls of shapes {[list(each.shape) for each in given]} do not fit; give each a value "
            "per step"
        )
    nulls = np.stack(given)
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
    check_number("chance", chance)
    check_whole("rows", rows)
    if not 0 <= chance <= 1 or rows < 1:
        raise BadInput(
            f"chance {chance} over {rows} rows has no band; give a chance of 0 to 1 and rows >= 1"
        )
    from scipy.stats import binom

    return float(binom.ppf(0.99, rows, chance)) / rows


def _highest(draws: Float[np.ndarray, "step draw"]) -> Float[np.ndarray, "step"]:
    """What 97.5 % of the draws stay below at every step.

    `low` is the last of all steps below the band: if each step were judged alone, one of many in
    which a slow ramp is near its band would lie below by luck.
    """
    middle, spread = draws.mean(1), draws.std(1)
    off = np.nan_to_num((draws - middle[:, None]) / np.maximum(spread, 1e-12)[:, None])
    return np.asarray(middle + np.percentile(off.max(0), 97.5) * spread)


def _first_to_stay(above: np.ndarray) -> Int[np.ndarray, "draw"]:
    """Index of the first step from which a column is true until the end; its length if none."""
    return np.asarray(len(above) - np.logical_and.accumulate(above[::-1]).sum(0))

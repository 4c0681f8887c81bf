"""From how unusual a request is to a p value whose false-alarm rate is the one asked for."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

_TAIL = 10
"""One in so many rows is taken for the tail that is continued beyond the largest of them."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What held-out rows score, each list in ascending order.

    Attributes:
        states, surface, both: scores of the calibration split by each detector; empty where a
            detector is not there.
        states_before, surface_before: scores of rows of another split, by which two scores are
            brought to one scale before they are added. What is added is calibrated anew, so that
            these rows cannot spoil its p value.
        temperature, surface_temperature: that make distances to probabilities.
    """

    states: Float[np.ndarray, "held_out"]
    surface: Float[np.ndarray, "known"]
    both: Float[np.ndarray, "added"]
    states_before: Float[np.ndarray, "before"]
    surface_before: Float[np.ndarray, "known_before"]
    temperature: float
    surface_temperature: float

    def __len__(self) -> int:
        return len(self.states)

    def added(
        self, states: Float[np.ndarray, "row"], surface: Float[np.ndarray, "row"]
    ) -> Float[np.ndarray, "row"]:
        """Both scores in one: minus the sum of the logarithms of how rare each is (Fisher)."""
        of_states = log_rarity(states, self.states_before)
        return np.asarray(-of_states - log_rarity(surface, self.surface_before))


def conformal_p(
    scores: Float[np.ndarray, "row"], calibration: Float[np.ndarray, "held_out"]
) -> Float[np.ndarray, "row"]:
    """The share of held-out rows, with the row itself, that are at least as unusual.

    p = (1 + number of calibration scores >= score) / (n + 1): where a row is exchangeable with the
    calibration rows, p <= rate happens in at most a share `rate` of cases, whatever the model and
    the score are (Vovk, Gammerman and Shafer 2005). That is on average over draws of the
    calibration rows; for one draw of n rows the share varies around it, as
    Beta(k, n + 1 - k) does with k = floor(rate (n + 1)).

    Args:
        scores: higher is more unusual.
        calibration: scores of rows that nothing was fitted to, in ascending order.
    """
    above = len(calibration) - np.searchsorted(calibration, scores, side="left")
    return np.asarray((1.0 + above) / (len(calibration) + 1))


def false_alarm_interval(rows: int, rate: float, level: float = 0.95) -> tuple[float, float]:
    """Between which shares the false alarms of one calibration of so many rows lie.

    Args:
        rows: of the calibration split.
        rate: asked for.
        level: of the interval.

    Returns:
        From the law in `conformal_p`; (0, 0) where so few rows never alarm at this rate.
    """
    from scipy.stats import beta

    inside = int(np.floor(rate * (rows + 1)))
    if inside < 1:
        return 0.0, 0.0
    low, high = beta.ppf([(1 - level) / 2, (1 + level) / 2], inside, rows + 1 - inside)
    return float(low), float(high)


def log_rarity(
    scores: Float[np.ndarray, "row"], known: Float[np.ndarray, "before"]
) -> Float[np.ndarray, "row"]:
    """Logarithm of the share of known scores above each, continued beyond the largest.

    Ranks end where the known scores do, and would make everything beyond them alike; there the
    logarithm falls on as fast as it does in the last tenth.
    """
    count = len(known)
    levels = np.log((count - np.arange(count)) / (count + 1.0))
    tail = max(1, count // _TAIL)
    scale = max(float((known[-tail:] - known[-tail - 1]).mean()) if count > tail else 0.0, 1e-12)
    beyond = np.maximum(scores - known[-1], 0) / scale
    return np.asarray(np.interp(scores, known, levels, left=0.0) - beyond)


def confidence(
    squared: Float[np.ndarray, "row cluster"], temperature: float
) -> tuple[Int[np.ndarray, "row"], Float[np.ndarray, "row"], Float[np.ndarray, "row"]]:
    """Nearest cluster, its probability, and by how much it is nearer than the next.

    Returns:
        The cluster; its share of d^(-1/T) over all; (d2 - d1) / (d2 + d1) of the two smallest
        distances, 0 on the border and towards 1 at a centroid.
    """
    nearest = squared.argmin(1)
    rows = np.arange(len(squared))
    logs = _logs(squared)
    others = squared.copy()
    others[rows, nearest] = np.inf
    first, second = np.sqrt(squared[rows, nearest]), np.sqrt(others.min(1))
    margin = (second - first) / np.maximum(second + first, 1e-30)
    logs -= logs[rows, nearest][:, None]
    logs *= np.float32(-0.5 / temperature)
    mass = np.exp(logs, out=logs).sum(1)
    return nearest, (1 / mass).astype(np.float64), margin.astype(np.float64)


def temperature_of(
    squared: Float[np.ndarray, "row cluster"], code: Int[np.ndarray, "row"], coldest: float
) -> float:
    """The temperature under which held-out rows' own clusters are likeliest.

    As Guo et al. (2017) temper logits, but of the logarithm of distances: a request that is far
    from everything is not surer of its cluster than one that is near. Exponentials of squared
    distances, tempered alike, were off by .054 where these are off by .027 (docs/atlas.md).

    Args:
        squared: distances of the rows from each cluster.
        code: their own clusters.
        coldest: the least temperature: where no held-out row is in a wrong cluster, nothing else
            keeps every probability from 1. 1 / width is the steepest tail of a Student's t.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    logs = _logs(squared).astype(np.float64)
    own = logs[np.arange(len(code)), code]

    def loss(log_temperature: float) -> float:
        scale = 0.5 / np.exp(log_temperature)
        return float((own * scale + logsumexp(-logs * scale, axis=1)).mean())

    found = minimize_scalar(loss, bounds=(np.log(coldest), 16), method="bounded")
    return float(np.exp(found.x))


def _logs(squared: Float[np.ndarray, "row cluster"]) -> Float[np.ndarray, "row cluster"]:
    return np.asarray(np.log(np.maximum(squared, 1e-9)))

"""From a score to a p value whose false-alarm rate is the one asked for."""

import numpy as np
from jaxtyping import Float, Int


def conformal_p(
    scores: Float[np.ndarray, "row"], calibration: Float[np.ndarray, "held_out"]
) -> Float[np.ndarray, "row"]:
    """The share of held-out rows, with the row itself, that are at least as unusual.

    p = (1 + number of calibration scores >= score) / (n + 1): where a row is exchangeable with the
    calibration rows, p <= rate happens in at most a share `rate` of cases, whatever the model and
    the score are (Vovk, Gammerman and Shafer 2005). That is on average over draws of the
    calibration rows; for one draw of n rows the share varies around it, about as
    Beta(k, n + 1 - k) does with k = floor(rate (n + 1)).

    Args:
        scores: higher is more unusual.
        calibration: scores of rows that nothing was fitted to, in ascending order.
    """
    above = len(calibration) - np.searchsorted(calibration, scores, side="left")
    return np.asarray((1.0 + above) / (len(calibration) + 1))


def confidence(
    squared: Float[np.ndarray, "row cluster"], temperature: float
) -> tuple[Int[np.ndarray, "row"], Float[np.ndarray, "row"], Float[np.ndarray, "row"]]:
    """Nearest cluster, its probability, and by how much it is nearer than the next.

    Returns:
        The cluster; its share of exp(-d^2 / 2T) over all; (d2 - d1) / (d2 + d1) of the two smallest
        distances, 0 on the border and towards 1 at a centroid.
    """
    nearest = squared.argmin(1)
    rows = np.arange(len(squared))
    least = squared[rows, nearest]
    mass = np.exp((least[:, None] - squared) * np.float32(0.5 / temperature)).sum(1)
    if squared.shape[1] == 1:
        return nearest, np.ones(len(rows)), np.ones(len(rows))
    others = squared.copy()
    others[rows, nearest] = np.inf
    first, second = np.sqrt(least), np.sqrt(others.min(1))
    margin = (second - first) / np.maximum(second + first, 1e-30)
    return nearest, (1 / mass).astype(np.float64), margin.astype(np.float64)


def temperature_of(
    squared: Float[np.ndarray, "row cluster"], code: Int[np.ndarray, "row"]
) -> float:
    """The temperature under which held-out rows' own clusters are likeliest (Guo et al. 2017)."""
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    own = squared[np.arange(len(code)), code].astype(np.float64)
    exact = squared.astype(np.float64)

    def loss(log_temperature: float) -> float:
        scale = 0.5 / np.exp(log_temperature)
        return float((own * scale + logsumexp(-exact * scale, axis=1)).mean())

    found = minimize_scalar(loss, bounds=(-5, 12), method="bounded")
    return float(np.exp(found.x))

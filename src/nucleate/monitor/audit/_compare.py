"""Shares of two sets of rows, compared exactly: p, interval, and the difference that would show."""

import numpy as np
from jaxtyping import Float, Int

POWER = 0.9
_NODES = 9
"""Counts of the others' events over which the power is averaged."""
_STEPS = 24


def exact_p(
    events: Int[np.ndarray, "cell"],
    rows: Int[np.ndarray, "cell"],
    other_events: Int[np.ndarray, "cell"],
    others: Int[np.ndarray, "cell"],
) -> Float[np.ndarray, "cell"]:
    """Two-sided p of equal shares: twice the smaller tail of Fisher's exact test, at most 1.

    Each direction alone keeps half the level, however rare the events are (the central test of
    Fay 2010).
    """
    upper, lower = _tails(events, rows, other_events, others)
    return np.asarray(np.minimum(1, 2 * np.minimum(upper, lower)))


def _tails(
    events: np.ndarray, rows: np.ndarray, other_events: np.ndarray, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    from scipy.stats import hypergeom

    model = (rows + others, events + other_events, rows)
    return hypergeom.sf(events - 1, *model), hypergeom.cdf(events, *model)


def wilson(
    events: Int[np.ndarray, "cell"], rows: Int[np.ndarray, "cell"]
) -> tuple[Float[np.ndarray, "cell"], Float[np.ndarray, "cell"]]:
    """95 % interval of a share (Wilson 1927)."""
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(events, rows, method="wilson")
    return np.asarray(low, float), np.asarray(high, float)


def difference_interval(
    events: Int[np.ndarray, "cell"],
    rows: Int[np.ndarray, "cell"],
    other_events: Int[np.ndarray, "cell"],
    others: Int[np.ndarray, "cell"],
) -> tuple[Float[np.ndarray, "cell"], Float[np.ndarray, "cell"]]:
    """95 % interval of the difference of two shares (Newcombe 1998, method 10)."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    low, high = confint_proportions_2indep(events, rows, other_events, others, method="newcomb")
    return np.asarray(low, float), np.asarray(high, float)


def adjusted(p: Float[np.ndarray, "cell"]) -> Float[np.ndarray, "cell"]:
    """P values after Benjamini and Hochberg (1995); NaN stays, and is not counted."""
    from statsmodels.stats.multitest import multipletests

    result = np.full(len(p), np.nan)
    tested = np.isfinite(p)
    if tested.any():
        result[tested] = multipletests(p[tested], method="fdr_bh")[1]
    return result


def level_in_force(p_adjusted: Float[np.ndarray, "cell"], level: float) -> float:
    """What the p value of one more finding must not exceed: level x (found + 1) / tested."""
    tested = max(1, int(np.isfinite(p_adjusted).sum()))
    found = int((p_adjusted <= level).sum())
    return level * min(found + 1, tested) / tested


def detectable(
    rows: Int[np.ndarray, "cell"],
    others: Int[np.ndarray, "cell"],
    rate: Float[np.ndarray, "cell"],
    alpha: float,
    power: float = POWER,
) -> Float[np.ndarray, "cell"]:
    """The smallest excess over the others' rate that `exact_p` finds with the given power.

    The power is that of the exact test itself, averaged over what the others may show; formulas
    with a normal distribution are off by a third where events are rare and the level is small.

    Args:
        rows: of each cell.
        others: rows that it is compared with.
        rate: share of events among these.
        alpha: two-sided level.
        power: probability of a finding, 0 to 1.

    Returns:
        Differences, NaN where even a share of 1 would be missed.
    """
    from scipy.stats import binom

    share = (np.arange(_NODES) + 0.5) / _NODES
    other_events = binom.ppf(share, others[:, None], rate[:, None]).astype(np.int64)
    critical = _critical(rows[:, None], other_events, others[:, None], alpha)

    def power_at(there: Float[np.ndarray, "cell"]) -> Float[np.ndarray, "cell"]:
        return np.asarray(binom.sf(critical - 1, rows[:, None], there[:, None]).mean(1))

    low, high = rate.astype(float), np.ones(len(rows))
    reachable = power_at(high) >= power
    for _ in range(_STEPS):
        middle = (low + high) / 2
        enough = power_at(middle) >= power
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(reachable, high - rate, np.nan)


def _critical(
    rows: np.ndarray, other_events: np.ndarray, others: np.ndarray, alpha: float
) -> Int[np.ndarray, "cell node"]:
    """The fewest events of a cell that are found to be more; one more than its rows if none are."""
    shape = np.broadcast_shapes(rows.shape, other_events.shape)
    sizes, count, rest = (np.broadcast_to(each, shape) for each in (rows, other_events, others))
    low, high = np.zeros(shape, np.int64), sizes + 1
    while (low < high).any():
        middle = (low + high) // 2
        upper = _tails(np.minimum(middle, sizes), sizes, count, rest)[0]
        found = (2 * upper <= alpha) | (middle > sizes)
        low, high = np.where(found, low, middle + 1), np.where(found, middle, high)
    return low

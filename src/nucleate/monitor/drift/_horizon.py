"""What many looks at unchanged requests show: the limits that hold over a whole horizon."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from nucleate.monitor.drift._sums import Layout, drawn_sums


def window_statistics(
    layout: Layout,
    reference: Float[np.ndarray, "column"],
    reference_rows: int,
    looks: Float[np.ndarray, "look column"],
    size: int,
    window: int,
) -> Float[np.ndarray, "full statistic"]:
    """Statistics of every full window of some length, oldest first; none if there is none.

    Args:
        layout: of the sums.
        reference: sum over the reference's rows.
        reference_rows: how many these are.
        looks: sum over the requests of each look.
        size: requests a look.
        window: looks a window.
    """
    if len(looks) < window:
        return np.zeros((0, len(layout.statistics)))
    total = np.concatenate([np.zeros((1, looks.shape[1])), np.cumsum(looks, 0, dtype=np.float64)])
    sums = total[window:] - total[:-window]
    return layout.statistics_of(reference[None], reference_rows, sums, window * size)


def simulate_highest(
    layout: Layout,
    rows: Float[np.ndarray, "row column"],
    size: int,
    horizon: int,
    windows: Sequence[int],
    draws: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "draw window_statistic"]:
    """Highest statistics over a horizon without drift, many times over.

    Each time both the reference and all looks are drawn anew from the reference's rows: what a look
    is compared with is one sample among many, and errs the same way at every look. Statistics of a
    longer window stand behind those of shorter ones.

    Args:
        layout: of the sums.
        rows: of the reference, as the layout makes them.
        size: requests a look.
        horizon: looks.
        windows: lengths in looks; one that is longer than the horizon is never full.
        draws: how often.
        rng: of all draws.
    """
    count = len(rows)
    found = np.full((draws, len(windows), len(layout.statistics)), -np.inf)
    for draw in found:
        reference = drawn_sums(rows, rng.integers(count, size=count)).astype(np.float64)
        looks = drawn_sums(rows, rng.integers(count, size=(horizon, size)))
        for at, window in enumerate(windows):
            if window <= horizon:
                values = window_statistics(layout, reference, count, looks, size, window)
                draw[at] = values.max(0)
    return found.reshape(draws, -1)

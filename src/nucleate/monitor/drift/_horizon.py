"""What many looks at unchanged requests show: the limits that hold over a whole horizon."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from nucleate.monitor.drift._sums import Layout, drawn_sums

_STOCK, _BATCH = 100, 256


def window_statistics(
    layout: Layout,
    reference: Float[np.ndarray, "column"],
    reference_rows: int,
    totals: Float[np.ndarray, "look_and_one column"],
    size: int,
    window: int,
) -> Float[np.ndarray, "full statistic"]:
    """Statistics of every full window of some length, oldest first; none if there is none.

    Args:
        layout: of the sums.
        reference: sum over the reference's rows.
        reference_rows: how many these are.
        totals: sum over the requests of all looks up to each, zero at first.
        size: requests a look.
        window: looks a window.
    """
    if len(totals) <= window:
        return np.zeros((0, len(layout.statistics)))
    sums = totals[window:] - totals[:-window]
    return layout.statistics_of(reference[None], reference_rows, sums, window * size)


def running_totals(
    looks: Float[np.ndarray, "look column"],
) -> Float[np.ndarray, "look_and_one column"]:
    """Sums of all looks up to each, zero at first."""
    found = np.zeros((len(looks) + 1, looks.shape[1]))
    np.cumsum(looks, 0, out=found[1:])
    return found


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
    references = drawn_many(rows, rng, draws, count)
    # Horizons are put together from one large stock of looks: what a horizon shows depends on
    # which looks follow one another, and these are drawn anew for each.
    stock = drawn_many(rows, rng, _STOCK * horizon, size)
    found = np.full((draws, len(windows), len(layout.statistics)), -np.inf)
    for draw, reference in zip(found, references, strict=True):
        totals = running_totals(stock[rng.integers(len(stock), size=horizon)])
        for at, window in enumerate(windows):
            if window <= horizon:
                values = window_statistics(layout, reference, count, totals, size, window)
                draw[at] = values.max(0)
    return found.reshape(draws, -1)


def drawn_many(
    rows: Float[np.ndarray, "row column"], rng: np.random.Generator, sets: int, size: int
) -> Float[np.ndarray, "set column"]:
    """Sums of many sets of rows drawn with replacement, a few at a time."""
    found = np.empty((sets, rows.shape[1]))
    for at in range(0, sets, _BATCH):
        some = found[at : at + _BATCH]
        some[:] = drawn_sums(rows, rng.integers(len(rows), size=(len(some), size)))
    return found

"""Which shift would have been found: simulated from the reference, by the limits in use."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int

from nucleate.monitor.drift._report import Detectable
from nucleate.monitor.drift._sums import FEWEST_IN_CELL, Layout, drawn_sums

POWER = 0.9
_SETS = 200
_SHARES = (
    0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.4,
    0.5, 0.6, 0.8, 1.0,
)  # fmt: skip


def detectable(
    layout: Layout,
    rows: Float[np.ndarray, "row column"],
    cluster: Int[np.ndarray, "row"],
    requests: int,
    beyond: Callable[[np.ndarray, np.ndarray], Bool[np.ndarray, "set"]],
    rng: np.random.Generator,
) -> tuple[Detectable, ...]:
    """The smallest shares of requests that would be found with power .9, of a few that are tried.

    Sets of requests are drawn from the reference with a share of them replaced: by rows of one
    cluster (another one in each set), or by the reference's outside rows. Each set is compared with
    a reference that is drawn anew as well.

    Args:
        layout: of the sums.
        rows: of the reference, as the layout makes them.
        cluster: of each of them.
        requests: how many are in a set.
        beyond: says of sums of references and of requests which pairs are an alarm.
        rng: of all draws.
    """
    count = len(rows)
    anew = drawn_sums(rows, rng.integers(count, size=(_SETS, count)))
    usual = rng.integers(count, size=(_SETS, requests))
    replaced = rng.random((_SETS, requests))

    def power(others: Int[np.ndarray, "set draw"], share: float) -> float:
        sums = drawn_sums(rows, np.where(replaced < share, others, usual))
        return float(beyond(anew, sums).mean())

    found = []
    for kind, others in _replacements(layout, rows, cluster, requests, rng):
        low, high = 0, len(_SHARES)
        at = 0.0
        while low < high:
            middle = (low + high) // 2
            reached = power(others, _SHARES[middle])
            if reached >= POWER:
                high, at = middle, reached
            else:
                low = middle + 1
        share = _SHARES[high] if high < len(_SHARES) else None
        found.append(Detectable(kind, share, at if share is not None else reached))
    return tuple(found)


def _replacements(
    layout: Layout,
    rows: Float[np.ndarray, "row column"],
    cluster: Int[np.ndarray, "row"],
    requests: int,
    rng: np.random.Generator,
) -> list[tuple[str, Int[np.ndarray, "set draw"]]]:
    """Rows that take the place of others, of each kind that the reference has rows for."""
    found = []
    codes = np.flatnonzero(np.bincount(cluster) >= FEWEST_IN_CELL)
    if len(codes) > 1:
        members = [np.flatnonzero(cluster == code) for code in rng.choice(codes, _SETS)]
        moved = np.array([rng.choice(each, requests) for each in members])
        found.append(("moved to one cluster", moved))
    outside = np.flatnonzero(layout.outside_count(rows))
    if len(outside) >= FEWEST_IN_CELL:
        found.append(("outside", rng.choice(outside, (_SETS, requests))))
    return found

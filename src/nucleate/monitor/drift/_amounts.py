"""How large a shift is, and which clusters it is of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from nucleate.monitor.drift._report import Amount, ClusterShift, NewGroup
from nucleate.monitor.drift._sample import DriftSample
from nucleate.monitor.drift._scan import FEWEST_IN_GROUP, spread
from nucleate.monitor.drift._sums import Layout

_LEVEL = 0.05
_SHOWN_ANYWAY = 3
_EXAMPLES = 5
_WIDER = 1.1


@dataclass(frozen=True, eq=False)
class Halves:
    """Sums of the two random halves of a sample, so that one chooses and the other is reported."""

    sums: Float[np.ndarray, "2 column"]
    rows: Int[np.ndarray, "2"]

    @classmethod
    def of(cls, rows: Float[np.ndarray, "row column"], rng: np.random.Generator) -> "Halves":
        """Split rows at random."""
        order = rng.permutation(len(rows))
        parts = rows[order[::2]], rows[order[1::2]]
        return cls(
            np.array([part.sum(0, dtype=np.float64) for part in parts]),
            np.array([len(part) for part in parts]),
        )

    @property
    def whole(self) -> Float[np.ndarray, "column"]:
        """Sum of all rows."""
        return np.asarray(self.sums.sum(0))


def amounts(
    layout: Layout,
    reference: Halves,
    requests: Halves,
    reference_rows: Float[np.ndarray, "row column"],
) -> dict[str, Amount]:
    """Size of each kind of shift with a 95 % interval (Newcombe's of a difference of shares).

    Which clusters gain, at which p the scores differ most, and in which direction residuals moved
    is chosen on one half of the rows; the size is that of the other half, so that choosing does not
    inflate it. It is a share of requests that have moved at least, not all that have.
    """
    found: dict[str, Amount] = {}
    shares = [
        [half / count for half, count in zip(each.sums, each.rows, strict=True)]
        for each in (reference, requests)
    ]
    change = shares[1][0] - shares[0][0]
    if "mass" in layout.statistics:
        gains = np.flatnonzero(change[: layout.cells] > 0)
        found["mass"] = _difference(reference, requests, gains, "of requests in clusters that gain")
    if layout.regions is not None:
        up = np.flatnonzero(change[: layout.cells] @ layout.regions > 0)
        gains = np.flatnonzero(layout.regions[:, up].any(1))
        found["regions"] = _difference(
            reference, requests, gains, "of requests in regions that gain"
        )
    outside = np.arange(layout.outside + 1) + layout.cells
    m, n = float(reference.rows.sum()), float(requests.rows.sum())
    counts = [float(each.whole[outside].sum()) for each in (requests, reference)]
    ends = difference_of_shares(counts[0], n, counts[1], m)
    found["outside"] = (*ends, "of requests outside")
    steps = np.cumsum(change[layout.cells : layout.cells + layout.bins])[:-1]
    worst = int(np.abs(steps).argmax())
    below = np.arange(worst + 1) + layout.cells
    unit = f"of requests with p up to {layout.edges[worst]:g}"
    found["score"] = _difference(reference, requests, below, unit)
    if "residuals" in layout.statistics:
        waves = slice(layout.cells + layout.bins, None)
        direction = change[waves]
        deviation = float((reference_rows[:, waves] @ direction).std(ddof=1)) + 1e-300
        moved = float((shares[1][1] - shares[0][1])[waves] @ direction) / deviation
        error = 1.96 * np.sqrt(1 / reference.rows[1] + 1 / requests.rows[1])
        unit = "standard deviations, along the direction of the shift"
        found["residuals"] = (moved, moved - error, moved + error, unit)
    return found


def _difference(reference: Halves, requests: Halves, chosen: np.ndarray, unit: str) -> Amount:
    parts = [
        (float(each.sums[1, chosen].sum()), float(each.rows[1])) for each in (requests, reference)
    ]
    return (*difference_of_shares(*parts[0], *parts[1]), unit)


def difference_of_shares(
    count: float, n: float, other: float, m: float
) -> tuple[float, float, float]:
    """Difference of two shares with its 95 % interval."""
    found = newcombe(np.array([count]), n, np.array([other]), m, _LEVEL)
    return float(found[0][0]), float(found[1][0]), float(found[2][0])


def newcombe(
    count: Float[np.ndarray, "share"],
    n: float,
    other: Float[np.ndarray, "share"],
    m: float,
    level: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Differences of two shares with Newcombe's interval (1998, method 10: from Wilson's)."""
    from statsmodels.stats.proportion import proportion_confint

    ends = [
        proportion_confint(np.clip(c, 0, size), size, level, method="wilson")
        for c, size in ((count, n), (other, m))
    ]
    one, two = count / n, other / m
    low = np.hypot(one - ends[0][0], ends[1][1] - two)
    high = np.hypot(ends[0][1] - one, two - ends[1][0])
    return one - two, one - two - low, one - two + high


def cluster_shifts(
    clusters: Sequence[str],
    before: Int[np.ndarray, "cluster"],
    after: Int[np.ndarray, "cluster"],
) -> tuple[ClusterShift, ...]:
    """Clusters whose shares changed beyond intervals that hold for all clusters at once."""
    m, n = float(before.sum()), float(after.sum())
    counts = after.astype(np.float64), before.astype(np.float64)
    difference, low, high = newcombe(counts[0], n, counts[1], m, _LEVEL / len(clusters))
    beyond = (low > 0) | (high < 0)
    order = np.lexsort((-np.abs(difference), ~beyond))
    shown = order[: max(int(beyond.sum()), _SHOWN_ANYWAY)]
    return tuple(
        ClusterShift(
            clusters[code], float(before[code] / m), float(after[code] / n), float(low[code]),
            float(high[code]), bool(beyond[code]),
        )
        for code in shown
    )  # fmt: skip


def describe_group(
    reference: DriftSample, requests: DriftSample, members: Int[np.ndarray, "member"], total: int
) -> NewGroup:
    """A group of requests outside, beside the reference's clusters.

    Args:
        reference: rows with vectors.
        requests: those that the members are among.
        members: rows of the requests.
        total: of all requests, those that are not outside included.
    """
    from statsmodels.stats.proportion import proportion_confint

    assert reference.vectors is not None
    assert requests.vectors is not None
    spreads = [
        spread(reference.vectors[reference.cluster == code])
        for code in np.flatnonzero(np.bincount(reference.cluster) >= FEWEST_IN_GROUP)
    ]
    usual = (float(np.median(spreads)), float(np.quantile(spreads, 0.95))) if spreads else (0, 0)
    vectors = requests.vectors[members]
    own = spread(vectors)
    low, high = proportion_confint(len(members), total, method="wilson")
    codes, counts = np.unique(requests.cluster[members], return_counts=True)
    nearest = np.linalg.norm(vectors - vectors.mean(0), axis=1).argsort(kind="stable")[:_EXAMPLES]
    hashes = requests.hashes
    return NewGroup(
        requests=len(members),
        share=len(members) / total,
        low=float(low),
        high=float(high),
        near=tuple(requests.clusters[code] for code in codes[(-counts).argsort(kind="stable")][:3]),
        spread=own,
        cluster_spread=usual,
        dense=bool(own <= _WIDER * usual[1]),
        examples=tuple(hashes[members[one]] for one in nearest) if hashes else (),
    )

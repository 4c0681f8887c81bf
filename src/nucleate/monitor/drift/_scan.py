"""A new cluster: a place where requests gather that belong to no known cluster."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial.distance import cdist
from scipy.special import xlogy

FEWEST_IN_GROUP = 5
MOST_POOLED = 500
_BATCH = 128


@dataclass(frozen=True, eq=False)
class Pool:
    """Outside rows of reference and requests, and circles around each of growing size.

    Kulldorff's scan (1997, Bernoulli model): of all circles, the one in which requests are most
    over-represented, by its log likelihood ratio. Which rows are requests is permuted for the null.

    Attributes:
        rows: numbers of the pooled rows, among all rows of both samples.
        circles: of each size and center, which pooled rows it holds: the nearest ones.
    """

    rows: Int[np.ndarray, "pooled"]
    circles: Float[np.ndarray, "size center pooled"]

    @classmethod
    def of(
        cls,
        vectors: Float[np.ndarray, "row rank"],
        outside: Bool[np.ndarray, "row"],
        rng: np.random.Generator,
    ) -> "Pool":
        """Draw circles; of very many rows some are drawn, whichever sample they are of."""
        rows = np.flatnonzero(outside)
        if len(rows) > MOST_POOLED:
            rows = np.sort(rng.choice(rows, MOST_POOLED, replace=False))
        count = len(rows)
        found = np.zeros((0, count, count), dtype=np.float32)
        if count >= 2 * FEWEST_IN_GROUP:
            order = cdist(vectors[rows], vectors[rows]).argsort(1, kind="stable")
            rank = np.empty_like(order)
            np.put_along_axis(rank, order, np.arange(count)[None].repeat(count, 0), 1)
            found = np.array([rank < size for size in _sizes(count)], dtype=np.float32)
        return cls(rows, found)

    def highest(self, requests: Bool[np.ndarray, "draw row"]) -> Float[np.ndarray, "draw"]:
        """The highest log likelihood ratio over all circles, for each way to name requests."""
        if not len(self.circles):
            return np.zeros(len(requests))
        return np.concatenate(
            [
                self._ratios(requests[at : at + _BATCH])[0].max(1)
                for at in range(0, len(requests), _BATCH)
            ]
        )

    def group(self, requests: Bool[np.ndarray, "row"]) -> Int[np.ndarray, "member"]:
        """The requests in the circle with the highest ratio, as rows of all samples."""
        ratios, centers = self._ratios(requests[None])
        size = ratios[0].argmax()
        best = self.circles[size, centers[0, size]] > 0
        return np.asarray(self.rows[best & requests[self.rows]])

    def _ratios(
        self, requests: Bool[np.ndarray, "draw row"]
    ) -> tuple[Float[np.ndarray, "draw size"], Int[np.ndarray, "draw size"]]:
        """Of each size the highest ratio, and its center: the one with most requests around it.

        Of circles of one size the ratio grows with the requests in them, wherever they are denser
        inside than outside.
        """
        named = requests[:, self.rows].astype(np.float32)
        sizes, count = self.circles.shape[:2]
        counts = (named @ self.circles.reshape(-1, count).T).reshape(-1, sizes, count)
        inside = counts.max(2).astype(np.float64)
        size = self.circles[:, 0].sum(1).astype(np.float64)[None]
        total, all_rows = named.sum(1).astype(np.float64)[:, None], float(count)
        beyond, rest = total - inside, all_rows - size
        ratio = (
            xlogy(inside, inside / size)
            + xlogy(size - inside, 1 - inside / size)
            + xlogy(beyond, beyond / rest)
            + xlogy(rest - beyond, 1 - beyond / rest)
            - xlogy(total, total / all_rows)
            - xlogy(all_rows - total, 1 - total / all_rows)
        )
        dense = (inside / size > beyond / rest) & (inside >= FEWEST_IN_GROUP)
        return np.where(dense, ratio, 0), counts.argmax(2)


def _sizes(count: int) -> list[int]:
    """Sizes of circles: from the fewest to half of the rows, each about half as large again."""
    sizes = [FEWEST_IN_GROUP]
    while (size := int(np.ceil(sizes[-1] * 1.5))) <= count // 2:
        sizes.append(size)
    return sizes


def spread(vectors: Float[np.ndarray, "row rank"]) -> float:
    """Typical distance of rows from their middle: robust, as a group may hold a few strangers."""
    squared = np.square(vectors - np.median(vectors, axis=0)).sum(1)
    return float(np.sqrt(np.median(squared) * len(vectors) / (len(vectors) - 1)))

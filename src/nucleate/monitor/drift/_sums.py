"""What drift is judged on: sums over rows, and statistics of two such sums.

Every row becomes a few numbers, and a set of rows the sum of them, so that sets are joined by
adding up, drawn anew by one product of matrices, and kept without any single request.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.special import xlogy

from nucleate.monitor.drift._sample import DriftSample

STATISTICS = ("mass", "regions", "outside", "score", "residuals")
WEIGHTS = {"mass": 2.0}
"""Parts of the level: mass spreads what it sees over all clusters; the others have one part."""
PARTS = int(sum(WEIGHTS.get(name, 1) for name in STATISTICS))
"""Of the level, where all statistics can be had."""
FREQUENCIES = 128
FEWEST_IN_CELL = 5
_FEWEST_REGIONS = 3
_P_EDGES = (0.01, 0.02, 0.03, 0.04, 0.05, 0.075, *np.arange(0.1, 1, 0.05).round(2).tolist())


@dataclass(frozen=True, eq=False)
class Layout:
    """How a row becomes numbers: cells of clusters, bins of p, waves of the residual.

    Attributes:
        cell: of each cluster; rare clusters share one where the null is drawn from the reference
            alone, as it would hold no rows of clusters that the reference happens to lack.
        edges: upper ends of the bins of p, the last one left out.
        outside: which bin ends at the rate of *outside*.
        waves: frequencies of random Fourier features (Rahimi and Recht 2007), whose squared
            difference of means estimates the squared MMD of a Gaussian kernel.
        regions: of each cell (row), which region (column) it is in: cells whose centroids lie
            together. None where centroids are not known, or are too few.
    """

    cell: Int[np.ndarray, "cluster"]
    edges: Float[np.ndarray, "edge"]
    outside: int
    waves: Float[np.ndarray, "rank wave"] | None
    regions: Float[np.ndarray, "known_cell region"] | None = None

    @classmethod
    def of(cls, clusters: int, outside: float, rank: int | None, seed: int) -> "Layout":
        """A layout that looks at no data, so that it cannot favor either sample."""
        edges = np.unique([*_P_EDGES, outside])
        waves = None
        if rank is not None:
            # Whitened residuals have about unit variance a coordinate: the kernel's width is the
            # typical distance of a row from its centroid.
            drawn = np.random.default_rng(seed).standard_normal((rank, FREQUENCIES))
            waves = (drawn / np.sqrt(rank)).astype(np.float32)
        return cls(np.arange(clusters), edges, int(np.searchsorted(edges, outside)), waves)

    def without_rare(self, counts: Int[np.ndarray, "cluster"]) -> "Layout":
        """The same with the clusters of few rows in one cell, so that each cell has some."""
        ascending = np.argsort(counts, kind="stable")
        shared = counts < FEWEST_IN_CELL
        for cluster in ascending:
            if not shared.any() or counts[shared].sum() >= FEWEST_IN_CELL:
                break
            shared[cluster] = True
        cell = np.cumsum(~shared) - 1
        cell[shared] = (~shared).sum()
        return replace(self, cell=cell, regions=None)

    def with_regions(self, samples: Sequence[DriftSample]) -> "Layout":
        """The same with cells joined into regions, about as many as the square root of the cells.

        Ward's tree of the centroids. These are the atlas's, as vectors less residuals give them, so
        that the regions do not favor either sample.
        """
        centroids = self._centroids(samples)
        count = round(np.sqrt(self.cells))
        if centroids is None or count < _FEWEST_REGIONS:
            return self
        from scipy.cluster.hierarchy import fcluster, ward

        region = fcluster(ward(centroids), count, "maxclust") - 1
        return replace(self, regions=np.eye(region.max() + 1)[region])

    def _centroids(
        self, samples: Sequence[DriftSample]
    ) -> Float[np.ndarray, "known_cell rank"] | None:
        """Mean centroid of each cell's clusters; the middle of all where it has no rows."""
        parts = [
            (self.cell[each.cluster], each.vectors - each.residual)
            for each in samples
            if each.vectors is not None and each.residual is not None
        ]
        if len(parts) < len(samples):
            return None
        cell = np.concatenate([one for one, _ in parts])
        near = np.concatenate([other for _, other in parts]).astype(np.float64)
        counts = np.bincount(cell, minlength=self.cells)
        sums = np.stack(
            [np.bincount(cell, column, minlength=self.cells) for column in near.T], axis=1
        )
        found = sums / np.maximum(counts, 1)[:, None]
        found[counts == 0] = near.mean(0)
        return np.asarray(found)

    @cached_property
    def cells(self) -> int:
        """Number of cells of clusters."""
        return int(self.cell.max()) + 1

    @property
    def bins(self) -> int:
        """Number of bins of p."""
        return len(self.edges) + 1

    @cached_property
    def statistics(self) -> tuple[str, ...]:
        """Those that can be had: mass needs two cells; regions, residuals need vectors."""
        there = {
            "mass": self.cells > 1,
            "regions": self.regions is not None,
            "residuals": self.waves is not None,
        }
        return tuple(name for name in STATISTICS if there.get(name, True))

    @property
    def weights(self) -> Float[np.ndarray, "statistic"]:
        """Parts of the level that the statistics have."""
        return np.array([WEIGHTS.get(name, 1.0) for name in self.statistics])

    def rows(self, sample: DriftSample) -> Float[np.ndarray, "row column"]:
        """The numbers of each row: its cell, its bin, its waves."""
        found = np.zeros((len(sample), self.cells + self.bins), dtype=np.float32)
        row = np.arange(len(sample))
        found[row, self.cell[sample.cluster]] = 1
        found[row, self.cells + np.searchsorted(self.edges, sample.p, side="left")] = 1
        if self.waves is None or sample.residual is None:
            return found
        phase = sample.residual.astype(np.float32) @ self.waves
        waves = np.concatenate([np.cos(phase), np.sin(phase)], 1) / np.sqrt(FREQUENCIES)
        return np.concatenate([found, waves.astype(np.float32)], 1)

    def statistics_of(
        self,
        reference: Float[np.ndarray, "*#set column"],
        reference_rows: int,
        requests: Float[np.ndarray, "*#set column"],
        request_rows: int,
    ) -> Float[np.ndarray, "*set statistic"]:
        """Statistics of two sums of rows, each on a scale that hardly depends on the rows' number.

        - mass: G of the table of both samples by cells (the likelihood ratio of one against two
          vectors of shares).
        - regions: the same by regions, which sees a move to clusters that lie together.
        - outside: by how many standard errors more requests than reference rows are outside.
        - score: the largest difference of the two distribution functions of p, over its scale
          (two-sample Kolmogorov-Smirnov on bins).
        - residuals: squared MMD of the residuals, over its scale.
        """
        found = {}
        n, m = float(request_rows), float(reference_rows)
        scale = n * m / (n + m)
        cells = slice(0, self.cells)
        if "mass" in self.statistics:
            found["mass"] = g_statistic(reference[..., cells], m, requests[..., cells], n)
        if self.regions is not None:
            merged = [each[..., cells] @ self.regions for each in (reference, requests)]
            found["regions"] = g_statistic(merged[0], m, merged[1], n)
        below = [np.cumsum(each[..., self._bins], -1) for each in (reference, requests)]
        apart = below[1] / n - below[0] / m
        pooled = (below[0] + below[1])[..., self.outside] / (n + m)
        error = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) / scale)
        found["outside"] = apart[..., self.outside] / error
        found["score"] = np.sqrt(scale) * np.abs(apart).max(-1)
        if "residuals" in self.statistics:
            waves = slice(self.cells + self.bins, None)
            difference = requests[..., waves] / n - reference[..., waves] / m
            found["residuals"] = scale * np.square(difference).sum(-1)
        return np.stack([found[name] for name in self.statistics], -1)

    def outside_count(self, sums: Float[np.ndarray, "*#set column"]) -> Float[np.ndarray, "*set"]:
        """How many of the rows are outside."""
        return np.asarray(sums[..., self._bins][..., : self.outside + 1].sum(-1))

    @property
    def _bins(self) -> slice:
        return slice(self.cells, self.cells + self.bins)


def g_statistic(
    one: Float[np.ndarray, "*#set cell"], m: float, other: Float[np.ndarray, "*#set cell"], n: float
) -> Float[np.ndarray, "*set"]:
    """G of a two-row table of counts: twice the log likelihood ratio."""
    counts = np.arange(int(n + m) + 1)
    # Counts are whole: looking x log x up is several times faster than computing it.
    known = xlogy(counts, counts)
    one, other = (each.round().astype(np.int64) for each in (one, other))
    inner = known[one].sum(-1) + (known[other] - known[one + other]).sum(-1)
    return np.asarray(2 * (inner - known[int(m)] - known[int(n)] + known[int(n + m)]))


def drawn_sums(
    rows: Float[np.ndarray, "row column"],
    counts: Int[np.ndarray, "*set draw"],
) -> Float[np.ndarray, "*#set column"]:
    """Sums of sets of rows, each given by the numbers of the rows that it holds."""
    sets = counts.reshape(-1, counts.shape[-1])
    offset = np.arange(len(sets))[:, None] * len(rows)
    weights = np.bincount((sets + offset).ravel(), minlength=len(sets) * len(rows))
    summed = weights.reshape(len(sets), len(rows)).astype(np.float32) @ rows
    return np.asarray(summed.reshape(*counts.shape[:-1], rows.shape[1]))

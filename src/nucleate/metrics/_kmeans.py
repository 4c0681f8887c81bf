"""K-means of many small problems at once.

Three things make it faster than one call a problem. Seeds are chosen greedily for all problems and
starts together, and the first k seeds of a longer list are seeds for k clusters, so that one list
serves several k. A few sweeps of Lloyd's algorithm decide which starts are worth finishing. Those
are finished by single-row moves (Hartigan and Wong 1979), whose optima are a subset of Lloyd's:
each start ends lower, so fewer starts do.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate._errors import BadInput

_CANDIDATES = 6
_LLOYD_SWEEPS = 3
_MOVE_SWEEPS = 100
_LEAST_GAIN = 1e-3
"""A start is finished when a round of moves gains less than this share of its inertia."""
_ROUNDING = 1e-4
"""Moves must gain more than this share of the row's cost: above what packing an index drops."""
_PACKED_BITS = 8
_CHUNK = 1_500_000
"""Distances held at once; more leaves the cache, fewer leaves threads idle."""


@dataclass(frozen=True)
class Clustering:
    """The best clustering found of each problem.

    Attributes:
        labels: the nearest centroid of each row, 0 to k - 1, in full width.
        inertia: the sum of squared distances of the rows to their centroids.
        centroids: the mean of each cluster's rows.
    """

    labels: Int[Tensor, "problem row"]
    inertia: Float[Tensor, "problem"]
    centroids: Float[Tensor, "problem cluster width"]


def kmeans(
    x: Float[Tensor, "problem row width"],
    k: int,
    *,
    restarts: int = 8,
    carried: int = 2,
    seed: int = 0,
    seeds: Int[Tensor, "problem restart seed"] | None = None,
    warm: Int[Tensor, "problem row"] | None = None,
) -> Clustering:
    """Cluster the rows of every problem into k groups of least squared distance.

    Args:
        x: the problems, of one shape; any device.
        k: number of clusters, at most the number of rows.
        restarts: fresh starts of each problem; 8 are as good as scikit-learn's `n_init=20`
            (`benchmarks/measure.py`).
        carried: how many of the starts, the best ones after a few sweeps, are finished.
        seed: decides the seeds; the global generator of torch is neither read nor moved.
        seeds: rows to start from (`greedy_seeds`), at least k a start; chosen here if None.
        warm: a labelling to start from as well, 0 to k - 1, such as that of the step before.

    Returns:
        The clustering of least inertia. A local optimum, as with every k-means: where clusters
        overlap another seed gives other labels at nearly the same inertia. With fewer than k
        distinct rows some clusters stay empty.

    Raises:
        BadInput: k is below 1 or above the number of rows.
    """
    problems, rows, _ = x.shape
    if not 1 <= k <= rows:
        raise BadInput(
            f"{k} clusters of {rows} rows cannot be found; ask for 1 to {rows} clusters, "
            "or give more rows"
        )
    x = x.float()
    x = x - x.mean(1, keepdim=True)
    if seeds is None:
        seeds = greedy_seeds(x, k, restarts=restarts, seed=seed)
    starts = seeds.shape[1] + (warm is not None)
    chunk = max(1, _CHUNK // (rows * k * starts))
    parts = [
        _cluster(x[at], seeds[at, :, :k], None if warm is None else warm[at], k, carried)
        for at in (slice(i, i + chunk) for i in range(0, problems, chunk))
    ]
    labels = torch.cat(parts)
    centroids, _ = _means(x, labels, k)
    return Clustering(labels, _inertia(x, labels, centroids), centroids)


def greedy_seeds(
    x: Float[Tensor, "problem row width"], k: int, *, restarts: int = 8, seed: int = 0
) -> Int[Tensor, "problem restart seed"]:
    """Choose k rows a start by greedy k-means++ (Arthur and Vassilvitskii 2007, section 6).

    Each next row is the best of a few candidates, drawn with odds of their squared distance to
    the rows that are already chosen. The first j seeds do not depend on k.
    """
    x = x.float()
    problems, rows, _ = x.shape
    generator = torch.Generator().manual_seed(seed)
    distances = torch.cdist(x, x).square_().view(problems * rows, rows)
    offset = (torch.arange(problems, device=x.device) * rows)[:, None]

    def to_all(chosen: Tensor) -> Tensor:
        return distances[(offset + chosen.flatten(1)).flatten()].view(*chosen.shape, rows)

    chosen = torch.randint(rows, (problems, restarts), generator=generator).to(x.device)
    closest = to_all(chosen)
    seeds = [chosen]
    for _ in range(k - 1):
        odds = closest.cumsum(-1)
        draws = torch.rand(problems, restarts, _CANDIDATES, generator=generator).to(x.device)
        candidates = torch.searchsorted(odds, draws * odds[..., -1:]).clamp_(max=rows - 1)
        reached = torch.minimum(closest[:, :, None], to_all(candidates))
        best = reached.sum(-1).argmin(-1, keepdim=True)
        seeds.append(candidates.gather(2, best).squeeze(2))
        closest = reached.gather(2, best[..., None].expand(-1, -1, 1, rows)).squeeze(2)
    return torch.stack(seeds, -1)


def _cluster(x: Tensor, seeds: Tensor, warm: Tensor | None, k: int, carried: int) -> Tensor:
    """Labels of the best start of each problem [problem row]."""
    problems, rows, width = x.shape
    centroids = _take(x, seeds.flatten(1)).view(problems, -1, k, width)
    if warm is not None:
        centroids = torch.cat([_means(x, warm, k)[0][:, None], centroids], 1)
    starts = centroids.shape[1]
    points = _Points.of(x)
    owner = torch.arange(problems, device=x.device).repeat_interleave(starts)
    labels, cost = _lloyd(points.at(owner), centroids.flatten(0, 1))
    carried = min(carried, starts)
    order = cost.view(problems, starts).topk(carried, largest=False).indices
    kept = (order + torch.arange(problems, device=x.device)[:, None] * starts).flatten()
    finished = _move_rows(points.at(owner[kept]), labels[kept], k)
    rows_of = x[owner[kept]]
    cost = _inertia(rows_of, finished, _means(rows_of, finished, k)[0])
    best = cost.view(problems, carried).argmin(1)
    labels = finished.view(problems, carried, rows)[torch.arange(problems, device=x.device), best]
    return points.distances(_means(x, labels, k)[0]).argmin(2)


@dataclass(frozen=True)
class _Points:
    """Rows with 1 and their squared length appended: one product gives squared distances."""

    rows: Tensor
    width: int

    @classmethod
    def of(cls, x: Tensor) -> "_Points":
        square = x.square().sum(-1, keepdim=True)
        return cls(torch.cat([x, torch.ones_like(square), square], -1), x.shape[-1])

    def at(self, index: Tensor) -> "_Points":
        return _Points(self.rows[index], self.width)

    def means(self, labels: Tensor, k: int) -> tuple[Tensor, Tensor]:
        means, counts = _means(self.rows, labels, k)
        return means[..., : self.width], counts

    def distances(self, centroids: Tensor, factor: Tensor | None = None) -> Tensor:
        square = centroids.square().sum(-1, keepdim=True)
        weights = torch.cat([-2 * centroids, square, torch.ones_like(square)], -1)
        if factor is not None:
            weights *= factor[..., None]
        return self.rows @ weights.mT


def _lloyd(points: _Points, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """A few sweeps of every start: labels [start row] and inertia [start]."""
    k = centroids.shape[1]
    labels, nearest = _smallest(points.distances(centroids))
    for _ in range(_LLOYD_SWEEPS):
        centroids, counts = points.means(labels, k)
        if (counts == 0).any():
            centroids = _repair(points, centroids, counts, nearest)
        previous = labels
        labels, nearest = _smallest(points.distances(centroids))
        if torch.equal(labels, previous):
            break
    return labels, nearest.sum(1)


def _repair(points: _Points, centroids: Tensor, counts: Tensor, nearest: Tensor) -> Tensor:
    """Put the centroids of empty clusters on the rows that are farthest from their own."""
    centroids = centroids.clone()
    for start in (counts == 0).any(1).nonzero().flatten().tolist():
        empty = (counts[start] == 0).nonzero().flatten()
        far = nearest[start].topk(len(empty)).indices
        centroids[start, empty] = points.rows[start, far, : points.width]
    return centroids


def _move_rows(points: _Points, labels: Tensor, k: int) -> Tensor:
    """Move rows between clusters while that lowers the inertia; labels [start row].

    Moving a row from a cluster of n to one of m changes the inertia by d_m^2 m / (m + 1) less
    d_n^2 n / (n - 1). Moves made together touch no cluster twice, so that their gains add.
    """
    result = labels.clone()
    active = torch.arange(len(labels), device=labels.device)
    for _ in range(_MOVE_SWEEPS):
        labels, moved = _best_moves(points, labels, k)
        going = moved.nonzero().flatten()
        if len(going) < len(active):
            result[active] = labels
            if not len(going):
                return result
            active, labels, points = active[going], labels[going], points.at(going)
    result[active] = labels
    return result


def _best_moves(points: _Points, labels: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """One round of moves: the new labels, and which starts moved any row."""
    centroids, counts = points.means(labels, k)
    costs = points.distances(centroids, counts / (counts + 1))
    size = counts.gather(1, labels)
    leaving = (size + 1) / (size - 1).clamp_(min=1) * (size > 1)
    own = costs.gather(2, labels[..., None]).squeeze(2) * leaving
    costs.scatter_(2, labels[..., None], own[..., None])
    target, cost = _smallest(costs)
    gain = (own - cost).where((target != labels) & (own - cost > _ROUNDING * own), 0)
    gain = gain.where((gain.sum(1) > _LEAST_GAIN * own.sum(1))[:, None], 0)
    best = torch.zeros_like(counts)
    best = best.scatter_reduce_(1, target, gain, "amax").scatter_reduce_(1, labels, gain, "amax")
    goes = (gain > 0) & (gain >= best.gather(1, target)) & (gain >= best.gather(1, labels))
    return target.where(goes, labels), goes.any(1)


def _smallest(costs: Tensor) -> tuple[Tensor, Tensor]:
    """Index and value of the least cost along the last dimension; overwrites `costs`.

    The index is packed into the lowest bits of the (non-negative) numbers: a minimum of integers
    runs at the speed of memory, a search for its place does not. That drops the lowest bits; the
    final assignment is made with the exact distances.
    """
    bits = (costs.shape[-1] - 1).bit_length()
    if bits > _PACKED_BITS or costs.dtype != torch.float32:
        value, index = costs.min(-1)
        return index, value
    mask = (1 << bits) - 1
    packed = costs.view(torch.int32)
    packed &= ~mask
    packed |= torch.arange(costs.shape[-1], dtype=torch.int32, device=costs.device)
    least = packed.amin(-1)
    return (least & mask).long(), (least & ~mask).view(torch.float32)


def _means(x: Tensor, labels: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Means [problem cluster width] and sizes [problem cluster]; an empty cluster's mean is 0."""
    problems, rows, width = x.shape
    at = (labels + torch.arange(problems, device=x.device)[:, None] * k).flatten()
    counts = torch.bincount(at, minlength=problems * k).to(x.dtype)
    sums = torch.zeros(problems * k, width, dtype=x.dtype, device=x.device)
    sums.index_add_(0, at, x.reshape(-1, width))
    means = sums / counts.clamp(min=1)[:, None]
    return means.view(problems, k, width), counts.view(problems, k)


def _inertia(x: Tensor, labels: Tensor, centroids: Tensor) -> Tensor:
    return (x - _take(centroids, labels)).square().sum((1, 2))


def _take(x: Tensor, index: Tensor) -> Tensor:
    """Rows of x [problem row width] at index [problem any]."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))

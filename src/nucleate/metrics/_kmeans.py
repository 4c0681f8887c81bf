"""K-means of many small problems at once.

Three things make it faster than one call a problem. All problems and starts advance together, and
those that are done leave the batch. A few sweeps of Lloyd's algorithm decide which starts are
worth finishing. Those are finished by single-row moves (Hartigan and Wong 1979), whose optima are
a subset of Lloyd's: each start ends lower, so fewer starts do.
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
_COMPACT = 0.7
"""Finished starts are taken out of the batch when only this share goes on: that copies rows."""
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
    carried: int = 4,
    seed: int = 0,
    warm: Int[Tensor, "problem row"] | None = None,
    leading: int | None = None,
) -> Clustering:
    """Cluster the rows of every problem into k groups of least squared distance.

    Args:
        x: the problems, of one shape; any device.
        k: number of clusters, at most the number of rows.
        restarts: fresh starts of each problem; 8 are as good as scikit-learn's `n_init=20`
            (`benchmarks/measure.py`).
        carried: how many of the starts, the best ones after a few sweeps, are finished.
        seed: decides the seeds; the global generator of torch is neither read nor moved.
        warm: a labelling to start from as well, 0 to k - 1, such as that of the step before.
        leading: search in the first so many dimensions, and finish the best start in all of them;
            for rows turned to their principal axes (`principal_axes`).

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
    low = x[..., :leading]
    seeds = greedy_seeds(low, k, restarts=restarts, seed=seed)
    starts = restarts + (warm is not None)
    chunk = max(1, _CHUNK // (rows * k * starts))
    parts = [
        _cluster(x[at], low[at], seeds[at], None if warm is None else warm[at], k, carried)
        for at in (slice(i, i + chunk) for i in range(0, problems, chunk))
    ]
    labels = torch.cat(parts)
    centroids = _means(x, labels, k)
    return Clustering(labels, _inertia(x, labels, centroids), centroids)


def greedy_seeds(
    x: Float[Tensor, "problem row width"], k: int, *, restarts: int = 8, seed: int = 0
) -> Int[Tensor, "problem restart seed"]:
    """Choose k rows a start by greedy k-means++ (Arthur and Vassilvitskii 2007, section 6).

    Each next row is the best of a few candidates, drawn with odds of their squared distance to
    the rows that are already chosen.
    """
    x = x.float()
    problems, rows, _ = x.shape
    generator = torch.Generator().manual_seed(seed)
    points = _Points.of(x)
    distances = points.distances(x).clamp_(min=0).view(problems * rows, rows)
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


def _cluster(
    x: Tensor, low: Tensor, seeds: Tensor, warm: Tensor | None, k: int, carried: int
) -> Tensor:
    """Labels of the best start of each problem [problem row]."""
    problems, rows, _ = x.shape
    each = torch.arange(problems, device=x.device)
    centroids = _take(low, seeds.flatten(1)).view(problems, -1, k, low.shape[-1])
    if warm is not None:
        centroids = torch.cat([_means(low, warm, k)[:, None], centroids], 1)
    starts = centroids.shape[1]
    carried = min(carried, starts)
    points = _Points.of(low)
    owner = each.repeat_interleave(starts)
    labels, cost = _lloyd(points.at(owner), centroids.flatten(0, 1))
    best = cost.view(problems, starts).topk(carried, largest=False).indices
    kept = (best + each[:, None] * starts).flatten()
    labels = _move_rows(points.at(owner[kept]), labels[kept], k)
    finished = low[owner[kept]]
    cost = _inertia(finished, labels, _means(finished, labels, k)).view(problems, carried)
    labels = labels.view(problems, carried, rows)[each, cost.argmin(1)]
    points = _Points.of(x)
    if low.shape != x.shape:
        labels = _move_rows(points, labels, k)
    return points.distances(_means(x, labels, k)).argmin(2)


@dataclass(frozen=True)
class _Points:
    """Rows with 1 and their squared length appended.

    One product then gives squared distances, and a sum of rows holds their number.
    """

    rows: Float[Tensor, "problem row appended"]

    @classmethod
    def of(cls, x: Tensor) -> "_Points":
        square = x.square().sum(-1, keepdim=True)
        return cls(torch.cat([x, torch.ones_like(square), square], -1))

    def at(self, index: Tensor) -> "_Points":
        return _Points(self.rows[index])

    def distances(self, centroids: Tensor, factor: Tensor | None = None) -> Tensor:
        square = centroids.square().sum(-1, keepdim=True)
        weights = torch.cat([-2 * centroids, square, torch.ones_like(square)], -1)
        if factor is not None:
            weights *= factor[..., None]
        return self.rows @ weights.mT


def _lloyd(points: _Points, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """A few sweeps of every start: labels [start row] and inertia [start].

    A cluster that loses all rows gets one back when rows are moved: that costs nothing there.
    """
    k = centroids.shape[1]
    labels, nearest = _smallest(points.distances(centroids))
    for _ in range(_LLOYD_SWEEPS):
        centroids = _centroids(_sums(points.rows, labels, k))[0]
        labels, nearest = _smallest(points.distances(centroids))
    return labels, nearest.sum(1)


def _move_rows(points: _Points, labels: Tensor, k: int) -> Tensor:
    """Move rows between clusters while that lowers the inertia; labels [start row]."""
    result = labels.clone()
    active = torch.arange(len(labels), device=labels.device)
    sums = _sums(points.rows, labels, k)
    for _ in range(_MOVE_SWEEPS):
        target, goes = _best_moves(points, labels, sums)
        start, row = goes.nonzero(as_tuple=True)
        if not len(start):
            break
        flat, moved = sums.view(-1, sums.shape[-1]), points.rows[start, row]
        flat.index_add_(0, start * k + labels[start, row], moved, alpha=-1)
        flat.index_add_(0, start * k + target[start, row], moved)
        labels = target.where(goes, labels)
        going = goes.any(1).nonzero().flatten()
        if len(going) <= _COMPACT * len(active):
            result[active] = labels
            active, labels = active[going], labels[going]
            points, sums = points.at(going), sums[going]
    result[active] = labels
    return result


def _best_moves(points: _Points, labels: Tensor, sums: Tensor) -> tuple[Tensor, Tensor]:
    """One round of moves: to which cluster, and which rows go [start row].

    Moving a row from a cluster of n to one of m changes the inertia by d_m^2 m / (m + 1) less
    d_n^2 n / (n - 1). Moves made together touch no cluster twice, so that their gains add.
    """
    centroids, counts = _centroids(sums)
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
    return target, goes


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


def _sums(rows: Tensor, labels: Tensor, k: int) -> Tensor:
    """Sums of the rows of each cluster [problem cluster width]."""
    problems, _, width = rows.shape
    at = (labels + torch.arange(problems, device=rows.device)[:, None] * k).flatten()
    sums = torch.zeros(problems * k, width, dtype=rows.dtype, device=rows.device)
    return sums.index_add_(0, at, rows.reshape(-1, width)).view(problems, k, width)


def _centroids(sums: Tensor) -> tuple[Tensor, Tensor]:
    """Means and sizes of clusters from sums of `_Points`; an empty cluster's mean is 0."""
    counts = sums[..., -2].round()
    return sums[..., :-2] / counts.clamp(min=1)[..., None], counts


def _means(x: Tensor, labels: Tensor, k: int) -> Tensor:
    return _centroids(_sums(_Points.of(x).rows, labels, k))[0]


def _inertia(x: Tensor, labels: Tensor, centroids: Tensor) -> Tensor:
    return (x - _take(centroids, labels)).square().sum((1, 2))


def _take(x: Tensor, index: Tensor) -> Tensor:
    """Rows of x [problem row width] at index [problem any]."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))

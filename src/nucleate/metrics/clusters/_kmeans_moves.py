"""Moving rows between clusters until nothing gains."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nucleate.metrics.clusters._kmeans_space import Space, least, precision

_SETTLING = 30


@dataclass(frozen=True)
class Clustering:
    """The best clustering found of each problem.

    Attributes:
        labels: the nearest centroid of each row, 0 to k - 1, in full width.
        inertia: float64, the sum of squared distances of the rows to their centroids.
        centroids: the mean of each cluster's rows, in the coordinates of the rows that were given;
            of a cluster without rows, the mean of all rows.
        near: labels of as many solutions as were asked for, `labels` first: starts whose inertia
            came within half a percent of the least one, repeated where there are fewer. They show
            how far labels depend on the start.
    """

    labels: Int[Tensor, "problem row"]
    inertia: Float[Tensor, "problem"]
    centroids: Float[Tensor, "problem cluster width"]
    near: Int[Tensor, "problem solution row"]


@dataclass(frozen=True)
class Partition:
    """Clusterings under way, of every problem and start.

    Attributes:
        labels: the cluster of each row.
        sums: sums of the rows of each cluster (`Space.sums`).
        inertia: float64, less the squared lengths of the rows, which never change.
        careful: the last round did not lower the inertia; the next moves fewer rows.
        going: the next round may lower it.
    """

    labels: Int[Tensor, "problem start row"]
    sums: Float[Tensor, "problem start cluster appended"]
    inertia: Float[Tensor, "problem start"]
    careful: Bool[Tensor, "problem start"]
    going: Bool[Tensor, "problem start"]

    @classmethod
    def of(cls, space: Space, labels: Int[Tensor, "problem start row"], k: int) -> "Partition":
        """Start from labels."""
        sums = space.sums(labels, k)
        going = torch.ones(labels.shape[:2], dtype=torch.bool, device=labels.device)
        return cls(labels, sums, _unexplained(sums), ~going, going)

    @property
    def starts(self) -> int:
        """How many starts each problem has."""
        return self.labels.shape[1]

    def best(self, count: int) -> "Partition":
        """The starts of least inertia."""
        kept = self.inertia.topk(count, 1, largest=False).indices
        each = torch.arange(len(kept), device=kept.device)[:, None]
        return Partition(*(getattr(self, field.name)[each, kept] for field in fields(self)))

    def at(self, problems: Tensor) -> "Partition":
        """Some of the problems."""
        return Partition(*(getattr(self, field.name)[problems] for field in fields(self)))

    def improved(self, space: Space) -> "Partition":
        """One round: all rows that gain by themselves move together, if that gains in sum.

        Where it does not, the next round moves only rows whose clusters no other row enters or
        leaves, so that their gains add; where that does not gain either, the start is done.
        """
        target, goes = _moves(space, self)
        labels = target.where(goes, self.labels)
        sums = space.moved(self.sums, self.labels, target, goes)
        inertia = _unexplained(sums)
        better = inertia < self.inertia
        return Partition(
            labels.where(better[..., None], self.labels),
            sums.where(better[..., None, None], self.sums),
            inertia.where(better, self.inertia),
            ~better,
            better | ~self.careful & goes.any(-1),
        )


def settled(space: Space, labels: Int[Tensor, "problem row"], k: int) -> Clustering:
    """The exact result: every row at its nearest centroid, every centroid the mean of its rows.

    Moves end where both hold but for rounding, so that a few rounds of Lloyd's algorithm do.
    """
    labels = labels[:, None]
    for _ in range(_SETTLING):
        sums = space.sums(labels, k)
        counts = sums[..., -2]
        centroids = sums[..., :-2] / counts.clamp(min=1)[..., None]
        aims = space.refilled(labels, centroids, counts == 0)
        nearest = space.distances(aims).argmin(2)
        if torch.equal(nearest, labels):
            break
        labels = nearest
    inertia = space.costs(labels, centroids)[:, 0].sum(-1, dtype=torch.float64)
    whole = space.finite
    return Clustering(
        labels[:, 0],
        inertia.where(whole, torch.nan),
        (centroids[:, 0] + space.mean).where(whole[:, None, None], torch.nan),
        labels,
    )


def _moves(space: Space, state: Partition) -> tuple[Tensor, Tensor]:
    """To which cluster each row would go, and which rows do [problem start row].

    Moving a row from a cluster of n rows to one of m changes the inertia by d_m^2 m / (m + 1) less
    d_n^2 n / (n - 1) (Hartigan and Wong 1979).
    """
    labels, k = state.labels, state.sums.shape[2]
    counts = state.sums[..., -2]
    empty = counts == 0
    centroids = state.sums[..., :-2] / counts.clamp(min=1)[..., None]
    centroids = space.refilled(labels, centroids, empty)
    costs = space.distances(centroids, (counts / (counts + 1)).masked_fill(empty, 1))
    size = counts.gather(2, labels)
    leaving = (size + 1) / (size - 1).clamp_(min=1) * (size > 1)
    own = costs.gather(2, labels[:, :, None]).squeeze(2).mul_(leaving)
    costs.scatter_(2, labels[:, :, None], own[:, :, None])
    target, cost = least(costs)
    gain = own - cost
    goes = (target != labels) & (gain > precision(k) * own)
    if bool(state.careful.any()):
        apart = _apart(labels, target, gain.where(goes, 0), k)
        goes &= ~state.careful[..., None] | apart
    return target, goes


def _apart(labels: Tensor, target: Tensor, gain: Tensor, k: int) -> Tensor:
    """Of the moves, those that gain most among all that touch either of their clusters."""
    best = gain.new_zeros(*gain.shape[:2], k)
    best = best.scatter_reduce_(2, target, gain, "amax").scatter_reduce_(2, labels, gain, "amax")
    goes = (gain > 0) & (gain >= best.gather(2, target)) & (gain >= best.gather(2, labels))
    # Of equal rows, which gain the same, only the first.
    rows = gain.shape[2]
    row = torch.arange(rows, device=gain.device).where(goes, rows)
    first = row.new_full(best.shape, rows)
    first = first.scatter_reduce_(2, target, row, "amin").scatter_reduce_(2, labels, row, "amin")
    return goes & (row == first.gather(2, target)) & (row == first.gather(2, labels))


def _unexplained(sums: Tensor) -> Tensor:
    """Inertia [problem start] less the squared lengths of the rows."""
    counts = sums[..., -2].double().clamp(min=1)
    return -(sums[..., :-2].double().square().sum(-1) / counts).sum(-1)

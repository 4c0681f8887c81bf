"""Rows of many problems, laid out so that distances and sums are products of matrices."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_PACKED_BITS = 10
_SAME = 1e-12
"""Squared distances below this share of the mean one are rounding."""


@dataclass(frozen=True)
class Space:
    """Rows prepared for k-means, once for several k.

    Attributes:
        points: centred rows as columns; under them ones, and their squared lengths. One product
            gives squared distances, and a sum of columns holds their number. Distances come out
            as [problem, centroid, row]: least costs over centroids then read memory in order.
        mean: what was subtracted.
        finite: which problems have neither NaN nor infinity; the others are zeros here.
    """

    points: Float[Tensor, "problem appended row"]
    mean: Float[Tensor, "problem 1 width"]
    finite: Bool[Tensor, "problem"]

    @classmethod
    def of(cls, x: Float[Tensor, "problem row width"]) -> "Space":
        """Prepare rows, of any device and float type; they are computed in float32."""
        x = x.float()
        finite = torch.isfinite(x).flatten(1).all(1)
        x = x.where(finite[:, None, None], 0)
        mean = x.mean(1, keepdim=True)
        # A dimension that does not vary is 0, not what rounding leaves of it.
        centred = (x - mean).where((x != x[:, :1]).any(1, keepdim=True), 0)
        points = x.new_empty(x.shape[0], x.shape[2] + 2, x.shape[1])
        points[:, :-2] = centred.mT
        points[:, -2] = 1
        points[:, -1] = centred.square().sum(-1)
        return cls(points, mean, finite)

    @property
    def problems(self) -> int:
        """How many problems there are."""
        return self.points.shape[0]

    @property
    def rows(self) -> int:
        """How many rows each problem has."""
        return self.points.shape[2]

    @property
    def width(self) -> int:
        """How many dimensions each row has."""
        return self.points.shape[1] - 2

    def at(self, index: slice | Tensor) -> "Space":
        """Some of the problems."""
        return Space(self.points[index], self.mean[index], self.finite[index])

    def take(self, rows: Int[Tensor, "problem *any"]) -> Float[Tensor, "problem *any width"]:
        """Some rows of each problem, centred."""
        at = rows.flatten(1)[:, None].expand(-1, self.width, -1)
        return self.points[:, :-2].gather(2, at).mT.reshape(*rows.shape, self.width)

    def distances(
        self,
        centroids: Float[Tensor, "problem start cluster width"],
        factor: Float[Tensor, "problem start cluster"] | None = None,
    ) -> Float[Tensor, "problem start cluster row"]:
        """Squared distances, times a factor of each centroid; rounding can make them negative."""
        square = centroids.square().sum(-1, keepdim=True)
        weights = torch.cat([-2 * centroids, square, torch.ones_like(square)], -1)
        if factor is not None:
            weights *= factor[..., None]
        return (weights.flatten(1, 2) @ self.points).view(*centroids.shape[:3], self.rows)

    def nearest(
        self, centroids: Float[Tensor, "problem start cluster width"]
    ) -> Int[Tensor, "problem start row"]:
        """The nearest centroid of each row, to the precision of `least`."""
        return least(self.distances(centroids))[0]

    def sums(
        self, labels: Int[Tensor, "problem start row"], k: int
    ) -> Float[Tensor, "problem start cluster appended"]:
        """Sums of the points of each cluster.

        A product, since that is deterministic on every device and as fast as adding by index.
        """
        problems, starts, rows = labels.shape
        member = self.points.new_zeros(problems, starts, k, rows)
        member.scatter_(2, labels[:, :, None], 1.0)
        sums = member.view(problems, starts * k, rows) @ self.points.mT
        return sums.view(problems, starts, k, -1)

    def costs(
        self,
        labels: Int[Tensor, "problem start row"],
        centroids: Float[Tensor, "problem start cluster width"],
    ) -> Float[Tensor, "problem start row"]:
        """Squared distance of each row to its own centroid, from differences: no cancellation."""
        at = labels[..., None].expand(*labels.shape, self.width)
        return (self.points[:, None, :-2].mT - centroids.gather(2, at)).square().sum(-1)

    def refilled(
        self,
        labels: Int[Tensor, "problem start row"],
        centroids: Float[Tensor, "problem start cluster width"],
        empty: Bool[Tensor, "problem start cluster"],
    ) -> Float[Tensor, "problem start cluster width"]:
        """Put the centroids of empty clusters on the rows that are farthest from their own.

        Not on rows that lie on their own: then there are fewer distinct rows than clusters.
        """
        if not bool(empty.any()):
            return centroids
        most = int(empty.sum(-1).max())
        cost, row = self.costs(labels, centroids).topk(most, -1)
        rank = (empty.cumsum(-1) - 1).clamp_(min=0, max=most - 1)
        rounding = _SAME * self.points[:, -1].mean(-1)[:, None, None]
        use = empty & (cost.gather(2, rank) > rounding)
        return self.take(row.gather(2, rank)).where(use[..., None], centroids)


def least(
    costs: Float[Tensor, "problem start cluster row"],
) -> tuple[Int[Tensor, "problem start row"], Float[Tensor, "problem start row"]]:
    """Index and value of the least cost over clusters; overwrites `costs`.

    The index is packed into the lowest bits of the numbers: a minimum of integers runs at the
    speed of memory, a search for its place does not. That drops these bits (see `precision`).
    Numbers below 0, which only rounding makes, count as smallest.
    """
    k = costs.shape[2]
    bits = _bits(k)
    if bits > _PACKED_BITS or costs.dtype != torch.float32:
        value, index = costs.min(2)
        return index, value
    mask = (1 << bits) - 1
    packed = costs.view(torch.int32)
    packed &= ~mask
    packed |= torch.arange(k, dtype=torch.int32, device=costs.device)[:, None]
    found = packed.amin(2)
    return (found & mask).long(), (found & ~mask).view(torch.float32)


def precision(k: int) -> float:
    """Relative error of the value that `least` gives for k clusters."""
    return 2.0 ** (min(_bits(k), _PACKED_BITS) - 22)


def _bits(k: int) -> int:
    return (k - 1).bit_length()

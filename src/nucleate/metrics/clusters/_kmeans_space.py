"""Rows of many problems, laid out so that distances and sums are products of matrices."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nucleate._core.errors import BadInput
from nucleate.metrics._arrays import ArrayLike, as_tensor

_PACKED_BITS = 10
_SAME = 1e-12
"""Squared distances below this share of the mean one are rounding."""


@dataclass(frozen=True)
class Space:
    """Rows prepared for k-means, once for several k.

    Attributes:
        rows: centered rows, each followed by 1 and its squared length: a sum of them holds their
            number.
        columns: the same, transposed. A product with centroids gives squared distances as [problem,
            centroid, row], of which a least one over centroids reads memory in order.
        mean: what was subtracted.
        finite: which problems have neither NaN nor infinity; the others are zeros here.
    """

    rows: Float[Tensor, "problem row appended"]
    columns: Float[Tensor, "problem appended row"]
    mean: Float[Tensor, "problem 1 width"]
    finite: Bool[Tensor, "problem"]

    @classmethod
    def of(cls, x: ArrayLike) -> "Space":
        """Prepare rows `[problem row width]`, of any kind; they are computed in float32.

        Raises:
            BadInput: rows that are not an array of real numbers, or of another shape.
        """
        x = as_tensor(x, least_rows=1)
        if x.ndim != 3:
            raise BadInput(
                f"rows of shape {list(x.shape)} are not problems; give [problem row width]"
            )
        low, high = x.amin(1, keepdim=True), x.amax(1, keepdim=True)
        finite = (torch.isfinite(low) & torch.isfinite(high)).flatten(1).all(1)
        if not bool(finite.all()):
            x = x.where(finite[:, None, None], 0)
        mean = x.mean(1, keepdim=True)
        shape = x.shape[0], x.shape[1], x.shape[2] + 2
        rows = torch.empty(shape, dtype=torch.float32, device=x.device)
        centered = torch.sub(x, mean, out=rows[..., :-2])
        # A dimension that does not vary is 0, not what rounding leaves of it.
        if bool((low == high).any()):
            centered.masked_fill_(low == high, 0)
        rows[..., -2] = 1
        rows[..., -1] = torch.linalg.vector_norm(centered, dim=-1).square_()
        return cls(rows, rows.mT.contiguous(), mean.float(), finite)

    @property
    def problems(self) -> int:
        """How many problems there are."""
        return self.rows.shape[0]

    @property
    def count(self) -> int:
        """How many rows each problem has."""
        return self.rows.shape[1]

    @property
    def width(self) -> int:
        """How many dimensions each row has."""
        return self.rows.shape[2] - 2

    def at(self, index: slice | Tensor) -> "Space":
        """Some of the problems."""
        return Space(self.rows[index], self.columns[index], self.mean[index], self.finite[index])

    def take(self, rows: Int[Tensor, "problem *any"]) -> Float[Tensor, "problem *any width"]:
        """Some rows of each problem, centered."""
        each = torch.arange(len(rows), device=rows.device).view(-1, *(1,) * (rows.ndim - 1))
        return self.rows[each, rows][..., :-2]

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
        return (weights.flatten(1, 2) @ self.columns).view(*centroids.shape[:3], self.count)

    def nearest(
        self, centroids: Float[Tensor, "problem start cluster width"]
    ) -> Int[Tensor, "problem start row"]:
        """The nearest centroid of each row, to the precision of `least`."""
        return least(self.distances(centroids))[0]

    def sums(
        self, labels: Int[Tensor, "problem start row"], k: int
    ) -> Float[Tensor, "problem start cluster appended"]:
        """Sums of the rows of each cluster.

        A product, since that is deterministic on every device.
        """
        problems, starts, rows = labels.shape
        member = self.rows.new_zeros(problems, starts, k, rows)
        member.scatter_(2, labels[:, :, None], 1.0)
        return (member.flatten(1, 2) @ self.rows).view(problems, starts, k, -1)

    def moved(
        self,
        sums: Float[Tensor, "problem start cluster appended"],
        labels: Int[Tensor, "problem start row"],
        target: Int[Tensor, "problem start row"],
        goes: Bool[Tensor, "problem start row"],
    ) -> Float[Tensor, "problem start cluster appended"]:
        """Sums after some rows have moved."""
        k = sums.shape[2]
        if sums.device.type != "cpu":
            # Adding by index is in no fixed order there.
            return self.sums(target.where(goes, labels), k)
        problem, start, row = goes.nonzero(as_tuple=True)
        rows, at = self.rows[problem, row], (problem * labels.shape[1] + start) * k
        flat = sums.flatten(0, 2).clone()
        flat.index_add_(0, at + labels[problem, start, row], rows, alpha=-1)
        flat.index_add_(0, at + target[problem, start, row], rows)
        return flat.view(sums.shape)

    def costs(
        self,
        labels: Int[Tensor, "problem start row"],
        centroids: Float[Tensor, "problem start cluster width"],
    ) -> Float[Tensor, "problem start row"]:
        """Squared distance of each row to its own centroid, from differences: no cancellation."""
        each = torch.arange(len(labels), device=labels.device)[:, None, None]
        start = torch.arange(labels.shape[1], device=labels.device)[:, None]
        own = centroids[each, start, labels]
        return own.sub_(self.rows[:, None, :, :-2]).square_().sum(-1)

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
        rounding = _SAME * self.rows[..., -1].mean(-1)[:, None, None]
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

"""Similarity of two representations of the same rows: of checkpoints, layers or seeds."""

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nucleate._core.errors import BadInput
from nucleate.metrics._arrays import ArrayLike, centered, shape_of, shaped
from nucleate.metrics.geometry._spectra import paired

Item = TypeVar("Item")


def cka(x: ArrayLike, other: ArrayLike) -> np.ndarray | float:
    """Debiased linear CKA of two readings of the same rows (Kornblith et al. 2019).

    The estimator of the cross-covariance is the unbiased one of Song et al. (2012), so that
    unrelated readings give 0 however few the rows.

    Args:
        x: states `[*place row width]`.
        other: states of the same places and rows, `[*place row any]`.

    Returns:
        1 for readings that are a rotation, a shift and a common scale apart; 0 on average for
        unrelated ones, and a little below it by chance; 0 if either is constant. NaN where a
        reading has so few rows that it is not even like itself.

        The directions of largest variance decide: two readings that share nothing but one rogue
        dimension, or the inputs, are alike. It takes the rows to be independent: of rows that
        equal each other (one string at the end of the instruction) give one.

    Raises:
        BadInput: other places or rows, or fewer than four rows.
    """
    a, b, finite = paired(x, other)
    values = _cka(_Reading.of(a), _Reading.of(b))
    return shaped(values.where(finite, torch.nan), x)


def procrustes(x: ArrayLike, other: ArrayLike) -> np.ndarray | float:
    """Similarity of two readings of the same rows after the best rotation of one to the other.

    Args:
        x: states `[*place row width]`.
        other: states of the same places and rows, `[*place row any]`.

    Returns:
        Sum of the singular values of the cross-product of both, centered and scaled to a length of
        1: from 0 to 1, which is a rotation, a shift and a scale apart; 0 if either is constant.
        The squared distance of Ding et al. (2021) is 2 - 2 times this. Chance is far from 0, about
        0.85 sqrt(width / rows) for noise: compare with rows permuted.

    Raises:
        BadInput: other places or rows.
    """
    a, b, finite = paired(x, other)
    return shaped(_procrustes(_scaled(a), _scaled(b)).where(finite, torch.nan), x)


def similarity_matrix(
    states: ArrayLike | Sequence[ArrayLike],
    metric: Literal["cka", "procrustes"] = "cka",
) -> Float[np.ndarray, "item item"]:
    """Compare every reading with every other: checkpoints, layers, seeds.

    Args:
        states: `[item row width]`, or a list of `[row width]` whose widths may differ.
        metric: `cka` or `procrustes`.

    Returns:
        A symmetric matrix; 1 on the diagonal where a reading varies.

    Raises:
        BadInput: an unknown metric, no reading, readings of different rows, or (`cka`) fewer than
            four rows.
    """
    if not isinstance(metric, str) or metric not in ("cka", "procrustes"):
        raise BadInput(f"similarity {metric!r} is unknown; choose cka or procrustes")
    if not len(shape_of(states)):
        raise BadInput(f"states are a {type(states).__name__}; give a list of states [row width]")
    shapes = [shape_of(item) for item in states]
    if not shapes or any(len(shape) != 2 or shape[0] != shapes[0][0] for shape in shapes):
        raise BadInput(
            f"states of shapes {list(map(list, shapes))} cannot be compared; "
            "give a list of states [row width] of the same rows"
        )
    cleaned = [centered(item, double=True) for item in states]
    finite = np.array([bool(ok) for _, ok in cleaned])
    device = cleaned[0][0].device
    if metric == "cka":
        values = _pairwise([_Reading.of(points.to(device)) for points, _ in cleaned], _cka)
    else:
        values = _pairwise([_scaled(points.to(device)) for points, _ in cleaned], _procrustes)
    values[~finite] = np.nan
    values[:, ~finite] = np.nan
    return values


class _Reading:
    """One side of a comparison, with the unbiased square of its own cross-covariance."""

    def __init__(self, points: Float[Tensor, "place row width"]) -> None:
        self.points = points
        self.square = points.square().sum(2)
        self.own = points.new_zeros(())

    @classmethod
    def of(cls, points: Float[Tensor, "place row width"]) -> "_Reading":
        if points.shape[1] < 4:
            raise BadInput(
                f"CKA of {points.shape[1]} rows cannot be estimated; give at least 4 rows"
            )
        # The scale of either reading cancels in the end, and must not overflow until then.
        scale = points.abs().amax((1, 2), keepdim=True)
        reading = cls(points / scale.where(scale > 0, 1))
        reading.own = _hsic(reading, reading)
        return reading


def _hsic(a: _Reading, b: _Reading) -> Float[Tensor, "place"]:
    """The unbiased estimator, from kernels with a diagonal of zeros; rows of mean 0.

    With mean 0 the sums over a kernel's rows are those of its diagonal, so that no matrix
    [row row] is needed where the width is smaller.
    """
    n, (wide, high) = a.points.shape[1], (a.points.shape[2], b.points.shape[2])
    if wide * high <= n * n:
        product = (a.points.mT @ b.points).square().sum((1, 2))
    else:
        product = ((a.points @ a.points.mT) * (b.points @ b.points.mT)).sum((1, 2))
    # Without the diagonal d, each row of a centered kernel sums to -d.
    along = (a.square * b.square).sum(1)
    trace = product - along
    both = a.square.sum(1) * b.square.sum(1)
    return (trace + both / ((n - 1) * (n - 2)) - 2 / (n - 2) * along) / (n * (n - 3))


def _cka(a: _Reading, b: _Reading) -> Float[Tensor, "place"]:
    constant = (a.square.sum(1) == 0) | (b.square.sum(1) == 0)
    able = (a.own > 0) & (b.own > 0)
    length = a.own.clamp(min=0).sqrt() * b.own.clamp(min=0).sqrt()
    ratio = (_hsic(a, b) / length.where(able, 1)).where(able, torch.nan)
    return ratio.where(~constant, 0)


def _scaled(points: Float[Tensor, "place row width"]) -> Float[Tensor, "place row any"]:
    """Rows scaled to a total length of 1; rotated into fewer dimensions if they are wider."""
    length = points.flatten(1).norm(dim=1)[:, None, None]
    points = points / length.where(length > 0, 1)
    if points.shape[2] <= points.shape[1]:
        return points
    turned: Tensor = torch.linalg.qr(points.mT).R.mT
    return turned


def _procrustes(a: Tensor, b: Tensor) -> Float[Tensor, "place"]:
    values: Tensor = torch.linalg.svdvals(a.mT @ b)
    return values.sum(1).clamp(max=1)


def _pairwise(
    items: Sequence[Item], compare: Callable[[Item, Item], Tensor]
) -> Float[np.ndarray, "item item"]:
    values = np.empty((len(items), len(items)))
    for i, first in enumerate(items):
        for j, second in enumerate(items[: i + 1]):
            values[i, j] = values[j, i] = float(compare(first, second))
    return values

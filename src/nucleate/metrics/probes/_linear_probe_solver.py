"""Penalized multinomial logistic regression, many problems in one batch."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_MOST_STEPS = 400
_OVERSHOT = 0.5
_TURNED = 0.2
_BISECTIONS = 12


@dataclass(frozen=True)
class Fitted:
    """Scores that a read-out gives to rows that it has not seen.

    Attributes:
        scores: log-probabilities of the classes; -inf for a class without a training row.
        converged: whether the search ended because nothing was left to gain.
    """

    scores: Float[Tensor, "problem labeling class row"]
    converged: Bool[Tensor, "problem"]


@dataclass(frozen=True)
class _Point:
    """Where the search stands: weights, what they give, and the slope there.

    All tensors are [problem labeling class _], with features or rows last.
    """

    weights: Tensor
    scores: Tensor
    slope: Tensor


def compact(x: Float[Tensor, "row width"]) -> Float[Tensor, "row feature"]:
    """Turn states into as many dimensions as rows where they have more.

    All scalar products of rows stay as they are, and a penalized linear read-out sees nothing
    else: its answers are the same.
    """
    rows, width = x.shape
    if width <= rows:
        return x
    products = x.double() @ x.double().T
    products.diagonal().add_(1e-9 * products.diagonal().mean() + 1e-12)
    factor: Tensor = torch.linalg.cholesky(products)
    return factor.to(x)


def fit(
    x: Float[Tensor, "place row feature"],
    codes: Int[Tensor, "labeling row"],
    classes: int,
    trained: Int[Tensor, "split learned"],
    held: Int[Tensor, "split held"],
    penalty: float,
    tol: float,
) -> Fitted:
    """Fit a read-out to some rows of each place and score others, split by split.

    Minimizes the summed negative log-likelihood plus penalty / 2 times the squared weights; the
    intercepts are free. Where all classes are equally likely, the curvature of the likelihood is
    X'X / classes for every class. One Cholesky factor of this plus the penalty, per problem, turns
    the objective into one whose curvature is about 1 there, and nonlinear conjugate gradients need
    few steps. (The bound X'X / 2 of Boehning (1992) holds everywhere, but is `classes / 2` times
    larger; with it the same precision takes more steps.)

    Args:
        x: standardized features.
        codes: classes, one labeling after another.
        classes: how many there are.
        trained: which rows to learn from; -1 where there is none.
        held: which rows to score; -1 where there is none (its scores mean nothing).
        penalty: above 0.
        tol: nats per row; the search ends where a Newton step with this curvature would gain less.

    Returns:
        The splits of the first place, then those of the next.
    """
    places = len(x)
    curvature = 1 / classes
    features, scored = _turned(x, trained, held, penalty, curvature)
    wanted = torch.nn.functional.one_hot(codes[:, trained.clamp(min=0)], classes).to(x)
    wanted = (wanted * (trained >= 0)[..., None]).permute(1, 0, 3, 2).repeat(places, 1, 1, 1)
    absent = torch.zeros_like(wanted[..., :1]).masked_fill(
        wanted.sum(3, keepdim=True) == 0, -torch.inf
    )
    rows = (trained >= 0).sum(1).repeat(places)
    weights, converged = _descend(features, wanted, absent, tol * rows, curvature)
    scores = _times(weights, scored) + absent
    return Fitted(torch.log_softmax(scores, 2), converged)


def _turned(
    x: Float[Tensor, "place row feature"],
    trained: Int[Tensor, "split learned"],
    held: Int[Tensor, "split held"],
    penalty: float,
    curvature: float,
) -> tuple[Float[Tensor, "problem turned learned"], Float[Tensor, "problem turned held"]]:
    """Features of training and scored rows in which X'X * curvature + penalty is the identity."""
    design = torch.cat([x, torch.ones_like(x[..., :1])], 2)
    learned = _rows(design, trained)
    metric = curvature * learned.mT @ learned
    metric.diagonal(dim1=1, dim2=2)[:, :-1] += penalty
    factor = torch.linalg.cholesky(metric)
    unit = torch.eye(factor.shape[1], dtype=x.dtype, device=x.device).expand_as(factor)
    # On a CPU, inverting a small factor and multiplying takes half the time of solving.
    turn = torch.linalg.solve_triangular(factor, unit, upper=False)
    return turn @ learned.mT, turn @ _rows(design, held).mT


def _rows(
    design: Float[Tensor, "place row column"], chosen: Int[Tensor, "split member"]
) -> Float[Tensor, "problem member column"]:
    rows = design[:, chosen.clamp(min=0)] * (chosen >= 0)[..., None]
    return rows.flatten(0, 1)


def _descend(
    features: Float[Tensor, "problem feature row"],
    wanted: Float[Tensor, "problem labeling class row"],
    absent: Float[Tensor, "problem labeling class one"],
    enough: Float[Tensor, "problem"],
    curvature: float,
) -> tuple[Tensor, Bool[Tensor, "problem"]]:
    """Conjugate gradients (Polak and Ribiere, restarted) from weights 0.

    A problem ends where it promises a descent below `enough`, and leaves the batch, so that its
    result does not hang on the others.
    """
    shape = *wanted.shape[:3], features.shape[1]
    point = _Point(features.new_zeros(shape), torch.zeros_like(wanted), features.new_zeros(shape))
    chance = torch.softmax(point.scores + absent, 2)
    first = _residual(chance, wanted, point.scores, curvature)
    point = replace(point, slope=_slope(point.weights, first, features))
    result = point.weights.clone()
    converged = torch.zeros(len(features), dtype=torch.bool, device=features.device)
    at = torch.arange(len(features), device=features.device)
    ahead = -point.slope
    for _ in range(_MOST_STEPS):
        left = _dot(point.slope, point.slope).flatten(1).amax(1) / 2
        done = left <= enough
        if done.any():
            result[at[done]] = point.weights[done]
            converged[at[done]] = True
            keep = ~done
            if not keep.any():
                return result, converged
            point = _Point(point.weights[keep], point.scores[keep], point.slope[keep])
            ahead, chance, wanted = ahead[keep], chance[keep], wanted[keep]
            features, absent, at = features[keep], absent[keep], at[keep]
            enough = enough[keep]
        before = point.slope
        point, chance = _step(point, ahead, chance, wanted, absent, features, curvature)
        length = _dot(before, before).clamp(min=1e-30)
        change = _dot(point.slope, point.slope - before).clamp(min=0)
        # Slopes that are far from orthogonal: the conjugate directions are used up.
        spoiled = _dot(point.slope, before).abs() > _TURNED * _dot(point.slope, point.slope)
        ahead = (change / length).masked_fill(spoiled, 0) * ahead - point.slope
        ahead = ahead.where(_dot(point.slope, ahead) < 0, -point.slope)
    result[at] = point.weights
    return result, converged


def _step(
    point: _Point,
    ahead: Tensor,
    chance: Tensor,
    wanted: Tensor,
    absent: Tensor,
    features: Tensor,
    curvature: float,
) -> tuple[_Point, Tensor]:
    """Go along `ahead` to where the objective, a convex function of one number, is about least.

    The least of the parabola is tried first. Where the likelihood is flat that can be far too
    far; between it and a step that is surely too short (the likelihood's curvature is at most
    X'X / 2, Boehning 1992) we bisect.
    """
    change = _times(ahead, features)
    fall = _dot(point.slope, ahead)
    length = _dot(ahead, ahead)
    weighted = chance * change
    mean = weighted.sum(2, keepdim=True)
    curve = _dot(weighted - curvature * change, change) - _dot(mean, mean) + length
    short = -fall / length.clamp(min=1e-30) * min(1.0, 2 * curvature)
    size = torch.maximum(short, (-fall / curve.clamp(min=1e-30)).clamp(max=1e4 * short))
    far = size
    for _ in range(_BISECTIONS):
        scores = point.scores + size * change
        found = torch.softmax(scores + absent, 2)
        residual = _residual(found, wanted, scores, curvature)
        weights = point.weights + size * ahead
        after = _dot(residual, change) + _dot(weights, ahead)
        beyond = after > _OVERSHOT * -fall
        before = (after < -_OVERSHOT * -fall) & (size < far)
        if not (beyond | before).any():
            break
        far = size.where(beyond, far)
        short = size.where(before, short)
        size = (short * far).sqrt().where(beyond | before, size)
    return _Point(weights, scores, _slope(weights, residual, features)), found


def _residual(chance: Tensor, wanted: Tensor, scores: Tensor, curvature: float) -> Tensor:
    """Slope of the objective by the scores.

    In the turned features the penalty is half the squared weights less curvature / 2 times the
    squared scores.
    """
    return torch.sub(chance - wanted, scores, alpha=curvature)


def _slope(weights: Tensor, residual: Tensor, features: Tensor) -> Tensor:
    return (residual.flatten(1, 2) @ features.mT).view_as(weights) + weights


def _times(weights: Tensor, features: Float[Tensor, "problem feature row"]) -> Tensor:
    scores = weights.flatten(1, 2) @ features
    return scores.view(*weights.shape[:3], -1)


def _dot(a: Tensor, b: Tensor) -> Float[Tensor, "problem labeling one one"]:
    return (a * b).sum((2, 3), keepdim=True)

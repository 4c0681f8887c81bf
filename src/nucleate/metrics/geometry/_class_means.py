"""The shape of class means: whether differences are parallel, and how far they have collapsed."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate._core.arguments import check_whole
from nucleate._core.errors import BadInput
from nucleate.metrics._arrays import ArrayLike, as_codes, as_values, centered, shaped
from nucleate.metrics._labels import groups_or_rows, one, several


def class_means(
    points: Float[Tensor, "place row width"], codes: Int[Tensor, "row"], classes: int
) -> tuple[Float[Tensor, "place class width"], Float[Tensor, "class"]]:
    """Means of the rows of each class, 0 for classes without rows, and the numbers of rows."""
    member = points.new_zeros(classes, len(codes))
    member.scatter_(0, codes.to(points.device)[None], 1)
    counts = member.sum(1)
    return (member / counts.clamp(min=1)[:, None]) @ points, counts


def parallelism_score(x: ArrayLike, labels: ArrayLike, conditions: ArrayLike) -> np.ndarray | float:
    """Mean cosine between the same class difference in different conditions (Bernardi 2020).

    The difference of the means of two classes within a condition is their coding direction. Two
    conditions have no row in common, so noise has no direction in common: it gives 0.

    Args:
        x: states `[*place row width]`.
        labels: `[*labeling row]`.
        conditions: `[row]`, crossed with the labels, such as inputs. Number what is nested within
            classes (the families of a task) from 0 within each class.

    Returns:
        -1 to 1, chance 0; 1 where a class is one and the same shift in all conditions. The mean
        over pairs of classes and pairs of conditions that hold both; NaN if there is none. 0 for
        constant states. Noise within cells pulls it towards 0, so it also rises as noise falls:
        read it beside the class separation. If rows of one instruction string lie in several
        conditions they share their noise, and chance is above 0: compare with labels permuted
        over strings.

    Raises:
        BadInput: labels or conditions of another length, or one class or condition only.
    """
    points, finite = centered(x, double=True)
    codes = as_codes(labels, points.shape[1])
    where = one(conditions, points.shape[1], name="conditions")
    several(codes[0], "label", "give labels of at least two classes")
    several(where, "condition", "give at least two conditions")
    values = torch.stack([_parallelism(points, each, where) for each in codes], 1)
    return shaped(values.where(finite[:, None], torch.nan), x, labels)


def _parallelism(points: Tensor, codes: Tensor, conditions: Tensor) -> Tensor:
    T, C = int(codes.max()) + 1, int(conditions.max()) + 1
    means, counts = class_means(points, conditions * T + codes, C * T)
    product = (means @ means.mT).view(-1, C, T, C, T).permute(0, 1, 3, 2, 4)
    own = product.diagonal(dim1=3, dim2=4)
    dots = own[..., None] + own[..., None, :] - product - product.mT
    length = dots.diagonal(dim1=1, dim2=2).movedim(-1, 1).clamp(min=0).sqrt()
    scale = length[:, :, None] * length[:, None]
    present = counts.view(C, T) > 0
    both = present[:, :, None] & present[:, None]
    valid = (both[:, None] & both[None]).triu(1)
    valid &= torch.ones(C, C, dtype=torch.bool, device=valid.device).triu(1)[:, :, None, None]
    # Class means that agree up to rounding have no direction.
    floor = 1e-20 * points.square().sum(2).mean(1) + 1e-300
    cosines = (dots / scale.where(scale > 0, 1)).where(scale > floor.view(-1, 1, 1, 1, 1), 0)
    return (cosines * valid).sum((1, 2, 3, 4)) / valid.sum()


@dataclass(frozen=True)
class NeuralCollapse:
    """How far class means are from a simplex: equally long, at equal angles (NC2).

    With two classes all three are 0, whatever the states.

    Attributes:
        nc2: distance of the normalized products of the class means to those of a simplex, in the
            form of Zhu et al. (2021); 0 is collapse, 1 no relation.
        norms: standard deviation over mean of the lengths of the class means (Papyan et al. 2020).
        angles: mean over pairs of |cosine + 1 / (classes - 1)| (the same), 0 to 1 or a bit more.
    """

    nc2: np.ndarray | float
    norms: np.ndarray | float
    angles: np.ndarray | float


def neural_collapse(x: ArrayLike, labels: ArrayLike) -> NeuralCollapse:
    """Measure how far the class means are from a simplex.

    Args:
        x: states `[*place row width]`.
        labels: `[row]`.

    Returns:
        Three deviations, 0 for a simplex; 1 for constant states, whose means have no direction.
        They say nothing of the scatter within classes, and means of pure noise in many dimensions
        are near a simplex: read them beside the class separation and permuted labels. With
        more classes than the width plus one no simplex exists (Wu and Papyan 2024).

    Raises:
        BadInput: labels of another length, or of one class.
    """
    points, finite = centered(x, double=True)
    codes = one(labels, points.shape[1])
    classes = several(codes, "label", "give labels of at least two classes")
    means, _ = class_means(points, codes, classes)
    means = means - means.mean(1, keepdim=True)
    product = means @ means.mT
    size = product.flatten(1).norm(dim=1)
    lengths = product.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()
    eye = torch.eye(classes, dtype=product.dtype, device=product.device)
    simplex = (eye - 1 / classes) / (classes - 1) ** 0.5
    scaled = product / size.where(size > 0, 1)[:, None, None]
    nc2 = (scaled - simplex).flatten(1).norm(dim=1)
    norms = lengths.std(1, correction=0) / lengths.mean(1).clamp(min=1e-150)
    scale = (lengths[:, :, None] * lengths[:, None]).clamp(min=1e-300)
    off = product / scale + 1 / (classes - 1)
    angles = (off.abs() * (1 - eye)).sum((1, 2)) / (classes * (classes - 1))
    flat = size <= 1e-20 * points.square().sum(2).mean(1)
    return NeuralCollapse(
        *(shaped(v.where(~flat, 1).where(finite, torch.nan), x) for v in (nc2, norms, angles))
    )


def nc4(
    x: ArrayLike,
    labels: ArrayLike,
    predictions: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    n_splits: int = 10,
    seed: int = 0,
) -> np.ndarray | float:
    """Share of rows where the nearest class mean decides as the model does (NC4, Papyan 2020).

    Args:
        x: states `[*place row width]`.
        labels: `[row]`, of which the class means are taken, such as the right answers.
        predictions: the model's decisions: `[row]` in the values of the labels, or logits
            `[row class]` with one column for each value of the labels, in sorted order.
        groups: `[row]`, such as instruction strings; a row's group never counts in the means that
            decide about it. None: each row alone.
        n_splits: in how many parts the groups are split for that.
        seed: of the split.

    Returns:
        0 to 1; 1 where the head only finds the nearest class mean. Chance is not one over the
        classes: a decision that often falls on one class agrees more. 0 for constant states.

    Raises:
        BadInput: wrong lengths, one class only, or fewer groups than folds.
    """
    points, finite = centered(x, double=True)
    rows = points.shape[1]
    codes, decided = _decisions(labels, predictions, rows)
    classes = several(codes, "label", "give labels of at least two classes")
    own = groups_or_rows(groups, points).cpu()
    count = int(own.max()) + 1
    check_whole("n_splits", n_splits)
    check_whole("seed", seed, least=0)
    if not 2 <= n_splits <= count:
        raise BadInput(
            f"{n_splits} folds of {count} groups cannot be made; ask for 2 to {count} folds"
        )
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    fold = order[own] % n_splits
    agree = torch.zeros(len(points), dtype=points.dtype, device=points.device)
    for index in range(n_splits):
        inside = fold == index
        means, sizes = class_means(points[:, ~inside], codes[~inside], classes)
        score = points[:, inside] @ means.mT - means.square().sum(2)[:, None] / 2
        nearest = score.where(sizes > 0, -torch.inf).argmax(2)
        agree += (nearest == decided[inside].to(nearest.device)).sum(1)
    varies = points.flatten(1).any(1)
    return shaped((agree / rows).where(varies, 0).where(finite, torch.nan), x)


def _decisions(
    labels: ArrayLike, predictions: ArrayLike, rows: int
) -> tuple[Int[Tensor, "row"], Int[Tensor, "row"]]:
    """Labels and decisions as codes of the labels; -1 for a decision that is no label."""
    codes = one(labels, rows)
    classes, chosen = int(codes.max()) + 1, as_values(predictions)
    if chosen.shape == (rows, classes) and chosen.dtype.kind in "biuf":
        return codes, torch.from_numpy(chosen.argmax(1))
    if chosen.shape not in ((rows,), (rows, 1)):
        raise BadInput(
            f"predictions of shape {list(chosen.shape)} do not fit {rows} rows of {classes} "
            "classes; give a class per row, or logits [row class]"
        )
    names = dict(zip(as_values(labels).ravel().tolist(), codes.tolist(), strict=True))
    return codes, torch.tensor([names.get(value, -1) for value in chosen.ravel().tolist()])

"""How much each two classes overlap, pair by pair, in all dimensions of the states."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nucleate.metrics._arrays import ArrayLike, centered, shape_of
from nucleate.metrics._labels import fold_codes, group_codes, one, several
from nucleate.metrics.geometry._class_means import class_means

_FLOOR = 1e-6
"""Share of the total variance below which a variance within classes is taken for none."""


def pairwise_separation(x: ArrayLike, labels: ArrayLike) -> Float[np.ndarray, "*place class other"]:
    """Squared distance of two class means over their variance, for every pair of classes.

    The terms of which `class_separation` is the mean, one over the class-distance normalized
    variance (Galanti, Gyorgy and Hutter 2021): 2 |mu_a - mu_b|^2 / (s_a^2 + s_b^2), less what
    sampling alone adds to the distance.

    Args:
        x: states `[*place row width]`.
        labels: class of each row `[row]`.

    Returns:
        A symmetric table, classes in sorted order: 0 on average where two classes do not differ
        (below it by chance), upwards without a bound. NaN on the diagonal, for a class of one row,
        for states that do not vary, and for states that are not finite.

    Raises:
        BadInput: labels that do not fit the rows, or one class only.

    Notes:
        Variation of other factors (the input) counts as variance within classes. Rows of one
        instruction string are not independent, which separates classes by chance.
    """
    points, finite = centered(x, double=True)
    codes = one(labels, points.shape[1]).to(points.device)
    classes = several(codes, "label", "give labels of at least two classes")
    means, counts = class_means(points, codes, classes)
    length = means.square().sum(2)
    square = points.new_zeros(len(points), classes).index_add_(1, codes, points.square().sum(2))
    spread = ((square - counts * length) / (counts - 1).clamp(min=1)).clamp(min=0)
    total = points.square().sum(2).mean(1)
    floor = (_FLOOR * total + 1e-30)[:, None, None]
    shift = length - spread / counts.clamp(min=1)
    gap = shift[:, :, None] + shift[:, None, :] - 2 * means @ means.mT
    width = (spread[:, :, None] + spread[:, None, :]) / 2
    known = (counts > 1) & (total > 0)[:, None] & finite[:, None]
    return _table(gap / width.clamp(min=floor), known, x)


def pairwise_nearest(
    x: ArrayLike, labels: ArrayLike, folds: ArrayLike, groups: ArrayLike | None = None
) -> Float[np.ndarray, "*place class other"]:
    """Share of the rows of one class that lie nearer to another's mean than to their own.

    The means are those of the other folds, and only the two are compared.

    Args:
        x: states `[*place row width]`.
        labels: class of each row `[row]`.
        folds: fold of each row `[row]`; all rows of an instruction string share one.
        groups: instruction string of each row `[row]`, checked against the folds.

    Returns:
        `[class, other]`, classes in sorted order: 0 where no row of the class is nearer to the
        other, 0.5 where the two cannot be distinguished; a tie counts as half. NaN on the diagonal,
        for a class without rows in the other folds, for states that do not vary, and for states
        that are not finite.

    Raises:
        BadInput: labels, folds or groups that do not fit the rows; one class or one fold only; a
            string in two folds.
    """
    points, finite = centered(x, double=True)
    codes = one(labels, points.shape[1]).to(points.device)
    classes = several(codes, "label", "give labels of at least two classes")
    of_row = fold_codes(folds, points, group_codes(groups, points))
    nearer = points.new_zeros(len(points), classes, classes)
    rows = points.new_zeros(classes, classes)
    for fold in range(int(of_row.max()) + 1):
        inside = of_row == fold
        means, counts = class_means(points[:, ~inside], codes[~inside], classes)
        own = codes[inside]
        # Twice the product less the length: the larger, the nearer; the row's own length is equal.
        score = 2 * points[:, inside] @ means.mT - means.square().sum(2)[:, None]
        mine = score.gather(2, own[None, :, None].expand(len(points), -1, 1))
        said = (score > mine).double() + (score == mine).double() / 2
        both = (counts > 0)[own][:, None] & (counts > 0)[None]
        nearer.index_add_(1, own, said * both)
        rows.index_add_(0, own, both.double())
    known = (points.square().sum((1, 2)) > 0) & finite
    shares = nearer / rows.clamp(min=1)
    shares = shares.where((rows > 0)[None], torch.nan)
    return _table(shares, known[:, None].expand(-1, classes), x)


def _table(
    values: Float[Tensor, "place class other"], known: Tensor, x: ArrayLike
) -> Float[np.ndarray, "*place class other"]:
    both = known[:, :, None] & known[:, None, :]
    both &= ~torch.eye(values.shape[1], dtype=torch.bool, device=values.device)
    table = values.where(both, torch.nan).cpu().numpy()
    return np.asarray(table.reshape(*shape_of(x)[:-2], *table.shape[1:]))

"""How far classes lie apart, without clustering: separation, nearest centroids, rank."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def class_separation(
    x: Float[Tensor, "problem row width"], labels: Int[Tensor, "labelling row"]
) -> Float[np.ndarray, "problem labelling"]:
    """Squared distance of class means over within-class variance, averaged over pairs (CDNV^-1).

    Mean over pairs of classes of 2 |mu_a - mu_b|^2 / (s_a^2 + s_b^2), where s^2 is the variance
    summed over dimensions and |.|^2 is less s_a^2 / n_a + s_b^2 / n_b, what sampling alone adds
    (Galanti, Gyorgy and Hutter 2021, turned over: the mean of the ratios themselves explodes
    where means coincide).

    Args:
        x: states, one problem after another.
        labels: numbers from 0; several labellings of the same rows (permutations).

    Returns:
        From about 0 (below it by chance) upwards; it does not saturate as ARI does. NaN where
        fewer than two classes have two rows. Rows of one instruction are not independent, which
        lifts it above 0 by chance too: compare with labels permuted over instructions.
    """
    classes = int(labels.max()) + 1
    member = _one_hot(labels, classes)
    counts = member.sum(2)
    pair = (counts[:, :, None] > 1) & (counts[:, None, :] > 1)
    pair &= ~torch.eye(classes, dtype=torch.bool)
    result = []
    for points in x.float():
        points = points - points.mean(0)
        means = (member.flatten(0, 1) @ points).view(*member.shape[:2], -1)
        means = means / counts.clamp(min=1)[..., None]
        length = means.square().sum(2)
        square = member @ points.square().sum(1)
        spread = ((square - counts * length) / (counts - 1).clamp(min=1)).clamp_(min=0)
        noise = spread / counts.clamp(min=1)
        gap = length[:, :, None] + length[:, None, :] - 2 * means @ means.mT
        gap = gap - noise[:, :, None] - noise[:, None, :]
        width = (spread[:, :, None] + spread[:, None, :]) / 2
        # Classes without any spread lie infinitely far apart; a tiny floor keeps numbers finite.
        ratio = gap / width.clamp(min=1e-6 * float(points.square().sum(1).mean()) + 1e-30)
        result.append((ratio * pair).sum((1, 2)) / pair.sum((1, 2)))
    return torch.stack(result).double().numpy()


def nearest_centroid(
    x: Float[Tensor, "problem row width"],
    labels: Int[Tensor, "labelling row"],
    folds: Int[Tensor, "row"],
) -> Float[np.ndarray, "problem labelling"]:
    """Share of rows whose nearest class mean, of the other folds only, is their own class's.

    Args:
        x: states, one problem after another.
        labels: numbers from 0; several labellings of the same rows.
        folds: which fold each row is in. All rows of an instruction string must share one: they
            know each other's class (0.14-0.18 instead of a chance of 0.05 otherwise).

    Returns:
        The accuracy, 0 to 1; chance is one over the number of classes where those are balanced. A
        row of a class that has no row in the other folds counts as wrong.
    """
    classes = int(labels.max()) + 1
    member = _one_hot(labels, classes)
    correct = torch.zeros(len(x), len(labels))
    for fold in folds.unique():
        inside = folds == fold
        known = member[:, :, ~inside]
        counts = known.sum(2)
        own_label = labels[:, inside]
        for index, points in enumerate(x.float()):
            points = points - points.mean(0)
            sums = (known.flatten(0, 1) @ points[~inside]).view(*counts.shape, -1)
            means = sums / counts.clamp(min=1)[..., None]
            score = points[inside] @ means.flatten(0, 1).T
            score = score.view(-1, *counts.shape)
            score -= (means.square().sum(2) / 2).where(counts > 0, torch.inf)
            own = score.gather(2, own_label.T[..., None]).squeeze(2)
            correct[index] += (own >= score.amax(2)).logical_and(own > -torch.inf).sum(0)
    return (correct / labels.shape[1]).double().numpy()


def rankme(x: Float[Tensor, "problem row width"]) -> Float[np.ndarray, "problem"]:
    """Effective number of directions: exp of the entropy of the singular values.

    RankMe (Garrido et al. 2023), here of centred rows, so that a large mean does not count as a
    direction. 1 to the width; 0 for states that do not vary. It says nothing about tasks.
    """
    centred = x.double() - x.double().mean(1, keepdim=True)
    values = torch.linalg.eigvalsh(centred.mT @ centred).clamp(min=0).sqrt()
    total = values.sum(1, keepdim=True)
    share = values / total.clamp(min=1e-30)
    entropy = -torch.special.xlogy(share, share).sum(1)
    return entropy.exp().where(total[:, 0] > 0, 0).numpy()


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    shape = (len(labels), classes, labels.shape[1])
    return torch.zeros(shape).scatter_(1, labels[:, None], 1)

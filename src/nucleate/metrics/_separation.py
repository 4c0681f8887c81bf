"""How far classes lie apart, without clustering: separation, nearest centroids, rank."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def class_separation(
    x: Float[Tensor, "problem row width"],
    labels: Int[Tensor, "labelling row"],
    strings: Int[Tensor, "row"] | None = None,
) -> Float[np.ndarray, "problem labelling"]:
    """Squared distance of class means over within-class variance, averaged over pairs (CDNV^-1).

    Mean over pairs of classes of 2 |mu_a - mu_b|^2 / (s_a^2 + s_b^2), where s^2 is the variance
    summed over dimensions and |.|^2 is less s_a^2 / n_a + s_b^2 / n_b, what sampling alone adds
    (Galanti, Gyorgy and Hutter 2021, turned over: the mean of the ratios themselves explodes
    where means coincide).

    Args:
        x: states, one problem after another.
        labels: numbers from 0; several labellings of the same rows (permutations).
        strings: rows that share their label in every labelling, for speed; each row alone if None.

    Returns:
        From about 0 (below it by chance) upwards; it does not saturate as ARI does. NaN where
        fewer than two classes have two rows. Rows of one instruction are not independent, which
        lifts it above 0 by chance too: compare with labels permuted over instructions.
    """
    units = _Units.of(labels, strings)
    counts = units.member @ units.sizes
    pair = (counts[:, :, None] > 1) & (counts[:, None, :] > 1)
    pair &= ~torch.eye(units.classes, dtype=torch.bool)
    result = []
    for points in x.float():
        points = points - points.mean(0)
        means = units.sums_by_class(points) / counts.clamp(min=1)[..., None]
        length = means.square().sum(2)
        square = units.member @ units.sums(points.square().sum(1, keepdim=True)).squeeze(1)
        spread = ((square - counts * length) / (counts - 1).clamp(min=1)).clamp_(min=0)
        # Classes without any spread lie infinitely far apart; a tiny floor keeps numbers finite.
        floor = 1e-6 * float(points.square().sum(1).mean()) + 1e-30
        result.append(_mean_ratio(means, length, spread, counts, pair, floor))
    return torch.stack(result).double().numpy()


def _mean_ratio(
    means: Tensor, length: Tensor, spread: Tensor, counts: Tensor, pair: Tensor, floor: float
) -> Tensor:
    """Mean over pairs [labelling class class] of squared gap over mean variance."""
    shift = length - spread / counts.clamp(min=1)
    gap = torch.baddbmm(shift[:, :, None] + shift[:, None, :], means, means.mT, alpha=-2)
    width = (spread[:, :, None] + spread[:, None, :]) / 2
    return (gap / width.clamp(min=floor) * pair).sum((1, 2)) / pair.sum((1, 2))


def nearest_centroid(
    x: Float[Tensor, "problem row width"],
    labels: Int[Tensor, "labelling row"],
    folds: Int[Tensor, "row"],
    strings: Int[Tensor, "row"] | None = None,
) -> Float[np.ndarray, "problem labelling"]:
    """Share of rows whose nearest class mean, of the other folds only, is their own class's.

    Args:
        x: states, one problem after another.
        labels: numbers from 0; several labellings of the same rows.
        folds: which fold each row is in. All rows of an instruction string must share one: they
            know each other's class (0.14-0.18 instead of a chance of 0.05 otherwise).
        strings: rows that share label and fold, for speed; each row alone if None.

    Returns:
        The accuracy, 0 to 1; chance is one over the number of classes where those are balanced. A
        row of a class that has no row in the other folds counts as wrong.
    """
    units = _Units.of(labels, strings)
    of_unit = torch.zeros(len(units.sizes), dtype=torch.long).scatter_(0, units.of_row, folds)
    split = [units.only(of_unit == fold) for fold in range(int(folds.max()) + 1)]
    counts = [part.member @ part.sizes for part in split]
    all_counts = torch.stack(counts).sum(0)
    correct = torch.zeros(len(x), len(labels))
    for index, points in enumerate(x.float()):
        points = points - points.mean(0)
        of_units = units.sums(points)
        sums = [part.member @ of_units[part.kept] for part in split]
        total = torch.stack(sums).sum(0)
        for fold in range(len(split)):
            inside = folds == fold
            known = (all_counts - counts[fold])[..., None]
            means = (total - sums[fold]) / known.clamp(min=1)
            offset = (means.square().sum(2, keepdim=True) / -2).where(known > 0, -torch.inf)
            score = (means.flatten(0, 1) @ points[inside].T).view(*means.shape[:2], -1)
            score += offset
            own = score.gather(1, labels[:, None, inside]).squeeze(1)
            correct[index] += ((own >= score.amax(1)) & (own > -torch.inf)).sum(1)
    return (correct / labels.shape[1]).double().numpy()


@dataclass(frozen=True)
class _Part:
    """Some of the units."""

    kept: Tensor
    sizes: Tensor
    member: Tensor


@dataclass(frozen=True)
class _Units:
    """What carries a label as one: an instruction string with its rows, or a single row."""

    of_row: Tensor
    sizes: Tensor
    member: Tensor
    """[labelling class unit], 1 where the unit is of the class."""

    @classmethod
    def of(cls, labels: Tensor, strings: Tensor | None) -> "_Units":
        of_row = torch.arange(labels.shape[1]) if strings is None else strings
        sizes = torch.bincount(of_row).float()
        of_unit = torch.zeros(len(labels), len(sizes), dtype=torch.long)
        of_unit[:, of_row] = labels
        classes = int(labels.max()) + 1
        member = torch.zeros(len(labels), classes, len(sizes)).scatter_(1, of_unit[:, None], 1)
        return cls(of_row, sizes, member)

    def only(self, kept: Tensor) -> "_Part":
        return _Part(kept, self.sizes[kept], self.member[:, :, kept].contiguous())

    @property
    def classes(self) -> int:
        return self.member.shape[1]

    def sums(self, points: Tensor) -> Tensor:
        """Sums of rows by unit [unit width]."""
        return torch.zeros(len(self.sizes), points.shape[1]).index_add_(0, self.of_row, points)

    def sums_by_class(self, points: Tensor) -> Tensor:
        return self.member @ self.sums(points)


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
    return np.asarray(entropy.exp().where(total[:, 0] > 0, 0))

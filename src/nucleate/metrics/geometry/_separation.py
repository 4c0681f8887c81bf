"""Separation of classes without clustering: distances of class means, nearest centroids."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nucleate.metrics._arrays import ArrayLike, centered, shape_of, shaped
from nucleate.metrics._labels import class_codes, fold_codes, group_codes, one_labeling

_FLOOR = 1e-6
"""Share of the total variance below which a variance within classes is taken for none."""


def class_separation(
    x: ArrayLike, labels: ArrayLike, groups: ArrayLike | None = None
) -> np.ndarray | float:
    """Squared distance of class means over within-class variance, averaged over pairs (CDNV^-1).

    Mean over pairs of classes of 2 |mu_a - mu_b|^2 / (s_a^2 + s_b^2), where s^2 is the variance
    summed over dimensions and |.|^2 is less s_a^2 / n_a + s_b^2 / n_b, what sampling alone adds
    (Galanti, Gyorgy and Hutter 2021, inverted: the mean of their own ratios diverges where means
    coincide).

    Args:
        x: states, two rows or more.
        labels: classes `[*labeling row]`, integers or texts. Many labelings (permutations) cost
            little beside one.
        groups: instruction string of each row `[row]`. Only for speed: rows that carry their label
            together are summed once. Where a label changes within a string it does nothing.

    Returns:
        `[*place *labeling]`, 0 on average where classes do not differ (below it by chance), and
        upwards without a bound; it does not saturate as ARI does. 0 for states that do not vary.
        A class of one row has no variance and is left out; NaN where fewer than two classes are
        left, and for states that are not finite. Classes without any spread have a variance of
        1e-6 of the total.

    Raises:
        BadInput: labels or groups that do not fit the rows, or one class only.

    Notes:
        Rows of one instruction are not independent, which raises it above 0 by chance too: compare
        with labels permuted over instructions. Variation of other factors (the input) counts as
        within-class variance and can hide classes that are perfectly separated.
    """
    states, finite = centered(x)
    codes = class_codes(labels, states)
    units = _Units.of(codes, group_codes(groups, states), states)
    counts = units.member @ units.sizes
    pair = (counts[:, :, None] > 1) & (counts[:, None, :] > 1)
    pair &= ~torch.eye(units.classes, dtype=torch.bool, device=pair.device)
    result = []
    for points in states:
        means = units.sums_by_class(points) / counts.clamp(min=1)[..., None]
        length = means.square().sum(2)
        square = units.member @ units.sums(points.square().sum(1, keepdim=True)).squeeze(1)
        spread = ((square - counts * length) / (counts - 1).clamp(min=1)).clamp_(min=0)
        # Classes without any spread lie infinitely far apart; a tiny floor keeps numbers finite.
        floor = _FLOOR * float(points.square().sum(1).mean()) + 1e-30
        result.append(_mean_ratio(means, length, spread, counts, pair, floor))
    return shaped(_void(torch.stack(result), finite), x, labels)


def cdnv(x: ArrayLike, labels: ArrayLike, groups: ArrayLike | None = None) -> np.ndarray | float:
    """Within-class variance over squared distance of class means: one over the separation.

    Class-distance normalized variance (Galanti, Gyorgy and Hutter 2021), from the de-biased mean
    over pairs of `class_separation`, whose arguments these are.

    Returns:
        `[*place *labeling]`, from 0 (classes are points) upwards; NaN where the separation is not
        positive, as it is by chance where classes do not differ. No average of it over places
        means anything there; average the separation.

    Raises:
        BadInput: as `class_separation`.
    """
    separation = np.asarray(class_separation(x, labels, groups))
    positive = separation > 0
    result = np.where(positive, 1 / np.where(positive, separation, 1), np.nan)
    return result if result.ndim else float(result)


def _mean_ratio(
    means: Tensor, length: Tensor, spread: Tensor, counts: Tensor, pair: Tensor, floor: float
) -> Tensor:
    """Mean over pairs [labeling class class] of squared gap over mean variance."""
    shift = length - spread / counts.clamp(min=1)
    gap = torch.baddbmm(shift[:, :, None] + shift[:, None, :], means, means.mT, alpha=-2)
    width = (spread[:, :, None] + spread[:, None, :]) / 2
    return (gap / width.clamp(min=floor) * pair).sum((1, 2)) / pair.sum((1, 2))


def nearest_centroid(
    x: ArrayLike, labels: ArrayLike, folds: ArrayLike, groups: ArrayLike | None = None
) -> np.ndarray | float:
    """Share of rows whose nearest class mean, of the other folds only, is their own class's.

    Args:
        x: states, two rows or more.
        labels: classes `[*labeling row]`, integers or texts; many labelings in one pass.
        folds: which fold each row is in `[row]`. All rows of an instruction string must share one:
            otherwise they reveal each other's class (an accuracy of 0.14-0.18 instead of 0.05).
        groups: instruction string of each row `[row]`: checked against the folds, and used for
            speed.

    Returns:
        `[*place *labeling]`, the accuracy, 0 to 1; chance is one over the number of classes where
        those are balanced, and is what states that do not vary have (means that tie share the
        credit). A row of a class that has no row in the other folds counts as wrong. NaN for
        states that are not finite.

    Raises:
        BadInput: labels, folds or groups that do not fit the rows; one class or one fold only; a
            string in two folds.

    Notes:
        Factors that vary more than the class (the input) move rows away from the mean of their
        class without making it harder to decode; a linear probe is not affected.
    """
    states, finite = centered(x)
    codes = class_codes(labels, states)
    strings = group_codes(groups, states)
    of_row = fold_codes(folds, states, strings)
    units = _Units.of(codes, strings, states)
    split = units.split(of_row)
    correct = states.new_zeros(len(states), len(codes), dtype=torch.float64)
    for index, points in enumerate(states):
        for inside, means, known in _other_means(points, units, split, of_row):
            offset = (means.square().sum(2, keepdim=True) / -2).where(known, -torch.inf)
            score = (means.flatten(0, 1) @ points[inside].T).view(*means.shape[:2], -1)
            score += offset
            own = score.gather(1, codes[:, None, inside])
            best = (own >= score.amax(1, keepdim=True)) & (own > -torch.inf)
            ties = (score >= own).sum(1)
            correct[index] += (best.squeeze(1) / ties).sum(1)
    return shaped(_void(correct / codes.shape[1], finite), x, labels)


def centroid_margin(
    x: ArrayLike, labels: ArrayLike, folds: ArrayLike, groups: ArrayLike | None = None
) -> Float[np.ndarray, "*place row"]:
    """How much closer each row is to its own class's mean than to the nearest other one.

    (distance to the nearest other mean - distance to the own mean) / s, where the means are of
    the other folds only and s is the root mean squared distance of their rows from the means of
    their classes. So it has no unit: it does not change when all states are scaled or rotated, and
    can be compared between steps and streams. (Distances, not their squares: a row on the far
    side of its own mean has the margin of its class.)

    Args:
        x: states, two rows or more.
        labels: class of each row `[row]`.
        folds: fold of each row `[row]`; all rows of a string share one.
        groups: instruction string of each row `[row]`, checked against the folds.

    Returns:
        `[*place row]`: above 0 where the nearest mean is the row's own. NaN for a row whose class
        has no row in the other folds, or where they hold no other class, and for states that are
        not finite; 0 for states that do not vary. Where classes have no spread, s is 1e-3 of the
        root mean squared distance from the overall mean.

    Raises:
        BadInput: as `nearest_centroid`.
    """
    states, finite = centered(x)
    codes = one_labeling(labels, states)
    of_row = fold_codes(folds, states, group_codes(groups, states))
    units = _Units.of(codes, None, states)
    split = units.split(of_row)
    margin = states.new_full(states.shape[:2], torch.nan)
    for index, points in enumerate(states):
        floor = float(points.square().sum(1).mean()) * _FLOOR + 1e-30
        for inside, means, known in _other_means(points, units, split, of_row):
            margin[index, inside] = _margins(
                points, means[0], known[0, :, 0], codes[0], inside, floor
            )
    values = _void(margin, finite).double().cpu().numpy()
    return np.asarray(values.reshape(shape_of(x)[:-1]))


def nearest_centroid_margin(
    x: ArrayLike, labels: ArrayLike, folds: ArrayLike, groups: ArrayLike | None = None
) -> np.ndarray | float:
    """Mean over rows of `centroid_margin`, whose arguments these are.

    Returns:
        `[*place]`: 0 or below where classes cannot be distinguished (each row is further from the
        mean of its class in other folds than from the nearest of many others), upwards without a
        bound. Rows without a margin are left out; NaN if none is left.

    Raises:
        BadInput: as `nearest_centroid`.
    """
    margin = centroid_margin(x, labels, folds, groups)
    defined = np.isfinite(margin)
    count = defined.sum(-1)
    total = np.where(defined, margin, 0).sum(-1)
    result = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return result if result.ndim else float(result)


def _margins(
    points: Tensor, means: Tensor, known: Tensor, codes: Tensor, inside: Tensor, floor: float
) -> Tensor:
    """Margins of the rows inside a fold, from the means [class width] of the others."""
    trained = ~inside
    radius = (points[trained] - means[codes[trained]]).square().sum(1).mean()
    distance = torch.cdist(points[inside], means, compute_mode="donot_use_mm_for_euclid_dist")
    own_class = torch.nn.functional.one_hot(codes[inside], len(means)).bool()
    distance = distance.where(known, torch.nan)
    own = distance[own_class]
    other = distance.masked_fill(own_class | ~known, torch.inf).amin(1)
    margin = (other - own) / radius.clamp(min=floor).sqrt()
    return margin.where(margin < torch.inf, torch.nan)


def _other_means(
    points: Tensor, units: "_Units", split: "list[_Part]", folds: Tensor
) -> "list[tuple[Tensor, Tensor, Tensor]]":
    """For every fold: its rows, class means of the others, and whether those have the class."""
    of_units = units.sums(points)
    sums = [part.member @ of_units[part.kept] for part in split]
    counts = [part.member @ part.sizes for part in split]
    total, count = torch.stack(sums).sum(0), torch.stack(counts).sum(0)
    result = []
    for fold in range(len(split)):
        left = (count - counts[fold])[..., None]
        means = (total - sums[fold]) / left.clamp(min=1)
        result.append((folds == fold, means, left > 0))
    return result


def _void(values: Tensor, finite: Tensor) -> Tensor:
    return values if finite.all() else values.where(finite[:, None], torch.nan)


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
    """[labeling class unit], 1 where the unit is of the class."""

    @classmethod
    def of(cls, labels: Tensor, strings: Tensor | None, states: Tensor) -> "_Units":
        of_row = torch.arange(labels.shape[1], device=labels.device)
        of_unit = labels
        if strings is not None:
            together = labels.new_zeros(len(labels), int(strings.max()) + 1)
            together[:, strings] = labels
            if torch.equal(together[:, strings], labels):
                of_row, of_unit = strings, together
        sizes = torch.bincount(of_row).to(states)
        shape = len(labels), int(labels.max()) + 1, len(sizes)
        member = states.new_zeros(shape).scatter_(1, of_unit[:, None], 1)
        return cls(of_row, sizes, member)

    def split(self, folds: Tensor) -> "list[_Part]":
        """The units of each fold, all of whose rows are in it."""
        of_unit = torch.zeros_like(self.sizes, dtype=torch.long).scatter_(0, self.of_row, folds)
        kept = [of_unit == fold for fold in range(int(folds.max()) + 1)]
        return [
            _Part(part, self.sizes[part], self.member[:, :, part].contiguous()) for part in kept
        ]

    @property
    def classes(self) -> int:
        return self.member.shape[1]

    def sums(self, points: Tensor) -> Tensor:
        """Sums of rows by unit [unit width]."""
        zeros = points.new_zeros(len(self.sizes), points.shape[1])
        return zeros.index_add_(0, self.of_row, points)

    def sums_by_class(self, points: Tensor) -> Tensor:
        return self.member @ self.sums(points)

"""Two settings, several seeds each: differences, their intervals, and whether they are decided."""

import math
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from jaxtyping import Float

LEVEL = 0.04
"""Of the decision over all numbers at once: a little below 5 %, which sampling must not exceed."""
_MOST = 20_000
"""Labelings that are tried at most; of more than that so many are drawn."""


@dataclass(frozen=True)
class Test:
    """What exchanging the labels of runs says of several numbers at once.

    Attributes:
        p: of each number, adjusted for all of them; NaN where it does not vary or is missing.
        smallest: the smallest p that so many runs can give.
        paired: whether labels were exchanged within pairs.
    """

    p: Float[np.ndarray, "number"]
    smallest: float
    paired: bool


def label_test(
    first: Float[np.ndarray, "unit number"],
    second: Float[np.ndarray, "other number"],
    *,
    paired: bool,
) -> Test:
    """Ask how often differences as large come from exchanging the labels of runs.

    If a setting makes no difference, every labeling of the runs is as likely as the true one. So
    the largest of the standardized differences over all numbers, under every labeling, says how
    large they get by chance (Westfall and Young 1993): no distribution is assumed, and one of them
    is called different in at most 4 % of comparisons without a difference, however many there are.

    Args:
        first, second: one row a seed. A NaN in a column leaves that number out.
        paired: row k of both is of the same seed; labels are exchanged within such pairs. Where
            there are too few pairs to decide anything, labels are exchanged over all runs if that
            can decide: pairs that are alike make this err on the safe side.

    Returns:
        The test.
    """
    if paired and 2 / 2 ** len(first) <= LEVEL:
        signs = _signs(len(first))
        differences = first - second
        scale = np.sqrt(np.mean(differences**2, axis=0))
        found = np.abs(signs @ differences) / len(first)
        return Test(_adjusted(found, scale), 2 / len(signs), True)
    both = np.concatenate([first, second])
    labels = _labelings(len(first), len(both))
    means = labels @ both / len(first) - (~labels) @ both / len(second)
    scale = both.std(axis=0)
    share = 2 if len(first) == len(second) else 1  # the mirror image is as extreme
    return Test(_adjusted(np.abs(means), scale), share / len(labels), False)


def fewest_seeds() -> int:
    """Seeds a side, as many on both, from which labels over all runs can decide anything."""
    return next(n for n in range(1, 20) if 2 / math.comb(2 * n, n) <= LEVEL)


def _adjusted(
    found: Float[np.ndarray, "labeling number"], scale: Float[np.ndarray, "number"]
) -> Float[np.ndarray, "number"]:
    """Adjusted p of the first labeling, which is the true one."""
    known = np.isfinite(scale) & (scale > 0)
    p = np.full(len(scale), np.nan)
    if not known.any():
        return p
    standardized = found[:, known] / scale[known]
    largest = standardized.max(axis=1)
    p[known] = (largest[:, None] >= standardized[0] - 1e-9).mean(axis=0)
    return p


def _signs(count: int) -> np.ndarray:
    """Every choice of signs, the true one first; or a sample of them."""
    if 2**count <= _MOST:
        return np.array(list(product((1.0, -1.0), repeat=count)))
    drawn = np.random.default_rng(0).choice((1.0, -1.0), size=(_MOST, count))
    drawn[0] = 1.0
    return drawn


def _labelings(first: int, total: int) -> np.ndarray:
    """Every choice of which runs are of the first setting, the true one first; or a sample."""
    if math.comb(total, first) <= _MOST:
        chosen = list(combinations(range(total), first))
        labels = np.zeros((len(chosen), total), dtype=bool)
        labels[np.arange(len(chosen))[:, None], np.array(chosen)] = True
        return labels
    rng = np.random.default_rng(0)
    labels = np.zeros((_MOST, total), dtype=bool)
    labels[:, :first] = True
    labels[1:] = rng.permuted(labels[1:], axis=1)
    return labels


def t_interval(
    first: Float[np.ndarray, "unit"], second: Float[np.ndarray, "other"], *, paired: bool
) -> tuple[float, float]:
    """95 % interval of a difference of means over seeds, first minus second, by Student's t.

    Of pairs the interval of their differences, else Welch's. Seeds are taken to vary normally,
    which two or three of them cannot show.

    Returns:
        Both ends; NaN where a side has fewer than two seeds.
    """
    from scipy.stats import t as student

    if paired:
        differences = first - second
        count = len(differences)
        if count < 2:
            return math.nan, math.nan
        middle, error = differences.mean(), differences.std(ddof=1) / math.sqrt(count)
        freedom = count - 1.0
    else:
        if min(len(first), len(second)) < 2:
            return math.nan, math.nan
        parts = [each.var(ddof=1) / len(each) for each in (first, second)]
        middle, error = first.mean() - second.mean(), math.sqrt(sum(parts))
        below = sum(
            part**2 / (len(each) - 1) for part, each in zip(parts, (first, second), strict=True)
        )
        freedom = sum(parts) ** 2 / below if below else 1.0
    reach = float(student.ppf(0.975, freedom)) * error
    return float(middle - reach), float(middle + reach)


def mean_interval(values: Float[np.ndarray, " unit"]) -> tuple[float, float]:
    """95 % interval of the mean over seeds by Student's t; NaN below two, or if one is infinite."""
    from scipy.stats import t as student

    count = len(values)
    if count < 2 or not np.isfinite(values).all():
        return math.nan, math.nan
    reach = float(student.ppf(0.975, count - 1)) * float(values.std(ddof=1)) / math.sqrt(count)
    return float(values.mean() - reach), float(values.mean() + reach)


def median_interval(values: Float[np.ndarray, " unit"]) -> tuple[float, float]:
    """95 % interval of the median over seeds, between two of their values; NaN below six seeds.

    That of the sign test (Conover 1999): nothing is assumed of how seeds vary, and a value may be
    infinite.
    """
    from scipy.stats import quantile_test

    if len(values) < 2 or np.isnan(values).any():
        return math.nan, math.nan
    found = quantile_test(values, q=float(np.median(values)), p=0.5).confidence_interval(0.95)
    return float(found.low), float(found.high)

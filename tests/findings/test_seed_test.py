"""Differences between settings: exact where counted by hand, and how often they err."""

import math

import numpy as np
import pytest
from scipy import stats

from nucleate.findings._seed_test import (
    LEVEL,
    fewest_seeds,
    label_test,
    mean_interval,
    t_interval,
)


def test_complete_separation_gives_the_share_of_labelings_counted_by_hand():
    first, second = np.arange(4.0)[:, None], 10 + np.arange(4.0)[:, None]
    assert label_test(first, second, paired=False).p[0] == pytest.approx(2 / math.comb(8, 4))
    six = np.arange(6.0)[:, None]
    assert label_test(six, six + 1, paired=True).p[0] == pytest.approx(2 / 2**6)


def test_p_is_that_of_scipys_permutation_test():
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal(5), rng.standard_normal(6) + 1
    theirs = stats.permutation_test(
        (first, second), lambda a, b, axis: a.mean(axis) - b.mean(axis), n_resamples=np.inf,
        vectorized=True,
    )  # fmt: skip
    found = label_test(first[:, None], second[:, None], paired=False).p[0]
    differences = np.abs(theirs.null_distribution)
    truth = (differences >= abs(theirs.statistic) - 1e-9).mean()
    assert found == pytest.approx(truth)


def test_more_numbers_never_make_a_difference_easier_to_call():
    rng = np.random.default_rng(1)
    first, second = rng.standard_normal((5, 4)), rng.standard_normal((5, 4)) + 1
    alone = label_test(first[:, :1], second[:, :1], paired=False).p[0]
    assert label_test(first, second, paired=False).p[0] >= alone


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_than_four_seeds_a_side_decide_nothing(count):
    first = np.zeros((count, 2)) + np.arange(count)[:, None] * 1e-6
    found = label_test(first, first + 1, paired=True)
    assert found.smallest > LEVEL
    assert (found.p > LEVEL).all()
    assert fewest_seeds() == 4


def test_what_does_not_vary_or_is_missing_has_no_p_and_spoils_no_other():
    first, second = np.arange(12.0).reshape(4, 3), 50 + np.arange(12.0).reshape(4, 3)
    first[:, 1] = second[:, 1] = 1.0
    first[0, 2] = np.nan
    p = label_test(first, second, paired=False).p
    assert p[0] <= LEVEL
    assert np.isnan(p[1:]).all()


def _seeds(kind: str, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    if kind == "two kinds":
        return rng.integers(0, 2, shape) + 0.01 * rng.standard_normal(shape)
    if kind == "ceiling":
        return np.minimum(1.0, 1 + 0.3 * rng.standard_normal(shape))
    return rng.standard_normal(shape)


@pytest.mark.parametrize("kind", ["normal", "two kinds", "ceiling"])
@pytest.mark.parametrize("counts", [(2, 2), (3, 3), (5, 5), (8, 8), (3, 6)])
@pytest.mark.parametrize("paired", [False, True])
def test_runs_without_a_difference_are_called_different_in_at_most_five_percent(
    kind, counts, paired
):
    if paired and counts[0] != counts[1]:
        pytest.skip("pairs are as many on both sides")
    rng = np.random.default_rng(sum(counts) + paired)
    sets = 120 if max(counts) == 8 and not paired else 400
    called = 0
    for _ in range(sets):
        shared = rng.standard_normal((counts[0], 1)) if paired else 0.0
        first, second = (_seeds(kind, rng, (count, 6)) + shared for count in counts)
        called += bool((label_test(first, second, paired=paired).p <= LEVEL).any())
    # 99 % point of a binomial at five percent: a rate above it would show
    assert called <= stats.binom.ppf(0.99, sets, 0.05)


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_t_intervals_cover_the_difference_of_normal_seeds(count):
    rng = np.random.default_rng(count)
    covered = 0
    for _ in range(1000):
        seeds = rng.standard_normal(count)
        first, second = (seeds + 0.3 * rng.standard_normal(count) for _ in range(2))
        low, high = t_interval(second + 0.5, first, paired=True)
        covered += low <= 0.5 <= high
    assert covered / 1000 > 0.93


def test_pairs_make_intervals_narrow_where_seeds_go_together():
    seeds = np.array([0.0, 5.0, 10.0])
    other = seeds + 1 + 0.01 * np.arange(3)
    paired, apart = (t_interval(other, seeds, paired=paired) for paired in (True, False))
    assert paired[1] - paired[0] < 0.1 < apart[1] - apart[0]
    assert np.isnan(t_interval(seeds[:1], other[:1], paired=True)).all()


def test_the_mean_over_seeds_has_the_interval_of_student():
    values = np.array([0.2, 0.4, 0.9])
    low, high = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    assert mean_interval(values) == pytest.approx((low, high))
    assert np.isnan(mean_interval(np.array([1.0, np.inf]))).all()

"""Intervals of accuracy hold what they promise where rows of a string stand or fall together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from nucleate.findings import clustered_interval


def drawn(rng: np.random.Generator, share: float, alike: float, strings: int):
    """Rows of strings of 1 to 5; `alike` is the correlation of two rows of one string."""
    chance = np.full(strings, share)
    if alike:
        chance = rng.beta(share * (1 / alike - 1), (1 - share) * (1 / alike - 1), strings)
    of_row = np.repeat(np.arange(strings), rng.integers(1, 6, strings))
    return (rng.random(len(of_row)) < chance[of_row]).astype(float), of_row


@pytest.mark.parametrize("strings", [10, 40, 120])
@pytest.mark.parametrize(("share", "alike"), [(0.5, 0.0), (0.5, 0.5), (0.9, 0.3), (0.97, 0.5)])
def test_nine_of_ten_intervals_cover_the_truth_whatever_rows_of_a_string_share(
    strings, share, alike
):
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        low, high = clustered_interval(*drawn(rng, share, alike, strings))
        covered += low <= share <= high
    assert covered >= 0.9 * 300 - 3 * (300 * 0.9 * 0.1) ** 0.5


def test_an_interval_over_rows_is_too_narrow_where_they_stand_or_fall_together():
    """What this interval is there for: the old one misses the truth most of the time."""
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(200):
        correct, strings = drawn(rng, 0.5, 0.9, 20)
        low, high = proportion_confint(correct.sum(), len(correct), method="wilson")
        missed += not low <= 0.5 <= high
        ours = clustered_interval(correct, strings)
        assert ours[1] - ours[0] > 0
    assert missed > 0.15 * 200


def test_independent_rows_give_wilsons_interval():
    correct = np.array([1.0, 0, 1, 1, 0, 1, 1, 1, 0, 1] * 20)
    expected = proportion_confint(correct.sum(), 200, method="wilson")
    assert clustered_interval(correct, np.arange(200)) == pytest.approx(expected, abs=0.003)


@given(
    correct=st.lists(st.integers(0, 1), min_size=1, max_size=40),
    strings=st.integers(1, 8),
)
def test_the_interval_holds_the_share_and_stays_within_0_and_1(correct, strings):
    rows = np.array(correct, dtype=float)
    of_row = np.unique(np.arange(len(rows)) % strings, return_inverse=True)[1].astype(np.int64)
    low, high = clustered_interval(rows, of_row)
    assert 0 <= low <= rows.mean() + 1e-12
    assert rows.mean() - 1e-12 <= high <= 1
    if rows.min() == rows.max():
        assert high - low > 0.05  # never certain

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate._core.errors import BadInput
from nucleate.dynamics import Trajectory, onset_order, onset_over_seeds

STEPS = np.arange(0, 200, 10)


def rising(at):
    """Above its band from index `at` on; never, if None."""
    values = np.zeros(len(STEPS)) if at is None else (np.arange(len(STEPS)) >= at) * 1.0
    return Trajectory(STEPS, values, np.full(len(STEPS), 0.5))


def seeds(*ats):
    return [rising(at) for at in ats]


def test_extremes_of_six_seeds_bound_the_median_and_five_bound_nothing():
    found = onset_over_seeds(seeds(3, 5, 7, 4, 6, 9))
    assert (found.median, found.low, found.high, found.level) == (55, 20, 90, 1 - 2 / 64)
    five = onset_over_seeds(seeds(3, 5, 7, 4, 6))
    assert (five.median, five.low, five.high, five.level) == (50, None, None, None)


def test_seeds_without_an_onset_are_late_not_left_out():
    found = onset_over_seeds(seeds(3, 5, 7, 4, None, 9, None))
    assert (found.median, found.without, found.high) == (70, 2, None)
    assert onset_over_seeds(seeds(3, None, None, None)).median is None
    assert onset_over_seeds(seeds(3, None)).median is None


def test_nine_seeds_leave_out_the_extremes():
    found = onset_over_seeds(seeds(*range(1, 10)))
    assert (found.low, found.high) == (10, 80)
    assert found.level == pytest.approx(1 - 2 * (1 + 9) / 2**9)


def test_interval_over_seeds_covers_the_median_onset():
    rng = np.random.default_rng(0)
    steps = np.arange(0, 1000, 25)
    covered = 0
    for _ in range(200):
        starts = 400 + 100 * rng.standard_t(3, 8)
        values = [np.clip((steps - s) / 100, 0, 1) + 0.02 * rng.standard_normal(40) for s in starts]
        found = onset_over_seeds([Trajectory(steps, v, np.full(40, 0.1)) for v in values])
        covered += found.low <= 410 <= (found.high or math.inf)
    assert covered >= 0.9 * 200


def test_order_of_six_agreeing_seeds():
    order = onset_order(seeds(1, 2, 3, 1, 2, 3), seeds(4, 5, 6, 5, 6, 7))
    assert order.differences == (-30, -30, -30, -40, -40, -40)
    assert order.p == pytest.approx(2 / 64)
    assert (order.median, order.low, order.high) == (-35, -40, -30)
    assert order.verdict == "first"
    assert onset_order(seeds(4, 5, 6, 5, 6, 7), seeds(1, 2, 3, 1, 2, 3)).verdict == "second"


def test_five_seeds_decide_nothing():
    order = onset_order(seeds(1, 1, 1, 1, 1), seeds(9, 9, 9, 9, 9))
    assert order.p == pytest.approx(2 / 32)
    assert (order.level, order.verdict) == (None, "undecided")


def test_ties_and_missing_onsets_count_against_an_order():
    order = onset_order(seeds(1, 1, 1, 1, 1, 2, None), seeds(9, 9, 9, None, 9, 2, None))
    assert (order.first_earlier, order.second_earlier, order.ties, order.neither) == (5, 0, 1, 1)
    assert order.differences[3] == -math.inf
    assert math.isnan(order.differences[6])
    assert (order.low, order.high) == (None, None)
    assert (order.median, order.verdict) == (-80, "undecided")


def test_a_first_that_is_always_censored_is_later():
    order = onset_order(seeds(*[None] * 6), seeds(*[3] * 6))
    assert (order.median, order.low, order.high, order.verdict) == (None, None, None, "undecided")
    mixed = onset_order(seeds(9, None, 9, 9, 9, 9, 9), seeds(*[3] * 7))
    assert (mixed.low, mixed.high, mixed.verdict) == (60, None, "second")


def test_checkpoints_are_counted_by_index():
    odd = np.array([0, 1, 2, 4, 8, 16])
    a = Trajectory(odd, np.array([0.0, 1, 1, 1, 1, 1]), np.full(6, 0.5))
    b = Trajectory(odd, np.array([0.0, 0, 0, 0, 0, 1]), np.full(6, 0.5))
    assert onset_order([a], [b], "checkpoint").differences == (-4,)
    assert onset_order([a], [b]).differences == (-15,)
    with pytest.raises(BadInput, match="different steps"):
        onset_order([a], seeds(3), "checkpoint")


index = st.one_of(st.none(), st.integers(0, len(STEPS) - 1))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(index, index), min_size=1, max_size=12))
def test_order_turned_round_is_the_opposite(pairs):
    first, second = seeds(*[a for a, _ in pairs]), seeds(*[b for _, b in pairs])
    there, back = onset_order(first, second), onset_order(second, first)
    assert there.p == back.p <= 1
    assert (there.low, there.high) == tuple(
        None if x is None else -x for x in (back.high, back.low)
    )
    opposite = {"first": "second", "second": "first", "undecided": "undecided"}
    assert there.verdict == opposite[back.verdict]
    if there.verdict == "first":
        assert there.seeds >= 6
        assert there.p < 0.05
        assert there.high < 0


def test_false_orders_are_rare():
    rng = np.random.default_rng(0)
    decided = 0
    for _ in range(300):
        a, b = (seeds(*rng.integers(0, 20, 8)) for _ in range(2))
        decided += onset_order(a, b).verdict != "undecided"
    assert decided <= 0.05 * 300 + 5


def test_misfits_are_named():
    with pytest.raises(BadInput, match="no seeds"):
        onset_over_seeds([])
    with pytest.raises(BadInput, match="2 trajectories cannot be paired with 1"):
        onset_order(seeds(1, 2), seeds(1))

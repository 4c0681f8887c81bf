import numpy as np
import pytest
import ruptures
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from dynamics.made import autoregressive
from nucleate._core.errors import BadInput
from nucleate.dynamics import change_points
from nucleate.dynamics._changes import _least_penalty, _points

STEPS = np.arange(0, 600, 10)


def levels(*heights, length=20, phi=0.0, seed=0):
    """Levels of equal length in noise of standard deviation 1."""
    noise = autoregressive(phi, length * len(heights), np.random.default_rng(seed))[0]
    return np.repeat(np.array(heights, float), length) + noise


def cost(y, begin, end):
    part = y[begin:end]
    return float(np.square(part - part.mean()).sum())


def best_partition(y, penalty, shortest=2):
    """By trying them all, in quadratic time."""
    least, before = [-penalty], [0]
    for end in range(1, len(y) + 1):
        starts = [at for at in range(end - shortest + 1) if least[at] < np.inf]
        sums = [least[at] + cost(y, at, end) + penalty for at in starts]
        best = int(np.argmin(sums)) if sums else None
        least.append(np.inf if best is None else sums[best])
        before.append(0 if best is None else starts[best])
    points, at = [], before[-1]
    while at:
        points.append(at)
        at = before[at]
    return points[::-1]


def test_points_are_the_first_steps_of_new_levels():
    found = change_points(STEPS, levels(0, 6, 1, seed=1))
    assert found.points == (200, 400)
    uneven = np.sort(np.random.default_rng(0).choice(10_000, 60, replace=False))
    assert change_points(uneven, levels(0, 6, 1, seed=1)).points == (uneven[20], uneven[40])


def test_levels_that_return_are_not_taken_for_persistent_noise():
    """Less a straight line, such a series looks like noise of persistence .9."""
    found = [change_points(STEPS, levels(0, 6, 1, seed=seed)).points for seed in range(20)]
    assert sum(points == (200, 400) for points in found) >= 14


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 5), st.floats(0.06, 0.5))
def test_partition_is_the_best_of_all(seed, jump, share):
    """At penalties that surrogates set. Below, pruning beside a shortest length is not exact."""
    y = levels(0, jump, jump / 2, length=12, seed=seed)
    y = y - y.mean()
    penalty = share * cost(y, 0, len(y))
    found = _points(y, penalty)
    assert found == best_partition(y, penalty)
    assert found == ruptures.Pelt("l2", min_size=2, jump=1).fit_predict(y, penalty)[:-1]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 5))
def test_nothing_passes_the_least_penalty_and_something_passes_any_less(seed, jump):
    y = levels(0, jump, 0, length=12, seed=seed)
    y = y - y.mean()
    least = _least_penalty(y)
    assert not best_partition(y, least * 1.0001)
    assert best_partition(y, least * 0.9999)


@pytest.mark.parametrize("phi", [0.0, 0.5])
def test_noise_without_a_change_seldom_shows_one(phi):
    runs = 150
    noise = autoregressive(phi, 60, np.random.default_rng(0), runs)
    fired = sum(bool(change_points(STEPS, one, 100).points) for one in noise)
    assert fired <= binom.ppf(0.99, runs, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("count", [40, 120])
@pytest.mark.parametrize("phi", [0.0, 0.7, 0.9])
def test_persistent_noise_without_a_change_seldom_shows_one(phi, count):
    runs = 300
    noise = autoregressive(phi, count, np.random.default_rng(1), runs)
    fired = sum(bool(change_points(np.arange(count), one).points) for one in noise)
    assert fired <= binom.ppf(0.99, runs, 0.05)


def test_a_jump_in_persistent_noise_is_found():
    found = [
        change_points(STEPS, levels(0, 8, length=30, phi=0.5, seed=s)).points for s in range(20)
    ]
    assert sum(any(abs(at - 300) <= 10 for at in points) for points in found) >= 18


def test_smooth_rises_have_points_and_no_more_than_straight_ramps():
    noise = autoregressive(0.3, 60, np.random.default_rng(0), 20)
    for one in noise:
        found = change_points(STEPS, 10 * np.linspace(0, 1, 60) + one)
        assert found.points
        assert found.ramp_low <= found.ramp_points <= found.ramp_high
        assert len(found.points) <= found.ramp_high


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.sampled_from([0.0, 4.0]), st.floats(-5, 5), st.floats(-100, 100))
def test_scale_and_shift_leave_the_points(seed, jump, power, shift):
    values = levels(0, jump, 1, seed=seed)
    before = change_points(STEPS, values, 60)
    after = change_points(STEPS * 7 + 3, 10**power * (values + shift), 60)
    assert tuple(7 * at + 3 for at in before.points) == after.points
    assert before.penalty == pytest.approx(after.penalty)
    assert before.ramp_points == after.ramp_points


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.floats(0, 10))
def test_what_comes_back_is_in_order(seed, jump):
    found = change_points(STEPS, levels(0, jump, 0, seed=seed), 60, seed=seed)
    assert list(found.points) == sorted(set(found.points))
    assert set(found.points) <= set(STEPS[1:].tolist())
    assert 0 < found.penalty <= 1
    assert 0 <= found.persistence < 1
    assert found == change_points(STEPS, levels(0, jump, 0, seed=seed), 60, seed=seed)


def test_series_without_noise():
    flat = change_points(STEPS, np.full(60, 0.3))
    assert (flat.points, flat.ramp_points) == ((), 0)
    assert change_points(STEPS, (STEPS >= 300) * 1.0).points == (300,)


def test_misfits_are_named():
    with pytest.raises(BadInput, match="29 steps are too few"):
        change_points(np.arange(29), np.zeros(29))
    with pytest.raises(BadInput, match="39 surrogates"):
        change_points(STEPS, levels(0, 1, 0), n_surrogates=39)
    with pytest.raises(BadInput, match="do not rise"):
        change_points(STEPS[::-1].copy(), levels(0, 1, 0))
    with pytest.raises(BadInput, match="step 0 is inf"):
        change_points(STEPS, np.where(STEPS == 0, np.inf, 0.0))

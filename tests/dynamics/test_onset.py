import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate._core.errors import BadInput
from nucleate.dynamics import (
    Onset,
    Trajectory,
    binomial_band,
    null_band,
    onset,
)

STEPS = np.arange(0, 400, 10)


def ramp(start, rng, noise=0.02):
    """Flat until `start`, then rising; what resampling gives at each step moves as one."""
    truth = np.clip((STEPS - start) / 100, 0, 1)
    values = truth + noise * rng.standard_normal(len(STEPS))
    draws = values[:, None] + noise * rng.standard_normal((len(STEPS), 200))
    return values, draws


def test_first_step_that_stays_counts_not_the_first_above():
    band = np.full(5, 0.5)
    values = np.array([0.0, 0.9, 0.2, 0.7, 0.8])
    assert onset(Trajectory(np.array([0, 1, 2, 4, 8]), values, band)) == Onset(4)


@pytest.mark.parametrize(
    "values", [[0.9, 0.9, 0.1], [0.1, 0.1, 0.1], [0.9, 0.9, np.nan], [0.5, 0.5, 0.5]]
)
def test_no_onset_unless_above_at_the_end(values):
    assert onset(Trajectory(np.arange(3), np.array(values), np.full(3, 0.5))).step is None


def test_above_from_the_start():
    assert onset(Trajectory(np.arange(3), np.ones(3), np.zeros(3))).step == 0


def test_simulated_ramps_are_dated_and_flat_ones_are_not():
    rng = np.random.default_rng(0)
    band = np.full(len(STEPS), 0.1)
    covered, false = 0, 0
    for _ in range(60):
        start = rng.integers(50, 250)
        values, draws = ramp(start, rng)
        found = onset(Trajectory(STEPS, values, band), draws)
        # The ramp crosses the band 10 steps after its start.
        covered += found.low <= start + 10 <= found.high
        flat, draws = ramp(10_000, rng)
        false += onset(Trajectory(STEPS, flat, band), draws).step is not None
    assert covered >= 0.9 * 60
    assert false <= 0.05 * 60


def test_what_resampling_can_undo_is_no_onset():
    values, band = np.array([0.0, 0.6]), np.full(2, 0.5)
    draws = np.array([[0.0] * 10, [0.6] * 4 + [0.4] * 6])
    assert onset(Trajectory(np.arange(2), values, band), draws) == Onset(None, found=0.4)
    assert onset(Trajectory(np.arange(2), values, band), np.empty((2, 0))) == Onset(1)


def test_interval_reaches_from_surely_below_to_surely_above():
    band = np.full(5, 0.5)
    values = np.array([0.1, 0.45, 0.55, 0.6, 0.9])
    draws = values[:, None] + np.array([-0.2, 0.2])
    draws[3] = [0.55, 0.65]
    found = onset(Trajectory(np.array([0, 1, 2, 4, 8]), values, band), draws)
    assert found == Onset(2, low=0.0, high=4.0, found=1.0)


def test_an_interval_contains_its_step_even_if_the_draws_are_biased():
    steps, values, band = np.arange(4), np.array([0.0, 0.6, 0.6, 0.6]), np.full(4, 0.5)
    late = np.tile([[0.0], [0.4], [0.6], [0.6]], 5)
    found = onset(Trajectory(steps, values, band), late)
    assert (found.low, found.step, found.high) == (0, 1, 2)
    early = np.tile([[0.6], [0.6], [0.6], [0.6]], 5)
    found = onset(Trajectory(steps, values, band), early)
    assert (found.low, found.step, found.high) == (0, 1, 1)


def test_no_onset_above_the_largest_of_five_untrained_models():
    """One trajectory in six ends above it by luck; what resampling says of the end stops that."""
    rng = np.random.default_rng(0)
    naive = guarded = 0
    for _ in range(200):
        nulls, values = rng.standard_normal((20, 5)), rng.standard_normal(20)
        trajectory = Trajectory(np.arange(20), values, nulls.max(1))
        naive += onset(trajectory).step is not None
        draws = values[:, None] + rng.standard_normal((20, 200))
        guarded += onset(trajectory, draws).step is not None
    assert naive > 0.1 * 200
    assert guarded <= 0.05 * 200


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0, 1))
def test_everything_after_the_onset_is_above_and_the_step_before_is_not(values, height):
    steps, band = np.arange(len(values)), np.full(len(values), height)
    found = onset(Trajectory(steps, np.array(values), band)).step
    if found is None:
        assert values[-1] <= height
    else:
        assert min(values[found:]) > height
        assert found == 0 or values[found - 1] <= height


def test_bands():
    nan = np.array([np.nan, np.nan])
    assert null_band(np.array([0.1, np.nan]), np.array([0.2, np.nan]), nan)[0] == 0.2
    assert np.isnan(null_band(np.array([0.1, np.nan]), np.array([0.2, np.nan]), nan)[1])
    rng = np.random.default_rng(0)
    guesses = rng.binomial(200, 0.05, 20_000) / 200
    assert (guesses > binomial_band(0.05, 200)).mean() <= 0.01
    with pytest.raises(BadInput, match=r"chance 1\.5"):
        binomial_band(1.5, 10)


def test_misfits_are_named():
    with pytest.raises(BadInput, match="do not rise"):
        Trajectory(np.array([0, 0]), np.zeros(2), np.zeros(2))
    with pytest.raises(BadInput, match="no steps"):
        Trajectory(np.array([], dtype=int), np.zeros(0), np.zeros(0))
    with pytest.raises(BadInput, match=r"shape \[3, 4\] do not fit a trajectory of 2 steps"):
        onset(Trajectory(np.arange(2), np.zeros(2), np.zeros(2)), np.zeros((3, 4)))

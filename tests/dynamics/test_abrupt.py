import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics.made import autoregressive, logistic
from nucleate._core.errors import BadInput
from nucleate.dynamics import abruptness
from nucleate.metrics import agreement, class_separation, kmeans

STEPS = np.arange(0, 600, 10)
T = np.linspace(0, 1, len(STEPS))


def noise(seed=0, size=0.02, phi=0.0):
    return size * autoregressive(phi, len(STEPS), np.random.default_rng(seed))[0]


@pytest.mark.parametrize("middle", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("width", [0.05, 0.1])
def test_a_logistic_jump_is_phase_like_and_as_wide_as_it_is(width, middle):
    found = abruptness(STEPS, logistic(len(STEPS), middle, width) + noise())
    assert found.phase_like
    assert found.linear.best == found.log.best == "logistic"
    assert found.width == pytest.approx(width, abs=0.02)


@pytest.mark.parametrize("width", [0.2, 0.3])
def test_a_wide_logistic_curve_is_measured_and_not_phase_like(width):
    found = abruptness(STEPS, logistic(len(STEPS), 0.5, width) + noise())
    assert found.linear.best == "logistic"
    assert found.width == pytest.approx(width, abs=0.03)
    assert not found.phase_like


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("curve", ["constant", "ramp", "power", "exponential"])
def test_smooth_curves_are_not_phase_like(curve, seed):
    values = {
        "constant": 0 * T,
        "ramp": T,
        "power": 1 - (1 + T / 0.02) ** -0.7,
        "exponential": 1 - np.exp(-T / 0.1),
    }[curve]
    found = abruptness(STEPS, values + noise(seed))
    assert not found.phase_like
    if curve == "constant":
        assert found.linear.best == found.log.best == "constant"
        assert found.width is None


def test_what_is_short_on_linear_steps_alone_is_not_phase_like():
    """An even rise in log(step) is over within a tenth of the linear axis."""
    log = np.log1p(STEPS) / np.log1p(STEPS[-1])
    values = np.clip(log / 0.6, 0, 1) + noise()
    found = abruptness(STEPS, values)
    assert found.width < 0.15
    assert found.log.width > 0.15
    assert not found.phase_like


def test_a_change_cut_short_by_the_end_looks_complete_unless_bounds_are_known():
    values = logistic(len(STEPS), 0.9, 0.3) + noise(size=0.005)
    assert abruptness(STEPS, values).width is not None
    assert abruptness(STEPS, values, bounds=(0.0, 1.0)).width is None
    whole = logistic(len(STEPS), 0.5, 0.1) + noise(size=0.005)
    assert abruptness(STEPS, whole, bounds=(0.0, 1.0)).width == pytest.approx(0.1, abs=0.02)


def test_no_width_is_resolved_below_the_gap_that_it_falls_into():
    steps = np.array([0, 10, 20, 30, 40, 50, 250, 260, 270, 280, 290, 300])
    found = abruptness(steps, (steps > 100) * 1.0)
    assert found.width == pytest.approx(200 / 300)
    assert not found.phase_like


def test_evenly_rising_separation_is_abrupt_in_ari_and_not_in_the_separation():
    """ARI of k-means is a threshold device: it makes phase changes of smooth growth."""
    generator = torch.Generator().manual_seed(0)
    labels = np.repeat(np.arange(20), 30)
    means = torch.randn(20, 256, generator=generator)[labels]
    amounts = torch.linspace(0, 0.8, 41)
    states = torch.stack(
        [amount * means + torch.randn(means.shape, generator=generator) for amount in amounts]
    )
    clusters = kmeans(states, 20, n_init=20).labels.numpy()
    ari = np.array([agreement(found, labels).ari for found in clusters])
    steps = np.arange(41)
    assert ari[0] < 0.05
    assert ari[-1] > 0.95
    separation = abruptness(steps, class_separation(states, labels))
    assert separation.width > 0.5
    assert not separation.phase_like
    assert abruptness(steps, ari).phase_like


curves = st.builds(
    lambda middle, width, rise, seed, size: (
        rise * logistic(len(STEPS), middle, width) + (1 - rise) * T + noise(seed, size)
    ),
    st.floats(0.1, 0.9),
    st.floats(0.03, 0.5),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(0, 99),
    st.floats(0.01, 0.1),
)


@settings(max_examples=6, deadline=None)
@given(curves, st.floats(-100, 100), st.floats(-6, 6), st.booleans(), st.integers(0, 10**6))
def test_scale_shift_and_sign_of_values_and_the_first_step_leave_the_verdict(
    values, shift, power, falls, first
):
    scale = (-1 if falls else 1) * 10**power
    before = abruptness(STEPS, values)
    after = abruptness(STEPS + first, scale * (values + shift))
    assert before.phase_like == after.phase_like
    for one, other in ((before.linear, after.linear), (before.log, after.log)):
        assert one.best == other.best
        assert one.margin == pytest.approx(other.margin, abs=0.05)
        assert one.width == pytest.approx(other.width, abs=0.01)


@settings(max_examples=6, deadline=None)
@given(curves, st.integers(2, 1000))
def test_the_unit_of_steps_leaves_the_linear_axis(values, unit):
    before, after = abruptness(STEPS, values).linear, abruptness(STEPS * unit, values).linear
    assert before.best == after.best
    assert before.margin == pytest.approx(after.margin, abs=0.05)


@settings(max_examples=6, deadline=None)
@given(curves)
def test_phase_like_only_if_both_axes_say_so(values):
    found = abruptness(STEPS, values)
    fits = (found.linear, found.log)
    assert found.phase_like == all(f.margin > 10 and f.width and f.width < 0.15 for f in fits)
    for fit in fits:
        assert (fit.margin > 0) == (fit.best == "logistic")
        assert fit.width is None or 0 < fit.width <= 1


def test_values_that_do_not_vary_fit_a_constant():
    found = abruptness(STEPS, np.full(len(STEPS), 0.3))
    assert found.linear.best == "constant"
    assert (found.width, found.linear.margin, found.phase_like) == (None, 0.0, False)


def test_exact_curves_win_nothing_by_rounding():
    found = abruptness(STEPS, 3 * T)
    assert found.linear.best == "linear"
    assert not found.phase_like


def test_misfits_are_named():
    with pytest.raises(BadInput, match="7 steps are too few"):
        abruptness(np.arange(7), np.arange(7.0))
    with pytest.raises(BadInput, match="do not rise"):
        abruptness(np.zeros(9), np.arange(9.0))
    with pytest.raises(BadInput, match="step 20 is nan"):
        abruptness(STEPS[:9], np.where(np.arange(9) == 2, np.nan, 1.0))

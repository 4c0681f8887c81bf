import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, pearsonr

from dynamics.made import autoregressive, learning_curve
from nucleate._core.errors import BadInput
from nucleate.dynamics import association

STEPS = np.arange(0, 1000, 10)


def pair(seed, shared=0.0):
    """Two learning curves whose noise has the correlation `shared`."""
    count = len(STEPS)
    rng = np.random.default_rng(seed)
    common = autoregressive(0.5, count, rng)[0]
    return [
        learning_curve(count, rng, noise=0.02 * np.sqrt(1 - shared))
        + 0.02 * np.sqrt(shared) * common
        for _ in range(2)
    ]


def test_unrelated_learning_curves_correlate_and_are_not_associated():
    """Trap 5: r is .9 for no reason; differences fire far too often as well."""
    runs = 60
    pairs = [pair(seed) for seed in range(runs)]
    found = [association(STEPS, *both, n_surrogates=199) for both in pairs]
    assert np.median([each.raw for each in found]) > 0.8
    by_differences = sum(pearsonr(*np.diff(both)).pvalue < 0.05 for both in pairs)
    assert by_differences > binom.ppf(0.999, runs, 0.05)
    assert sum(each.p < 0.05 for each in found) <= binom.ppf(0.99, runs, 0.05)


def test_shared_fluctuations_are_found():
    found = [association(STEPS, *pair(seed, 0.8), n_surrogates=199) for seed in range(10)]
    assert all(each.p < 0.05 for each in found)
    assert all(0.4 < each.r < 1 for each in found)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.floats(-5, 5), st.floats(-100, 100), st.booleans())
def test_scale_and_shift_leave_it_and_a_turned_series_turns_its_sign(seed, power, shift, turned):
    a, b = pair(seed, 0.5)
    scale = (-1 if turned else 1) * 10**power
    before = association(STEPS, a, b, 99)
    after = association(STEPS * 3 + 7, a, scale * (b + shift), 99)
    assert after.r == pytest.approx(-before.r if turned else before.r, abs=1e-3)
    assert after.p == pytest.approx(before.p, abs=0.011)


def test_a_series_with_itself_is_associated_as_far_as_that_goes():
    a, _ = pair(0)
    found = association(STEPS, a, a, 199)
    assert found.r == pytest.approx(1)
    assert found.p == 1 / 200


def test_nothing_is_left_of_a_straight_line():
    a, _ = pair(0)
    found = association(STEPS, a, np.linspace(0, 1, len(STEPS)))
    assert (found.r, found.p) == (None, 1.0)
    assert association(STEPS, np.zeros(len(STEPS)), a).raw == 0


def test_misfits_are_named():
    a, b = pair(0)
    with pytest.raises(BadInput, match="19 steps are too few"):
        association(STEPS[:19], a[:19], b[:19])
    with pytest.raises(BadInput, match="98 surrogates"):
        association(STEPS, a, b, 98)
    with pytest.raises(BadInput, match="do not rise"):
        association(STEPS[::-1].copy(), a, b)
    with pytest.raises(BadInput, match="step 10 is nan"):
        association(STEPS, a, np.where(STEPS == 10, np.nan, b))

"""p values whose false alarms are the ones asked for, and probabilities that are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binomtest

from nucleate.monitor.atlas import calibration_error, conformal_p, false_alarm_interval
from nucleate.monitor.atlas._calibration import Calibration, confidence, log_rarity, temperature_of

REPEATS = 4000


@given(
    arrays(np.float64, st.integers(1, 30), elements=st.integers(-5, 5)),
    arrays(np.float64, st.integers(1, 30), elements=st.integers(-6, 6)),
)
def test_p_is_the_share_that_is_at_least_as_unusual_the_row_counted_in(calibration, scores):
    found = conformal_p(scores, np.sort(calibration))
    for p, score in zip(found, scores, strict=True):
        assert p == (1 + (calibration >= score).sum()) / (len(calibration) + 1)


@pytest.mark.parametrize(("rows", "rate"), [(40, 0.1), (99, 0.05), (150, 0.05), (700, 0.2)])
def test_false_alarms_are_exactly_as_many_as_theory_says_whatever_the_scores_are(rows, rate):
    """Exchangeable rows: floor(rate (n + 1)) / (n + 1) of them, here of a skewed law."""
    rng = np.random.default_rng(rows)
    calibration = np.sort(rng.lognormal(0, 2, (REPEATS, rows)), axis=1)
    new = rng.lognormal(0, 2, REPEATS)
    alarms = sum(
        bool(conformal_p(np.array([x]), row)[0] <= rate)
        for x, row in zip(new, calibration, strict=True)
    )
    exact = np.floor(rate * (rows + 1)) / (rows + 1)
    assert binomtest(alarms, REPEATS, exact).pvalue > 0.001
    assert exact <= rate


def test_scores_that_were_fitted_to_would_not_keep_the_rate():
    """What the split is for: rows that a score has learnt make every other row unusual."""
    rng = np.random.default_rng(0)
    fitted, new = rng.normal(size=(200, 5)), rng.normal(size=(2000, 5))
    distances = np.linalg.norm(fitted[:, None] - fitted[None], axis=2).min(1)
    far = np.linalg.norm(new[:, None] - fitted[None], axis=2).min(1)
    assert (conformal_p(far, np.sort(distances)) <= 0.05).mean() > 0.9


def test_the_interval_of_false_alarms_holds_what_calibrations_give():
    rng = np.random.default_rng(1)
    rates = []
    for _ in range(2000):
        cut = np.sort(rng.random(100))
        # Uniform scores: the share above the least that alarms is known.
        least = cut[len(cut) - int(np.floor(0.05 * 101))]
        rates.append(1 - least)
    low, high = false_alarm_interval(100, 0.05)
    inside = (np.array(rates) >= low) & (np.array(rates) <= high)
    assert inside.mean() == pytest.approx(0.95, abs=0.02)
    assert false_alarm_interval(10, 0.05) == (0.0, 0.0)


@given(arrays(np.float64, st.integers(20, 60), elements=st.floats(-50, 50)))
def test_rarity_falls_as_scores_rise_also_beyond_all_that_are_known(known):
    known = np.sort(known)
    span = max(float(np.ptp(known)), 1.0)
    scores = np.linspace(known[0] - span, known[-1] + 3 * span, 50)
    found = log_rarity(scores, known)
    assert (np.diff(found) <= 1e-12).all()
    assert found[0] <= 0
    assert found[-1] < found[scores <= known[-1]].min()


def test_the_sum_of_two_scores_that_go_together_keeps_the_rate():
    """Added p values of dependent scores are no p value; calibrated anew they are."""
    rng = np.random.default_rng(2)

    def drawn(rows):
        common = rng.normal(size=rows)
        return common + 0.1 * rng.normal(size=rows), common + 0.1 * rng.normal(size=rows)

    alarms = naive = 0
    for _ in range(300):
        before, held_out, new = drawn(60), drawn(99), drawn(20)
        none = np.zeros(0)
        made = Calibration(none, none, none, np.sort(before[0]), np.sort(before[1]), 1.0, 1.0)
        p = conformal_p(made.added(*new), np.sort(made.added(*held_out)))
        alarms += int((p <= 0.05).sum())
        fisher = -np.log(conformal_p(new[0], np.sort(held_out[0])))
        fisher -= np.log(conformal_p(new[1], np.sort(held_out[1])))
        naive += int((fisher > 4.744).sum())  # chi2(4) / 2 at 5 %
    assert binomtest(alarms, 6000, 0.05).pvalue > 0.001
    assert naive / 6000 > 0.065


def test_the_temperature_is_that_under_which_rows_were_drawn():
    rng = np.random.default_rng(3)
    squared = rng.gamma(4, 8, (3000, 5)).astype(np.float32)
    odds = squared ** (-0.5 / 0.2)
    odds /= odds.sum(1, keepdims=True)
    code = (odds.cumsum(1) < rng.random((len(odds), 1))).sum(1).clip(max=4)
    found = temperature_of(squared, code, 0.01)
    assert found == pytest.approx(0.2, rel=0.2)
    nearest, probability, margin = confidence(squared, found)
    right = (nearest == code).astype(float)
    assert calibration_error(probability, right)[0] < 0.03
    assert ((margin >= 0) & (margin <= 1)).all()


def test_probabilities_that_are_off_by_a_fifth_have_that_error():
    right = np.tile([1.0, 1.0, 1.0, 0.0, 0.0], 200)
    value, low, high = calibration_error(np.full(1000, 0.8), right)
    assert value == pytest.approx(0.2)
    assert low < 0.2 < high

"""Forecasts of how runs end: exact where a library says it, and silent where there is nothing."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from nucleate import BadInput
from nucleate.dynamics import forecast


def runs(count: int, seed: int, *, loss: float, separation: float) -> tuple[dict, np.ndarray]:
    """Outcomes, and early numbers that tell so much of them."""
    rng = np.random.default_rng(seed)
    outcome = rng.standard_normal(count)
    noise = rng.standard_normal((2, count))
    return {
        "loss": -loss * outcome + noise[0],
        "separation": separation * outcome + noise[1],
    }, outcome


@pytest.mark.parametrize("grouped", [False, True])
def test_skill_is_that_of_scikit_learns_regression_with_groups_left_out(grouped):
    predictors, outcome = runs(18, 0, loss=1, separation=1)
    groups = np.arange(18) // (3 if grouped else 1)
    found = forecast(predictors, outcome, groups=groups, draws=199)
    folds = LeaveOneGroupOut()
    for name, columns in (
        ("loss", ["loss"]),
        ("loss + separation", ["loss", "separation"]),
    ):
        x = np.array([predictors[column] for column in columns]).T
        theirs = cross_val_predict(LinearRegression(), x, outcome, groups=groups, cv=folds)
        means = cross_val_predict(LinearRegression(), x * 0, outcome, groups=groups, cv=folds)
        r2 = 1 - ((outcome - theirs) ** 2).sum() / ((outcome - means) ** 2).sum()
        assert found.skills[name].r2 == pytest.approx(r2, abs=1e-6)
    gain = found.skills["separation"].r2 - found.skills["loss"].r2
    assert found.alone["separation"].r2 == pytest.approx(gain)


def test_scale_and_shift_of_a_predictor_change_nothing():
    predictors, outcome = runs(15, 1, loss=1, separation=2)
    other = {"loss": 40 * predictors["loss"] - 7, "separation": predictors["separation"] / 99}
    one, two = (forecast(each, 3 * outcome + 1, draws=199) for each in (predictors, other))
    assert one.skills["separation"].r2 == pytest.approx(two.skills["separation"].r2, abs=1e-6)
    assert one.skills["loss"].p == two.skills["loss"].p


@pytest.mark.parametrize(
    ("loss", "separation", "verdict"), [(0.2, 6, "better"), (6, 0.2, "worse"), (2, 2, "adds")]
)
def test_the_better_forecast_is_called_so(loss, separation, verdict):
    predictors, outcome = runs(40, 2, loss=loss, separation=separation)
    assert forecast(predictors, outcome, draws=400).verdict("separation") == verdict


def test_few_runs_decide_nothing():
    predictors, outcome = runs(11, 3, loss=0.1, separation=50)
    found = forecast(predictors, outcome, draws=199)
    assert found.skills["separation"].r2 > 0.95
    assert found.verdict("separation") == "undecided"


def test_runs_of_one_setting_do_not_forecast_each_other_when_it_is_left_out():
    """The predictor names the setting and nothing else: it tells only what its own runs do."""
    rng = np.random.default_rng(4)
    setting = np.repeat(np.arange(8), 4)
    outcome = rng.standard_normal(8)[setting] + 0.01 * rng.standard_normal(32)
    mark = rng.permutation(8)[setting] + 0.0
    values = {"loss": rng.standard_normal(32), "mark": mark}
    found = forecast(values, outcome, groups=setting, draws=199)
    assert found.groups == 8
    assert found.verdict("mark") == "undecided"


@pytest.mark.slow
@pytest.mark.parametrize("loss", [0.0, 1.0])
def test_two_equal_predictors_are_rarely_told_apart(loss):
    """At most 5 % are allowed; of 200 more than 17 come in 1 % of all cases."""
    called = 0
    for seed in range(200):
        predictors, outcome = runs(20, seed + 1000, loss=loss, separation=loss)
        called += forecast(predictors, outcome, draws=400).verdict("separation") in (
            "better",
            "worse",
        )
    assert called <= 17


def test_a_predictor_that_only_copies_the_loss_adds_nothing():
    called = 0
    for seed in range(20):
        rng = np.random.default_rng([seed, 1])
        predictors, outcome = runs(24, seed, loss=1, separation=0)
        predictors["separation"] = -predictors["loss"] + rng.standard_normal(24)
        called += forecast(predictors, outcome, draws=199).verdict("separation") in (
            "better",
            "adds",
        )
    assert called <= 3  # at 5 % each, more come in 2 % of all cases


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"baseline": "los"}, "no predictor is named 'los'"),
        ({"groups": np.zeros(15)}, "15 runs in 1 groups"),
        ({"outcome": np.ones(15)}, "all 15 runs end at 1"),
        ({"outcome": np.full(15, np.nan)}, "not finite"),
        ({"draws": 10}, "draws is 10"),
    ],
)
def test_what_cannot_be_forecast_is_refused(change, reason):
    predictors, outcome = runs(15, 5, loss=1, separation=1)
    given = {"predictors": predictors, "outcome": outcome} | change
    with pytest.raises(BadInput, match=reason):
        forecast(**given)

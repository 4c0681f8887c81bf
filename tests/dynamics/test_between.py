import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from nucleate._core.errors import BadInput
from nucleate.dynamics import between_tasks


def table_of(seed, effect=0.0, tasks=20, seeds=6, of_tasks=1.0):
    """Margin and accuracy of tasks that return in every seed, a part of each the task's own."""
    rng = np.random.default_rng(seed)
    own = of_tasks * rng.standard_normal((2, tasks, 1)) + rng.standard_normal((2, tasks, seeds))
    of_seed = rng.standard_normal(seeds)
    accuracy = effect * own[0] + np.sqrt(1 - effect**2) * own[1] + of_seed
    return pd.DataFrame(
        {
            "task": np.repeat(np.arange(tasks), seeds),
            "seed": np.tile(np.arange(seeds), tasks),
            "margin": own[0].ravel(),
            "accuracy": accuracy.ravel(),
            "loss": rng.standard_normal(tasks * seeds),
        }
    )


def test_one_seed_is_an_ordinary_regression():
    table = table_of(0, 0.5, seeds=1)
    found = between_tasks(table)
    scores = (table - table.mean()) / table.std(ddof=0)
    oracle = smf.ols("accuracy ~ margin", scores).fit()
    low, high = oracle.conf_int().loc["margin"]
    assert found.adjusted.value == pytest.approx(oracle.params["margin"])
    assert (found.adjusted.low, found.adjusted.high) == pytest.approx((low, high))
    assert found.adjusted.p == pytest.approx(oracle.pvalues["margin"])
    assert "one seed" in found.adjusted.note


def test_several_seeds_are_the_mixed_model_of_statsmodels():
    table = table_of(1, 0.5)
    found = between_tasks(table, covariates=["loss"])
    scores = table[["margin", "accuracy", "loss"]]
    scores = (scores - scores.mean()) / scores.std(ddof=0)
    scores = scores.assign(task=table.task, seed=table.seed, one=1)
    oracle = smf.mixedlm(
        "accuracy ~ margin + loss", scores, groups="one",
        vc_formula={"seed": "0 + C(seed)", "task": "0 + C(task)"}, re_formula="0",
    ).fit()  # fmt: skip
    assert found.adjusted.model == "mixed model, random effects: seed, task"
    assert found.adjusted.value == pytest.approx(oracle.params["margin"], abs=1e-3)
    assert found.alone.value != found.adjusted.value


def test_tasks_that_return_are_not_taken_for_new_ones():
    """With a task's own part in both columns, the seed alone finds what is not there."""
    runs = 20
    tables = [table_of(seed, of_tasks=3) for seed in range(runs)]
    found = [between_tasks(table) for table in tables]
    naive = [between_tasks(table.assign(task=np.arange(len(table)))) for table in tables]
    allowed = binom.ppf(0.99, runs, 0.05)
    assert sum(each.adjusted.p < 0.05 for each in naive) > allowed
    assert sum(each.adjusted.p < 0.05 for each in found) <= allowed


def test_a_covariate_that_makes_both_takes_the_coefficient_away():
    rng = np.random.default_rng(0)
    table = table_of(3)
    frequency = rng.standard_normal(len(table))
    table = table.assign(
        frequency=frequency, margin=frequency + 0.3 * table.margin,
        accuracy=frequency + 0.3 * table.accuracy,
    )  # fmt: skip
    found = between_tasks(table, covariates=["frequency"])
    assert found.alone.value > 0.7
    assert found.alone.p < 1e-6
    assert found.adjusted.low < 0 < found.adjusted.high


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 50), st.floats(-3, 3), st.floats(-9, 9), st.randoms())
def test_scale_shift_and_order_of_rows_leave_the_coefficient(seed, power, shift, random):
    table = table_of(seed, 0.5)
    order = list(range(len(table)))
    random.shuffle(order)
    other = table.iloc[order].assign(margin=lambda t: 10**power * (t.margin + shift))
    a, b = between_tasks(table).adjusted, between_tasks(other).adjusted
    assert b.value == pytest.approx(a.value, abs=1e-4)
    assert b.model == a.model


def test_rows_without_a_value_are_left_out_and_counted():
    table = table_of(0, 0.5)
    table.loc[[3, 8], "margin"] = np.nan
    found = between_tasks(table)
    assert (found.rows, found.dropped, found.tasks, found.seeds) == (118, 2, 20, 6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop(columns="margin"), "no column 'margin'"),
        (lambda t: t[t.task < 4], "4 tasks with values are too few"),
        (lambda t: t.assign(accuracy=1.0), "column 'accuracy' is 1.0 in all"),
        (lambda t: t.assign(margin="high"), "no numbers, such as 'high'"),
        (lambda t: t.assign(loss=2 * t.margin), "determine one another"),
    ],
)
def test_misfits_are_named(change, said):
    with pytest.raises(BadInput, match=said):
        between_tasks(change(table_of(0)), covariates=["loss"])

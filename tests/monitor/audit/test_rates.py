"""Rates by cluster and group: known counts, exact tests against oracles, what is too few."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from nucleate._core.errors import BadInput
from nucleate.monitor.audit import AuditTable, Rules, rates
from nucleate.monitor.audit._compare import adjusted, detectable, exact_p, level_in_force


def table(counts, **columns):
    """Rows from (cluster, group, rows, errors)."""
    cluster, group, wrong = [], [], []
    for name, of, rows, errors in counts:
        cluster += [name] * rows
        group += [of] * rows
        wrong += [True] * errors + [False] * (rows - errors)
    outcomes = {"wrong": np.array(wrong)}
    return AuditTable(np.array(cluster), {"lang": np.array(group)}, outcomes, **columns)


def by_name(cells):
    return {str(cell.where): cell for cell in cells}


WORSE = [("a", "en", 400, 40), ("a", "ja", 100, 45), ("b", "en", 400, 40), ("b", "ja", 100, 10)]


def test_a_group_that_fares_worse_in_one_cluster_is_named_there():
    found = by_name(rates(table(WORSE)))
    cell = found["lang ja in cluster a"]
    assert (cell.rows, cell.events, cell.others, cell.others_rate) == (100, 45, 400, 0.1)
    assert (cell.word, cell.gap) == ("higher", True)
    assert found["lang ja in cluster b"].word == "no difference found"
    assert found["lang en in cluster a"].word == "lower"
    assert not found["lang en in cluster a"].gap


def test_intervals_are_those_of_statsmodels():
    cell = by_name(rates(table(WORSE)))["lang ja in cluster a"]
    assert (cell.low, cell.high) == pytest.approx(proportion_confint(45, 100, method="wilson"))
    between = confint_proportions_2indep(45, 100, 40, 400, method="newcomb")
    assert (cell.difference_low, cell.difference_high) == pytest.approx(between)


def test_what_a_groups_mix_of_clusters_explains_is_said_beside_its_rate():
    """Everybody fares the same within each cluster: the group's rate is that of its clusters."""
    mixed = [("hard", "en", 100, 40), ("hard", "ja", 300, 120), ("easy", "en", 900, 90),
             ("easy", "ja", 100, 10)]  # fmt: skip
    found = by_name(rates(table(mixed)))
    assert found["lang ja"].word == "higher"
    assert found["lang ja"].expected == pytest.approx(found["lang ja"].rate)
    assert {found[f"lang ja in cluster {name}"].word for name in ("hard", "easy")} == {
        "no difference found"
    }


def test_a_cluster_that_only_one_group_has_leaves_the_expected_rate_open():
    found = by_name(rates(table([*WORSE, ("c", "ja", 50, 5)])))
    assert found["lang ja"].expected is None
    assert found["lang ja in cluster c"].word == "too few"
    assert found["lang ja in cluster c"].difference_low != found["lang ja in cluster c"].low


@pytest.mark.parametrize("rows", [1, 29])
def test_below_thirty_rows_there_is_no_verdict_however_bad_it_looks(rows):
    found = by_name(rates(table([*WORSE, ("a", "fr", rows, rows)])))
    cell = found["lang fr in cluster a"]
    assert (cell.word, cell.gap, cell.p, cell.detectable) == ("too few", False, None, None)
    assert cell.rate == 1


def test_as_many_rows_are_needed_of_those_it_is_compared_with():
    found = by_name(rates(table([("a", "en", 500, 50), ("a", "ja", 20, 2)])))
    assert {cell.word for cell in found.values()} == {"too few"}


def test_an_excess_that_does_not_matter_is_found_and_no_gap():
    small = table([("a", "en", 20000, 1000), ("a", "ja", 20000, 1600)])
    cell = by_name(rates(small))["lang ja"]
    assert (cell.word, cell.gap) == ("higher", False)
    assert by_name(rates(small, Rules(matters=0.02)))["lang ja"].gap


def test_rows_of_an_unknown_group_count_for_their_cluster_alone():
    found = by_name(rates(table([*WORSE, ("a", "", 200, 200)])))
    assert found["cluster a"].rows == 700
    assert found["lang en in cluster a"].others == 100
    assert not any(str(name).startswith("lang  ") for name in found)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_p_is_twice_the_smaller_tail_of_fishers_test(rows, others, data):
    events, other = data.draw(st.integers(0, rows)), data.draw(st.integers(0, others))
    square = [[events, rows - events], [other, others - other]]
    tails = [fisher_exact(square, alternative=side).pvalue for side in ("less", "greater")]
    got = exact_p(*(np.array([each]) for each in (events, rows, other, others)))
    assert got[0] == pytest.approx(min(1, 2 * min(tails)), abs=1e-9)


def test_correction_leaves_untested_cells_out():
    p = np.array([0.01, np.nan, 0.04, 0.2])
    assert adjusted(p) == pytest.approx([0.03, np.nan, 0.06, 0.2], nan_ok=True)
    assert np.isnan(adjusted(np.array([np.nan]))).all()


@pytest.mark.parametrize(
    ("p", "level"), [([0.5, 0.9], 0.025), ([0.001, 0.9], 0.05), ([0.001, 0.002], 0.05), ([], 0.05)]
)
def test_the_level_in_force_is_what_one_more_finding_must_reach(p, level):
    assert level_in_force(np.array(p, float), 0.05) == pytest.approx(level)


@pytest.mark.parametrize(
    ("rows", "others", "rate", "alpha"),
    [(30, 4970, 0.02, 1e-4), (80, 4920, 0.1, 8e-4), (250, 4750, 0.1, 0.05), (60, 60, 0.1, 8e-4)],
)
def test_the_difference_that_is_stated_is_found_in_nine_of_ten_draws(rows, others, rate, alpha):
    sizes = np.array([rows]), np.array([others])
    excess = float(detectable(*sizes, np.array([rate]), alpha)[0])
    rng = np.random.default_rng(0)
    events = rng.binomial(rows, rate + excess, 4000)
    other_events = rng.binomial(others, rate, 4000)
    p = exact_p(events, np.full(4000, rows), other_events, np.full(4000, others))
    found = float(np.mean((p <= alpha) & (events / rows > rate)))
    assert 0.88 < found < 0.95  # counts are whole: the power jumps


def test_where_any_excess_is_missed_none_is_stated():
    assert np.isnan(detectable(np.array([2]), np.array([1000]), np.array([0.5]), 1e-4)[0])


def test_without_fairlearn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fairlearn.metrics", None)
    with pytest.raises(BadInput, match=r"pip install 'nucleate\[audit\]'"):
        rates(table(WORSE))


def test_rates_without_an_outcome_are_refused():
    with pytest.raises(BadInput, match="no outcome"):
        rates(AuditTable(np.array(["a", "b"])))


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ({"level": 0.0}, "level is 0.0"), ({"level": 0.5}, "level is 0.5"),
        ({"level": float("nan")}, "level is nan"),
        ({"least": 1}, "least is 1"),
        ({"matters": 0.0}, r"matters is 0\.0"), ({"matters": 1.0}, "matters is 1.0"),
    ],
)  # fmt: skip
def test_rules_out_of_range_are_refused(rules, sentence):
    with pytest.raises(BadInput, match=sentence):
        Rules(**rules)


@pytest.mark.slow
def test_clean_rows_are_seldom_called_different():
    """Thirty data sets of which 1.5 are expected to have any finding."""
    rng = np.random.default_rng(3)
    named = 0
    for _ in range(30):
        cluster, lang = rng.integers(0, 8, 1500).astype(str), rng.choice(["en", "ja", "fr"], 1500)
        clean = AuditTable(cluster, {"lang": lang}, {"wrong": rng.random(1500) < 0.1})
        named += any(cell.word in ("higher", "lower") for cell in rates(clean))
    assert named <= 5  # binomial 99.7 % point for 5 %

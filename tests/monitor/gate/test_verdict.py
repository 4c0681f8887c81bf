"""From a number to a verdict: known cases, and what may never happen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate.monitor.gate import Criterion, Measured, exit_code, judge
from nucleate.monitor.gate._verdict import WORST_FIRST, overall


def criterion(**given):
    base = {"name": "a", "evidence": "run", "statistic": "accuracy", "where": "seen"}
    return Criterion.model_validate(
        base | ({"at_least": 0.5} | given if given else {"at_least": 0.5})
    )


def at_most(bound, **given):
    return Criterion.model_validate(
        {"name": "a", "evidence": "audit", "statistic": "gaps", "at_most": bound, **given}
    )


@pytest.mark.parametrize(
    ("found", "verdict", "reason"),
    [
        (Measured(0.8, 0.7, 0.9, 50, 0.1), "pass", "held"),
        (Measured(0.6, 0.4, 0.8, 50, 0.1), "inconclusive", "straddles"),
        (Measured(0.2, 0.15, 0.3, 50, 0.1), "fail", "missed"),
        (Measured(0.08, 0.03, 0.14, 50, 0.1), "fail", "missed"),
        (Measured(0.08, 0.03, 0.6, 50, 0.1), "inconclusive", "not_beyond_chance"),
        (Measured(0.6, 0.55, 0.65, 50, 0.6), "inconclusive", "not_beyond_chance"),
        (Measured(0.8, 0.7, 0.9, 4, 0.1), "inconclusive", "too_few"),
        (Measured(0.8, 0.7, 0.9, None, 0.1), "inconclusive", "too_few"),
        (Measured(0.8, None, None, 50, 0.1), "inconclusive", "no_interval"),
        (Measured(0.8, 0.7, 0.9, 50, None), "inconclusive", "chance_unknown"),
        (Measured(0.8, 0.7, 0.9, 50, 0.1, undecided="because"), "inconclusive", "undecided"),
        (Measured(missing="no answers"), "inconclusive", "missing"),
        (Measured(), "inconclusive", "not_given"),
        (Measured(broken="torn"), "error", "broken"),
        (Measured(float("nan"), 0.7, 0.9, 50, 0.1), "error", "broken"),
        (Measured(0.8, 0.7, float("inf"), 50, 0.1), "error", "broken"),
    ],
)
def test_known_numbers_get_their_verdict(found, verdict, reason):
    assert judge(criterion(fewest=10), found) == (verdict, reason)


def test_the_named_end_is_the_one_that_must_hold():
    found = Measured(0.6, 0.4, 0.8, 50, 0.1)
    assert judge(criterion(end="value"), found) == ("pass", "held")
    assert judge(criterion(end="high", at_least=0.75), found) == ("pass", "held")
    assert judge(criterion(end="value", at_least=0.7), found) == ("fail", "missed")
    assert judge(criterion(end="value", at_least=0.7, severity="warn"), found)[0] == "warn"


def test_more_than_chance_needs_the_lower_end_above_it():
    assert judge(criterion(at_least="chance"), Measured(0.3, 0.11, 0.5, 9, 0.1))[0] == "pass"
    assert judge(criterion(at_least="chance"), Measured(0.3, 0.1, 0.5, 9, 0.1))[0] == "inconclusive"
    assert judge(criterion(at_least="chance"), Measured(0.05, 0.0, 0.1, 9, 0.1))[0] == "fail"
    assert judge(criterion(at_least="chance", chance=0.2), Measured(0.3, 0.11, 0.5, 9))[0] != "pass"


def test_counts_that_must_be_nought_fail_from_one_on():
    assert judge(at_most(0), Measured(0, 0, 0, 9))[0] == "pass"
    assert judge(at_most(0), Measured(1, 1, 1, 9)) == ("fail", "missed")
    assert judge(at_most(0), Measured(0, 0, 3, 9)) == ("inconclusive", "straddles")


ends = st.floats(0, 1)


@given(ends, ends, ends, ends, st.floats(0, 1), st.integers(0, 100), st.integers(1, 50))
def test_a_pass_rests_on_the_whole_interval_chance_and_enough_rows(a, b, c, null, bound, n, fewest):
    low, value, high = sorted((a, b, c))
    verdict, _ = judge(
        criterion(at_least=bound, fewest=fewest), Measured(value, low, high, n, null)
    )
    assert (verdict == "pass") == (low >= bound and low > null and n >= fewest)
    assert (verdict == "fail") == (high < bound and n >= fewest)


@given(ends, ends, st.floats(0.01, 0.3), st.floats(0, 1))
def test_a_better_number_never_gets_a_worse_verdict(first, second, half, bound):
    worse, better = sorted((first, second))
    order = ["fail", "inconclusive", "pass"]
    verdicts = [
        judge(criterion(at_least=bound), Measured(v, v - half, v + half, 9, 0.05))[0]
        for v in (worse, better)
    ]
    assert order.index(verdicts[0]) <= order.index(verdicts[1])


@given(
    st.lists(st.tuples(st.sampled_from(WORST_FIRST), st.sampled_from(("fail", "warn"))), min_size=1)
)
def test_the_whole_is_never_better_than_what_counts_of_its_parts(parts):
    whole = overall(parts)
    counted = ["warn" if v == "inconclusive" and s == "warn" else v for v, s in parts]
    assert whole in counted
    assert all(WORST_FIRST.index(whole) <= WORST_FIRST.index(one) for one in counted)


def test_nothing_judged_is_no_pass():
    assert overall([]) == "inconclusive"


def test_exit_codes_are_the_documented_ones():
    codes = {verdict: exit_code(verdict) for verdict in WORST_FIRST}
    assert codes == {"pass": 0, "warn": 1, "fail": 1, "inconclusive": 3, "error": 4}
    allowed = {verdict: exit_code(verdict, allow_warn=True) for verdict in WORST_FIRST}
    assert allowed == codes | {"warn": 0}

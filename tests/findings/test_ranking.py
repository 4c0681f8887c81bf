import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate.findings import median_interval, rank, ranking_words

NEVER = math.inf


def dates(*values: float, gap: float = 1.0) -> dict[int, tuple[float, float]]:
    """A date a seed, known up to `gap`; one that never comes is after 100."""
    return {
        seed: (float(value), float(value) - gap if math.isfinite(value) else 100.0)
        for seed, value in enumerate(values)
    }


def by_name(**given):
    return {one.setting: one for one in rank(given, "usual")}


def test_settings_stand_in_the_order_of_their_medians_and_equal_ones_share_a_rank():
    found = rank(
        {"usual": dates(50, 60, 70), "quick": dates(20, 30, 90), "like": dates(60, 60, 60),
         "lost": dates(10, NEVER, NEVER)},
        "usual",
    )  # fmt: skip
    assert [(one.setting, one.rank) for one in found] == [
        ("quick", 1), ("usual", 2), ("like", 2), ("lost", 0),
    ]  # fmt: skip
    assert found[3].value == NEVER
    assert (found[3].reached, found[3].seeds) == (1, 3)


def test_what_never_comes_is_later_than_all_that_comes_and_no_later_than_itself():
    found = by_name(usual=dates(50, NEVER, NEVER), other=dates(NEVER, NEVER, 80))
    assert (found["other"].sooner, found["other"].later, found["other"].same) == (1, 1, 1)


def test_dates_between_the_same_two_recorded_steps_are_not_ordered():
    near, apart = dates(50, 50, gap=10.0), dates(45, 39, gap=10.0)
    found = by_name(usual=near, other=apart)
    assert (found["other"].sooner, found["other"].same) == (1, 1)


def test_six_seeds_of_one_accord_tell_one_setting_apart_and_five_do_not():
    six = by_name(usual=dates(*[50] * 6), other=dates(*[20] * 6))["other"]
    assert six.standing == "sooner"
    assert six.p == pytest.approx(2 / 2**6)
    five = rank({"usual": dates(*[50] * 5), "other": dates(*[20] * 5)}, "usual")
    assert five[0].standing == "not told apart"
    assert "5 seeds are too few to tell 1 settings apart from one; 6 can." in ranking_words(five)


def test_more_comparisons_need_more_seeds():
    usual, other = dates(*[50] * 6), dates(*[20] * 6)
    found = by_name(usual=usual, a=other, b=usual, c=usual)["a"]
    assert found.standing == "not told apart"
    assert found.p == pytest.approx(3 * 2 / 2**6)


def test_only_seeds_of_both_are_compared():
    found = by_name(usual={0: (50.0, 40.0), 1: (50.0, 40.0)}, other={1: (30.0, 20.0)})["other"]
    assert (found.sooner, found.later, found.same, found.seeds) == (1, 0, 0, 1)


def test_words_say_who_is_first_and_who_is_not_told_apart():
    told = " ".join(ranking_words(rank({"usual": dates(50, 50), "b": dates(20, 20)}, "usual")))
    assert "First by the median over seeds: b." in told
    assert "Not told apart from usual: b." in told
    assert "sooner" not in told
    none = ranking_words(rank({"usual": dates(NEVER, NEVER), "b": dates(NEVER, 3)}, "usual"))
    assert none[0] == "No setting gets there in more than half of its seeds."


@given(st.lists(st.sampled_from([10.0, 20.0, 30.0, NEVER]), min_size=6, max_size=9))
@settings(max_examples=10, deadline=None)
def test_a_setting_is_never_told_apart_from_itself(values):
    found = by_name(usual=dates(*values), twin=dates(*values))["twin"]
    assert (found.sooner, found.later) == (0, 0)
    assert found.standing == "not told apart"


def test_a_median_s_interval_holds_in_as_many_draws_as_it_says():
    rng = np.random.default_rng(0)
    held = []
    for _ in range(200):
        low, high = median_interval(rng.exponential(size=8))
        held.append(low <= math.log(2) <= high)
    assert np.mean(held) >= 0.95 - 0.03


def test_a_median_of_five_seeds_has_no_interval_and_one_of_six_may_end_at_never():
    assert all(map(math.isnan, median_interval(np.arange(5.0))))
    assert median_interval(np.array([1.0, 2, 3, 4, 5, NEVER])) == (1, NEVER)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate import BadInput, Schedule


def among(schedule: Schedule, last: int) -> list[int]:
    return [step for step in range(last + 1) if step in schedule]


@given(last=st.integers(1, 5000), data=st.data())
def test_any_schedule_starts_at_0_ends_at_the_last_step_and_has_enough_points(last, data):
    points = data.draw(st.integers(2, min(80, last + 1)))
    steps = Schedule.log_then_linear(last, points).steps
    assert steps[0] == 0
    assert steps[-1] == last
    assert len(steps) >= points
    assert list(steps) == sorted(set(steps))


def test_early_steps_are_dense_and_late_ones_even():
    steps = Schedule.log_then_linear(400, 36).steps
    assert steps[:6] == (0, 1, 2, 3, 4, 5)
    late = np.diff([s for s in steps if s >= 100])
    assert late.max() - late.min() <= 1


@given(last=st.integers(1, 5000), data=st.data())
def test_log_points_are_exactly_as_many_as_asked_for_and_ever_further_apart(last, data):
    points = data.draw(st.integers(2, min(80, last + 1)))
    steps = Schedule.log(points, last).steps
    assert len(steps) == points
    assert (steps[0], steps[-1]) == (0, last)
    gaps = np.diff(steps[1:])
    assert (gaps >= 1).all()
    assert (np.diff(gaps) >= -1).all()  # whole steps round the ratio


def test_log_points_are_powers_where_the_ratio_is_whole():
    assert Schedule.log(6, 16).steps == (0, 1, 2, 4, 8, 16)


def test_log_points_wait_for_the_last_step_and_say_so_where_it_is_not_known():
    waiting = Schedule.log(6)
    with pytest.raises(BadInput, match=r"Schedule.log\(6\) does not know the last step"):
        0 in waiting  # noqa: B015
    assert among(waiting.bound(16), 20) == [0, 1, 2, 4, 8, 16]
    assert among(waiting.bound(16).bound(3), 20) == [0, 1, 2, 3]


def test_every_kth_step_starts_at_0_and_gains_the_last_step_once_it_is_known():
    assert among(Schedule.every(4), 10) == [0, 4, 8]
    assert among(Schedule.every(4).bound(10), 10) == [0, 4, 8, 10]


def test_a_union_reads_where_either_does_and_keeps_the_stricter_budget():
    both = Schedule.at([3]).within(0.5) | Schedule.every(4).within(0.1) | Schedule.at_saves()
    assert among(both, 9) == [0, 3, 4, 8]
    assert both.reads_saves
    assert both.share == 0.1
    assert among((Schedule.log(3) | Schedule.at([2])).bound(9), 9) == [0, 1, 2, 9]


def test_a_budget_and_saves_change_no_step():
    assert among(Schedule.at([1, 5]).within(0.03), 9) == [1, 5]
    assert among(Schedule.at_saves(), 9) == []


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Schedule.log_then_linear(4, 9), "9 recorded points do not fit 4 training steps"),
        (lambda: Schedule.log(9, 4), "9 recorded points do not fit 4 training steps"),
        (lambda: Schedule.log(1), "1 recorded points are no curve"),
        (lambda: Schedule.every(0), "a period of 0 steps is none"),
        (lambda: Schedule.at([3, -1]), "step -1 is below 0"),
        (lambda: Schedule.at([0]).within(0.0), "a budget of 0.0 is no share"),
        (lambda: Schedule.at([0]).within(3.0), "a budget of 3.0 is no share"),
    ],
)
def test_what_cannot_be_scheduled_is_refused(make, said):
    with pytest.raises(BadInput, match=said):
        make()

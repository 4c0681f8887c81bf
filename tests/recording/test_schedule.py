import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate import BadInput, Schedule


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


def test_more_points_than_steps_are_refused():
    with pytest.raises(BadInput, match="9 recorded points do not fit 4 training steps"):
        Schedule.log_then_linear(4, 9)

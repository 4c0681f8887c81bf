"""What a run's journal says of the training behind it."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate import Run
from nucleate.runs import Journal
from nucleate.runs._status import status_of
from small import material


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal.jsonl")


def lines(journal: Journal, *times: float, kind: str = "step", **fields: object) -> None:
    for time in times:
        journal.append(kind, **{"step": 1, **fields, "time": float(time)})


@pytest.mark.parametrize(("age", "status"), [(59, "running"), (61, "stopped")])
def test_a_run_of_quick_steps_counts_as_stopped_after_a_minute(journal, age, status):
    lines(journal, *range(100, 200))
    assert status_of(journal, 199.0 + age) == status


@pytest.mark.parametrize(("age", "status"), [(1499, "running"), (1501, "stopped")])
def test_a_run_of_slow_steps_is_given_five_of_its_usual_gaps(journal, age, status):
    lines(journal, *range(0, 9000, 300))
    lines(journal, 8700.5)
    assert status_of(journal, 8700.5 + age) == status


def test_a_pause_between_two_sessions_makes_nobody_wait(journal):
    lines(journal, *range(5))
    lines(journal, 5, kind="event", name="recording")
    lines(journal, 90_000, 90_001)
    assert status_of(journal, 90_010.0) == "running"
    assert status_of(journal, 90_062.0) == "stopped"


def test_a_session_that_was_killed_makes_nobody_wait_for_the_next_one(journal):
    lines(journal, 5)
    lines(journal, 90_000, kind="heartbeat", first=True)
    assert status_of(journal, 90_050.0) == "running"
    assert status_of(journal, 90_062.0) == "stopped"


def test_what_is_written_late_after_recording_failed_does_not_look_alive(journal):
    lines(journal, 1, kind="heartbeat", first=True)
    lines(journal, 2, kind="event", name="recording failed")
    lines(journal, 3)
    assert status_of(journal, 4.0) == "failed"
    lines(journal, 4, kind="event", name="recording")
    assert status_of(journal, 4.5) == "failed"
    lines(journal, 5, kind="heartbeat", first=True)
    assert status_of(journal, 6.0) == "running"


def test_parts_that_follow_the_end_leave_it_the_end_and_later_steps_do_not(journal):
    lines(journal, 1, kind="run_end", step=9)
    lines(journal, 2, kind="part", name="panel", step=9)
    assert status_of(journal, 3.0) == "finished"
    lines(journal, 3, kind="heartbeat", step=10)
    assert status_of(journal, 4.0) == "running"


def test_a_rewind_before_the_end_voids_the_end(journal):
    lines(journal, 1, kind="run_end", step=9)
    journal.append("rewind", to=5, time=2.0)
    assert status_of(journal, 100.0) == "stopped"


def test_the_last_sign_is_the_time_of_the_last_line_whatever_it_is(tmp_path):
    run = Run.create(tmp_path / "run", material()[2], {})
    assert run.last_sign is None
    assert run.status == "stopped"
    lines(run.journal, 5.0, 7.0)
    run.journal.append("rewind", to=0, time=8.5)
    assert Run(run.path).last_sign == 8.5


@given(st.lists(st.tuples(st.sampled_from(["step", "event", "rewind", "run_end", "heartbeat"]),
                          st.integers(0, 5), st.floats(0, 1e3)), max_size=30),
       st.floats(0, 1e6), st.floats(0, 1e6))  # fmt: skip
def test_what_has_stopped_or_finished_never_comes_alive_by_waiting(records, now, later):
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal.jsonl")
        for kind, step, time in records:
            where = {"to": step} if kind == "rewind" else {"step": step}
            journal.append(kind, name="recording", first=bool(step % 2), **where, time=time)
        before, after = status_of(journal, now), status_of(journal, now + later)
    assert after == before or (before, after) == ("running", "stopped")

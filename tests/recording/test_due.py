"""Whatever steps a training shows: each due one is read once, at the first not before it."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nucleate import BadInput, Recorder, Run, Schedule
from nucleate.activations import read
from small import material, model

READ = "nucleate.recording._recorder.read"
QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def quick(monkeypatch):
    """A reading costs nothing: what is tested here is when they are taken."""
    reading = read(model(), material()[2])
    monkeypatch.setattr(READ, lambda *_: reading)
    return model()


def account(folder) -> dict:
    return list(Run(folder).journal.live("event"))[-1]


# How a schedule is made, and of what; it is made in the test.
kinds = st.one_of(
    st.tuples(st.just("at"), st.tuples(st.lists(st.integers(0, 40), max_size=6))),
    st.tuples(st.just("every"), st.tuples(st.integers(1, 9))),
    st.tuples(st.just("log"), st.tuples(st.integers(2, 9))),
    st.tuples(st.just("log"), st.tuples(st.integers(2, 8), st.integers(8, 30))),
)


def made(kind) -> Schedule:
    name, given_ = kind
    return getattr(Schedule, name)(*given_)


@QUICK
@given(
    one=kinds, other=kinds, shown=st.sets(st.integers(0, 40), min_size=1),
    known=st.integers(0, 45), twice=st.booleans(), finishes=st.booleans(),
)  # fmt: skip
def test_each_due_step_is_read_at_the_first_one_that_comes_or_is_on_record_as_missed(
    tmp_path_factory, quick, one, other, shown, known, twice, finishes
):
    schedule = (made(one) | made(other)).bound(known).within(None)
    shown, folder = sorted(shown), tmp_path_factory.mktemp("due") / "run"
    with Recorder(folder, material()[2], schedule) as recorder:
        for step in shown:
            for _ in range(1 + twice):
                recorder.step(quick, step)
        if finishes:
            recorder.finish(quick, shown[-1])
    assert recorder.error is None
    due = [step for step in range(46) if step in schedule]
    expected = {min(s for s in shown if s >= d) for d in due if d <= shown[-1]}
    if finishes and schedule.reads_last:
        expected.add(shown[-1])
    run = Run(folder)
    assert run.steps == sorted(expected)
    snapshots = [record["step"] for record in run.journal.live("snapshot")]
    assert len(snapshots) == len(set(snapshots))
    fixed = [step for step in due if not any(step % p == 0 for p in schedule.periods)]
    late = {step for step in fixed if step > shown[-1]}
    if finishes:
        assert late <= set(recorder.missed)
        assert account(folder)["missed"] == recorder.missed
    for was_due, was_read in recorder.moved.items():
        assert was_due in due
        assert was_read in expected
        assert not [step for step in shown if was_due <= step < was_read]
    moved_to = {min(s for s in shown if s >= d) for d in due if d <= shown[-1] and d not in shown}
    assert moved_to - set(due) <= set(recorder.moved.values())


@QUICK
@given(
    kind=kinds, before=st.sets(st.integers(0, 20), min_size=1), back=st.integers(0, 20),
    after=st.sets(st.integers(0, 40), min_size=1),
)  # fmt: skip
def test_a_resumed_training_reads_what_is_due_once(
    tmp_path_factory, quick, kind, before, back, after
):
    schedule = made(kind).bound(40).within(None)
    folder = tmp_path_factory.mktemp("due") / "run"
    before = sorted(before)
    start = min(back, before[-1])
    after = [start, *sorted(step for step in after if step > start)]
    for shown in (before, after):
        with Recorder(folder, material()[2], schedule) as recorder:
            for step in shown:
                recorder.step(quick, step)
        assert recorder.error is None
    # What happened in the end: the steps up to the resumption, and those after it.
    shown = [step for step in before if step < start] + after
    due = [step for step in range(41) if step in schedule and step <= shown[-1]]
    read_at = Run(folder).steps
    for step in due:
        coming = min(s for s in shown if s >= step)
        assert any(step <= s <= coming for s in read_at), (step, shown, read_at)
    assert set(read_at) <= set(shown) | {s for s in before if s <= start}


def test_steps_of_two_optimizers_are_read_at_the_first_one_after_a_due_one(tmp_path, quick):
    with Recorder(tmp_path / "run", material()[2], Schedule.every(3).within(None)) as recorder:
        for step in range(0, 25, 2):
            recorder.step(quick, step)
    assert Run(tmp_path / "run").steps == [0, 4, 6, 10, 12, 16, 18, 22, 24]
    assert recorder.moved == {3: 4, 9: 10, 15: 16, 21: 22}
    assert account(tmp_path / "run")["moved"] == [[3, 4], [9, 10], [15, 16], [21, 22]]


def test_a_training_that_begins_late_reads_its_first_step_for_all_before(tmp_path, quick):
    with Recorder(tmp_path / "run", material()[2], Schedule.at([0, 10, 300])) as recorder:
        recorder.step(quick, 200)
        recorder.step(quick, 201)
    assert Run(tmp_path / "run").steps == [200]
    assert recorder.moved == {10: 200}


def test_the_last_step_of_a_training_that_ends_early_is_read_where_it_is_asked_for(
    tmp_path, quick, caplog
):
    for name, schedule, read_at, missed in (
        ("log", Schedule.log(5, 100), [0, 1, 5, 7], [22, 100]),
        ("every", Schedule.every(5).bound(100), [0, 5, 7], [100]),
        ("at", Schedule.at([0, 50]), [0], [50]),
        ("saves", Schedule.at_saves(), [], []),
    ):
        with Recorder(tmp_path / name, material()[2], schedule.within(None)) as recorder:
            for step in range(8):
                recorder.step(quick, step)
            recorder.finish(quick, 7)
        run = Run(tmp_path / name)
        assert run.steps == read_at
        assert run.status == "finished"
        assert recorder.missed == account(tmp_path / name)["missed"] == missed
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 3
    assert "ended at step 7, before 2 due ones" in told[0]


def test_a_last_step_that_nobody_shows_is_on_record_as_missed(tmp_path, quick, caplog):
    with Recorder(tmp_path / "run", material()[2], Schedule.every(5).within(None)) as recorder:
        for step in range(8):
            recorder.step(quick, step)
        recorder.close(end=7)
        assert recorder.missed == [7]
    assert "last step 7 was not read" in caplog.text


def test_a_training_that_goes_on_after_its_end_has_not_ended(tmp_path, quick):
    with Recorder(tmp_path / "run", material()[2], Schedule.every(5).within(None)) as recorder:
        recorder.step(quick, 0)
        recorder.finish(quick, 3)
        recorder.step(quick, 4)
    run = Run(tmp_path / "run")
    assert run.steps == [0, 3]
    assert run.status == "stopped"


def test_a_training_that_starts_over_with_the_same_recorder_is_another_session(tmp_path):
    first, second = model(seed=0), model(seed=5)
    recorder = Recorder(tmp_path / "run", material()[2], Schedule.every(1).within(None))
    for step in range(3):
        recorder.step(first, step)
    with pytest.raises(BadInput, match="another model at step 0"):
        recorder.step(second, 0)
    run = Run(tmp_path / "run")
    assert run.steps == [0, 1, 2]
    assert torch.equal(run.states(2).values, read(first, run.prompts).states.values.half())


@pytest.mark.parametrize("step", [-1, True])
def test_a_step_that_is_none_is_refused_in_one_sentence(tmp_path, quick, step):
    recorder = Recorder(tmp_path / "run", material()[2], Schedule.every(5))
    with pytest.raises(BadInput, match="a step is a whole number from 0 on"):
        recorder.step(quick, step)

"""What recording takes of a training, and what it reads for that."""

from itertools import pairwise

import pytest

from nucleate import Recorder, Run, Schedule
from nucleate.activations import read
from small import material, model

READ = "nucleate.recording._recorder.read"


def train(folder, clock, monkeypatch, schedule, *, steps, step_takes, reading_takes, ends=None):
    """A training of so many steps, in which each step and each reading takes so many seconds."""
    net = model()
    reading = read(net, material()[2])
    taken = iter([3 * reading_takes])  # the first reading of a process is slow

    def slow(*_: object):
        clock.now += next(taken, reading_takes)
        return reading

    monkeypatch.setattr(READ, slow)
    with Recorder(folder, material()[2], schedule.bound(steps)) as recorder:
        recorder.step(net, 0)
        for step in range(1, (ends or steps) + 1):
            clock.now += step_takes * (20 if step == 1 else 1)  # and so is its first step
            recorder.step(net, step)
        recorder.finish(net, step)
    return recorder, [r for r in Run(folder).journal.live("event") if r["name"] == "recording"][-1]


@pytest.mark.parametrize("reading_takes", [0.1, 0.9, 3.0])
def test_a_short_training_spends_a_twentieth_of_its_time_and_has_its_ends_read(
    tmp_path, clock, monkeypatch, reading_takes, caplog
):
    recorder, account = train(
        tmp_path / "run", clock, monkeypatch, Schedule.log(40), steps=1200, step_takes=1.0,
        reading_takes=reading_takes,
    )  # fmt: skip
    steps = Run(tmp_path / "run").steps
    assert (steps[0], steps[-1]) == (0, 1200)
    assert account["share"] <= 0.05
    if reading_takes < 1:  # all but the earliest, before anything was earned
        assert set(Schedule.log(40).bound(1200)._fixed[20:]) <= set(steps)
        return
    # Nothing is left over that would have paid for another reading.
    assert account["share"] > 0.05 - 3 * reading_takes / 1200
    due = Schedule.log(40).bound(1200)._fixed
    assert sorted([*steps, *recorder.skipped]) == list(due)
    assert account["skipped"] == recorder.skipped
    [told] = [record.getMessage() for record in caplog.records]
    assert f"{len(recorder.skipped)} of 40 due steps were not read" in told
    assert "5% of the training's own time (schedule.within(None)" in told


def test_what_a_budget_leaves_is_spread_over_the_schedule_and_not_at_its_end(
    tmp_path, clock, monkeypatch
):
    train(
        tmp_path / "run", clock, monkeypatch, Schedule.log(40), steps=1200, step_takes=1.0,
        reading_takes=2.5,
    )  # fmt: skip
    due = list(Schedule.log(40).bound(1200)._fixed)
    places = [due.index(step) for step in Run(tmp_path / "run").steps]
    assert 16 <= len(places) <= 24
    # From the first one that can be afforded on, no part of the curve is left out.
    assert places[1] <= 20
    assert max(after - before for before, after in pairwise(places[1:])) <= 3


@pytest.mark.parametrize("ends", [50, 200])
def test_a_training_that_stops_early_has_not_spent_what_it_did_not_earn(
    tmp_path, clock, monkeypatch, ends
):
    recorder, _ = train(
        tmp_path / "run", clock, monkeypatch, Schedule.log(40), steps=10_000, step_takes=1.0,
        reading_takes=1.0, ends=ends,
    )  # fmt: skip
    # Borrowing stops at four times the share; the first reading and the last come what may.
    assert recorder.seconds - 3.0 - 1.0 <= 4 * 0.05 * (ends + 20) + 1.0
    assert Run(tmp_path / "run").steps[-1] == ends


def test_a_training_of_seconds_is_read_whole(tmp_path, clock, monkeypatch):
    recorder, account = train(
        tmp_path / "run", clock, monkeypatch, Schedule.log(20), steps=100, step_takes=0.01,
        reading_takes=0.02,
    )  # fmt: skip
    assert recorder.skipped == []
    assert account["share"] > 0.05
    assert account["readings"] == 20


@pytest.mark.parametrize(
    "schedule",
    [Schedule.log(40).within(None), Schedule.at(range(40)), Schedule.every(5), Schedule.log(40)],
)
def test_only_a_schedule_with_a_budget_skips_anything(tmp_path, clock, monkeypatch, schedule):
    recorder, _ = train(
        tmp_path / "run", clock, monkeypatch, schedule, steps=100, step_takes=0.1,
        reading_takes=5.0,
    )  # fmt: skip
    assert (recorder.skipped == []) == (schedule.share is None)


def test_the_default_schedule_is_log_within_a_twentieth(tmp_path):
    recorder = Recorder(tmp_path / "run", material()[2])
    assert recorder.schedule == Schedule.log(40)
    assert recorder.schedule.share == 0.05

"""Alarms while a recorder reads a training: told, kept in the journal, and void after a rewind."""

import logging

import pytest
import torch

from made_trainings import AT, PLACES, STEPS, healthy, prompts, readings, run, series
from nucleate import Run
from nucleate.monitor.alarms import (
    AlarmObserver,
    alarms_of,
    healthy_checkpoint,
    recorded_alarms,
    standard,
)
from nucleate.recording import Observer


def watched(tmp_path, fault=None, *, to=STEPS[-1], **settings):
    """An observer that has seen a training, as a recorder calls it, and what it said."""
    observer = AlarmObserver(places=PLACES, references=healthy(), **settings)
    where = Run.create(tmp_path / "run", prompts(), {})
    observer.begin(where, 0)
    said = []
    for step, states, scores in readings(100, fault):
        if step > to:
            break
        observer.log(step, {"loss": float(scores["nll"].mean())})
        events = observer.reading(step, states, scores, {})
        where.save_snapshot(step, states, scores)
        for event in events:
            where.journal.append("event", **{**event, "step": step})
            said.append(event)
    return observer, where, said


def test_the_alarms_are_those_of_the_series(tmp_path):
    observer, _, said = watched(tmp_path, "forgotten")
    assert isinstance(observer, Observer)
    assert observer.alarms == alarms_of(series(100, "forgotten"), standard(healthy()))
    assert [event["name"] for event in said] == ["alarm"] * len(observer.alarms)
    assert "t2" in observer.alarms[0].tasks


def test_a_healthy_training_is_left_alone(tmp_path):
    observer, _, said = watched(tmp_path)
    assert (observer.alarms, said) == ([], [])


def test_alarms_in_the_journal_are_read_back_and_a_rewind_voids_them(tmp_path):
    observer, where, _ = watched(tmp_path, "forgotten")
    assert recorded_alarms(where) == observer.alarms
    where.journal.append("rewind", to=AT)
    assert recorded_alarms(where.path) == []


def test_a_resumed_training_knows_its_own_past(tmp_path):
    _, where, _ = watched(tmp_path, "forgotten", to=AT)
    again = AlarmObserver(places=PLACES, references=healthy())
    again.begin(Run(where.path), AT)
    assert again.series is not None
    assert again.series.steps[-1] == AT
    for step, states, scores in readings(100, "forgotten"):
        if step > AT:
            again.reading(step, states, scores, {"loss": 1.0})
    assert again.alarms[0].step == AT + 20


def test_everybody_is_told_and_one_who_raises_no_more(tmp_path, caplog):
    told = []

    def broken(alarm):
        raise RuntimeError("no line")

    with caplog.at_level(logging.ERROR, "nucleate"):
        observer, _, _ = watched(tmp_path, "nan", notify=[broken, told.append])
    assert told == observer.alarms
    assert sum("told of no further alarm" in record.message for record in caplog.records) == 1


def test_the_checkpoint_from_before_what_the_alarm_is_about_is_named(tmp_path):
    observer, where, _ = watched(tmp_path, "merged")
    first = observer.alarms[0].step
    assert first == AT + 20
    saved = [40, 80, AT, AT + 10]
    assert healthy_checkpoint(where, checkpoints=saved) == AT
    assert healthy_checkpoint(where, checkpoints=[AT + 10]) is None
    assert healthy_checkpoint(where, []) is None
    assert healthy_checkpoint(where) is None  # the folder holds none


def test_of_what_is_not_finite_the_reading_before_is_healthy(tmp_path):
    _, where, _ = watched(tmp_path, "nan")
    assert healthy_checkpoint(where, checkpoints=[AT - 10, AT, AT + 10]) == AT


def test_a_recorder_lets_it_watch_a_real_training_and_losses_come_from_the_journal(tmp_path):
    from nucleate import Recorder, Schedule
    from small import material, model

    observer = AlarmObserver(places=[("block.1", "last")])
    where = Run.create(tmp_path / "run", material()[2], {})
    net = model().train()
    with Recorder(where, None, Schedule.every(2).within(None), observers=[observer]) as recorder:
        for step in range(9):
            if step == 6:
                with torch.no_grad():
                    next(net.parameters()).fill_(torch.nan)
            if step:
                where.journal.append("step", step=step, first=step, losses=[1.0 / step])
            recorder.step(net, step)
    assert observer.series is not None
    at = [column.statistic for column in observer.series.columns].index("training loss")
    losses = observer.series.values[:, at]
    assert losses[1] == pytest.approx(torch.tensor((1 + 1 / 2) / 2).log().item())
    assert [(alarm.kind, alarm.step) for alarm in observer.alarms] == [("not finite", 6)]
    assert recorded_alarms(where.path) == observer.alarms


def test_references_of_other_prompts_switch_it_off_and_leave_the_recording(tmp_path, caplog):
    from nucleate import Recorder, Schedule
    from small import material, model

    observer = AlarmObserver(references=healthy(), places=[("block.1", "last")])
    with Recorder(
        tmp_path / "run", material()[2], Schedule.every(1).within(None), observers=[observer]
    ) as recorder:
        recorder.step(model(), 0)
        recorder.step(model(), 1)
    assert recorder.error is None
    assert Run(tmp_path / "run").steps == [0, 1]
    assert sum("other prompts" in str(r.exc_info) for r in caplog.records if r.exc_info) == 1


def test_a_run_folder_gives_the_same_series_as_its_readings(tmp_path):
    from nucleate.monitor.alarms import series_of

    made = run(tmp_path / "run", 7)
    found, expected = series_of(made.path, PLACES), series(7)
    assert found.columns == expected.columns
    close = torch.allclose(
        torch.tensor(found.values), torch.tensor(expected.values), atol=2e-2, equal_nan=True
    )
    assert close  # states are kept in half precision

import errno

import pytest
import torch

from nucleate import Recorder, Run, Schedule, capture
from small import material, model


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", material()[2], {})


def test_exactly_the_scheduled_steps_are_recorded_with_what_capture_reads(run):
    net = model()
    with Recorder(run, None, Schedule.at([0, 2])) as recorder:
        for step in range(4):
            recorder.step(net, step)
    assert Run(run.path).steps == [0, 2]
    assert torch.equal(run.states(2).values, capture(net, run.probe).values.half())


def test_a_step_that_is_recorded_is_not_read_again(run):
    for _ in range(2):
        with Recorder(run, None, Schedule.at([0])) as recorder:
            recorder.step(model(), 0)
    assert len(list(run.journal.live("snapshot"))) == 1


def test_after_a_rewind_later_steps_are_recorded_anew(run):
    with Recorder(run, None, Schedule.at([0, 1, 2])) as recorder:
        for step in range(3):
            recorder.step(model(), step)
        recorder.flush()
        recorder.rewind(1)
        assert run.steps == [0, 1]
        other = model(seed=5)
        recorder.step(other, 2)
    assert torch.equal(run.states(2).values, capture(other, run.probe).values.half())


def test_a_full_disk_switches_recording_off_and_is_told(run, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Recorder(run, None, Schedule.at(range(20))) as recorder:
        monkeypatch.setattr(run, "commit_snapshot", full)
        for step in range(20):
            recorder.step(model(), step)
        recorder.flush()
        assert recorder.error is not None
        assert not recorder.due(19)
    assert run.steps == []

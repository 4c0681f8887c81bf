"""What becomes of a recording when others write into its folder, or do something to it."""

import gc
import os
import pickle
import resource
import shutil
import subprocess
import sys

import pytest
import torch

from nucleate import BadInput, Recorder, Run, Schedule
from small import material, model

EVERY = Schedule.every(1).within(None)


def bytes_of(folder) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in folder.rglob("*") if path.is_file() and path.name != "writer.lock"
    }  # fmt: skip


@pytest.fixture
def recorder(tmp_path):
    """One that has read step 0 and goes on."""
    recorder = Recorder(tmp_path / "run", material()[2], EVERY)
    recorder.step(model(), 0)
    recorder.flush()
    yield recorder
    recorder.close()


def test_a_second_recorder_is_refused_while_a_first_one_records(recorder, tmp_path):
    waiting = pickle.loads(pickle.dumps(recorder))
    with pytest.raises(BadInput, match=rf"written by process {os.getpid()} on .*call close\(\)"):
        Recorder(tmp_path / "run", material()[2], EVERY)
    before = bytes_of(tmp_path)
    with pytest.raises(BadInput, match="is being written by"):
        waiting.step(model(seed=5), 0)
    waiting.log(3, loss=1.0)
    waiting.close()
    assert bytes_of(tmp_path) == before
    recorder.step(model(), 1)
    recorder.close()
    Recorder(tmp_path / "run", material()[2], EVERY).close()
    assert Run(tmp_path / "run").steps == [0, 1]


def test_a_recorder_that_was_made_but_never_used_keeps_nobody_out(tmp_path):
    idle = Recorder(tmp_path / "run", material()[2], EVERY)
    with Recorder(tmp_path / "run", material()[2], EVERY) as recorder:
        recorder.step(model(), 0)
        with pytest.raises(BadInput, match="is being written by"):
            idle.step(model(), 0)
    assert not (tmp_path / "run" / "writer.lock").exists()


def test_a_recorder_that_nobody_can_reach_any_more_keeps_nobody_out(tmp_path):
    def train() -> None:
        recorder = Recorder(tmp_path / "run", material()[2], EVERY)
        recorder.itself = recorder  # as a trainer and its callbacks hold each other
        recorder.step(model(), 0)
        raise InterruptedError

    gc.disable()
    try:
        with pytest.raises(InterruptedError):
            train()
        with Recorder(tmp_path / "run", material()[2], EVERY) as recorder:
            recorder.step(model(), 0)
            recorder.step(model(), 1)
    finally:
        gc.enable()
    assert Run(tmp_path / "run").steps == [0, 1]


def test_a_killed_training_is_gone_on_with_at_once(tmp_path, caplog):
    code = (
        "import sys, os, signal; sys.path.insert(0, 'tests')\n"
        "import nucleate as nc; from small import material, model\n"
        "recorder = nc.Recorder(sys.argv[1], material()[2], nc.Schedule.at(range(9)))\n"
        "recorder.step(model(), 0); recorder.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "run"], check=False)
    assert (tmp_path / "run" / "writer.lock").exists()
    with Recorder(tmp_path / "run", material()[2], EVERY) as recorder:
        recorder.step(model(), 0)
        recorder.step(model(), 1)
    assert Run(tmp_path / "run").steps == [0, 1]
    assert caplog.text.count("taking over from process") == 1


def test_a_forked_child_cannot_write_into_its_parents_run_and_does_not_disturb_it(
    recorder, tmp_path
):
    child = os.fork()
    if child == 0:
        refused = 0
        try:
            recorder.step(model(), 1)
        except BadInput:
            refused += 1
        recorder.log(1, loss=1.0)
        recorder.close()
        os._exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    recorder.step(model(), 1)
    recorder.close()
    run = Run(tmp_path / "run")
    assert run.steps == [0, 1]
    assert not list(run.journal.live("step"))


@pytest.mark.parametrize("what", ["renamed", "removed", "replaced"])
def test_a_run_that_is_moved_ends_its_recording_with_one_warning(recorder, tmp_path, what, caplog):
    run, old = tmp_path / "run", tmp_path / "old"
    run.rename(old)
    if what == "removed":
        shutil.rmtree(old)
    if what == "replaced":
        Run.create(run, material()[2], {})
    before = bytes_of(tmp_path)
    net = model().train()
    for step in range(1, 9):
        recorder.step(net, step, loss=1.0)
        recorder.log(step, loss=1.0)
    recorder.saved(net, 9)
    recorder.close(end=9)
    assert isinstance(recorder.error, FileNotFoundError)
    assert len(caplog.records) == 1
    assert bytes_of(tmp_path) == before
    assert run.exists() == (what == "replaced")
    if what == "renamed":
        assert Run(old).steps == [0]


@pytest.fixture
def no_space():
    """Files cannot grow beyond some size, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_disk_that_fills_up_ends_recording_and_leaves_a_run_that_can_be_read(
    recorder, tmp_path, no_space, caplog
):
    run = tmp_path / "run"
    recorder.step(model(), 1)
    recorder.flush()
    no_space((run / "states" / "0.safetensors").stat().st_size // 2)
    for step in range(2, 9):
        recorder.step(model(), step)
    recorder.close(end=8)
    assert isinstance(recorder.error, OSError)
    assert Run(run).steps == [0, 1]
    assert torch.equal(Run(run).states(1).values, Run(run).states(0).values)
    assert not list(run.rglob("*.partial"))
    assert len(caplog.records) == 1


def test_a_folder_that_cannot_be_written_is_said_before_the_work(tmp_path, monkeypatch):
    Recorder(tmp_path / "run", material()[2], EVERY).close()
    opens = os.open

    def read_only(path, flags, *rest, **others):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(30, "Read-only file system", str(path))
        return opens(path, flags, *rest, **others)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(BadInput, match=r"run cannot be written \(Read-only file system\); name an"):
        Recorder(tmp_path / "run", material()[2], EVERY)


def test_a_diverged_training_is_recorded_to_its_end(tmp_path):
    net = model()
    with Recorder(tmp_path / "run", material()[2], EVERY) as recorder:
        for step in range(4):
            if step == 2:
                with torch.no_grad():
                    net.model.layers[1].mlp.down_proj.weight[0, 0] = torch.nan
            recorder.step(net, step)
        recorder.finish(net, 3)
    assert recorder.error is None
    run = Run(tmp_path / "run")
    assert run.steps == [0, 1, 2, 3]
    assert run.states(1).values.isfinite().all()
    assert run.states(3).at("block.0", "last").isfinite().all()
    assert run.states(3).at("block.1", "last").isnan().any()
    assert ["not_finite" in record for record in run.journal.live("snapshot")] == [
        False, False, True, True,
    ]  # fmt: skip

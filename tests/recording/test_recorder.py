import errno
import itertools
import logging
import pickle
import subprocess
import sys
import threading
from functools import partial

import pytest
import torch

from nucleate import (
    BadInput,
    Recorder,
    Run,
    Schedule,
    capture,
)
from nucleate.activations import read
from nucleate.prompts import PromptSet
from small import material, model

READ = "nucleate.recording._recorder.read"
EVERY = Schedule.every(1).within(None)  # the machine that tests run on may be slow


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", material()[2], {})


def other_prompts() -> PromptSet:
    taskset, encoder, _ = material()
    return PromptSet.from_taskset(taskset, encoder, rows=24, seed=5)


def record(where, steps, nets, *, prompts=None, schedule=None):
    """One session: at each of `steps` the net of the same place is shown."""
    schedule = schedule or EVERY
    with Recorder(where, prompts, schedule) as recorder:
        for step, net in zip(steps, nets, strict=True):
            recorder.step(net, step)
    return recorder


def stored(net, prompts) -> torch.Tensor:
    return capture(net, prompts).values.half()


def bytes_of(folder) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def events(run: Run, name: str) -> list[dict]:
    return [record for record in Run(run.path).journal.live("event") if record["name"] == name]


# What is recorded


def test_exactly_the_scheduled_steps_are_recorded_with_what_capture_reads(run):
    net = model()
    with Recorder(run, None, Schedule.at([0, 2])) as recorder:
        for step in range(4):
            recorder.step(net, step)
    assert Run(run.path).steps == [0, 2]
    assert torch.equal(run.states(2).values, stored(net, run.prompts))
    assert run.rows(2).keys() == {"correct", "nll", "predicted"}


def test_a_path_becomes_a_run_and_is_gone_on_with(tmp_path):
    prompts, net = material()[2], model()
    record(tmp_path / "a", [0], [net], prompts=prompts)
    record(str(tmp_path / "a"), [1], [net], prompts=prompts)
    run = Run(tmp_path / "a")
    assert run.steps == [0, 1]
    assert run.manifest["name"] == "a"
    assert run.prompts.content_hash() == prompts.content_hash()


def test_a_folder_of_other_prompts_is_refused(run):
    for where in (run, run.path):
        with pytest.raises(BadInput, match="holds a run of other prompts"):
            Recorder(where, other_prompts(), Schedule.at([0]))


def test_a_path_without_prompts_and_a_path_that_is_a_file_are_refused(tmp_path):
    with pytest.raises(BadInput, match="needs a prompt set"):
        Recorder(tmp_path / "new", None, Schedule.at([0]))
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"file cannot hold a run"):
        Recorder(tmp_path / "file", material()[2], Schedule.at([0]))


def test_scalars_are_kept_with_readings_only_and_looked_at_for_readings_only(run):
    class Costly:
        def __float__(self) -> float:
            raise AssertionError("converted although nothing was read")

    with Recorder(run, None, Schedule.at([0, 2])) as recorder:
        recorder.step(model(), 0, loss=torch.tensor(1.5, requires_grad=True), rate=3)
        recorder.step(model(), 1, loss=Costly())
        recorder.step(model(), 2, loss=float("nan"), rate=0.5)
    kept = [(r["step"], r.get("loss"), r.get("rate")) for r in run.journal.live("step")]
    assert kept == [(0, 1.5, 3.0), (2, None, 0.5)]


def test_numbers_can_be_logged_between_readings(run):
    with Recorder(run, None, Schedule.at([])) as recorder:
        recorder.log(7, loss=0.25, norm=float("inf"))
    [kept] = run.journal.live("step")
    assert kept == {"kind": "step", "time": kept["time"], "step": 7, "loss": 0.25}


def test_a_save_is_read_if_the_schedule_says_so_and_never_twice(run):
    with Recorder(run, None, Schedule.at_saves() | Schedule.at([4])) as recorder:
        recorder.saved(model(), 2)
        recorder.step(model(), 4)
        recorder.saved(model(), 4)
    with Recorder(run, None, Schedule.at([])) as recorder:
        recorder.saved(model(), 6)
    assert run.steps == [2, 4]
    assert len(list(run.journal.live("snapshot"))) == 2


def test_what_was_read_before_a_save_is_on_disk_after_it(run):
    with Recorder(run, None, EVERY) as recorder:
        for step in range(3):
            recorder.step(model(), step)
        recorder.saved(model(), 3)
        assert Run(run.path).steps == [0, 1, 2]


# Going on with a run


def test_a_step_that_is_recorded_is_not_recorded_again(run):
    for _ in range(2):
        record(run, [0], [model()])
    assert len(list(run.journal.live("snapshot"))) == 1
    assert not list(run.journal.live("rewind"))


def test_after_a_rewind_later_steps_are_recorded_anew(run):
    with Recorder(run, None, Schedule.at([0, 1, 2])) as recorder:
        for step in range(3):
            recorder.step(model(), step)
        recorder.rewind(1)
        assert run.steps == [0, 1]
        other = model(seed=5)
        recorder.step(other, 2)
    assert torch.equal(run.states(2).values, stored(other, run.prompts))


def test_a_training_that_goes_on_from_an_earlier_step_voids_what_came_after_by_itself(run):
    record(run, range(4), [model()] * 4)
    other = model(seed=5)
    record(run, [1, 2], [model(), other])
    assert run.steps == [0, 1, 2]
    assert torch.equal(run.states(2).values, stored(other, run.prompts))
    assert [r["to"] for r in run.journal.live("rewind")] == [1]


def test_another_seed_in_an_old_folder_is_refused_and_changes_no_byte(run):
    record(run, range(3), [model()] * 3)
    before = bytes_of(run.path)
    with Recorder(run.path, run.prompts, EVERY) as recorder:
        for step in range(3):
            with pytest.raises(
                BadInput, match=r"another model at step 0.* 3 recorded steps up to 2"
            ):
                recorder.step(model(seed=5), step)
            recorder.log(step, loss=1.0)
            assert not recorder.due(step)
    assert bytes_of(run.path) == before


def test_another_seed_replaces_what_is_there_when_that_is_asked_for(run):
    record(run, range(3), [model()] * 3)
    other = model(seed=5)
    recorder = Recorder(run, None, EVERY, overwrite=True)
    assert pickle.loads(pickle.dumps(recorder))._overwrite
    recorder.step(other, 0)
    recorder.close()
    assert run.steps == [0]
    assert torch.equal(run.states(0).values, stored(other, run.prompts))


def finished(run, steps=range(4)) -> Run:
    nets = [model(seed=step) for step in steps]
    recorder = record(run, [], [])
    for step, net in zip(steps, nets, strict=True):
        recorder.step(net, step)
    recorder.close(end=max(steps))
    return Run(run.path)


@pytest.mark.parametrize("step", [0, 1])
def test_a_finished_run_is_not_voided_from_its_start_or_from_a_step_that_it_lacks(run, step):
    there = finished(run, [0, 2, 3])
    assert there.status == "finished"
    before = bytes_of(run.path)
    with (
        Recorder(run.path, run.prompts, EVERY) as recorder,
        pytest.raises(BadInput, match=r"finished training.* 2 recorded steps up to 3"),
    ):
        recorder.step(model(seed=step), step)
    assert isinstance(recorder.error, BadInput)
    assert bytes_of(run.path) == before
    with Recorder(run.path, run.prompts, EVERY, overwrite=True) as recorder:
        recorder.step(model(seed=step), step)
    assert Run(run.path).steps == ([0] if step == 0 else [0, 1])
    assert Run(run.path).status == "stopped"


def test_a_finished_run_is_continued_from_its_end_and_from_a_checkpoint_of_its_own(run):
    finished(run)
    record(run.path, [3, 4], [model(seed=3), model(seed=4)], prompts=run.prompts)
    assert Run(run.path).steps == [0, 1, 2, 3, 4]
    finished(Run(run.path), [4])
    record(run.path, [2, 3], [model(seed=2), model(seed=7)], prompts=run.prompts)
    assert Run(run.path).steps == [0, 1, 2, 3]
    assert torch.equal(Run(run.path).states(3).values, stored(model(seed=7), run.prompts))


@pytest.mark.parametrize(("relative", "same"), [(0.01, True), (0.2, False)])
def test_a_state_that_differs_by_rounding_is_the_same_training_and_is_replaced(run, relative, same):
    net = model()
    record(run, range(3), [net] * 3)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1 + relative)
    if same:
        record(run, [1], [net])
        assert run.steps == [0, 1]
        assert torch.equal(run.states(1).values, stored(net, run.prompts))
        return
    with pytest.raises(BadInput, match="another model at step 1"):
        record(run, [1], [net])


def test_a_refusal_on_one_rank_is_one_on_all(run, monkeypatch):
    record(run, range(3), [model()] * 3)
    monkeypatch.setattr("nucleate.recording._recorder.all_agree", lambda vote: False)
    with pytest.raises(BadInput, match="rank 0 refuses"):
        record(run, [0], [model()])


def test_a_damaged_snapshot_at_the_place_of_resumption_is_recorded_anew(run):
    record(run, [0], [model()])
    (run.path / "states" / "0.safetensors").write_bytes(b"torn")
    record(run, [0], [model()])
    assert torch.equal(run.states(0).values, stored(model(), run.prompts))


def test_a_closed_recorder_goes_on_in_another_sitting(run):
    recorder = record(run, [0, 1], [model()] * 2)
    recorder.step(model(), 1)
    recorder.step(model(), 2)
    recorder.close()
    assert run.steps == [0, 1, 2]
    assert len(events(run, "recording")) == 2


def test_a_copy_made_by_pickle_records_into_the_same_folder(run):
    recorder = record(run, [0], [model()])
    copy = pickle.loads(pickle.dumps(recorder))
    copy.step(model(), 1)
    copy.close()
    assert Run(run.path).steps == [0, 1]


def test_an_exit_without_close_loses_nothing(tmp_path):
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "import time, nucleate as nc; from small import material, model\n"
        "from nucleate.runs import Run\n"
        "commit = Run.commit_snapshot\n"
        "Run.commit_snapshot = lambda *args: (time.sleep(0.3), commit(*args))\n"
        "every = nc.Schedule.at([0, 1, 2])\n"
        f"recorder = nc.Recorder({str(tmp_path / 'run')!r}, material()[2], every)\n"
        "for step in range(3): recorder.step(model(), step)\n"
        "raise SystemExit(3)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert Run(tmp_path / "run").steps == [0, 1, 2]


# Signs of life


def test_a_quick_training_leaves_one_heartbeat_and_a_slow_one_one_every_ten_seconds(
    run, monkeypatch
):
    now = [1000.0]
    monkeypatch.setattr("nucleate.runs._journal.time.monotonic", lambda: now[0])
    with Recorder(run, None, Schedule.at([])) as recorder:
        for step in range(100):
            recorder.step(model(), step)
        assert [r["step"] for r in run.journal.live("heartbeat")] == [0]
        for step in range(100, 200):
            now[0] += 1.0
            (recorder.log if step % 2 else partial(recorder.step, model()))(step)
    beats = [r["step"] for r in run.journal.live("heartbeat")]
    assert beats == [0, *range(110, 200, 11)]


def test_a_run_is_running_while_it_is_recorded_and_stopped_when_the_recorder_is_closed(run):
    assert Run(run.path).status == "stopped"
    recorder = Recorder(run.path, run.prompts, Schedule.at([]))
    recorder.step(model(), 0)
    assert Run(run.path).status == "running"
    recorder.close()
    assert Run(run.path).status == "stopped"
    recorder.step(model(), 1)
    assert Run(run.path).status == "running"
    recorder.close(end=1)
    assert Run(run.path).status == "finished"


def test_a_run_whose_recording_failed_says_so_though_the_training_goes_on(run, monkeypatch):
    recorder = Recorder(run.path, run.prompts, EVERY)
    recorder.step(model(), 0)
    monkeypatch.setattr(READ, breaks(RuntimeError("no")))
    recorder.step(model(), 1)
    recorder.step(model(), 2)
    assert Run(run.path).status == "failed"


# The budget


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_a_budget_is_kept_used_and_accounted_for(run, clock, monkeypatch, share):
    net, costs = model(), itertools.cycle([0.4, 0.2, 0.3])
    reading = read(net, run.prompts)

    def slow(*_: object):
        clock.now += next(costs)
        return reading

    monkeypatch.setattr(READ, slow)
    with Recorder(run, None, Schedule.every(1).within(share)) as recorder:
        for step in range(200):
            recorder.step(net, step)
            clock.now += 0.5
            if step > 2 / share:
                assert recorder.seconds <= share * (clock.now - recorder.seconds) + 1e-9
    account = events(run, "recording")[0]
    assert account["training_seconds"] == pytest.approx(100)
    assert account["share"] == pytest.approx(recorder.seconds / 100)
    # Not a budget of nothing: one more reading would not have fitted.
    assert account["share"] + 0.5 / 100 > share
    assert account["readings"] == len(run.steps)
    assert sorted([*run.steps, *account["skipped"]]) == list(range(200))
    assert run.steps[0] == 0
    assert recorder.skipped == account["skipped"]


def test_without_a_budget_nothing_is_skipped_however_dear(run, clock, monkeypatch):
    def slow(net, prompts):
        clock.now += 100
        return read(net, prompts)

    monkeypatch.setattr(READ, slow)
    recorder = record(run, range(4), [model()] * 4)
    assert run.steps == [0, 1, 2, 3]
    assert recorder.skipped == []
    assert events(run, "recording")[0]["seconds"] == pytest.approx(400)


# What goes wrong


def test_a_model_that_cannot_be_read_fails_at_once(run):
    with Recorder(run, None, Schedule.at([5])) as recorder, pytest.raises(BadInput):
        recorder.step(torch.nn.Linear(2, 2), 0)


def test_prompts_of_another_vocabulary_fails_at_once(run):
    from nucleate.training import ModelConfig, build_model

    tiny = build_model(ModelConfig(depth=1, width=8, heads=1), vocab_size=4, max_length=32, seed=0)
    with Recorder(run, None, Schedule.at([0])) as recorder, pytest.raises(BadInput, match="knows"):
        recorder.step(tiny, 0)


def test_a_schedule_that_needs_the_last_step_fails_at_once(run):
    with (
        Recorder(run, None, Schedule.log(5)) as recorder,
        pytest.raises(BadInput, match="last="),
    ):
        recorder.step(model(), 0)


def breaks(error):
    def broken(*_: object, **__: object):
        raise error

    return broken


@pytest.mark.parametrize("where", [READ, "nucleate.recording._recorder.pack_snapshot"])
@pytest.mark.parametrize("error", [RuntimeError("out of memory"), BadInput("late")])
def test_an_error_while_reading_ends_recording_once_and_not_the_training(
    run, monkeypatch, caplog, where, error
):
    with Recorder(run, None, EVERY) as recorder:
        recorder.step(model(), 0)
        recorder.flush()
        monkeypatch.setattr(where, breaks(error))
        with caplog.at_level(logging.WARNING, "nucleate"):
            for step in range(1, 9):
                recorder.step(model(), step, loss=1.0)
        assert not recorder.due(9)
    assert recorder.error is error
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info[1] is error
    assert Run(run.path).steps == [0]
    assert [r["error"] for r in events(run, "recording failed")] == [repr(error)]
    assert events(run, "recording")[0]["error"] == repr(error)


def test_what_was_read_before_a_reading_failed_is_still_written(run, monkeypatch):
    failed, commit = threading.Event(), run.commit_snapshot

    def late(*arguments: object) -> None:
        failed.wait(30)
        commit(*arguments)

    monkeypatch.setattr(run, "commit_snapshot", late)
    with Recorder(run, None, EVERY) as recorder:
        recorder.step(model(), 0)
        monkeypatch.setattr("nucleate.recording._recorder.read", breaks(RuntimeError("no")))
        recorder.step(model(), 1)
        assert recorder.error is not None
        failed.set()
    assert Run(run.path).steps == [0]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), ValueError("cannot write")]
)
def test_a_full_disk_or_any_error_of_the_writer_switches_recording_off_and_is_told(
    run, monkeypatch, caplog, error
):
    with Recorder(run, None, Schedule.at(range(20))) as recorder:
        monkeypatch.setattr(run, "commit_snapshot", breaks(error))
        for step in range(20):
            recorder.step(model(), step)
        recorder.flush()
        assert recorder.error is error
        assert not recorder.due(19)
    assert run.steps == []
    assert [r.exc_info[1] for r in caplog.records if r.name == "nucleate"] == [error]


def test_a_disk_that_takes_nothing_at_all_does_not_end_the_training(run, monkeypatch):
    with Recorder(run, None, EVERY) as recorder:
        monkeypatch.setattr(run.journal, "append", breaks(OSError(errno.EIO, "gone")))
        for step in range(8):
            recorder.step(model(), step, loss=1.0)
            recorder.log(step, loss=1.0)
        recorder.rewind(3)
    assert isinstance(recorder.error, OSError)


def test_a_scalar_that_is_no_number_ends_recording_and_not_the_training(run):
    with Recorder(run, None, EVERY) as recorder:
        recorder.step(model(), 0)
        recorder.step(model(), 1, loss="low")
        recorder.step(model(), 2, loss=1.0)
    assert isinstance(recorder.error, ValueError)
    assert run.steps == [0]


def test_a_scalar_of_a_reserved_name_is_refused(run):
    recorder = Recorder(run, None, EVERY)
    with pytest.raises(BadInput, match="cannot be named 'kind'"):
        recorder.step(model(), 0, kind=1.0)


def test_a_user_who_interrupts_a_reading_is_obeyed(run, monkeypatch):
    monkeypatch.setattr(READ, breaks(KeyboardInterrupt()))
    with (
        Recorder(run, None, EVERY) as recorder,
        pytest.raises(KeyboardInterrupt),
    ):
        recorder.step(model(), 0)
    assert recorder.error is None


def test_a_slow_disk_makes_the_training_wait_rather_than_fill_the_memory(run, monkeypatch):
    from concurrent.futures import wait
    from threading import Event

    disk, commit, waiting = Event(), run.commit_snapshot, []

    def held(*args: object) -> None:
        disk.wait(20)
        commit(*args)

    def waits(unfinished, **kwargs):
        if unfinished:
            waiting.append(len(unfinished))
            disk.set()
        return wait(unfinished, **kwargs)

    monkeypatch.setattr(run, "commit_snapshot", held)
    monkeypatch.setattr("nucleate.recording._writer.wait", waits)
    record(run, range(8), [model()] * 8)
    assert waiting[0] == 4
    assert run.steps == list(range(8))


def test_reading_draws_nothing_and_changes_no_flag(run):
    net = model("gpt2", dropout=0.2).train()
    flags = [module.training for module in net.modules()]
    generator = torch.get_rng_state()
    record(run, [0], [net])
    assert torch.equal(torch.get_rng_state(), generator)
    assert [module.training for module in net.modules()] == flags


# Hyperparameters


def test_hyperparameters_of_a_plain_loop_stand_in_the_manifest_with_those_of_the_model(run):
    with Recorder(
        run.path, run.prompts, Schedule.at([0]), hyperparameters={"lr": 0.5, "data": {"rows": 9}}
    ) as recorder:
        recorder.take_hyperparameters({"lr": 0.1, "batch": 4})
        recorder.step(model(), 0)
    found = Run(run.path).hyperparameters
    assert (found["lr"], found["data.rows"], found["batch"]) == (0.5, 9, 4)
    assert found["model_class"] == "LlamaForCausalLM"
    assert found["model.hidden_size"] == 16
    assert found["parameters"] == sum(each.numel() for each in model().parameters())
    assert pickle.loads(pickle.dumps(recorder))._hyperparameters == {"lr": 0.5, "data": {"rows": 9}}

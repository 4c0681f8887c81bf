"""A recorded series is the run that a live recorder would have left."""

import shutil
from pathlib import Path

import pytest
import torch

from nucleate import (
    BadInput,
    Recorder,
    Run,
    Schedule,
)
from nucleate.checkpoints._check import check_series
from nucleate.checkpoints._record import record_series
from nucleate.checkpoints._series import Series
from small import material, model


def test_recorded_series_equal_what_a_live_recorder_saw(tmp_path):
    _, _, prompts = material()
    net = model("gpt2", attention="sdpa").train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    ids = torch.as_tensor(prompts.ids[:8].astype("int64"))
    with Recorder(tmp_path / "live", prompts, Schedule.at_saves()) as recorder:
        for step in range(7):
            if step % 2 == 0:
                net.save_pretrained(tmp_path / "saved" / f"checkpoint-{step}")
                recorder.saved(net, step)
            net(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
    recorded = record_series(tmp_path / "after", prompts, Series.find(tmp_path / "saved"))
    live, after = Run(tmp_path / "live"), Run(tmp_path / "after")
    assert recorded.steps == (0, 2, 4, 6) == tuple(live.steps) == tuple(after.steps)
    for step in live.steps:
        assert live.states(step).streams == after.states(step).streams
        assert torch.equal(live.states(step).values, after.states(step).values)
        there, here = live.rows(step), after.rows(step)
        assert there.keys() == here.keys()
        assert all(torch.equal(there[name], here[name]) for name in there)
    assert live.manifest["prompts_hash"] == after.manifest["prompts_hash"]


def test_trainers_checkpoints_recorded_afterwards_equal_the_live_run(tmp_path):
    from transformers import Trainer, TrainerCallback, TrainingArguments

    _, _, prompts = material()
    rows = [{"input_ids": row, "labels": row} for row in torch.as_tensor(prompts.ids).long()]
    recorder = Recorder(tmp_path / "live", prompts, Schedule.at_saves())

    class Saves(TrainerCallback):
        def on_save(self, _args, state, _control, model=None, **_):
            recorder.saved(model, state.global_step)

    arguments = TrainingArguments(
        output_dir=str(tmp_path / "saved"), max_steps=6, save_steps=2, report_to=[],
        use_cpu=True, disable_tqdm=True, logging_steps=100, save_total_limit=None,
        dataloader_pin_memory=False,
    )  # fmt: skip
    with recorder:
        net = model(attention="sdpa")
        Trainer(net, arguments, train_dataset=rows, callbacks=[Saves()]).train()
    series = Series.find(tmp_path / "saved")
    assert check_series(series).ok
    record_series(tmp_path / "after", prompts, series)
    live, after = Run(tmp_path / "live"), Run(tmp_path / "after")
    assert live.steps == after.steps == [2, 4, 6]
    for step in live.steps:
        assert torch.equal(live.states(step).values, after.states(step).values)


def saved(tmp_path: Path, steps) -> Series:
    for step in steps:
        model(seed=step).save_pretrained(tmp_path / "saved" / f"checkpoint-{step}")
    return Series.find(tmp_path / "saved")


def test_one_checkpoint_is_in_memory_at_a_time(tmp_path):
    import weakref

    alive: list[weakref.ref] = []

    def load(checkpoint):
        assert all(one() is None for one in alive), checkpoint
        loaded = checkpoint.load()
        alive.append(weakref.ref(loaded))
        return loaded

    record_series(tmp_path / "run", material()[2], saved(tmp_path, range(4)), load=load)
    assert len(alive) == 4


def test_what_is_on_record_is_not_loaded_and_new_checkpoints_are_added(tmp_path):
    prompts = material()[2]
    record_series(tmp_path / "run", prompts, saved(tmp_path, [1, 3]))
    loaded = []

    def load(checkpoint):
        loaded.append(checkpoint.step)
        return checkpoint.load()

    series = saved(tmp_path, [5])
    again = record_series(tmp_path / "run", prompts, series, load=load)
    assert (again.steps, again.present, loaded) == ((5,), (1, 3), [5])
    # An earlier one voids what follows, which is recorded anew.
    earlier = record_series(tmp_path / "run", prompts, saved(tmp_path, [2]), load=load)
    assert (earlier.steps, earlier.present) == ((2, 3, 5), (1,))
    whole = record_series(tmp_path / "whole", prompts, series=Series.find(tmp_path / "saved"))
    for step in whole.steps:
        pair = [Run(tmp_path / name).states(step).values for name in ("run", "whole")]
        assert torch.equal(*pair)


def test_a_run_of_other_checkpoints_is_refused(tmp_path):
    prompts = material()[2]
    series = saved(tmp_path, [1, 3])
    record_series(tmp_path / "run", prompts, series, report=check_series(series))
    moved = Path(shutil.move(tmp_path / "saved", tmp_path / "moved"))
    same = Series.find(moved)
    again = record_series(tmp_path / "run", prompts, same, report=check_series(same))
    assert again.present == (1, 3)  # known by their hashes
    with pytest.raises(BadInput, match=r"has step 1 of .*saved/checkpoint-1, not of .*moved"):
        record_series(tmp_path / "run", prompts, same)
    (early,) = saved(tmp_path / "other", [0])
    with pytest.raises(BadInput, match="has step 1, which recording step 0 would void"):
        record_series(tmp_path / "run", prompts, Series((early,)))
    twice = Series((early, early))
    with pytest.raises(BadInput, match="step 0 occurs twice"):
        record_series(tmp_path / "twice", prompts, twice)


def test_a_recorded_series_is_finished_and_a_broken_off_one_is_not(tmp_path):
    def load(checkpoint):
        if checkpoint.step == 3:
            raise KeyboardInterrupt
        return checkpoint.load()

    series = saved(tmp_path, [1, 3])
    with pytest.raises(KeyboardInterrupt):
        record_series(tmp_path / "run", material()[2], series, load=load)
    assert Run(tmp_path / "run").status == "stopped"
    record_series(tmp_path / "run", material()[2], series)
    assert Run(tmp_path / "run").status == "finished"


def test_a_finished_training_keeps_its_losses_unless_they_are_given_up(tmp_path):
    series = saved(tmp_path, [1, 2, 3])
    recorder = Recorder(tmp_path / "run", material()[2], Schedule.at([1, 3]))
    for step in range(1, 4):
        recorder.step(model(seed=step), step)
        recorder.log(step, loss=1.0)
    recorder.close(end=3)
    before = (tmp_path / "run" / "journal.jsonl").read_bytes()
    with pytest.raises(BadInput, match=r"finished training.* step 2 would void .*--overwrite"):
        record_series(tmp_path / "run", material()[2], series)
    assert (tmp_path / "run" / "journal.jsonl").read_bytes() == before
    done = record_series(tmp_path / "run", material()[2], series, overwrite=True)
    assert done.steps == (2, 3)
    assert [r["step"] for r in Run(tmp_path / "run").journal.live("step")] == [1, 2]


def test_a_checkpoint_whose_states_are_not_finite_is_recorded_and_marked(tmp_path):
    for step in range(3):
        net = model(seed=step)
        with torch.no_grad():
            if step == 1:
                net.model.layers[1].mlp.down_proj.weight[0, 0] = torch.nan
        net.save_pretrained(tmp_path / "saved" / f"checkpoint-{step}")
    series = Series.find(tmp_path / "saved")
    report = check_series(series)
    assert [flag.kind for flag in report.flags_of(1)] == ["not_finite"]
    for present in ((), (0, 1, 2)):  # recorded now, and found recorded
        recorded = record_series(tmp_path / "run", material()[2], series, report=report)
        assert recorded.present == present
        assert recorded.not_finite == {1: "from block.1 on"}
    run = Run(tmp_path / "run")
    assert run.steps == [0, 1, 2]
    assert run.journal.last("snapshot", step=1)["not_finite_at"] == "from block.1 on"
    assert "not_finite_at" not in run.journal.last("snapshot", step=2)
    assert run.states(1).not_finite == "from block.1 on"
    assert run.states(2).not_finite is None


def test_a_series_that_begins_with_a_checkpoint_that_is_not_finite_is_recorded(tmp_path):
    net = model()
    with torch.no_grad():
        net.model.norm.weight[0] = torch.inf
    net.save_pretrained(tmp_path / "saved" / "checkpoint-0")
    model().save_pretrained(tmp_path / "saved" / "checkpoint-1")
    recorded = record_series(tmp_path / "run", material()[2], Series.find(tmp_path / "saved"))
    assert recorded.steps == (0, 1)
    assert recorded.not_finite == {0: "at final_norm"}

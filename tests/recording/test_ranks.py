"""Two processes on one machine: what a recorder does when a training has several ranks."""

import pytest
import torch

import children
from nucleate import Run, Schedule, capture
from small import material, model

EVERY = Schedule.every(2).within(None)


def losses(folder) -> list[list[float]]:
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def test_recording_changes_no_bit_of_a_training_on_two_ranks(tmp_path):
    for name, schedule in (("bare", None), ("watched", EVERY)):
        children.on_ranks(children.train_on_ranks, tmp_path / name, "ddp", schedule, 0.1)
    bare, watched = losses(tmp_path / "bare"), losses(tmp_path / "watched")
    assert bare == watched
    assert bare[0] != bare[1]
    assert Run(tmp_path / "watched" / "run").steps == [0, 2, 4, 6]


@pytest.mark.parametrize("parted", ["fsdp", "fsdp1"])
def test_a_model_in_parts_is_read_as_if_it_were_whole_and_trains_the_same(tmp_path, parted):
    for how, schedule in ((parted, EVERY), ("ddp", EVERY)):
        children.on_ranks(children.train_on_ranks, tmp_path / how, how, schedule, 0.0)
    children.on_ranks(children.train_on_ranks, tmp_path / "bare", parted, None, 0.0)
    assert losses(tmp_path / "bare") == losses(tmp_path / parted)
    parts, whole = Run(tmp_path / parted / "run"), Run(tmp_path / "ddp" / "run")
    assert parts.steps == whole.steps == [0, 2, 4, 6]
    first = capture(model(), material()[2]).values
    # Stored in half precision: one unit in the last place of values around 1 is 1e-3.
    torch.testing.assert_close(parts.states(0).values.float(), first, atol=1e-3, rtol=1e-3)
    for step in whole.steps:
        torch.testing.assert_close(
            parts.states(step).values, whole.states(step).values, atol=2e-3, rtol=2e-3
        )


@pytest.mark.parametrize("how", ["fsdp", "fsdp1", "tp"])
def test_a_model_in_parts_has_the_states_of_the_whole_one(tmp_path, how):
    children.on_ranks(children.compare_parts, tmp_path, how)


@pytest.mark.parametrize("how", ["ddp", "fsdp"])
@pytest.mark.parametrize("broken", [0, 1])
def test_a_recorder_that_fails_on_one_rank_stops_on_all_and_nobody_waits(tmp_path, how, broken):
    children.on_ranks(children.fail_on_a_rank, tmp_path, how, broken)


def test_ranks_skip_the_same_steps_under_a_budget(tmp_path):
    children.on_ranks(children.spend_a_budget, tmp_path)
    asked = losses(tmp_path)
    assert asked[0] == asked[1]
    assert asked[0][0]
    assert Run(tmp_path / "run").steps == [step for step, due in enumerate(asked[0]) if due]


def test_ranks_go_on_together_where_a_run_stands(tmp_path):
    children.on_ranks(children.resume_on_ranks, tmp_path)


def test_before_a_process_group_exists_the_launchers_ranks_count(monkeypatch):
    from nucleate.recording._ranks import all_agree, is_main

    for rank, size, main in (("0", "2", True), ("1", "2", False), ("3", "1", True)):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", size)
        assert is_main() is main
    assert all_agree(True)
    assert not all_agree(False)

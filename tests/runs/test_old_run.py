"""Run folders of schema 1, which version 0.1 wrote; `old_run` and `old_prompts` are such."""

import hashlib
import shutil
from pathlib import Path

import pytest
import torch

from nucleate import BadInput, Panel, PromptSet, Recorder, Run, Schedule, Series, capture, measure
from nucleate._core.progress import Silent
from nucleate.runs import write_whole
from nucleate.studies._config import ReproduceConfig
from nucleate.studies._one_run import _Job, prepare, run_once
from nucleate.training import TrainingConfig

OLD_RUN = Path(__file__).parent / "old_run"
OLD_PROMPTS = Path(__file__).parent / "old_prompts"
# What version 0.1 itself read from the folder: SHA-256 of each step's states.
STATES = {0: "2a5ba4969c04bda5", 1: "0f6b8108c2a01ece", 3: "59a36f79ab0d20f5",
          12: "513a378df52cb41e"}  # fmt: skip
PROMPTS_HASH = "0c4cbfae832682c859c032f5c64594ae722929820e8e96db79fa28c9b37f02d9"


def digest(values: torch.Tensor) -> str:
    return hashlib.sha256(values.numpy().tobytes()).hexdigest()[:16]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def old(tmp_path) -> Path:
    return Path(shutil.copytree(OLD_RUN, tmp_path / "old_run"))


def test_states_scores_and_labels_of_an_old_run_are_what_they_were():
    run = Run(OLD_RUN)
    assert {step: digest(states.values) for step, states in run.snapshots()} == STATES
    assert run.rows(12)["correct"].sum() == 6
    assert run.rows(12)["nll"].sum().item() == pytest.approx(58.177, abs=1e-3)
    assert run.prompts.content_hash() == PROMPTS_HASH == run.manifest["prompts_hash"]
    assert (run.prompts.labels["task"][0], run.prompts.labels["task"][-1]) == ("t0", "t2")
    assert run.prompts.labels["instruction"][0] == "woymbhtt"
    assert len(run.untrained()) == 2


def test_an_old_study_counts_as_finished_and_shows_itself():
    run = Run(OLD_RUN)
    assert run.status == "finished"
    assert run.last_sign is None
    assert repr(run).endswith("4 recorded steps (0 to 12), 4 streams, positions instruction_end, "
                              "last, 18 rows, finished)")  # fmt: skip


def test_the_configuration_of_an_old_run_is_a_configuration_of_this_version():
    manifest = Run(OLD_RUN).manifest
    assert manifest["schema_version"] == 1
    training = TrainingConfig(**manifest["config"]["training"])
    assert training.regularizer is not None
    assert training.regularizer.kind == "center"
    assert "probe_hash" not in manifest


def test_a_saved_prompt_set_of_old_loads_with_its_order_of_positions():
    prompts = PromptSet.load(OLD_PROMPTS)
    assert prompts.content_hash().startswith("becfe1f2671c")
    assert list(prompts.positions) == ["mean:instruction", "last", "instruction_end", "-2"]
    assert prompts.labels["text"] == ("héé",) * 4


def test_reading_an_old_run_in_every_way_changes_no_byte(old):
    before = bytes_of(old)
    run = Run(old)
    list(run.snapshots())
    assert run.shape(3)[2] == len(run.prompts) == 18
    assert list(Panel.load(old).table["step"].unique()) == [0, 12]
    assert Series.find(old).steps == (6,)
    panel = measure(run.snapshots(), run.prompts, metrics=["agreement"], n_bootstraps=0, n_init=1)
    assert list(panel.table["step"].unique()) == list(STATES)
    assert bytes_of(old) == before


def test_an_old_run_is_measured_in_its_folder(old):
    measure(Run(old), metrics=["agreement"], n_bootstraps=0, n_init=1)
    assert list(Panel.load(old).table["step"].unique()) == list(STATES)


def test_a_recorder_resumes_in_an_old_run(old):
    [checkpoint] = Series.find(old)
    net = checkpoint.load()
    with Recorder(old, PromptSet.load(OLD_RUN), Schedule.at([15])) as recorder:
        recorder.step(net, 13)
        recorder.step(net, 15)
    again = Run(old)
    assert again.steps == [*STATES, 15]
    assert torch.equal(again.states(15).values, capture(net, again.prompts).values.half())
    assert {step: digest(again.states(step).values) for step in STATES} == STATES


def test_another_training_does_not_void_an_old_run(old):
    before = bytes_of(old)
    net = Series.find(old).checkpoints[0].load()
    with (
        Recorder(old, PromptSet.load(old), Schedule.at([0])) as recorder,
        pytest.raises(BadInput, match="states of another model at step 1"),
    ):
        recorder.step(net, 1)
    assert bytes_of(old) == before


def test_a_study_of_version_0_1_that_was_interrupted_resumes_to_the_same_losses(old, monkeypatch):
    run = Run(old)
    wanted = [loss for r in run.journal.live("step") if r["step"] > 6 for loss in r["losses"]]
    assert len(wanted) == 6
    lines = (old / "journal.jsonl").read_bytes().splitlines(keepends=True)
    [saved] = [number for number, line in enumerate(lines, 1) if b'"checkpoint"' in line and
               b'"step":6' in line]  # fmt: skip
    write_whole(old / "journal.jsonl", b"".join(lines[:saved]))
    config = ReproduceConfig(**run.manifest["config"])
    assert prepare(config, "own").prompts.content_hash() == PROMPTS_HASH
    for later in ("measure", "map_causes"):
        monkeypatch.setattr(_Job, later, lambda _: None)
    run_once(config, "own", old, Silent())
    found = [loss for r in Run(old).journal.live("step") if r["step"] > 6 for loss in r["losses"]]
    assert found == pytest.approx(wanted, rel=1e-4)
    assert Run(old).steps == list(STATES)

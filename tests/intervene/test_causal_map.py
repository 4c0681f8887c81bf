from dataclasses import replace

import numpy as np
import pytest
import torch

from nucleate import BadInput, Recorder, Run, Schedule, causal_map
from nucleate.training import Batches, TrainingConfig, train
from small import material, model


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    taskset, encoder, probe = material()
    run = Run.create(tmp_path_factory.mktemp("run") / "run", probe, {})
    config = TrainingConfig(steps=250, batch_size=64, learning_rate=1e-2, device="cpu")
    net = model("gpt2", width=32)
    with Recorder(run, None, Schedule.at([])) as recorder:
        batches = Batches(taskset, encoder, batch_size=64, seed=0)
        train(net, batches, config, run, recorder, seed=0)
    return net


@pytest.fixture(scope="module")
def table(trained):
    taskset, encoder, probe = material()
    return causal_map(trained, probe, taskset, encoder, rows=48, seed=0)


def test_every_place_of_the_model_has_a_row(table):
    places = set(zip(table["stream"], table["position"], strict=True))
    streams = ("embed", "block.0", "block.1", "final_norm")
    assert places == {(s, p) for s in streams for p in ("instruction_end", "last")}


def test_places_that_nothing_reads_are_never_used(table):
    # The last block's output at the instruction goes nowhere; the last token's embedding is the
    # same for all tasks.
    dead = [("block.1", "instruction_end"), ("final_norm", "instruction_end"), ("embed", "last")]
    for stream, position in dead:
        row = table[(table["stream"] == stream) & (table["position"] == position)].iloc[0]
        assert row["erase"] == row["random_erase"] == 0 or stream == "embed"
        assert row["use"] == "not used"
        assert row["shift"] <= 1 - row["accuracy"]


def test_what_decides_the_answer_is_used(table):
    last = table[(table["position"] == "last") & (table["stream"] == "final_norm")].iloc[0]
    assert last["accuracy"] > 0.9
    assert last["use"] == "used"
    assert last["shift"] > 0.5 > last["random_direction"]
    assert last["shift_low"] <= last["shift"] <= last["shift_high"]
    assert last["wrong_task"] < 0.2


def test_chance_is_one_over_the_other_tasks_where_outputs_are_their_own(table):
    assert table["chance"].to_numpy() == pytest.approx(1 / 3)


def test_an_untrained_model_uses_nothing_and_its_accuracy_is_chance():
    taskset, encoder, probe = material(outputs="shared")
    table = causal_map(model(seed=4), probe, taskset, encoder, rows=48, seed=1)
    assert not (table["use"] == "used").any()


def test_the_map_is_the_same_again_and_leaves_the_model_alone(trained, table):
    taskset, encoder, probe = material()
    weights = [p.clone() for p in trained.parameters()]
    again = causal_map(trained, probe, taskset, encoder, rows=48, seed=0)
    assert again.equals(table)
    assert all(map(torch.equal, trained.parameters(), weights))
    assert not any(m._forward_hooks for m in trained.modules())


def test_means_never_come_from_the_inputs_that_are_tested(trained):
    from nucleate.intervene._causal_map import _Study

    taskset, encoder, probe = material()
    study = _Study(trained, probe, taskset, encoder, 48, 0)
    states = study.states.values[1, 1].clone()
    centroids, _ = study._centroids(states)
    tested = study.fold == 0
    states[torch.as_tensor(tested)] = torch.nan
    again, _ = study._centroids(states)
    assert torch.equal(again[0], centroids[0])
    inputs = np.array(probe.labels["input"])
    assert not set(inputs[tested]) & set(inputs[~tested])


def test_tasks_without_common_inputs_get_no_shift_but_a_removal(trained):
    taskset, encoder, probe = material()
    only = {key: y for i, (key, y) in enumerate(taskset.answers.items()) if i % 2}
    own = {(e.task, e.input) for e in taskset.examples}
    apart = replace(taskset, answers={k: v for k, v in only.items() if k not in own})
    table = causal_map(trained, probe, apart, encoder, rows=48, seed=0)
    assert table[["shift", "chance", "wrong_task"]].isna().all().all()
    assert table["erase"].notna().all()


def test_one_task_is_refused(trained):
    taskset, encoder, _ = material()
    from nucleate.tasks import Probe

    rows = [e for e in taskset.split("seen") if e.task == taskset.tasks[0]]
    probe = Probe.from_examples(rows, taskset, encoder)
    with pytest.raises(BadInput, match="at least two tasks and two inputs"):
        causal_map(trained, probe, taskset, encoder)


def test_a_mean_over_tokens_is_refused():
    taskset, encoder, probe = material()
    span = np.stack([np.zeros_like(probe.lengths), probe.prompt_lengths], axis=1)
    averaged = replace(probe, positions={**probe.positions, "mean": span})
    with pytest.raises(BadInput, match="'mean' is a mean over tokens"):
        causal_map(model(), averaged, taskset, encoder)

"""Regularizers in the study's training loop, and whether they move clusters there."""

import itertools
import tempfile
from pathlib import Path

import pytest
import torch

from nucleate import (
    BadInput,
    Recorder,
    Run,
    Schedule,
)
from nucleate._core.errors import Interrupted
from nucleate.activations import capture
from nucleate.prompts import Encoder, PromptSet
from nucleate.runs import States
from nucleate.tasks import synthetic, train_tokenizer
from nucleate.training import (
    Batches,
    ModelConfig,
    Regularizer,
    TrainingConfig,
    build_model,
    check_regularizer,
    manipulation_check,
    train,
)
from small import material, model

KINDS = ("contrastive", "center", "prompting", "reversal", "scatter_penalty", "scatter_reward")
PLACE = {"stream": "block.0", "position": "instruction_end"}


def config(steps=24, **regularizer):
    given = Regularizer(**PLACE, **regularizer) if regularizer else None
    return TrainingConfig(
        steps=steps, batch_size=16, warmup_steps=4, checkpoint_every=8, device="cpu",
        learning_rate=3e-3, regularizer=given,
    )  # fmt: skip


def sit(path, settings, *, net=None, **kwargs):
    taskset, encoder, prompts = material()
    run = Run(path) if path.exists() else Run.create(path, prompts, {})
    net = net or model(dropout=0.1)
    batches = Batches(taskset, encoder, batch_size=settings.batch_size, seed=1)
    with Recorder(run, None, Schedule.at([])) as recorder:
        train(net, batches, settings, run, recorder, seed=2, **kwargs)
    return run, net


def losses(run):
    records = sorted(run.journal.live("step"), key=lambda record: record["first"])
    return list(itertools.chain.from_iterable(record["losses"] for record in records))


def weights(net):
    return [parameter.detach() for parameter in net.parameters()]


def test_a_weight_of_zero_is_no_regularizer_to_the_bit(tmp_path):
    plain, plain_net = sit(tmp_path / "plain", config())
    off, off_net = sit(tmp_path / "off", config(kind="center", weight=0.0))
    assert losses(plain) == losses(off)
    assert all(map(torch.equal, weights(plain_net), weights(off_net)))
    assert not list(off.journal.live("regularizer"))


def test_until_a_step_it_works_and_from_there_on_it_is_off(tmp_path):
    plain, _ = sit(tmp_path / "plain", config())
    early, _ = sit(tmp_path / "early", config(kind="contrastive", until=1))
    assert losses(plain)[0] == losses(early)[0]
    assert losses(plain)[1:] != losses(early)[1:]
    steps = [record["weight"] for record in early.journal.live("regularizer")]
    assert set(steps) <= {0.1, 0.0}


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_training_goes_on_bit_for_bit(tmp_path, kind, shuffled):
    settings = config(kind=kind, shuffled=shuffled)
    whole, whole_net = sit(tmp_path / "whole", settings)
    asked = itertools.count()
    with pytest.raises(Interrupted, match="step 13"):
        sit(tmp_path / "broken", settings, stopping=lambda: next(asked) == 13)
    broken, broken_net = sit(tmp_path / "broken", settings, net=model(seed=9, dropout=0.1))
    assert losses(whole) == losses(broken)
    assert all(map(torch.equal, weights(whole_net), weights(broken_net)))


def test_a_checkpoint_without_the_regularizer_is_not_gone_on_with(tmp_path):
    asked = itertools.count()
    with pytest.raises(Interrupted):
        sit(tmp_path / "run", config(), stopping=lambda: next(asked) == 13)
    with pytest.raises(BadInput, match="is not of a training with this regularizer"):
        sit(tmp_path / "run", config(kind="center"))


def test_promotion_tightens_suppression_loosens_and_the_check_says_so():
    """With enough strings for an interval over them: 40 a task."""
    taskset = synthetic(tasks=4, families=2, inputs=3, strings=20, unseen_strings=0, seed=3)
    encoder = Encoder.for_taskset(train_tokenizer(taskset), taskset)
    prompts = PromptSet.from_taskset(taskset, encoder, rows=480, seed=0)
    found = {}
    for name, given in {
        "none": {},
        "contrastive": {"kind": "contrastive", "weight": 1.0},
        "penalty": {"kind": "scatter_penalty", "weight": 1.0},
    }.items():
        net = build_model(
            ModelConfig(arch="llama", depth=2, width=32, heads=2),
            vocab_size=encoder.vocab_size,
            max_length=32,
            seed=0,
        )
        batches = Batches(taskset, encoder, batch_size=32, seed=1)
        with tempfile.TemporaryDirectory() as folder:
            run = Run.create(Path(folder) / "run", prompts, {})
            with Recorder(run, None, Schedule.at([])) as recorder:
                train(net, batches, config(steps=80, **given), run, recorder, seed=2)
        found[name] = capture(net.eval(), prompts)
    tight = manipulation_check(found["contrastive"], found["none"], prompts=prompts, **PLACE)
    loose = manipulation_check(found["penalty"], found["none"], prompts=prompts, **PLACE)
    assert tight.moved == "tighter"
    assert "task clusters are tighter" in str(tight)
    assert tight.cdnv[0] < tight.cdnv[1]
    assert loose.moved == "looser"
    same = manipulation_check(found["none"], found["none"], prompts=prompts, **PLACE)
    assert (same.change, same.moved) == (0, "not shown")
    assert "no change of task clusters by the regularizer is shown" in str(same)


def test_checks_of_other_rows_or_places_are_refused_in_a_sentence():
    prompts = material()[2]
    states = capture(model().eval(), prompts)
    few = States(states.values[:, :, :5], states.streams, states.positions)
    with pytest.raises(BadInput, match="pass prompts= as well"):
        manipulation_check(states, states, **PLACE)
    with pytest.raises(BadInput, match="states of 5 rows are not of the prompt set"):
        manipulation_check(states, few, prompts=prompts, **PLACE)
    with pytest.raises(BadInput, match="no position named 'middle'"):
        manipulation_check(states, states, prompts=prompts, stream="block.0", position="middle")


def test_prompting_that_would_give_the_answer_away_is_refused():
    prompting = Regularizer(kind="prompting", stream="block.0", position="last")
    with pytest.raises(BadInput, match="takes a state that has seen the input"):
        check_regularizer(prompting, model(), "before")
    with pytest.raises(BadInput, match="with the instruction after the input"):
        check_regularizer(Regularizer(kind="prompting", stream="block.0"), model(), "after")


def test_compiled_training_is_refused(tmp_path):
    settings = config(kind="center").model_copy(update={"compile": True})
    with pytest.raises(BadInput, match=r"set training\.compile to false"):
        sit(tmp_path / "run", settings)

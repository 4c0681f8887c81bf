"""The mix-in for transformers' Trainer."""

import pytest
import torch
from transformers import Trainer, TrainingArguments

from nucleate import BadInput
from nucleate.training import RegularizedTrainerMixin, Regularizer, shuffle_over_strings
from small import material, model
from trainers import LossKeeping, settings

PLACE = {"stream": "block.0"}


class Regularized(LossKeeping, RegularizedTrainerMixin, Trainer):
    """As a user would write it."""


class Plain(LossKeeping, Trainer):
    """The same without."""


def rows(columns=("task_token", "task", "shuffled_task")):
    """The small prompt set as a training set, padded on the right."""
    _, _, prompts = material()
    names = sorted(set(prompts.labels["task"]))
    tasks = [names.index(task) for task in prompts.labels["task"]]
    shuffled = shuffle_over_strings(tasks, prompts.labels["instruction"], seed=0)
    made = []
    for row, length in enumerate(prompts.lengths):
        ids = torch.from_numpy(prompts.ids[row]).long()
        token = torch.arange(len(ids))
        answer = (token >= prompts.prompt_lengths[row]) & (token < length)
        every = {
            "input_ids": ids, "attention_mask": (token < length).long(),
            "labels": ids.where(answer, -100),
            "task_token": int(prompts.positions["instruction_end"][row]), "task": tasks[row],
            "shuffled_task": shuffled[row],
        }  # fmt: skip
        kept = ("input_ids", "attention_mask", "labels", *columns)
        made.append({name: every[name] for name in kept})
    return made


def trainer(folder, kind="contrastive", *, columns=("task_token", "task", "shuffled_task"),
            weight=0.1, shuffled=False, tasks=4, **others):  # fmt: skip
    return Regularized(
        model(),
        TrainingArguments(**settings(folder, **others)),
        train_dataset=rows(columns),
        eval_dataset=rows(columns),
        regularizer=Regularizer(kind=kind, weight=weight, shuffled=shuffled, **PLACE),
        tasks=tasks,
    )


def test_a_weight_of_zero_changes_no_loss(tmp_path):
    plain = Plain(model(), TrainingArguments(**settings(tmp_path)), train_dataset=rows())
    plain.train()
    off = trainer(tmp_path, weight=0.0)
    off.train()
    assert plain.losses == off.losses


@pytest.mark.parametrize(
    "kind", ["contrastive", "center", "prompting", "reversal", "scatter_penalty", "scatter_reward"]
)
def test_every_kind_adds_its_loss_and_evaluation_leaves_it_out(tmp_path, kind):
    plain = Plain(model(), TrainingArguments(**settings(tmp_path)), train_dataset=rows(),
                  eval_dataset=rows())  # fmt: skip
    before = plain.evaluate()["eval_loss"]
    ours = trainer(tmp_path, kind)
    assert ours.evaluate()["eval_loss"] == pytest.approx(before, rel=1e-6)
    plain.train()
    ours.train()
    assert ours.losses != plain.losses
    assert any("regularizer" in line for line in ours.state.log_history)


@pytest.mark.parametrize("kind", ["center", "reversal"])
def test_a_resumed_training_goes_on_bit_for_bit(tmp_path, kind):
    whole = trainer(tmp_path / "whole", kind)
    whole.train()
    saving = {"save_strategy": "steps", "save_steps": 4}
    trainer(tmp_path / "cut", kind, **saving).train()
    again = trainer(tmp_path / "cut", kind, **saving)
    again.train(resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-4"))
    assert again.losses == whole.losses[4:]
    for name, value in whole.penalty.state_dict().items():
        assert torch.equal(value, again.penalty.state_dict()[name])


def test_accumulated_steps_add_up_to_the_regularizers_mean(tmp_path):
    """Halves of a batch, accumulated: the penalty's share is that of their mean."""
    whole = trainer(tmp_path / "a", "center", gradient_accumulation_steps=2, steps=1)
    whole.train()
    plain = Plain(
        model(), TrainingArguments(**settings(tmp_path / "b", gradient_accumulation_steps=2,
                                              steps=1)), train_dataset=rows(),
    )  # fmt: skip
    plain.train()
    added = sum(whole.losses) - sum(plain.losses)
    assert 0 < added < 0.2  # weight .1 times a loss of about 1


@pytest.mark.parametrize(
    ("columns", "settings_", "missing"),
    [
        ((), {}, "task_token"),
        (("task_token",), {}, "task"),
        (("task_token", "task"), {"shuffled": True}, "shuffled_task"),
    ],
)
def test_a_column_that_is_missing_is_named(tmp_path, columns, settings_, missing):
    with pytest.raises(BadInput, match=f"no column '{missing}'"):
        trainer(tmp_path, columns=columns, **settings_).train()

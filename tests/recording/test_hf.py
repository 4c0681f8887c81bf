import pytest
import torch
from transformers import TrainerCallback

from nucleate import (
    BadInput,
    Recorder,
    Run,
    Schedule,
)
from nucleate.recording.hf import Callback
from sequences import rows
from small import material, model
from trainers import LossKeeping, Watched, prompts, settings, tokenizer


def lora(net):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)  # the adapters' first weights are drawn
    return get_peft_model(
        net, LoraConfig(r=2, lora_dropout=0.1, target_modules=["q_proj", "v_proj"])
    )


def watcher(folder, schedule=None) -> Callback:
    return Callback(Recorder(folder, prompts(), schedule or Schedule.every(2).within(None)))


@pytest.fixture
def one_thread():
    """With more threads, compiled backward passes add up in another order each time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def same_training(tmp_path, make, *, steps=8, **others) -> tuple[Run, list[float]]:
    """Train twice, with and without a recorder; all losses and weights must be the same bits."""
    bare = Watched(make(), tmp_path / "bare", steps=steps, **others)
    bare.train()
    watched = Watched(make(), tmp_path / "w", watcher(tmp_path / "run"), steps=steps, **others)
    watched.train()
    assert watched.losses == bare.losses
    weights = zip(bare.model.parameters(), watched.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)
    run = Run(tmp_path / "run")
    assert run.steps == list(range(0, steps + 1, 2))
    return run, watched.losses


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_recording_changes_no_bit_of_a_training(tmp_path, arch):
    run, losses = same_training(tmp_path, lambda: model(arch, dropout=0.1))
    assert len(set(losses)) == 8
    assert not torch.equal(run.states(0).values, run.states(8).values)


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning")
def test_recording_changes_no_bit_under_gradient_checkpointing_and_accumulation(tmp_path):
    same_training(
        tmp_path,
        lambda: model("gpt2", dropout=0.1),
        gradient_checkpointing=True,
        gradient_accumulation_steps=2,
        per_device_train_batch_size=4,
    )


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_recording_changes_no_bit_of_a_lora_and_reads_the_adapted_model(tmp_path):
    run, _ = same_training(tmp_path, lambda: lora(model(dropout=0.1)), learning_rate=0.1)
    first, last = run.states(0), run.states(8)
    assert torch.equal(first.at("embed", "last"), last.at("embed", "last"))
    assert not torch.equal(first.at("block.1", "last"), last.at("block.1", "last"))


def test_recording_changes_no_bit_in_bfloat16_and_says_what_was_computed_in(tmp_path):
    run, _ = same_training(tmp_path, lambda: model(dropout=0.1), bf16=True)
    assert run.states(0).compute_dtype == torch.bfloat16


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler, about itself
def test_recording_changes_no_bit_of_a_compiled_training(tmp_path, one_thread):
    same_training(tmp_path, lambda: model("gpt2", dropout=0.1), torch_compile=True, steps=6)


def sft(net, folder, *callbacks):
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    class Kept(LossKeeping, SFTTrainer):
        pass

    # bf16 and gradient checkpointing are SFTConfig's defaults, and stay.
    return Kept(
        net,
        SFTConfig(**settings(folder, max_length=32)),
        train_dataset=Dataset.from_list([{"input_ids": r["input_ids"].tolist()} for r in rows()]),
        processing_class=tokenizer(),
        callbacks=list(callbacks),
    )


@pytest.mark.filterwarnings("ignore")
def test_recording_changes_no_bit_of_a_supervised_fine_tuning(tmp_path):
    bare = sft(model(dropout=0.1), tmp_path / "bare")
    bare.train()
    watched = sft(model(dropout=0.1), tmp_path / "watched", watcher(tmp_path / "run"))
    watched.train()
    assert watched.losses == bare.losses
    assert Run(tmp_path / "run").steps == [0, 2, 4, 6, 8]


def test_the_schedule_gets_to_know_the_last_step(tmp_path):
    Watched(
        model(), tmp_path / "w", watcher(tmp_path / "run", Schedule.log(5).within(None))
    ).train()
    assert Run(tmp_path / "run").steps == [0, 1, 2, 4, 8]


def test_saves_are_read_and_logs_are_kept(tmp_path):
    callback = watcher(tmp_path / "run", Schedule.at_saves())
    Watched(model(), tmp_path / "w", callback, save_strategy="steps", save_steps=3, steps=7).train()
    run = Run(tmp_path / "run")
    assert run.steps == [3, 6, 7]
    logged = list(run.journal.live("step"))
    assert [r["step"] for r in logged] == list(range(1, 8))
    assert all(
        r.keys() == {"kind", "time", "step", "loss", "learning_rate", "grad_norm"} for r in logged
    )
    assert [r["step"] for r in run.journal.live("run_end")] == [7]
    assert [r["name"] for r in run.journal.live("event")] == ["recording"]


def test_tokens_are_kept_where_the_trainer_counts_them(tmp_path):
    Watched(
        model(), tmp_path / "w", watcher(tmp_path / "run"), steps=3,
        include_num_input_tokens_seen="all",
    ).train()  # fmt: skip
    tokens = [r["tokens"] for r in Run(tmp_path / "run").journal.live("step")]
    assert len(tokens) == 3
    assert tokens[0] > 0
    assert tokens == [tokens[0] * step for step in (1, 2, 3)]


@pytest.mark.parametrize("strategy", ["steps", "epoch"])
def test_everything_read_is_on_disk_before_a_checkpoint_is(tmp_path, strategy):
    folder, found = tmp_path / "run", []

    class Saving(Watched):
        def _save_checkpoint(self, *args: object) -> None:
            found.append(Run(folder).steps)
            super()._save_checkpoint(*args)

    callback = watcher(folder, Schedule.every(1).within(None) | Schedule.at_saves())
    Saving(model(), tmp_path / "w", callback, save_strategy=strategy, save_steps=4).train()
    assert found[-1] == list(range(9))
    assert len(found) == {"steps": 2, "epoch": 1}[strategy]


class Stop(TrainerCallback):
    """Ends a training early, as somebody who pulls the plug."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, _args, state, _control, **_):
        if state.global_step == self.step:
            raise InterruptedError


@pytest.mark.parametrize("restores", [False, True])
def test_a_training_resumed_from_a_checkpoint_records_the_rest_anew_and_the_same(
    tmp_path, restores
):
    def trainer(run, *others, seed=0):
        return Watched(
            model(dropout=0.1, seed=seed), tmp_path / f"w-{run}", watcher(tmp_path / run), *others,
            steps=20, save_strategy="steps", save_steps=10,
            restore_callback_states_from_checkpoint=restores,
        )  # fmt: skip

    trainer("whole").train()
    with pytest.raises(InterruptedError):
        trainer("broken", Stop(17)).train()
    assert max(Run(tmp_path / "broken").steps) > 10
    trainer("broken", seed=5).train(resume_from_checkpoint=True)
    whole, broken = Run(tmp_path / "whole"), Run(tmp_path / "broken")
    assert [r["to"] for r in broken.journal.live("rewind")] == [10]
    live = [r["step"] for r in broken.journal.live("snapshot")]
    assert live == whole.steps == list(range(0, 21, 2))
    for step in whole.steps:
        assert torch.equal(whole.states(step).values, broken.states(step).values)
    logged = [r["step"] for r in broken.journal.live("step")]
    assert logged == list(range(1, 21))


def test_a_finished_training_that_is_resumed_from_its_middle_is_recorded_anew(tmp_path):
    callback = watcher(tmp_path / "run")
    trainer = Watched(
        model(dropout=0.1), tmp_path / "w", callback, steps=20, save_strategy="steps", save_steps=10
    )
    trainer.train()
    before = Run(tmp_path / "run").states(20).values
    trainer.train(resume_from_checkpoint=str(tmp_path / "w" / "checkpoint-10"))
    run = Run(tmp_path / "run")
    assert [r["to"] for r in run.journal.live("rewind")] == [10]
    assert [r["step"] for r in run.journal.live("snapshot")] == list(range(0, 21, 2))
    assert torch.equal(run.states(20).values, before)


def test_another_training_into_a_finished_run_is_refused_before_its_first_step(tmp_path):
    Watched(model(), tmp_path / "a", watcher(tmp_path / "run"), steps=4).train()
    for seed, what in ((0, "finished training"), (5, "another model at step 0")):
        trainer = Watched(model(seed=seed), tmp_path / "b", watcher(tmp_path / "run"), steps=4)
        with pytest.raises(BadInput, match=what):
            trainer.train()
        assert trainer.state.global_step == 0
    assert Run(tmp_path / "run").steps == [0, 2, 4]


def test_a_recorder_that_fails_leaves_the_training_alone(tmp_path, monkeypatch, caplog):
    bare = Watched(model(dropout=0.1), tmp_path / "bare")
    bare.train()
    callback = watcher(tmp_path / "run")
    watched = Watched(model(dropout=0.1), tmp_path / "watched", callback)

    class Broken(TrainerCallback):
        def on_step_end(self, *_: object, **__: object) -> None:
            monkeypatch.setattr("nucleate.recording._recorder.read", lambda *_: 1 / 0)

    watched.add_callback(Broken())
    watched.train()
    assert watched.losses == bare.losses
    assert isinstance(callback.recorder.error, ZeroDivisionError)
    assert [r.name for r in caplog.records].count("nucleate") == 1


def test_a_tokenizer_that_is_not_the_probes_is_refused_before_the_first_step(tmp_path):
    own, stranger = tokenizer(), tokenizer()
    stranger.add_tokens(["zebra"])
    trainer = Watched(model(), tmp_path / "w", watcher(tmp_path / "run"))
    trainer.callback_handler.processing_class = stranger
    with pytest.raises(BadInput, match="is not the one that the prompts were made"):
        trainer.train()
    trainer.callback_handler.processing_class = own
    trainer.train()
    assert Run(tmp_path / "run").steps == [0, 2, 4, 6, 8]


def test_a_model_that_is_no_decoder_is_refused_before_the_first_step(tmp_path):
    from transformers import BertConfig, BertForMaskedLM

    net = BertForMaskedLM(
        BertConfig(
            vocab_size=material()[1].vocab_size, hidden_size=16, num_hidden_layers=1,
            num_attention_heads=2, intermediate_size=16,
        )
    )  # fmt: skip
    trainer = Watched(net, tmp_path / "w", watcher(tmp_path / "run"))
    with pytest.raises(BadInput):
        trainer.train()
    assert not hasattr(trainer, "losses")


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_the_trainers_arguments_stand_in_the_manifest_without_its_tokens(tmp_path):
    trainer = Watched(
        lora(model()), tmp_path / "w", watcher(tmp_path / "run"), weight_decay=0.25,
        hub_token="hf_this_is_not_one", steps=2,
    )  # fmt: skip
    trainer.train()
    found = Run(tmp_path / "run").hyperparameters
    assert (found["learning_rate"], found["weight_decay"], found["seed"]) == (1e-3, 0.25, 7)
    assert found["optimizer"] == "AdamW"
    assert found["optimizer.weight_decay"] == [0.25, 0.0] or found["optimizer.weight_decay"] == 0.25
    assert found["adapter.r"] == 2
    assert found["trainable_parameters"] < found["parameters"]
    assert not [name for name in found if name.endswith("hub_token")]
    assert "hf_this" not in (tmp_path / "run" / "manifest.json").read_text()

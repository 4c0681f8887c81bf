import importlib
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from nucleate import (
    BadInput,
    Recorder,
    Run,
    Schedule,
    capture,
)
from nucleate.recording.lightning import Callback
from sequences import rows
from small import material, model

pytestmark = pytest.mark.filterwarnings(
    # Lightning's advice on workers and loggers, and what it uses of older libraries.
    "ignore:.*:UserWarning", "ignore:.*:FutureWarning", "ignore:.*:DeprecationWarning",
    "ignore:.*:lightning.fabric.utilities.warnings.PossibleUserWarning",
)  # fmt: skip

EVERY, LOG = Schedule.every(2).within(None), Schedule.log(4).within(None)
NAMES = ["lightning.pytorch", "pytorch_lightning"]


def module(pl, net, *, beside=None):
    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.beside, self.losses = net, beside, []

        def training_step(self, batch, _):
            loss = self.net(**batch).loss
            self.losses.append(loss.item())
            return loss

        def configure_optimizers(self):
            return torch.optim.AdamW(self.net.parameters(), lr=1e-3)

    return Module()


def fit(pl, net, folder, *callbacks, resume=None, beside=None, **settings):
    settings = {"max_steps": 8, "enable_checkpointing": False} | settings
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder, callbacks=list(callbacks), **settings,
    )  # fmt: skip
    watched = module(pl, net, beside=beside)
    pl.seed_everything(3, verbose=False)
    trainer.fit(watched, DataLoader(rows(), batch_size=8), ckpt_path=resume)
    return watched


def watcher(folder, schedule=None, **settings) -> Callback:
    return Callback(Recorder(folder, material()[2], schedule or EVERY), **settings)


@pytest.fixture
def pl():
    return importlib.import_module(NAMES[0])


@pytest.mark.parametrize("name", NAMES)
def test_recording_changes_no_bit_of_a_training(tmp_path, name):
    pl = importlib.import_module(name)
    bare = fit(pl, model("gpt2", dropout=0.1), tmp_path)
    watched = fit(pl, model("gpt2", dropout=0.1), tmp_path, watcher(tmp_path / "run"))
    assert watched.losses == bare.losses
    assert len(set(bare.losses)) == 8
    weights = zip(bare.parameters(), watched.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)
    run = Run(tmp_path / "run")
    assert run.steps == [0, 2, 4, 6, 8]
    assert [r["step"] for r in run.journal.live("run_end")] == [8]
    rates = [(r["step"], r["learning_rate"]) for r in run.journal.live("step")]
    assert rates == [(2, 1e-3), (4, 1e-3), (6, 1e-3), (8, 1e-3)]


def test_accumulated_batches_are_one_step_read_once(tmp_path, pl):
    callback = watcher(tmp_path / "run", Schedule.at(range(9)))
    fit(pl, model(), tmp_path, callback, max_steps=3, accumulate_grad_batches=2)
    run = Run(tmp_path / "run")
    assert [r["step"] for r in run.journal.live("snapshot")] == [0, 1, 2, 3]
    states = [run.states(step).values for step in run.steps]
    assert not any(torch.equal(a, b) for a, b in pairwise(states))


def test_the_last_step_is_known_from_steps_or_epochs(tmp_path, pl):
    fit(pl, model(), tmp_path, watcher(tmp_path / "a", LOG))
    fit(
        pl, model(), tmp_path, watcher(tmp_path / "b", LOG), max_steps=-1, max_epochs=1,
        accumulate_grad_batches=2,
    )  # fmt: skip
    assert Run(tmp_path / "a").steps == [0, 1, 3, 8]
    assert Run(tmp_path / "b").steps == [0, 1, 2, 4]


def test_saves_are_read_and_a_resumed_training_records_the_rest_anew(tmp_path, pl):
    def checkpoints(folder):
        return pl.callbacks.ModelCheckpoint(tmp_path / folder, every_n_train_steps=3, save_top_k=-1)

    schedule = Schedule.at_saves() | Schedule.at([0, 8])
    settings = {"enable_checkpointing": True, "max_steps": 8}
    callbacks = watcher(tmp_path / "run", schedule), checkpoints("a")
    fit(pl, model(), tmp_path, *callbacks, **settings)
    run = Run(tmp_path / "run")
    assert run.steps == [0, 3, 6, 8]
    kept = run.states(3).values
    saved = next(path for path in (tmp_path / "a").iterdir() if "step=3" in path.name)
    callbacks = watcher(tmp_path / "run", schedule), checkpoints("b")
    again = fit(pl, model(seed=5), tmp_path, *callbacks, resume=saved, **settings)
    run = Run(tmp_path / "run")
    assert [r["to"] for r in run.journal.live("rewind")] == [3]
    assert [r["step"] for r in run.journal.live("snapshot")] == [0, 3, 6, 8]
    assert torch.equal(run.states(3).values, kept)
    assert torch.equal(run.states(8).values, capture(again.net, run.prompts).values.half())


def test_a_module_with_several_models_or_none_is_refused_unless_one_is_named(tmp_path, pl):
    with pytest.raises(BadInput, match=r"it holds several \(net, beside\); name the one"):
        fit(pl, model(), tmp_path, watcher(tmp_path / "run"), beside=model())
    with pytest.raises(BadInput, match="it holds none; name the one"):
        watcher(tmp_path / "run").on_train_start(None, nn.Linear(2, 2))
    named = watcher(tmp_path / "run", model=lambda module: module.net)
    fit(pl, model(), tmp_path, named, beside=model())
    assert Run(tmp_path / "run").steps == [0, 2, 4, 6, 8]


def test_what_was_read_is_on_disk_when_a_training_breaks_off(tmp_path, pl):
    class Broken(pl.Callback):
        def on_train_batch_end(self, trainer, *_: object) -> None:
            if trainer.global_step == 5:
                raise InterruptedError

    callback = watcher(tmp_path / "run")
    with pytest.raises(InterruptedError):
        fit(pl, model(), tmp_path, callback, Broken())
    assert Run(tmp_path / "run").steps == [0, 2, 4]
    assert Run(tmp_path / "run").status == "stopped"
    Recorder(tmp_path / "run", material()[2], EVERY)  # nobody writes there any more


def test_hyperparameters_of_module_trainer_and_optimizer_stand_in_the_manifest(tmp_path, pl):
    class Module(type(module(pl, model()))):
        def __init__(self, width=3) -> None:
            super().__init__()
            self.save_hyperparameters({"width": width})

    trainer = pl.Trainer(
        accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, max_steps=1,
        enable_model_summary=False, enable_checkpointing=False, gradient_clip_val=0.5,
        callbacks=[watcher(tmp_path / "run")],
    )  # fmt: skip
    trainer.fit(Module(), DataLoader(rows(), batch_size=8))
    found = Run(tmp_path / "run").hyperparameters
    assert (found["width"], found["gradient_clip_val"], found["optimizer.lr"]) == (3, 0.5, 1e-3)
    assert (found["optimizer"], found["max_steps"]) == ("AdamW", 1)

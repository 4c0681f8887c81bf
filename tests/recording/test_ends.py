"""However a training ends, its due steps and its last one are read, or on record as missed."""

import itertools

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset
from transformers import EarlyStoppingCallback, Trainer, TrainingArguments

from nucleate import Recorder, Run, Schedule, capture
from nucleate.recording import hf, lightning
from sequences import rows
from small import material, model
from trainers import Watched, prompts, settings

pytestmark = pytest.mark.filterwarnings(
    # Advice of Lightning and transformers, and what they use of older libraries.
    "ignore:.*:UserWarning", "ignore:.*:FutureWarning", "ignore:.*:DeprecationWarning",
)  # fmt: skip
LOG = Schedule.log(5).within(None)


def recording(folder, schedule=LOG) -> Recorder:
    return Recorder(folder, prompts(), schedule)


def account(folder) -> dict:
    return [r for r in Run(folder).journal.live("event") if r["name"] == "recording"][-1]


# Trainer


class Short(IterableDataset):
    """Ends before it promises to."""

    def __len__(self) -> int:
        return 64

    def __iter__(self):
        return iter(rows(20))


def trained(folder, *callbacks, data=None, **others) -> tuple[Watched, Recorder]:
    recorder = recording(folder / "run")
    net = model()
    trainer = Watched(net, folder / "w", hf.Callback(recorder), *callbacks, **others)
    if data is not None:
        trainer.train_dataset = data
    trainer.train()
    assert recorder.error is None
    return trainer, recorder


@pytest.mark.parametrize(
    ("lengths", "last"),
    [
        ({"steps": -1, "num_train_epochs": 2, "gradient_accumulation_steps": 3}, 6),
        ({"steps": -1, "num_train_epochs": 1.5}, 12),
        ({"steps": 5, "gradient_accumulation_steps": 3}, 5),
    ],
)
def test_trainers_epochs_and_uneven_groups_end_at_a_step_that_is_read(tmp_path, lengths, last):
    trainer, recorder = trained(tmp_path, **lengths)
    assert trainer.state.global_step == last
    run = Run(tmp_path / "run")
    assert (run.steps[0], run.steps[-1]) == (0, last)
    assert run.steps == list(LOG.bound(last)._fixed)
    assert recorder.missed == recorder.skipped == []
    assert run.status == "finished"


def test_a_dataset_that_ends_before_its_time_has_its_last_step_read(tmp_path):
    trainer, recorder = trained(tmp_path, data=Short(), steps=-1, num_train_epochs=1)
    assert (trainer.state.global_step, trainer.state.max_steps) == (3, 8)
    assert Run(tmp_path / "run").steps == [0, 1, 2, 3]
    assert recorder.missed == [4, 8]


@pytest.mark.parametrize("best", [False, True])
@pytest.mark.parametrize("strategy", ["steps", "epoch"])
def test_a_training_that_is_stopped_early_has_its_last_step_read_with_its_own_weights(
    tmp_path, strategy, best
):
    ends = {}

    class Noting(Trainer):
        def _maybe_log_save_evaluate(self, *args, **others):
            super()._maybe_log_save_evaluate(*args, **others)
            ends["weights"] = [each.detach().clone() for each in self.model.parameters()]

    recorder, net = recording(tmp_path / "run"), model()
    arguments = settings(
        tmp_path / "w", steps=-1, num_train_epochs=30, eval_strategy=strategy, eval_steps=3,
        save_strategy=strategy if best else "no", save_steps=3, load_best_model_at_end=best,
        metric_for_best_model="loss",
    )  # fmt: skip
    trainer = Noting(
        net, TrainingArguments(**arguments), train_dataset=rows(), eval_dataset=rows()[:8],
        callbacks=[hf.Callback(recorder), EarlyStoppingCallback(1, 1e9)],
    )  # fmt: skip
    trainer.train()
    last = trainer.state.global_step
    assert last < 200
    run = Run(tmp_path / "run")
    assert run.steps[-1] == last
    assert recorder.missed == [s for s in LOG.bound(240)._fixed if s > last]
    again = model()
    with torch.no_grad():
        for mine, theirs in zip(again.parameters(), ends["weights"], strict=True):
            mine.copy_(theirs)
    assert torch.equal(run.states(last).values, capture(again, run.prompts).values.half())


# Lightning


def module(pl, net, optimizers=1, every=1):
    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net
            self.automatic_optimization = optimizers == 1 and every == 1

        def training_step(self, batch, index):
            loss = self.net(**batch).loss
            if self.automatic_optimization:
                return loss
            self.manual_backward(loss)
            if index % every == every - 1:
                found = self.optimizers()
                for optimizer in found if isinstance(found, list) else [found]:
                    optimizer.step()
                    optimizer.zero_grad()
            return None

        def validation_step(self, *_):
            self.log("worse", float(self.global_step))

        def configure_optimizers(self):
            weights = list(self.net.parameters())
            parts = [weights[number::optimizers] for number in range(optimizers)]
            return [torch.optim.SGD(part, lr=0.1) for part in parts]

    return Module()


def fit(folder, watched, schedule, *callbacks, **lengths):
    import lightning.pytorch as pl

    recorder = recording(folder / "run", schedule)
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=folder,
        callbacks=[lightning.Callback(recorder), *callbacks], **lengths,
    )  # fmt: skip
    trainer.fit(watched(pl), *(DataLoader(rows(count), batch_size=4) for count in (24, 4)))
    assert recorder.error is None
    return trainer.global_step, recorder, Run(folder / "run").steps


@pytest.mark.parametrize(
    ("optimizers", "every", "shown"), [(2, 1, 2), (3, 1, 3), (1, 2, 1), (2, 3, 2)]
)
def test_manual_optimization_is_read_at_the_first_step_that_shows(
    tmp_path, optimizers, every, shown
):
    net = model()
    last, recorder, steps = fit(
        tmp_path, lambda pl: module(pl, net, optimizers, every), Schedule.every(3).within(None),
        max_epochs=2,
    )  # fmt: skip
    assert last == 12 // every * shown
    seen = range(0, last + 1, shown)
    wanted = {min(s for s in seen if s >= due) for due in range(0, last + 1, 3)} | {last}
    assert steps == sorted(wanted)
    assert all(read_at in wanted for read_at in recorder.moved.values())
    assert Run(tmp_path / "run").status == "finished"


def test_a_training_that_is_longer_than_was_expected_has_its_last_step_read(tmp_path):
    net = model()
    last, _, steps = fit(tmp_path, lambda pl: module(pl, net, 2), LOG, max_epochs=2)
    assert (last, steps[0], steps[-1]) == (24, 0, 24)
    kept = Run(tmp_path / "run").states(24).values
    assert torch.equal(kept, capture(net, material()[2]).values.half())


@pytest.mark.parametrize(
    "lengths",
    [
        {"max_time": {"seconds": 2}, "max_epochs": -1},
        {"max_epochs": 2, "limit_train_batches": 0.5},
        {"max_epochs": 3, "accumulate_grad_batches": 4},
        {"max_steps": 7},
    ],
    ids=lambda given: next(iter(given)),
)
def test_however_long_a_training_is_its_last_step_is_read(tmp_path, lengths):
    schedule = Schedule.every(4).within(None) | Schedule.at([1])
    last, recorder, steps = fit(
        tmp_path, lambda pl: module(pl, model()), schedule, **lengths
    )  # fmt: skip
    assert steps == sorted({0, 1, last, *range(0, last + 1, 4)})
    assert recorder.moved == {}
    assert account(tmp_path / "run")["missed"] == recorder.missed


def test_early_stopping_has_its_last_step_read_and_the_rest_on_record(tmp_path):
    import lightning.pytorch as pl

    stopping = pl.callbacks.EarlyStopping("worse", patience=1)
    last, recorder, steps = fit(
        tmp_path, lambda pl: module(pl, model()), LOG, stopping, max_epochs=100,
        check_val_every_n_epoch=1,
    )  # fmt: skip
    assert last < 60
    assert steps[-1] == last
    assert recorder.missed == [step for step in LOG.bound(600)._fixed if step > last]


def test_averaged_weights_do_not_pass_for_those_of_the_last_step(tmp_path, caplog):
    import lightning.pytorch as pl

    class Averaging(pl.Callback):
        def on_train_end(self, _, watched) -> None:
            with torch.no_grad():
                for parameter in watched.parameters():
                    parameter.mul_(0.5)

    averaging = Averaging()
    net, where = model(), tmp_path / "run"
    recorder = recording(where, LOG)
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, max_epochs=2,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=tmp_path,
        callbacks=[averaging, lightning.Callback(recorder)],
    )  # fmt: skip
    trainer.fit(module(pl, net, 2), DataLoader(rows(24), batch_size=4))
    assert recorder.missed == [24]
    assert 24 not in Run(where).steps
    assert "last step 24 was not read" in caplog.text


def test_a_plain_loop_over_uneven_groups_reads_each_due_step_once(tmp_path):
    net, step = model(), 0
    with recording(tmp_path / "run", Schedule.every(3).within(None)) as recorder:
        recorder.step(net, 0)
        for _, batch in zip(range(7), itertools.cycle([1, 2]), strict=False):
            step += batch
            recorder.step(net, step)
        recorder.finish(net, step)
    assert step == 10
    assert Run(tmp_path / "run").steps == [0, 3, 6, 9, 10]

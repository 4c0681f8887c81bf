"""Recorder callback for Lightning's `Trainer`, imported as `lightning` or `pytorch_lightning`."""

import math
from collections.abc import Callable
from typing import Any

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from nucleate._core.errors import BadInput
from nucleate.recording._recorder import Recorder
from nucleate.recording._settings import optimizer_settings

try:
    from lightning.pytorch import Callback as _Callback
except ImportError:
    from pytorch_lightning import Callback as _Callback


class Callback(_Callback):  # type: ignore[misc]
    """Records during a Lightning run: `Trainer(callbacks=[Callback(recorder)])`.

    Steps are optimizer steps, as `trainer.global_step` counts them: batches whose gradients are
    accumulated count once, and the steps of several optimizers add up, so that some never show. A
    reading keeps the learning rate of the first parameter group.

    Args:
        recorder: closed when training ends.
        model: returns the language model of the LightningModule; by default the only model from
            transformers in it.
    """

    def __init__(
        self, recorder: Recorder, *, model: Callable[[Any], nn.Module] | None = None
    ) -> None:
        self.recorder = recorder
        self._find = model or _only_model
        self._model: nn.Module | None = None
        self._weights: list[tuple[int, int]] = []

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Read the model before the first step of this session.

        Raises:
            BadInput: there is no model or more than one, or it cannot be read.
        """
        self._model = self._find(pl_module)
        self.recorder.close()  # an interrupted training run has left its session open
        last = trainer.max_steps if trainer.max_steps > 0 else trainer.estimated_stepping_batches
        if math.isfinite(last):
            self.recorder.schedule = self.recorder.schedule.bound(int(last))
        self._weights = _stamp(self._model)
        if self.recorder.tokenizer is None:
            for holder in (pl_module, getattr(trainer, "datamodule", None)):
                if isinstance(it := getattr(holder, "tokenizer", None), PreTrainedTokenizerBase):
                    self.recorder.tokenizer = it
        self.recorder.take_hyperparameters(_settings(trainer, pl_module))
        self.recorder.step(self._model, trainer.global_step)

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Read the model if the step is due."""
        if self._model is not None:
            rates = [group["lr"] for one in trainer.optimizers for group in one.param_groups]
            known = {"learning_rate": rates[0]} if rates else {}
            self.recorder.step(self._model, trainer.global_step, **known)
            self._weights = _stamp(self._model)

    def on_save_checkpoint(self, trainer: Any, *_: Any) -> None:
        """Read the model if the schedule reads at saves."""
        if self._model is not None:  # a training is going on
            self.recorder.saved(self._model, trainer.global_step)

    def on_exception(self, *_: Any) -> None:
        """Write all records."""
        self.recorder.flush()

    def on_train_end(self, trainer: Any, _: Any) -> None:
        """Read the model if the schedule asks for the last step, and record the end of training."""
        # Another callback may have put averaged weights in the place of the last.
        if self._model is not None and self._weights == _stamp(self._model):
            self.recorder.finish(self._model, trainer.global_step)
        self.recorder.close(end=trainer.global_step)
        self._model = None


# Of the trainer, what decides how a model comes out.
_TRAINER = (
    "max_steps", "max_epochs", "accumulate_grad_batches", "gradient_clip_val",
    "gradient_clip_algorithm", "precision", "num_devices", "num_nodes", "limit_train_batches",
)  # fmt: skip


def _settings(trainer: Any, module: Any) -> dict[str, Any]:
    """The hyperparameters of the module and its data, of the trainer, and of the optimizers."""
    given = {
        **dict(getattr(getattr(trainer, "datamodule", None), "hparams", {})),
        **dict(getattr(module, "hparams", {})),
    }
    own = {name: getattr(trainer, name) for name in _TRAINER if hasattr(trainer, name)}
    return own | optimizer_settings(trainer.optimizers) | given


def _stamp(model: nn.Module) -> list[tuple[int, int]]:
    """Changes whenever a parameter does: torch counts the writes into a tensor."""
    return [(each.data_ptr(), each._version) for each in model.parameters()]


def _only_model(module: nn.Module) -> nn.Module:
    """The only model from transformers in a module, not counting models inside it."""
    found: dict[str, nn.Module] = {}
    for name, part in module.named_modules():
        inside = any(name.startswith(f"{other}.") for other in found)
        if isinstance(part, PreTrainedModel) and not inside:
            found[name] = part
    if len(found) == 1:
        return next(iter(found.values()))
    names = f"several ({', '.join(found)})" if found else "none"
    raise BadInput(
        f"{type(module).__name__} should hold one model from transformers, it holds {names}; name "
        "the one to be read: Callback(recorder, model=lambda module: module...)"
    )

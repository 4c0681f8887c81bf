"""Recorder callback for transformers' `Trainer` and trainers built on it, such as TRL's.

The callback keeps no state: a trainer may create a new one when it resumes, and the run folder
holds the rest.
"""

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase, TrainerCallback

from nucleate.recording._recorder import Recorder
from nucleate.recording._settings import optimizer_settings

# What trainers log -> its name in the journal. TRL's trainers count tokens under another name.
_SCALARS = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "num_input_tokens_seen": "tokens",
    "num_tokens": "tokens",
}


class Callback(TrainerCallback):  # type: ignore[misc]
    """Records during a `Trainer` run: `Trainer(..., callbacks=[Callback(recorder)])`.

    The schedule takes the last step from the trainer. A step is read after the optimizer step, step
    0 before the first one. Where training stops early, the step at which it does is read, unless
    the trainer has put its best model in the place of the last before anybody was told. Training
    resumed from a checkpoint voids the run's records of later steps. Losses, learning rates,
    gradient norms and token counts that the trainer logs are written to the run's journal; tokens
    are logged by TRL, and with `TrainingArguments(include_num_input_tokens_seen=...)`.

    Args:
        recorder: closed when training ends.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def on_train_begin(
        self,
        args: Any,
        state: Any,
        _control: Any,
        *,
        model: Any,
        processing_class: Any = None,
        optimizer: Any = None,
        **_: Any,
    ) -> None:
        """Read the model before the first step of this session.

        Raises:
            BadInput: the model cannot be read, or the tokenizer is not the prompt set's.
        """
        tokenizer = getattr(processing_class, "tokenizer", processing_class)
        if isinstance(tokenizer, PreTrainedTokenizerBase):
            self.recorder.prompts.check_tokenizer(tokenizer)
            self.recorder.tokenizer = tokenizer
        self.recorder.close()  # an interrupted training run has left its session open
        self.recorder.schedule = self.recorder.schedule.bound(state.max_steps)
        settings = {"steps": state.max_steps, **_open(args.to_dict())}
        self.recorder.take_hyperparameters(settings | optimizer_settings([optimizer]))
        self.recorder.step(model, state.global_step)

    def on_step_end(self, _args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        """Read the model if the step is due."""
        self._arrive(state, control, model)
        self._before_a_save(state, control, model)

    def on_epoch_end(self, _args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        """Read the model if training stops here, and write all before a checkpoint is saved."""
        self._arrive(state, control, model)
        self._before_a_save(state, control, model)

    def on_save(self, _args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        """Read the model if the schedule reads at saves, or if training stops here."""
        self._arrive(state, control, model)
        self.recorder.saved(model, state.global_step)

    def _arrive(self, state: Any, control: Any, model: Any) -> None:
        # An evaluation may end the training: then the next event is a save, an epoch's end, or
        # the training's, at which the best model may have replaced the last.
        arrive = self.recorder.finish if control.should_training_stop else self.recorder.step
        arrive(model, state.global_step)

    def _before_a_save(self, state: Any, control: Any, model: Any) -> None:
        # Trainers report a save when it is done; a kill right after would lose waiting records.
        if control.should_save:
            self.recorder.saved(model, state.global_step)

    def on_log(
        self,
        _args: Any,
        state: Any,
        _control: Any,
        *,
        logs: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Write logged numbers to the journal."""
        known = {_SCALARS[name]: it for name, it in (logs or {}).items() if name in _SCALARS}
        if known.keys() != {"tokens"}:  # the summary at a training's end counts once more
            self.recorder.log(state.global_step, **known)

    def on_train_end(
        self, args: Any, state: Any, _control: Any, *, model: Any = None, **_: Any
    ) -> None:
        """Read the model if that has not been done, and record the end of training."""
        replaced = args.load_best_model_at_end and state.best_model_checkpoint is not None
        if model is not None and not replaced:
            self.recorder.finish(model, state.global_step)
        self.recorder.close(end=state.global_step)


def _open(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Without the tokens, in whose places transformers writes their names: `<HUB_TOKEN>`."""
    return {name: it for name, it in settings.items() if it != f"<{name.upper()}>"}

"""A recorder for transformers' `Trainer` and all that are built on it, such as TRL's trainers.

Nothing that matters is kept in the callback: a trainer may make it anew when it resumes, and the
run folder knows the rest.
"""

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase, TrainerCallback

from nucleate.recording._recorder import Recorder

# What trainers log -> its name in the journal. TRL's trainers count tokens under another name.
_SCALARS = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "num_input_tokens_seen": "tokens",
    "num_tokens": "tokens",
}


class Callback(TrainerCallback):  # type: ignore[misc]
    """Lets a recorder watch a `Trainer`: `Trainer(..., callbacks=[Callback(recorder)])`.

    The schedule gets to know the last step; steps are read after the optimizer's, step 0 before
    the first. A training resumed from a checkpoint voids what the run has of later steps. Losses,
    learning rates, gradient norms and token counts that the trainer logs go to the run's journal;
    tokens are logged by `TrainingArguments(include_num_input_tokens_seen=...)` and by TRL.

    Args:
        recorder: what reads, and where to; closed when the training ends.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def on_train_begin(
        self,
        _args: Any,
        state: Any,
        _control: Any,
        *,
        model: Any,
        processing_class: Any = None,
        **_: Any,
    ) -> None:
        """Read the model as it is before the first step of this session.

        Raises:
            BadInput: the model cannot be read, or the tokenizer is not the prompt set's.
        """
        tokenizer = getattr(processing_class, "tokenizer", processing_class)
        if isinstance(tokenizer, PreTrainedTokenizerBase):
            self.recorder.prompts.check_tokenizer(tokenizer)
        self.recorder.close()  # a training that broke off here has left its session open
        self.recorder.schedule = self.recorder.schedule.bound(state.max_steps)
        self.recorder.step(model, state.global_step)

    def on_step_end(self, _args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        """Read the model if the step is due."""
        self.recorder.step(model, state.global_step)
        self._before_a_save(state, control, model)

    def on_epoch_end(self, _args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        """Have everything on disk before a checkpoint is."""
        self._before_a_save(state, control, model)

    def on_save(self, _args: Any, state: Any, _control: Any, *, model: Any, **_: Any) -> None:
        """Read the model if the schedule reads at saves."""
        self.recorder.saved(model, state.global_step)

    def _before_a_save(self, state: Any, control: Any, model: Any) -> None:
        # Trainers tell of a save when it is done; a kill right after would lose what waits.
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
        """Keep the logged numbers."""
        known = {_SCALARS[name]: it for name, it in (logs or {}).items() if name in _SCALARS}
        if known.keys() != {"tokens"}:  # the summary at a training's end counts once more
            self.recorder.log(state.global_step, **known)

    def on_train_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Put the end on record."""
        self.recorder.close(end=state.global_step)

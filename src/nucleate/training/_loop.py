"""The training loop of the study: trains on answers, records states, stops when asked to."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from nucleate._core.devices import device_named
from nucleate._core.errors import BadInput, Interrupted, RunFailed
from nucleate.activations import head_reads, predicting
from nucleate.recording import Recorder
from nucleate.runs import Run
from nucleate.training._batches import Batch, Batches
from nucleate.training._checkpoint import load_checkpoint, save_checkpoint
from nucleate.training._config import TrainingConfig
from nucleate.training._optimizers import make_optimizer
from nucleate.training.regularizers._study import Regularized

# Steps between looks at the loss: a look makes an accelerator wait for the queue to empty.
_LOOK_EVERY = 10
# Share of the steps after the warm-up over which the schedule `wsd` falls (Hägele et al. 2024).
_DECAYING = 0.2


@dataclass(frozen=True)
class Trained:
    """A trained model, and the time that training took over all sessions, in seconds."""

    model: PreTrainedModel
    seconds: float
    recording_seconds: float


def device_of(config: TrainingConfig) -> torch.device:
    """The device that the configuration means."""
    return device_named(config.device)


def train(
    model: PreTrainedModel,
    batches: Batches,
    config: TrainingConfig,
    run: Run,
    recorder: Recorder,
    *,
    seed: int,
    progress: Callable[[int, float], None] = lambda step, loss: None,
    stopping: Callable[[], bool] = lambda: False,
) -> Trained:
    """Train to the last step, starting from the run's newest checkpoint if there is one.

    A resumed training gives bit-identical losses and weights, on the same machine with the same
    number of threads.

    Args:
        model: trained in place.
        batches: the training batches.
        config: training settings.
        run: receives checkpoints and step records: losses, learning rate, and tokens read so far
            (padding not counted).
        recorder: reads the model at the steps of its schedule.
        seed: of dropout, and of the permuted tasks of a regularizer's twin.
        progress: called with the steps taken and the last loss known.
        stopping: asked before each step; once true, a checkpoint is written and training ends.

    Raises:
        BadInput: the regularizer does not fit the model, the batches or the other settings, the
            optimizer's package is not installed, or the run holds a finished training and no
            checkpoint to resume from.
        Interrupted: `stopping` said so.
        RunFailed: the loss is not finite, or the disk does not take what is written.
    """
    loop = _Loop(model, batches, config, run, recorder, seed)
    try:
        while loop.step < config.steps:
            if stopping():
                loop.checkpoint()
                raise Interrupted(f"{run.path} stopped at step {loop.step}; run again to resume")
            loop.record()
            loop.one_step()
            if loop.step % _LOOK_EVERY == 0 or loop.step == config.steps:
                progress(loop.step, loop.look())
            if loop.step % config.checkpoint_every == 0 and loop.step < config.steps:
                loop.checkpoint()
        loop.record()
        loop.checkpoint()
        recorder.close(end=loop.step)
    except OSError as error:
        raise RunFailed(
            f"{run.path}: cannot write at step {loop.step} ({error}); free the disk and run again "
            "to resume from the last checkpoint"
        ) from error
    except RunFailed as error:
        run.journal.append("event", name="training failed", at=loop.step, error=str(error))
        raise
    return Trained(model, loop.seconds, loop.recording_seconds)


class _Loop:
    """One session of a training run: its state, and what one step does."""

    def __init__(
        self,
        model: PreTrainedModel,
        batches: Batches,
        config: TrainingConfig,
        run: Run,
        recorder: Recorder,
        seed: int,
    ) -> None:
        self.step = 0
        self._config, self._run, self._recorder = config, run, recorder
        self._batches = batches
        self._device = device_of(config)
        self._model = model.to(self._device).train()
        self._forward: nn.Module = (
            torch.compile(model) if config.compile else model  # type: ignore[assignment]
        )
        self._optimizer = make_optimizer(model, config)
        self._losses: list[Tensor] = []
        self._tokens: int | None = 0  # None: resumed from version 0.1, which did not count them
        self._regularized = _regularized(config, model, batches, seed)
        torch.manual_seed(seed)
        self._earlier = {"seconds": 0.0, "recording_seconds": 0.0}
        self._restore()
        self._began = time.perf_counter()
        self._recorded_before = recorder.seconds

    @property
    def recording_seconds(self) -> float:
        """Time in the recorder, over all sessions."""
        this = self._recorder.seconds - self._recorded_before
        return self._earlier["recording_seconds"] + this

    @property
    def seconds(self) -> float:
        """Time of training, recording not counted, over all sessions."""
        this = time.perf_counter() - self._began - self._recorder.seconds + self._recorded_before
        return self._earlier["seconds"] + this

    def one_step(self) -> None:
        """Forward, backward, step."""
        for group in self._optimizer.param_groups:
            group["lr"] = _learning_rate(self._config, self.step)
        batch = self._batches.at(self.step)
        if self._tokens is not None:
            self._tokens += int(batch.lengths.sum())
        loss, whole = self._losses_of(batch)
        whole.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._model.parameters(), self._config.clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._losses.append(loss.detach())
        self.step += 1

    def record(self) -> None:
        """Let the recorder read, if it wants to and the model is sound."""
        if self._recorder.due(self.step):
            self.look()
            self._recorder.step(self._model, self.step)

    def look(self) -> float:
        """The newest loss; the journal gets the losses since the last look.

        Raises:
            RunFailed: one of them is not finite, or the recorder has failed.
        """
        losses = torch.stack(self._losses).tolist() if self._losses else []
        self._losses.clear()
        first = self.step - len(losses) + 1
        for step, loss in enumerate(losses, first):
            if not math.isfinite(loss):
                raise RunFailed(
                    f"{self._run.path}: the loss is {loss} at step {step}; what was recorded "
                    "before is kept; lower training.learning_rate and start a new run"
                )
        if self._recorder.error is not None:
            raise self._recorder.error
        if losses:
            known: dict[str, Any] = {"learning_rate": _learning_rate(self._config, self.step - 1)}
            if self._tokens is not None:
                known["tokens"] = self._tokens
            self._run.journal.append("step", step=self.step, first=first, losses=losses, **known)
            if self._regularized is not None:
                self._regularized.note(self._run, self.step)
        return float(losses[-1]) if losses else math.nan

    def checkpoint(self) -> None:
        """Everything up to this step is safe after this."""
        self.look()
        self._recorder.flush()
        if self._recorder.error is not None:
            raise self._recorder.error
        save_checkpoint(
            self._run,
            self.step,
            self._model,
            self._optimizer,
            self._penalty,
            seconds=self.seconds,
            recording_seconds=self.recording_seconds,
            tokens=self._tokens,
        )

    def _restore(self) -> None:
        saved = load_checkpoint(self._run, self._model, self._optimizer, self._penalty)
        if saved is None:
            if self._run.status == "finished":
                raise BadInput(
                    f"{self._run.path} holds a finished training and no checkpoint; train into "
                    "another folder"
                )
            self._recorder.rewind(-1)
            return
        self._recorder.rewind(saved["step"])
        self.step = saved["step"]
        self._earlier = {name: saved[name] for name in self._earlier}
        self._tokens = saved.get("tokens")

    @property
    def _penalty(self) -> nn.Module | None:
        return None if self._regularized is None else self._regularized.penalty

    def _losses_of(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The answers' loss, and the same with the regularizer's, which is what is lowered."""
        weight = self._regularized.weight_at(self.step) if self._regularized else 0.0
        if self._regularized is None or not weight:
            loss = self._loss(batch)
            return loss, loss
        with self._regularized.watching() as seen:
            loss = self._loss(batch)
        with self._autocast():
            penalty = self._regularized.loss(batch, seen[0])
        return loss, loss + weight * penalty

    def _loss(self, batch: Batch) -> Tensor:
        ids = torch.from_numpy(batch.ids).to(self._device, non_blocking=True)
        index, real = self._learned(batch)
        targets = ids.gather(1, index + 1)
        # A hook that changes from step to step would be compiled again each time.
        focus = nullcontext() if self._config.compile else head_reads(self._model, index)
        with self._autocast(), focus:
            # Each row's last token predicts nothing: the longest rows need not be read to the end.
            logits = self._forward(input_ids=ids[:, :-1], use_cache=False).logits
        if self._config.compile:
            logits = logits.gather(1, index[:, :, None].expand(-1, -1, logits.shape[-1]))
        return nn.functional.cross_entropy(logits[real].float(), targets[real])

    def _learned(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The tokens [row, kept] whose successor is learned, and which of them are not padding."""
        whole = self._config.loss == "sequence"
        prompt = np.ones_like(batch.lengths) if whole else batch.prompt_lengths
        index, real = predicting(prompt, batch.lengths - prompt)
        device = self._device
        return torch.from_numpy(index).to(device), torch.from_numpy(real).to(device)

    def _autocast(self) -> Any:
        if self._config.precision == "float32":
            return nullcontext()
        return torch.autocast(self._device.type, dtype=torch.bfloat16)


def _regularized(
    config: TrainingConfig, model: PreTrainedModel, batches: Batches, seed: int
) -> Regularized | None:
    if config.regularizer is None:
        return None
    if config.compile:
        raise BadInput(
            "training.regularizer reads states with hooks, which never fire inside compiled code; "
            "set training.compile to false"
        )
    return Regularized(config.regularizer, model, batches, seed=seed)


def _learning_rate(config: TrainingConfig, step: int) -> float:
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    after = max(1, config.steps - config.warmup_steps)
    left = 1 - (step - config.warmup_steps) / after
    shape = {
        "constant": 1.0,
        "linear": left,
        "cosine": 0.5 * (1 - math.cos(math.pi * left)),
        "wsd": min(1.0, left / _DECAYING),
        # From the rate at the end of the warm-up; without one, from the first step.
        "inverse_sqrt": math.sqrt(max(1, config.warmup_steps) / (step + 1)),
    }[config.schedule]
    return config.learning_rate * shape

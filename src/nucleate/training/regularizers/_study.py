"""A regularizer in the study's training loop: it finds states, tasks and bare prompts itself."""

from contextlib import AbstractContextManager

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from nucleate._core.errors import BadInput
from nucleate.runs import Run
from nucleate.training._batches import Batch, Batches
from nucleate.training.regularizers._bare_prompts import IGNORED, BarePrompts
from nucleate.training.regularizers._penalty import (
    Penalty,
    Rows,
    shuffle_over_strings,
    watched,
    width_of,
)
from nucleate.training.regularizers._regularizer import Regularizer


class Regularized:
    """A model that is trained under a regularizer.

    Args:
        regularizer: which.
        model: on the device where it is trained.
        batches: what is trained on.
        seed: of the permutation of tasks over instruction strings; for a twin.

    Raises:
        BadInput: as `check_regularizer`.
    """

    def __init__(
        self, regularizer: Regularizer, model: PreTrainedModel, batches: Batches, *, seed: int
    ) -> None:
        check_regularizer(regularizer, model, batches.order)
        self._regularizer, self._model = regularizer, model
        self._stream = regularizer.stream_in(model)
        self._device = next(model.parameters()).device
        tasks = batches.instruction_tasks
        shuffled = shuffle_over_strings(tasks.tolist(), range(len(tasks)), seed=seed)
        self._tasks = torch.from_numpy(tasks).to(self._device)
        self._shuffled = torch.tensor(shuffled, device=self._device)
        self.penalty = Penalty(
            regularizer, model.parameters(), tasks=batches.task_count, width=width_of(model)
        ).to(self._device)
        self._newest: Tensor | None = None

    def weight_at(self, step: int) -> float:
        """The loss's weight at a step; 0 means that nothing is read or added."""
        return self._regularizer.weight_at(step)

    def watching(self) -> AbstractContextManager[list[Tensor]]:
        """Keep the states [row token width] of the place's stream while the model runs."""
        return watched(self._model, self._stream)

    def loss(self, batch: Batch, hidden: Float[Tensor, "row token width"]) -> Float[Tensor, ""]:
        """The regularizer's loss on a batch, without its weight."""
        ends = batch.instruction_ends
        token = (
            ends if self._regularizer.position == "instruction_end" else batch.prompt_lengths - 1
        )
        place = torch.from_numpy(token).to(self._device)
        row = torch.arange(len(place), device=self._device)
        instructions = torch.from_numpy(batch.instructions).to(self._device)
        rows = Rows(
            states=hidden[row, place],
            tasks=self._tasks[instructions],
            shuffled=self._shuffled[instructions],
            answers=self._bare(batch, place) if self._regularizer.kind == "prompting" else None,
        )
        loss: Tensor = self.penalty(rows)
        self._newest = loss.detach()
        return loss

    def note(self, run: Run, step: int) -> None:
        """Put the newest loss, its weight and the twin's scale on record, if there is one."""
        if self._newest is not None:
            run.journal.append(
                "regularizer",
                step=step,
                loss=float(self._newest),
                weight=self.weight_at(step - 1),
                scale=float(self.penalty.scale),
            )
            self._newest = None

    def _bare(self, batch: Batch, start: Int[Tensor, "row"]) -> BarePrompts:
        token = np.arange(batch.ids.shape[1])
        answer = (token >= batch.prompt_lengths[:, None]) & (token < batch.lengths[:, None])
        labels = np.where(answer, batch.ids, IGNORED)
        ids, wanted = (torch.from_numpy(table).to(self._device) for table in (batch.ids, labels))
        return BarePrompts(self._model, self._stream, ids, wanted, start)


def check_regularizer(regularizer: Regularizer, model: PreTrainedModel, order: str) -> None:
    """See whether a regularizer fits a model and its tasks, before anything is trained.

    Raises:
        BadInput: the model has no such stream, or a bare prompt would give its answer away.
    """
    regularizer.stream_in(model)
    if regularizer.kind == "prompting" and (
        order == "after" or regularizer.position != "instruction_end"
    ):
        raise BadInput(
            f"prompting at position {regularizer.position}, with the instruction {order} the "
            "input, takes a state that has seen the input, and with it the answer; use "
            "instruction_end, and the instruction before the input"
        )

"""A regularizer for transformers' `Trainer` and all that are built on it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nucleate._core.errors import BadInput
from nucleate.training._checkpoint import load_penalty, save_penalty
from nucleate.training.regularizers._bare_prompts import BarePrompts
from nucleate.training.regularizers._penalty import (
    Penalty,
    Rows,
    watched,
    width_of,
)
from nucleate.training.regularizers._regularizer import Regularizer

if TYPE_CHECKING:
    from transformers import Trainer as _Trainer
else:
    _Trainer = object

TOKEN, TASK, SHUFFLED = "task_token", "task", "shuffled_task"


class RegularizedTrainerMixin(_Trainer):  # type: ignore[misc]
    """Adds a regularizer's loss to that of a `Trainer`, from states of the same forward pass.

        class MyTrainer(RegularizedTrainerMixin, Trainer): ...

        MyTrainer(..., regularizer=Regularizer(kind="contrastive", stream="block.3"), tasks=20)

    Rows of the training set carry further columns of whole numbers, which the collator must let
    through:

    - `task_token`: the token whose state is meant, counted from the row's first one (padding on
      either side is no token); for `prompting` the last one of the instruction, which must stand
      before the input.
    - `task`: 0 to `tasks` - 1. Not needed by `prompting`.
    - `shuffled_task`: the same from `shuffle_over_strings`; for a twin.

    Evaluation gives the loss without the regularizer's. What it learns is saved in each checkpoint,
    and a resumed training continues bit for bit. Its newest loss is logged as `regularizer`.

    Args:
        regularizer: the additional loss; its `position` is ignored.
        tasks: number of tasks.
        args, kwargs: of the trainer.

    Raises:
        BadInput: no such stream; a compiled model, in which hooks do not fire; or more processes
            or GPUs than one, which would each learn their own centers or classifier.
    """

    def __init__(self, *args: Any, regularizer: Regularizer, tasks: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.args.torch_compile:
            raise BadInput("a regularizer cannot read compiled code; set torch_compile to False")
        if self.args.world_size > 1 or self.args.n_gpu > 1:
            raise BadInput("a regularizer works in one process on one GPU; start just one")
        self.regularizer = regularizer
        self._stream = regularizer.stream_in(self.model)
        self.penalty = Penalty(
            regularizer, self.model.parameters(), tasks=tasks, width=width_of(self.model)
        )
        self._newest: Tensor | None = None

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Mapping[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
        **settings: Any,
    ) -> Any:
        """The trainer's loss, with the regularizer's in training."""
        given = {name: inputs[name] for name in (TOKEN, TASK, SHUFFLED) if name in inputs}
        own = {name: value for name, value in inputs.items() if name not in given}
        settings |= {"return_outputs": return_outputs, "num_items_in_batch": num_items_in_batch}
        weight = self.regularizer.weight_at(self.state.global_step) if model.training else 0.0
        if not weight:
            return super().compute_loss(model, own, **settings)
        # Before the pass: the trainer may take the labels out of what it is given.
        labels = own.get("labels")
        with watched(model, self._stream) as seen:
            result = super().compute_loss(model, own, **settings)
        penalty = self._penalty(model, own | {"labels": labels}, given, seen[0])
        self._newest = penalty.detach()
        if self._normalized(num_items_in_batch):
            # Such a loss is summed over the batches of a step, where others are averaged.
            penalty = penalty / self.current_gradient_accumulation_steps
        loss, outputs = result if return_outputs else (result, None)
        loss = loss + weight * penalty
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """The trainer's log, with the newest loss of the regularizer."""
        if self._newest is not None and "loss" in logs:
            logs = logs | {"regularizer": float(self._newest)}
        super().log(logs, *args, **kwargs)

    def _penalty(
        self, model: nn.Module, own: Mapping[str, Any], given: Mapping[str, Tensor], hidden: Tensor
    ) -> Tensor:
        self._check(given)
        token, ids = given[TOKEN].long(), own["input_ids"]
        row = torch.arange(len(token), device=token.device)
        if (mask := own.get("attention_mask")) is not None:
            token = token + mask.long().argmax(1)
        prompting = self.regularizer.kind == "prompting"
        bare = BarePrompts(model, self._stream, ids, own["labels"], token) if prompting else None
        self.penalty.to(hidden.device)
        penalty: Tensor = self.penalty(
            Rows(
                states=hidden[row, token],
                tasks=given.get(TASK, torch.zeros_like(token)),
                shuffled=given.get(SHUFFLED),
                answers=bare,
            )
        )
        return penalty

    def _check(self, given: Mapping[str, Tensor]) -> None:
        needed = [TOKEN]
        if self.regularizer.kind != "prompting" or self.regularizer.shuffled:
            needed.append(TASK)
        if self.regularizer.shuffled:
            needed.append(SHUFFLED)
        for name in needed:
            if name not in given:
                raise BadInput(
                    f"the batch has no column {name!r}, which a regularizer needs; give it to the "
                    "training set as whole numbers, and let the collator pass it on"
                )

    def _normalized(self, num_items_in_batch: Any) -> bool:
        """Whether the trainer's own loss is already a share of the whole accumulated step."""
        told: bool | None = getattr(self, "loss_is_scaled_for_ga", None)
        if told is not None:
            return told
        by_model = bool(self.model_accepts_loss_kwargs) and num_items_in_batch is not None
        return by_model or self.compute_loss_func is not None

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        for name in (TOKEN, TASK, SHUFFLED):
            if name not in self._signature_columns:
                self._signature_columns.append(name)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            save_penalty(self.penalty, Path(output_dir))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            load_penalty(self.penalty, Path(checkpoint))

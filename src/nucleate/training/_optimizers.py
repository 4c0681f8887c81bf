"""The optimizers that a training may use, each one object with one state to save and resume."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from nucleate._core.errors import BadInput
from nucleate.training._config import TrainingConfig


def make_optimizer(model: PreTrainedModel, config: TrainingConfig) -> Optimizer:
    """The optimizer of a training.

    Matrices decay, biases and norm weights do not. All of them take `training.learning_rate` as it
    is, which means another length of step in each: see the description of the setting.

    Args:
        model: on the device where it is trained.
        config: names the optimizer, its learning rate, weight decay and momentum.

    Raises:
        BadInput: the optimizer's package is not installed, or this torch has no Muon.
    """
    config.check()
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "sgd":
        return torch.optim.SGD(_decayed(model, decay), lr=rate, momentum=config.momentum_or(0.9))
    if config.optimizer == "lion":
        from lion_pytorch import Lion

        lion: Optimizer = Lion(_decayed(model, decay), lr=rate)
        return lion
    if config.optimizer == "muon":
        return _muon(model, config)
    return torch.optim.AdamW(_decayed(model, decay), lr=rate, fused=True)


class Together(Optimizer):
    """Several optimizers, each of some of the parameters, as one.

    Groups and state are shared with the parts, so that whoever sets a learning rate here sets it
    there, and a state saved here holds all of theirs.

    Args:
        parts: the optimizers, no two of one parameter.
    """

    def __init__(self, *parts: Optimizer) -> None:
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._parts = parts
        self._share()

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of each part.

        Raises:
            BadInput: a closure is given; each part would call it again.
        """
        if closure is not None:
            raise BadInput("several optimizers take no closure together; call step() without one")
        for part in self._parts:
            part.step()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Put a state in place that `state_dict` gave."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        start = 0
        for part in self._parts:
            end = start + len(part.param_groups)
            part.param_groups = self.param_groups[start:end]
            part.state = self.state
            start = end


def _muon(model: PreTrainedModel, config: TrainingConfig) -> Optimizer:
    """Muon for the matrices inside the blocks, AdamW for embeddings, head, norms and biases.

    Muon's update is scaled to the size that AdamW's usually has (Liu et al. 2025, "Muon is
    scalable for LLM training"), so that one learning rate and weight decay serve both.
    """
    if not hasattr(torch.optim, "Muon"):
        raise BadInput(
            f"training.optimizer is 'muon', which torch {torch.__version__} does not have; install "
            "torch 2.9 or newer, or choose another optimizer"
        )
    hidden = list(_hidden_matrices(model))
    if not hidden:
        raise BadInput(
            "training.optimizer is 'muon', and the model has no matrix but embeddings and head; "
            "choose another optimizer"
        )
    rate, decay = config.learning_rate, config.weight_decay
    return Together(
        torch.optim.Muon(
            hidden, lr=rate, weight_decay=decay, momentum=config.momentum_or(0.95),
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(_decayed(model, decay, without=hidden), lr=rate, fused=True),
    )  # fmt: skip


def _hidden_matrices(model: PreTrainedModel) -> Iterator[nn.Parameter]:
    """The trained matrices that are no embedding and no head."""
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    outer = {id(module.weight) for module in (*tables, model.get_output_embeddings()) if module}
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dim() == 2 and id(parameter) not in outer:
            yield parameter


def _decayed(
    model: nn.Module, weight_decay: float, without: list[nn.Parameter] | None = None
) -> Iterator[dict[str, Any]]:
    """The parameters in two groups: matrices decay, biases and norm weights do not."""
    left_out = {id(parameter) for parameter in without or ()}
    parameters = [p for p in model.parameters() if p.requires_grad and id(p) not in left_out]
    yield {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay}
    yield {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0}

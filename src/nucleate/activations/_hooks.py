"""Hooks on a user's model: registered, used and removed again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nucleate._core.errors import BadInput
from nucleate.activations._memory import Memory

Hidden = Float[Tensor, "row token width"]
See = Callable[[int, Hidden], Hidden | None]


def unwrapped(model: nn.Module) -> nn.Module:
    """The model that computes, inside what compiles, distributes, averages or adapts it.

    `torch.compile` and wrappers that hold nothing but a `module` (DistributedDataParallel, an
    AveragedModel) hide the model behind a module of their own, PEFT puts its layers into it. The
    adapted layers stay active: use PEFT's `disable_adapter()` to read the base model's states.

    Raises:
        BadInput: a PEFT method that changes the prompt itself, not the model; or weights that
            DeepSpeed has spread over ranks.
    """
    while True:
        inner: nn.Module | None
        if hasattr(model, "_orig_mod"):
            inner = model._orig_mod  # type: ignore[assignment]
        elif list(model._modules) == ["module"]:
            inner = model._modules["module"]
        elif hasattr(model, "peft_config") and hasattr(model, "get_base_model"):
            _refuse_prompt_learning(model)
            inner = model.get_base_model()  # type: ignore[operator]
        else:
            _refuse_partitioned(model)
            return model
        assert inner is not None
        model = inner


def _refuse_partitioned(model: nn.Module) -> None:
    """DeepSpeed ZeRO-3 marks every parameter; it fetches weights by hooks that all ranks run."""
    if hasattr(next(model.parameters(), None), "ds_id"):
        raise BadInput(
            f"DeepSpeed ZeRO-3 has spread the weights of {type(model).__name__} over ranks, which "
            "nucleate cannot read; train with ZeRO-2 or FSDP2, or record the saved checkpoints"
        )


def _refuse_prompt_learning(model: nn.Module) -> None:
    config = getattr(model, "active_peft_config", None)
    disabled = getattr(model, "_adapters_disabled", False)
    if getattr(config, "is_prompt_learning", False) and not disabled:
        raise BadInput(
            f"the PEFT method {config.peft_type.value} puts tokens of its own before every prompt, "  # type: ignore[union-attr]
            "which are in no row; nucleate reads adapters that change weights: read the model "
            "without it, model.get_base_model()"
        )


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients or compilation.

    Afterwards training flags are restored, and what the model kept from its passes. Hooks never
    fire inside compiled code that was traced without them, so that it runs eagerly.
    """
    flags = [(module, module.training) for module in model.modules()]
    memory = Memory(model)
    model.eval()
    # States made in inference mode could not be used in a training later.
    normal = torch.inference_mode(False)
    try:
        with normal, torch.no_grad(), torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for module, flag in flags:
            module.training = flag
        memory.restore()


@contextmanager
def head_reads(
    model: nn.Module, index: Int[Tensor, "row kept"], rows: Int[Tensor, "row"] | None = None
) -> Iterator[None]:
    """Let the vocabulary head compute logits at chosen tokens only.

    Everything behind the head (soft-capping, scaling) stays the model's own, which multiplying by
    the head's weights would miss.

    Args:
        model: a causal LM from transformers.
        index: the tokens whose logits are wanted; may be empty.
        rows: which sequence of the batch each row of `index` belongs to; the same number if None.
    """
    head = unwrapped(model).get_output_embeddings()  # type: ignore[operator]

    def select(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden = args[0]
        if rows is None:
            return (tokens_at(hidden, index), *args[1:])
        chosen = rows[:, None].to(hidden.device), index.to(hidden.device)
        return (hidden[chosen], *args[1:])

    handle = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()


def tokens_at(hidden: Tensor, index: Tensor) -> Tensor:
    """A gathered copy of `hidden` [row, token, width] at `index` [row, kept]."""
    index = index.to(hidden.device)
    return hidden.gather(1, index[:, :, None].expand(-1, -1, hidden.shape[-1]))

"""Where a model's hidden states are: its blocks, found by structure, and taps on them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from nucleate._errors import BadInput

Hidden = Float[Tensor, "row token width"]


def unwrapped(model: nn.Module) -> nn.Module:
    """The model itself where `torch.compile` wrapped it: taps do not fire through the wrapper."""
    inner: nn.Module = getattr(model, "_orig_mod", model)
    return inner


def body_of(model: nn.Module) -> nn.Module:
    """The model without its vocabulary head."""
    body: nn.Module = unwrapped(model).base_model  # type: ignore[assignment]
    return body


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The blocks of a decoder, in order: the longest list of modules that is inside no other list.

    A list inside a list belongs to one block (the experts of a mixture), so it never counts.

    Raises:
        BadInput: the model has no list of modules at all.
    """
    body = body_of(model)
    lists = {name: m for name, m in body.named_modules() if isinstance(m, nn.ModuleList)}
    outer: list[list[nn.Module]] = [
        list(blocks)
        for name, blocks in lists.items()
        if not any(name.startswith(f"{other}.") for other in lists)
    ]
    if not outer:
        raise BadInput(
            f"no blocks found in {type(model).__name__}: its body has no ModuleList; nucleate "
            "reads decoder-only language models from transformers"
        )
    return max(outer, key=len)


def stream_names(model: nn.Module) -> tuple[str, ...]:
    """The names of all places along the depth, bottom first."""
    return ("embed", *(f"block.{k}" for k in range(len(blocks_of(model)))), "final_norm")


def hidden_of(output: Any) -> Hidden:
    """The hidden states in what a block returns: most return a Tensor, some a tuple."""
    hidden: Hidden = output[0] if isinstance(output, tuple) else output
    return hidden


@contextmanager
def tapped(model: nn.Module, see: Callable[[int, Hidden], Hidden | None]) -> Iterator[None]:
    """Call `see` with every stream's states as they pass; what it returns goes on in their place.

    Args:
        model: a decoder from transformers, compiled or not.
        see: gets the stream's index (0 is `embed`, the last is `final_norm`) and its states;
            returns None to leave them alone.
    """
    blocks = blocks_of(model)
    body = body_of(model)

    def before_first(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            changed = see(0, args[0])
            return None if changed is None else ((changed, *args[1:]), kwargs)
        changed = see(0, kwargs["hidden_states"])
        return None if changed is None else (args, kwargs | {"hidden_states": changed})

    def after_block(index: int) -> Callable[..., Any]:
        def hook(_: nn.Module, __: Any, output: Any) -> Any:
            changed = see(index, hidden_of(output))
            if changed is None:
                return None
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        return hook

    def after_body(_: nn.Module, __: Any, output: Any) -> Any:
        changed = see(len(blocks) + 1, output[0])
        if changed is not None:
            output["last_hidden_state"] = changed
        return output

    handles = [blocks[0].register_forward_pre_hook(before_first, with_kwargs=True)]
    handles += [block.register_forward_hook(after_block(k + 1)) for k, block in enumerate(blocks)]
    handles.append(body.register_forward_hook(after_body))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients; every module's own training flag comes back after."""
    import torch

    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, flag in flags:
            module.training = flag


@contextmanager
def head_reads(model: nn.Module, index: "Tensor") -> Iterator[None]:
    """Let the vocabulary head compute logits at chosen tokens only.

    Everything behind the head (soft-capping, scaling) stays the model's own, which reading the
    head's weights by hand would miss.

    Args:
        model: a causal LM from transformers.
        index: int64 [row, kept], the tokens of each row whose logits are wanted.
    """
    head = unwrapped(model).get_output_embeddings()  # type: ignore[operator]

    def select(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (tokens_at(args[0], index), *args[1:])

    handle = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()


def tokens_at(hidden: Tensor, index: Tensor) -> Tensor:
    """A gathered copy of `hidden` [row, token, width] at `index` [row, kept]."""
    return hidden.gather(1, index[:, :, None].expand(-1, -1, hidden.shape[-1]))

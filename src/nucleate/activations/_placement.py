"""Where a model's weights are and what they are: on a device, offloaded, or spread over ranks."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from nucleate._core.errors import BadInput
from nucleate.activations._hooks import unwrapped
from nucleate.activations._model import embedding_of

# What states and masks can be in; weights may be stored in narrower types.
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def device_of(model: nn.Module) -> torch.device:
    """The device that takes token ids, also where accelerate keeps the weights elsewhere."""
    root = unwrapped(model)
    embedding = embedding_of(root)
    embedding = root if embedding is None else embedding
    for module in (*_around(root, embedding), *root.modules()):
        for hook in _offload_hooks(module):
            if getattr(hook, "execution_device", None) is not None:
                return torch.device(hook.execution_device)
    for part in (embedding, root):
        for tensor in part.parameters():
            if tensor.device.type != "meta":
                return tensor.device
    return torch.device("cpu")


def weights_dtype(model: nn.Module) -> torch.dtype:
    """The floating-point type of the weights: of the first that states could have, too."""
    dtypes = (parameter.dtype for parameter in unwrapped(model).parameters())
    return next((dtype for dtype in dtypes if dtype in _FLOATS), torch.float32)


def is_sharded(model: nn.Module) -> bool:
    """Whether the ranks hold parts of one model, so that a forward pass needs all of them."""
    if not (dist.is_available() and dist.is_initialized()):
        return False
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel
    from torch.distributed.tensor import DTensor

    sharded = FSDPModule, FullyShardedDataParallel
    return any(isinstance(module, sharded) for module in model.modules()) or any(
        isinstance(parameter, DTensor) for parameter in model.parameters()
    )


def all_agree(model: nn.Module, vote: bool) -> bool:
    """Whether every rank that holds a part of the model votes for it: they must go on together."""
    if not is_sharded(model):
        return vote
    votes = [False] * dist.get_world_size()
    dist.all_gather_object(votes, vote)
    return all(votes)


def whole(tensor: Tensor) -> Tensor:
    """A tensor that ranks hold parts of, put together."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def check_placed(model: nn.Module) -> None:
    """Check that the weights are where a forward pass of this process finds them.

    Raises:
        BadInput: they were never loaded.
    """
    root = unwrapped(model)
    fetched = tuple(
        name
        for name, module in root.named_modules()
        if any(getattr(hook, "offload", False) for hook in _offload_hooks(module))
    )
    for name, parameter in root.named_parameters():
        if parameter.device.type == "meta" and not f".{name}".startswith(
            tuple(f".{part}." if part else "." for part in fetched)
        ):
            raise BadInput(
                f"the weights of {type(root).__name__} are not loaded: {name} is on the meta "
                "device; load them first (from_pretrained, load_state_dict(assign=True))"
            )


def _around(root: nn.Module, inner: nn.Module) -> list[nn.Module]:
    """A module and those around it, from inside to outside."""
    name = next((name for name, module in root.named_modules() if module is inner), "")
    parts = name.split(".") if name else []
    return [root.get_submodule(".".join(parts[:k])) for k in range(len(parts), -1, -1)]


def _offload_hooks(module: nn.Module) -> Iterator[Any]:
    """The hooks by which accelerate moves a module's weights and inputs."""
    hook = getattr(module, "_hf_hook", None)
    if hook is not None:
        yield from getattr(hook, "hooks", (hook,))

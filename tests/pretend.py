"""A device that is not there: tensors that compute on the CPU, and refuse to meet the CPU's own.

Every operation whose tensors are on different devices fails as it would on an accelerator, so that
code which mixes devices is found on any machine. What no accelerator of a kind has, such as float64
on MPS, can be refused as well.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

CPU = torch.device("cpu")
# Like CUDA's: they take indices from the CPU, and copy between devices.
_INDEX = ("aten.index.Tensor", "aten.index_put_.default", "aten._index_put_impl_.default")
_COPIES = ("aten._to_copy.default", "aten.copy_.default")


class Elsewhere(Tensor):
    """A tensor that says it is on another device; to torch's own C++ code it is a meta tensor."""

    held: Tensor
    home: torch.device

    @staticmethod
    def __new__(cls, real: Tensor, device: torch.device) -> "Elsewhere":
        made = Tensor._make_wrapper_subclass(
            cls, real.shape, dtype=real.dtype, device="meta", strides=real.stride(),
            storage_offset=real.storage_offset(), requires_grad=real.requires_grad,
        )  # fmt: skip
        made.held, made.home = real.detach(), device
        return made

    @property
    def device(self) -> torch.device:
        return self.home

    def tolist(self) -> Any:
        """As on an accelerator, whose numbers are copied for it; torch refuses it to subclasses."""
        return self.held.tolist()

    def __repr__(self, **_: Any) -> str:
        return f"Elsewhere({self.held}, {self.device})"

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        return _run(function, args, kwargs or {}, CPU, refused=())


class _Pretending(TorchDispatchMode):
    # As that of torch's own fake tensors: no driver is looked for when a tensor is made.
    _mode_key = torch._C._TorchDispatchModeKey.FAKE

    def __init__(self, device: torch.device, refused: tuple[torch.dtype, ...]) -> None:
        super().__init__()
        self._device, self._refused = device, refused

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        return _run(function, args, kwargs or {}, self._device, refused=self._refused)


def _run(
    function: Any,
    args: Any,
    kwargs: dict[str, Any],
    pretended: torch.device,
    refused: tuple[torch.dtype, ...],
) -> Any:
    name = str(function)
    tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, Tensor)]
    asked = kwargs.get("device")
    if asked is not None:
        asked = torch.device(asked)
        asked = pretended if asked.type == "meta" else asked
        kwargs = kwargs | {"device": CPU}
    # Values that are put in are on the tensor's device; the CPU may choose which, not for the CPU.
    if name in _INDEX and isinstance(args[0], Elsewhere):
        tensors = [t for t in (args[0], *args[2:3]) if isinstance(t, Tensor)]
    weighty = [t for t in tensors if t.dim() or isinstance(t, Elsewhere)]
    devices = {t.device for t in weighty}
    if len(devices) > 1 and name not in _COPIES:
        raise RuntimeError(f"{name}: tensors on {sorted(map(str, devices))}")
    home = asked or next(iter(devices), CPU)
    done = function(*_real(args), **_real(kwargs))
    if name.split(".")[1].endswith("_"):
        return args[0]  # in place
    if home.type == "cpu":
        return done

    def there(value: Any) -> Any:
        if not isinstance(value, Tensor) or isinstance(value, Elsewhere):
            return value
        if value.dtype in refused:
            raise TypeError(f"{name}: {home} has no {value.dtype}")
        return Elsewhere(value, home)

    return tree_map(there, done)


def _real(value: Any) -> Any:
    return tree_map(lambda t: t.held if isinstance(t, Elsewhere) else t, value)


def elsewhere(real: Tensor, device: str = "cuda:0") -> Elsewhere:
    """The same numbers on a device that is not there."""
    return Elsewhere(real, torch.device(device))


@contextmanager
def pretending(device: str = "cuda:0", *, refused: tuple[torch.dtype, ...] = ()) -> Iterator[None]:
    """Let new tensors be made on a device that this machine does not have.

    Args:
        device: its name, such as `cuda:0`.
        refused: dtypes that it does not know.
    """
    with _Pretending(torch.device(device), refused):
        yield


def move(model: nn.Module, device: str) -> nn.Module:
    """The model with weights and buffers on a device that is not there."""
    there = torch.device(device)
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(
                    Elsewhere(parameter.data, there), requires_grad=False
                )
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = Elsewhere(buffer, there)
    return model

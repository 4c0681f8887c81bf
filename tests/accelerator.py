"""A pretended accelerator: finds places that mix devices, on a machine that has only a CPU.

Inside `Accelerator()` the device `meta` computes: its tensors hold their numbers in a tensor on the
CPU, and an operation fails, as on a real accelerator, where it is given tensors of both devices.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map

DEVICE = torch.device("meta")
_aten = torch.ops.aten
# Moves between devices; and what an accelerator lets the CPU choose: which elements.
_MOVES = {_aten._to_copy.default, _aten.copy_.default}
_INDEXED = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default}


class OnDevice(Tensor):
    """A tensor of the pretended accelerator."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "OnDevice":
        made = Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(),
            dtype=inner.dtype, device=DEVICE,
        )  # fmt: skip
        made.inner = inner
        return made

    def tolist(self) -> Any:
        """As on an accelerator, where numbers are copied for it; torch refuses it to subclasses."""
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


class Accelerator(TorchDispatchMode):
    """Inside, tensors that are made on the pretended device are computed with."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


def on_device(x: Tensor) -> OnDevice:
    """The same numbers on the pretended accelerator."""
    return OnDevice(x.detach())


def _run(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    held: dict[int, Tensor] = {}

    def bare(value: Any) -> Any:
        if isinstance(value, OnDevice):
            held[id(value.inner)] = value
            return value.inner
        return value

    _refuse_mixed(function, args, kwargs)
    target = kwargs.get("device")
    plain = {name: tree_map(bare, value) for name, value in kwargs.items() if name != "device"}
    if target is not None:
        plain["device"] = torch.device("cpu")
    result = function(*tree_map(bare, args), **plain)
    there = bool(held) if target is None else torch.device(target).type == DEVICE.type
    if function is _aten.copy_.default:
        return args[0]
    if function is _aten._local_scalar_dense.default or not there:
        return result
    wrapped = lambda it: held[id(it)] if id(it) in held else OnDevice(it)  # noqa: E731
    return tree_map(lambda it: wrapped(it) if _is_plain(it) else it, result)


def _is_plain(value: Any) -> bool:
    return isinstance(value, Tensor) and not isinstance(value, OnDevice)


def _refuse_mixed(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if function in _MOVES:
        return
    looked_at = (args[0], *args[2:]) if function in _INDEXED else args
    tensors = [it for it in tree_iter((looked_at, kwargs)) if isinstance(it, Tensor)]
    if function in _INDEXED and not isinstance(args[0], OnDevice):
        tensors += [it for it in tree_iter(args[1]) if isinstance(it, Tensor)]
    if any(isinstance(it, OnDevice) for it in tensors):
        for it in tensors:
            if _is_plain(it) and it.ndim:
                raise RuntimeError(f"{function} was given tensors of the CPU and an accelerator")

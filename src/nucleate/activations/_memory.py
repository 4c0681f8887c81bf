"""What a model keeps from one pass to the next besides its weights."""

import torch
from torch import Tensor, nn

# Buffers up to this many numbers are copied, since they may be changed in place.
_SMALL = 2**16


class Memory:
    """A model's buffers, and the numbers, flags and tensors that its modules have as attributes.

    Dynamic rotary factors grow with the longest sequence that was ever read; recurrent blocks may
    keep their state. What a reading changes there is put back.
    """

    def __init__(self, model: nn.Module) -> None:
        modules = list(model.modules())
        if any("_fsdp_wrapped_module" in module._modules for module in modules):
            modules = []  # FSDP1 keeps views of its weights there, as it needs them
        self._buffers = [
            (module, name, buffer, _copy(buffer), _version(buffer))
            for module in modules
            for name, buffer in module._buffers.items()
        ]
        self._values = [
            (module, name, value)
            for module in modules
            for name, value in module.__dict__.items()
            if value is None or isinstance(value, int | float | Tensor)
        ]

    def changed(self) -> bool:
        """Whether the model has changed any of it since."""
        return any(
            module._buffers.get(name) is not buffer or _version(buffer) != version
            for module, name, buffer, _, version in self._buffers
        ) or any(_differs(module, name, value) for module, name, value in self._values)

    def restore(self) -> None:
        """Put all of it back."""
        for place, (module, name, buffer, copy, version) in enumerate(self._buffers):
            if buffer is not None and copy is not None and _version(buffer) != version:
                with torch.no_grad():
                    buffer.copy_(copy)
                self._buffers[place] = module, name, buffer, copy, _version(buffer)
            if module._buffers.get(name) is not buffer:
                module._buffers[name] = buffer
        for module, name, value in self._values:
            if _differs(module, name, value):
                module.__dict__[name] = value


def _differs(module: nn.Module, name: str, value: int | float | Tensor | None) -> bool:
    now = module.__dict__.get(name)
    if isinstance(value, Tensor) or isinstance(now, Tensor):
        return now is not value
    return now is not value and now != value


def _copy(buffer: Tensor | None) -> Tensor | None:
    small = buffer is not None and buffer.numel() <= _SMALL and buffer.device.type != "meta"
    return buffer.clone() if small and buffer is not None else None


def _version(buffer: Tensor | None) -> int:
    return -1 if buffer is None or buffer.is_inference() else buffer._version

"""Devices: which one a name means."""

from typing import TYPE_CHECKING

from nucleate._core.errors import BadInput

if TYPE_CHECKING:
    import torch

_WITHOUT_FLOAT64 = ("mps",)


def device_named(name: str) -> "torch.device":
    """The device that a name means.

    Args:
        name: `cpu`, `cuda`, `cuda:1`, `mps` ...; `auto` takes an accelerator if there is one.

    Raises:
        BadInput: torch knows no device of this name.
    """
    import torch

    if name == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise BadInput(
            f"device {name!r} is none that torch knows; use cpu, cuda, mps or auto"
        ) from error


def in_reach_of_float64(x: "torch.Tensor") -> "torch.Tensor":
    """The tensor itself, or on the CPU if its device has no float64, as Apple's MPS has none."""
    return x.cpu() if x.device.type in _WITHOUT_FLOAT64 else x

"""Devices: which one a name means."""

from typing import TYPE_CHECKING

from nucleate._core.errors import BadInput

if TYPE_CHECKING:
    import torch


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

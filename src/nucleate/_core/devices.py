"""Devices: which one a name means."""

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from nucleate._core.errors import BadInput

if TYPE_CHECKING:
    import torch

_WITHOUT_FLOAT64 = ("mps",)


_KNOWN = ("auto", "cpu", "cuda", "mps", "xpu", "meta")
"""Names that are often meant; torch may know more."""


def check_device_name(name: str) -> None:
    """Refuse what cannot be the name of a device, without torch.

    Raises:
        BadInput: it is not of the form `cuda` or `cuda:1`, or a known name is mistyped.
    """
    kind, colon, number = name.partition(":")
    formed = bool(re.fullmatch(r"[a-z_]+", kind)) and (number.isdigit() if colon else True)
    near = get_close_matches(kind, _KNOWN, n=1, cutoff=0.75)
    if not formed or (kind not in _KNOWN and near):
        meant = f" (did you mean {near[0]!r}?)" if near and near[0] != kind else ""
        raise BadInput(
            f"device {name!r} is none that torch knows{meant}; use cpu, cuda, cuda:1, mps or auto"
        )


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

"""What users give: numpy arrays, tensors, lists and pandas columns become tensors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from nucleate._core.errors import BadInput
from nucleate.metrics import as_codes, as_states

Numbers = Tensor | np.ndarray | pd.Series | pd.DataFrame | Sequence[Any]
"""Finite numbers as an array of any kind."""


def as_numbers(values: Numbers, what: str) -> Tensor:
    """Finite floats; a tensor of floats is returned as it is, with its device and gradient.

    Args:
        values: any shape.
        what: what the error calls them.

    Raises:
        BadInput: no numbers, lines of unequal length, or a number that is not finite.
    """
    tensor = values if isinstance(values, Tensor) else _tensor(values, what)
    if tensor.is_complex() or tensor.layout != torch.strided or tensor.device.type == "meta":
        raise BadInput(
            f"{what} is a tensor of {tensor.dtype}, {tensor.layout} on {tensor.device}; give real "
            "numbers in a plain tensor with values"
        )
    if not tensor.is_floating_point():
        tensor = tensor.float()
    broken = ~torch.isfinite(tensor.detach())
    if broken.any():
        where = tuple(broken.nonzero()[0].tolist())
        raise BadInput(
            f"{float(tensor.detach()[where])} stands in {what} at {list(where)}, and only finite "
            "numbers can be used; leave such rows out"
        )
    return tensor


def as_vectors(values: Numbers, what: str) -> Tensor:
    """Vectors to be put in or added: as `as_numbers`, and at least one of them.

    Raises:
        BadInput: as `as_numbers`; a single number, or more than three dimensions.
    """
    tensor = as_numbers(values, what)
    if not 1 <= tensor.ndim <= 3 or not tensor.shape[-1]:
        raise BadInput(
            f"{what} is of shape {tuple(tensor.shape)}; pass vectors as wide as the states: "
            "[width], [row, width] or [row, many, width]"
        )
    return tensor


def as_rows(rows: Any) -> Int[Tensor, "row"]:
    """Numbers of rows.

    Raises:
        BadInput: anything else.
    """
    try:
        numbers = rows if isinstance(rows, Tensor) else torch.as_tensor(np.asarray(rows))
    except (TypeError, ValueError):
        numbers = torch.zeros(())
    if numbers.ndim != 1 or numbers.dtype == torch.bool or numbers.is_floating_point():
        raise BadInput(
            f"rows= is {rows!r}; give one whole number per row of the batch: the row whose states "
            "it gets"
        )
    return numbers.long()


def as_factor(scale: Any) -> float:
    """A finite number.

    Raises:
        BadInput: anything else.
    """
    try:
        factor = float(scale)
    except (TypeError, ValueError, RuntimeError):
        factor = float("nan")
    if not np.isfinite(factor):
        raise BadInput(f"scale= is {scale!r}; give a finite number")
    return factor


def moved_to(values: Tensor, states: Tensor) -> Tensor:
    """Values on the device of some states, in double precision only if those are.

    Some devices (MPS) have no float64.
    """
    if values.dtype == torch.float64 and states.dtype != torch.float64:
        values = values.float()
    return values.to(states.device)


def in_double(values: Tensor) -> Tensor:
    """Values in float64: on their device, or on the CPU where that has none (MPS)."""
    try:
        return values.double()
    except (TypeError, RuntimeError):
        return values.cpu().double()


def as_labeled(states: Numbers, labels: Any) -> tuple[Tensor, Int[Tensor, "row"]]:
    """States [row width] without gradient, and a class for each row, numbered from 0.

    Raises:
        BadInput: as `as_numbers`; not one state and one label per row; a label that is missing.
    """
    x = as_numbers(states, "states").detach()
    if x.ndim != 2:
        raise BadInput(
            f"states of shape {list(x.shape)} are not of one place; give an array [row width], "
            "such as states.at(stream, position)"
        )
    codes = as_codes(labels, len(x))
    if len(codes) > 1:
        raise BadInput(
            f"labels are {len(codes)} labelings of {len(x)} rows; give one name or number per row"
        )
    return as_states(x)[0], codes[0].to(x.device)


def _tensor(values: Any, what: str) -> Tensor:
    try:
        if isinstance(values, Sequence) and values and isinstance(values[0], Tensor):
            return torch.stack(list(values))
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError):
        array = np.asarray(None)
    if array.dtype.kind == "O" and isinstance(values, pd.Series | pd.DataFrame):
        array = _floats(array)
    if array.dtype.kind not in "fiub":
        raise BadInput(
            f"{what} is a {type(values).__name__} that holds no array of numbers; give a numpy "
            "array, a tensor, lists of equal length or pandas columns"
        )
    array = np.ascontiguousarray(array)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _floats(array: np.ndarray) -> np.ndarray:
    try:
        return array.astype(np.float64)
    except (ValueError, TypeError):
        return array

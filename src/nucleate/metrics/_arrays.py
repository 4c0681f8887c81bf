"""The manners that all metrics share: arrays of any kind in, numbers or arrays out."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate._core.errors import BadInput

Array = np.ndarray | Tensor
"""What metrics take: numpy arrays, or tensors on any device."""


def as_states(x: Array) -> Float[Tensor, "place row width"]:
    """Bring states `[*place row width]` to one leading dimension and at least float32.

    Raises:
        BadInput: fewer than two dimensions, or fewer than two rows.
    """
    tensor = torch.as_tensor(x)
    if tensor.ndim < 2 or tensor.shape[-2] < 2:
        raise BadInput(
            f"states of shape {list(tensor.shape)} cannot be measured; give an array [row width], "
            "or places before them, with at least two rows"
        )
    if tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.float()
    return tensor.reshape(-1, *tensor.shape[-2:])


def as_codes(labels: Array, rows: int, *, name: str = "labels") -> Int[Tensor, "labeling row"]:
    """Number the values of labels `[*labeling row]` from 0, in their sorted order.

    Args:
        labels: integers or texts.
        rows: how many rows the states have.
        name: what the error calls them.

    Raises:
        BadInput: another number of rows.
    """
    values = labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if values.ndim < 1 or values.shape[-1] != rows:
        raise BadInput(
            f"{name} of shape {list(values.shape)} do not fit states of {rows} rows; "
            "give one label a row"
        )
    _, codes = np.unique(values, return_inverse=True)
    return torch.from_numpy(codes.reshape(-1, rows).astype(np.int64))


def shaped(values: Array, x: Array, labels: Array | None = None) -> np.ndarray | float:
    """Give values of flat places (and labelings) the leading dimensions of what came in.

    Args:
        values: `[place]`, or `[place labeling]` where labels are given.
        x: the states that were given, `[*place row width]`.
        labels: the labels that were given, `[*labeling row]`, where the metric takes several.

    Returns:
        float64 `[*place *labeling]`; a plain float where that has no dimension.
    """
    array = torch.as_tensor(values).detach().cpu().double().numpy()
    wanted = x.shape[:-2] + (() if labels is None else np.shape(labels)[:-1])
    result = array.reshape(tuple(wanted))
    return result if result.ndim else float(result)

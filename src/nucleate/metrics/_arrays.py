"""The gate that all arrays of metrics pass: arrays of any kind in, numbers or arrays out."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nucleate._core.devices import in_reach_of_float64
from nucleate._core.errors import BadInput

Array = np.ndarray | Tensor
ArrayLike: TypeAlias = Any
"""What metrics take: numpy arrays, tensors on any device and with or without gradients, lists,
pandas columns and tables. What `as_states` or `as_codes` cannot read is refused there."""

_ROUNDING = 1e-5
_ROUNDING_OF_DOUBLES = 1e-12
"""Variation below this share of the largest magnitude is rounding: of numbers that come from
float32 or a narrower type, and of those that float32 cannot hold."""


def as_tensor(x: ArrayLike, *, least_rows: int = 2) -> Float[Tensor, "*place row width"]:
    """Read states of any kind as a tensor of their own shape, at least float32, without gradients.

    Args:
        x: `[*place row width]`: a numpy array or tensor of floats or whole numbers, nested lists, a
            list of tensors, or a pandas table.
        least_rows: how many rows are needed.

    Returns:
        float64 where `x` is, else float32; on the device of `x`, or on the CPU where that has no
        float64 (MPS). NaN and infinity stay.

    Raises:
        BadInput: values that are not real numbers, fewer than two dimensions or two rows, or no
            place or dimension.
    """
    tensor = _numbers(x)
    if tensor.ndim < 2 or tensor.shape[-2] < least_rows or not tensor.numel():
        raise BadInput(
            f"states of shape {list(tensor.shape)} cannot be measured; give an array [row width], "
            f"or places before them, with at least {'two rows' if least_rows > 1 else 'one row'}"
        )
    return tensor


def as_states(x: ArrayLike) -> Float[Tensor, "place row width"]:
    """Read states as `as_tensor` does, with one leading dimension.

    Args:
        x: `[*place row width]`.

    Raises:
        BadInput: as `as_tensor`.
    """
    tensor = as_tensor(x)
    return tensor.reshape(-1, *tensor.shape[-2:])


def rounding_of(states: Float[Tensor, "*any"]) -> float:
    """The share of the largest magnitude below which variation of some states is rounding."""
    if states.dtype == torch.float64 and not torch.equal(
        states.float().double().nan_to_num(), states.nan_to_num()
    ):
        return _ROUNDING_OF_DOUBLES
    return _ROUNDING


def centered(
    x: ArrayLike, *, double: bool = False
) -> tuple[Float[Tensor, "place row width"], Bool[Tensor, "place"]]:
    """Subtract the mean over the rows, and say which places are finite.

    Args:
        x: states `[*place row width]`.
        double: compute in float64; else in the dtype of `as_states`.

    Returns:
        The rows; zeros in dimensions that do not vary beyond rounding and in places that hold NaN
        or infinity. And whether each place is finite.
    """
    states = as_states(x)
    rounding = rounding_of(states)
    if double:
        states = states.double()
    finite = torch.isfinite(states).flatten(1).all(1)
    if not finite.all():
        states = states.where(finite[:, None, None], 0)
    points = states - states.mean(1, keepdim=True)
    deviation = points.square().mean(1, keepdim=True).sqrt()
    varies = deviation > rounding * states.abs().amax(1, keepdim=True)
    return (points if varies.all() else points.where(varies, 0)), finite


def as_codes(
    labels: ArrayLike, rows: int, *, name: str = "labels", compact: bool = True
) -> Int[Tensor, "labeling row"]:
    """Number the values of labels from 0, in their sorted order.

    Args:
        labels: `[*labeling row]`, or a column `[row 1]`: numbers, booleans or texts, in an array,
            tensor, list or pandas column.
        rows: how many rows the states have.
        name: what the error calls them.
        compact: False leaves whole numbers from 0 to below `rows` as they are: sorting a thousand
            permutations takes longer.

    Returns:
        On the CPU.

    Raises:
        BadInput: another number of rows, a row without a label, or values that are neither numbers
            nor texts.
    """
    values = _label_values(labels, rows, name)
    if not compact and values.dtype.kind in "iu" and values.min() >= 0 and values.max() < rows:
        return torch.from_numpy(np.require(values, np.int64, "W"))
    if values.dtype == object:
        flat = values.ravel().tolist()
        numbers = {value: number for number, value in enumerate(sorted(set(flat)))}
        codes = np.fromiter(map(numbers.__getitem__, flat), dtype=np.int64, count=len(flat))
    else:
        codes = np.unique(values, return_inverse=True)[1]
    return torch.from_numpy(codes.reshape(values.shape).astype(np.int64))


def as_values(labels: ArrayLike) -> np.ndarray:
    """Labels as a numpy array, texts as objects: numpy would make all as wide as the widest."""
    if isinstance(labels, Tensor):
        tensor = labels.detach().cpu()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    if hasattr(labels, "to_numpy"):
        labels = labels.to_numpy()
    if isinstance(labels, Sequence) and not isinstance(labels, str):
        items = [as_values(item) if isinstance(item, Tensor) else item for item in labels]
        values = np.array(items, dtype=object)
    else:
        values = np.asarray(labels)
    if values.dtype.kind in "US":
        values = values.astype(object)
    elif values.dtype == object and values.size:
        flat = values.ravel()
        if all(isinstance(value, int | float | np.number | np.bool_) for value in flat):
            values = np.array(flat.tolist()).reshape(values.shape)
    return values


def lead_of(x: ArrayLike, labels: ArrayLike | None = None) -> tuple[int, ...]:
    """The leading dimensions of states, and of labels where several labelings may be given."""
    shape = shape_of(x)
    return shape[:-2] + (() if labels is None else labelings_of(labels))


def labelings_of(labels: ArrayLike) -> tuple[int, ...]:
    """The leading dimensions of labels `[*labeling row]`; a column has none."""
    shape = shape_of(labels)
    return () if shape[1:] == (1,) else shape[:-1]


def rows_of(labels: ArrayLike) -> int:
    """How many rows labels have: `[*labeling row]`, or a column `[row 1]`."""
    shape = shape_of(labels)
    return shape[0] if shape[1:] == (1,) else shape[-1] if shape else 0


def shape_of(x: ArrayLike) -> tuple[int, ...]:
    """The shape of an array or of nested lists."""
    if hasattr(x, "shape"):
        return tuple(x.shape)
    if isinstance(x, Sequence) and not isinstance(x, str):
        return len(x), *(shape_of(x[0]) if len(x) else ())
    return ()


def shaped(values: Array, x: ArrayLike, labels: ArrayLike | None = None) -> np.ndarray | float:
    """Give values of flat places (and labelings) the leading dimensions of what came in.

    Args:
        values: `[place]`, or `[place labeling]` where labels are given.
        x: the states that were given, `[*place row width]`.
        labels: the labels that were given, `[*labeling row]`, where the metric takes several.

    Returns:
        float64 `[*place *labeling]`; a plain float where that has no dimension.
    """
    array = torch.as_tensor(values).detach().cpu().double().numpy()
    result = array.reshape(lead_of(x, labels))
    return result if result.ndim else float(result)


def _numbers(x: ArrayLike) -> Float[Tensor, "*any"]:
    """Real numbers of any kind, as a tensor of float32 or float64."""
    try:
        if _holds_tensors(x):
            x = torch.stack([_numbers(item) for item in x])
        elif not isinstance(x, Tensor):
            x = np.asarray(x.to_numpy() if hasattr(x, "to_numpy") else x)
    except (ValueError, RuntimeError) as error:
        raise BadInput(f"states are not an array ({error}); give rows of one width") from error
    if isinstance(x, np.ndarray) and x.dtype.kind in "iuf":
        single = x.dtype.kind == "f" and x.dtype.itemsize < 8
        array = x.astype(np.float32 if single else np.float64, copy=False)
        unfit = not array.flags.writeable or any(stride < 0 for stride in array.strides)
        return torch.from_numpy(array.copy() if unfit else array)
    if not isinstance(x, Tensor) or x.is_complex() or x.dtype == torch.bool:
        raise BadInput(
            f"states of dtype {x.dtype} cannot be measured; give an array of real numbers"
        )
    single = x.is_floating_point() and x.dtype != torch.float64
    numbers: Tensor = in_reach_of_float64(x).detach()
    return numbers.float() if single else numbers.double()


def _holds_tensors(x: ArrayLike) -> bool:
    """Whether a list has a tensor in it, perhaps within its lists."""
    return isinstance(x, Sequence) and any(
        isinstance(item, Tensor) or (isinstance(item, list | tuple) and _holds_tensors(item))
        for item in x
    )


def _label_values(labels: ArrayLike, rows: int, name: str) -> np.ndarray:
    """Labels `[labeling row]`, each row with one."""
    values = as_values(labels)
    if values.ndim == 2 and values.shape == (rows, 1):
        values = values[:, 0]
    if values.ndim < 1 or values.shape[-1] != rows or not values.size:
        one_hot = values.ndim == 2 and len(values) == rows
        remedy = "one label per row (argmax(1) of one-hot ones)" if one_hot else "one label per row"
        raise BadInput(
            f"{name} of shape {list(values.shape)} do not fit states of {rows} rows; give {remedy}"
        )
    values = values.reshape(-1, rows)
    if values.dtype.kind not in "biufO":
        raise BadInput(f"{name} of dtype {values.dtype} are not labels; give numbers or texts")
    if values.dtype == object:
        for index, value in enumerate(values.ravel()):
            if not isinstance(value, str):
                said = "no label" if _missing(value) else f"the label {value!r} among texts"
                raise BadInput(
                    f"row {index % rows} of {name} has {said}; give each row a text, or leave the "
                    "row out"
                )
    elif values.dtype.kind == "f" and np.isnan(values).any():
        row = int(np.isnan(values).any(0).argmax())
        raise BadInput(f"row {row} of {name} is NaN; give each row a label, or leave the row out")
    return values


def _missing(value: object) -> bool:
    """Whether a value stands for none: None, NaN, or pandas' NA, which has no truth value."""
    try:
        return value is None or bool(value != value)
    except TypeError:
        return True

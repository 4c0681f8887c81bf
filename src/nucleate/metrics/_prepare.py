"""Preprocessing of states: standardization, conditioning, principal axes."""

import torch
from jaxtyping import Float
from torch import Tensor

from nucleate._core.arguments import check_number
from nucleate._core.errors import BadInput
from nucleate.metrics._arrays import ArrayLike, as_tensor, rounding_of
from nucleate.metrics._labels import one


def standardize(
    x: ArrayLike, reference: ArrayLike | None = None
) -> Float[Tensor, "*place row width"]:
    """Standardize every dimension to mean 0 and standard deviation 1 over the rows.

    One dimension of large scale otherwise decides every distance (in a simulation, sd 10 against
    1 takes ARI from 0.9 to 0.3).

    Args:
        x: states `[*place row width]`; float64 is centered in float64.
        reference: the states before something was subtracted, by which rounding is judged.

    Returns:
        The z-scores, in float32. A dimension whose standard deviation is below 1e-5 of its largest
        magnitude (1e-12 of float64 values that float32 cannot hold) does not vary beyond rounding:
        it becomes 0. One that holds NaN or infinity is NaN in all rows.

    Raises:
        BadInput: states that are not an array of real numbers.
    """
    states = as_tensor(x, least_rows=1)
    measure = states if reference is None else as_tensor(reference, least_rows=1)
    if measure.shape[-1] != states.shape[-1]:
        raise BadInput(
            f"a reference of width {measure.shape[-1]} does not fit states of width "
            f"{states.shape[-1]}; give the states before something was subtracted"
        )
    points = states - states.mean(-2, keepdim=True)
    deviation = points.square().mean(-2, keepdim=True).sqrt()
    # NaN compares as false: a dimension that holds one must not look constant.
    constant = deviation <= rounding_of(measure) * measure.abs().amax(-2, keepdim=True)
    return (points / deviation.where(~constant, 1)).where(~constant, 0).float()


def condition(x: ArrayLike, groups: ArrayLike) -> Float[Tensor, "*place row width"]:
    """Subtract from each row the mean of its group, such as of all rows with the same input.

    What is common to an input otherwise hides the task.

    Args:
        x: states `[*place row width]`; float64 is centered in float64.
        groups: group of each row `[row]`.

    Returns:
        The differences, in float32.

    Raises:
        BadInput: states that are not an array of real numbers, or groups that do not fit the rows.

    Notes:
        Only for groups that each hold every task: else the task's own mean is subtracted with the
        group's.
    """
    states = as_tensor(x, least_rows=1)
    codes = one(groups, states.shape[-2], name="groups").to(states.device)
    k = int(codes.max()) + 1
    counts = torch.bincount(codes, minlength=k).to(states)
    sums = states.new_zeros(*states.shape[:-2], k, states.shape[-1]).index_add_(-2, codes, states)
    return (states - (sums / counts[:, None]).index_select(-2, codes)).float()


def principal_axes(
    x: ArrayLike, share: float = 0.95
) -> tuple[Float[Tensor, "*problem row width"], int]:
    """Rotate rows so that their first dimensions hold the most variance.

    Distances stay as they are, and with them all that is computed from distances.

    Args:
        x: rows of mean 0, `[*problem row width]`.
        share: of the variance, 0 to 1.

    Returns:
        The rotated rows, and how many dimensions hold that share in every problem.

    Raises:
        BadInput: states that are not an array of real numbers, or not finite.
    """
    check_number("share", share)
    states = as_tensor(x, least_rows=1)
    if not torch.isfinite(states).all():
        raise BadInput("rows that hold NaN or infinity have no principal axes; leave them out")
    values, axes = torch.linalg.eigh(states.mT @ states)
    held = values.flip(-1).clamp(min=0).cumsum(-1)
    needed = int((held < share * held[..., -1:]).sum(-1).max()) + 1
    return states @ axes.flip(-1), min(needed, states.shape[-1])

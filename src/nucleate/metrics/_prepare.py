"""What is done to states before anything is measured on them."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

_ROUNDING = 1e-5


def standardize(
    x: Float[Tensor, "*place row width"],
    reference: Float[Tensor, "*place row width"] | None = None,
) -> Float[Tensor, "*place row width"]:
    """Bring every dimension to mean 0 and standard deviation 1 over the rows.

    One dimension of large scale otherwise decides every distance (in a simulation, sd 10 against
    1 takes ARI from 0.9 to 0.3).

    Args:
        x: states, any leading dimensions; float16 becomes float32.
        reference: the states before something was subtracted, by which rounding is judged.

    Returns:
        The z-scores. A dimension whose standard deviation is below 1e-5 of its largest magnitude
        does not vary beyond rounding: it becomes 0.
    """
    x = x.float()
    centered = x - x.mean(-2, keepdim=True)
    deviation = centered.square().mean(-2, keepdim=True).sqrt()
    magnitude = (x if reference is None else reference.float()).abs().amax(-2, keepdim=True)
    varies = deviation > _ROUNDING * magnitude
    return (centered / deviation.where(varies, 1)).where(varies, 0)


def condition(
    x: Float[Tensor, "*place row width"], groups: Int[Tensor, "row"]
) -> Float[Tensor, "*place row width"]:
    """Subtract from each row the mean of its group, such as of all rows with the same input.

    What is common to an input otherwise hides the task. Only for groups that each hold every
    task: else the task's own mean goes with the group's.
    """
    x = x.float()
    k = int(groups.max()) + 1
    counts = torch.bincount(groups, minlength=k).to(x)
    sums = x.new_zeros(*x.shape[:-2], k, x.shape[-1]).index_add_(-2, groups, x)
    return x - (sums / counts[:, None]).index_select(-2, groups)


def principal_axes(
    x: Float[Tensor, "problem row width"], share: float = 0.95
) -> tuple[Float[Tensor, "problem row width"], int]:
    """Turn rows so that their first dimensions hold the most variance.

    Distances stay as they are, and with them all that is computed from distances.

    Args:
        x: rows of mean 0, one problem after another.
        share: of the variance, 0 to 1.

    Returns:
        The turned rows, and how many dimensions hold that share in every problem.
    """
    values, axes = torch.linalg.eigh(x.mT @ x)
    held = values.flip(-1).clamp(min=0).cumsum(-1)
    needed = int((held < share * held[..., -1:]).sum(-1).max()) + 1
    return x @ axes.flip(-1), min(needed, x.shape[-1])

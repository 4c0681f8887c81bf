"""The losses behind the regularizers, as functions of states and labels."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

_ROUNDING = 1e-5


def unit_variance(states: Float[Tensor, "row width"]) -> Float[Tensor, "row width"]:
    """Subtract the mean of the rows, then scale to a mean squared length of 1.

    Gradients go through both, so that a loss of the result is blind to where all states lie and
    how large they are. States that do not vary beyond rounding become 0 and get no gradient.
    """
    states = states.to(torch.promote_types(states.dtype, torch.float32))
    centered = states - states.mean(0)
    length = centered.square().sum(1).mean().clamp(min=1e-30).sqrt()
    varies = length > _ROUNDING * states.detach().abs().max()
    return centered / length.where(varies, 1) * varies


def supervised_contrastive(
    states: Float[Tensor, "row width"], labels: Int[Tensor, "row"], temperature: float = 0.1
) -> Float[Tensor, ""]:
    """Cross-entropy of picking, by cosine, a row of the same label among all other rows.

    Supervised contrastive loss, the form with the sum outside the logarithm (Khosla et al. 2020,
    equation 2): mean over rows i of the mean over rows p of i's label of
    -log(exp(c_ip / t) / sum over a != i of exp(c_ia / t)), where c is the cosine.

    Args:
        states: two rows or more; only their directions count.
        labels: the class of each row.
        temperature: t, above 0. Small ones look at the nearest rows only.

    Returns:
        The loss, in nats; rows that are alone with their label are left out, and 0 if all are.
    """
    directions = functional.normalize(states, dim=1)
    itself = torch.eye(len(states), dtype=torch.bool, device=states.device)
    logits = (directions @ directions.T / temperature).masked_fill(itself, -torch.inf)
    log_share = logits - logits.logsumexp(1, keepdim=True)
    positive = (labels[:, None] == labels) & ~itself
    count = positive.sum(1)
    own = log_share.masked_fill(~positive, 0).sum(1) / count.clamp(min=1)
    return -own.sum() / (count > 0).sum().clamp(min=1)


def centre_loss(
    states: Float[Tensor, "row width"],
    labels: Int[Tensor, "row"],
    centers: Float[Tensor, "label width"],
) -> Float[Tensor, ""]:
    """Half the mean squared distance of rows from the centers of their labels.

    Center loss (Wen et al. 2016, equation 2, here a mean over rows rather than a sum).
    """
    return (states - centers[labels]).square().sum(1).mean() / 2


def moved_centres(
    states: Float[Tensor, "row width"],
    labels: Int[Tensor, "row"],
    centers: Float[Tensor, "label width"],
    rate: float,
) -> Float[Tensor, "label width"]:
    """Centres after one look at a batch (Wen et al. 2016, equation 4).

    Each moves by `rate` times the summed gap to its rows over 1 + their number; a center without
    rows stays.
    """
    gap = torch.zeros_like(centers).index_add_(0, labels, states - centers[labels])
    count = torch.bincount(labels, minlength=len(centers))
    return centers + rate * gap / (1 + count[:, None])


def scatter_share(
    states: Float[Tensor, "row width"], labels: Int[Tensor, "row"]
) -> Float[Tensor, ""]:
    """The share of the states' variance that lies between labels, less what chance gives.

    1 - (within / (rows - labels)) / (total / (rows - 1)) over sums of squares, known as epsilon
    squared (Kelley 1935): 0 on average where labels say nothing, 1 where rows of a label coincide.
    """
    same = (labels[:, None] == labels).to(states)
    own = same / same.sum(1, keepdim=True)
    count = own.diagonal().sum()  # each label's rows add up to one
    within = (states - own @ states).square().sum()
    total = (states - states.mean(0)).square().sum().clamp(min=1e-30)
    rows = len(states)
    return 1 - within / (rows - count).clamp(min=1) * (rows - 1) / total

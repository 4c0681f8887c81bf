"""The nearest rows of a bank, by Euclidean distance, many requests at once."""

import numpy as np
import torch
from jaxtyping import Float, Int


def nearest_rows(
    white: Float[np.ndarray, "row rank"], bank: Float[np.ndarray, "kept rank"], neighbors: int
) -> tuple[Float[np.ndarray, "row"], Int[np.ndarray, "row neighbor"]]:
    """How far the nearest rows are on average, and which they are, nearest first.

    Args:
        white: what neighbors are looked for.
        bank: among which.
        neighbors: how many, at most the rows of the bank.
    """
    points, kept = torch.from_numpy(white), torch.from_numpy(bank)
    # Half of the squared distance, less what is the same for all rows of the bank.
    gap = torch.addmm(kept.square().sum(1).mul_(0.5), points, kept.T, alpha=-1.0)
    least, which = torch.topk(gap, neighbors, dim=1, largest=False)
    squared = least.mul_(2).add_(points.square().sum(1, keepdim=True)).clamp_(min=0)
    return squared.sqrt_().mean(1).numpy(), which.numpy()

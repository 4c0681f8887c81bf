"""The interval of an ARI over instruction strings."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate.metrics.clusters._agreement import adjusted_rand


def resamples(
    chosen: Int[np.ndarray, "chosen"], strings: int, draws: int, seed: int
) -> Float[Tensor, "draw string"]:
    """How often each string occurs in each sample drawn with replacement from the chosen ones."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(chosen), np.full(len(chosen), 1 / len(chosen)), size=draws)
    weights = np.zeros((draws, strings))
    weights[:, chosen] = counts
    return torch.from_numpy(weights)


def bootstrap_ari(
    clusters: Int[Tensor, "problem row"],
    labels: Int[Tensor, "row"],
    strings: Int[Tensor, "row"],
    weights: Float[Tensor, "draw string"],
) -> Float[np.ndarray, "problem draw"]:
    """ARI of fixed clusters over resampled instruction strings.

    A string that is drawn twice is two strings of the same rows. Pairs between its copies would
    agree by construction and lift every value (a null ARI of 0 to 0.15 where a task has six
    strings of one row), so such pairs are left out; pairs within one copy stay.

    Args:
        clusters: numbers from 0.
        labels: one number a row, the same for all rows of a string.
        strings: which string each row belongs to, from 0.
        weights: how often each string was drawn.

    Returns:
        One ARI a draw. The clusters are not found again: the interval leaves out their own
        uncertainty.
    """
    count, k = weights.shape[1], int(clusters.max()) + 1
    rows_of = torch.bincount(strings, minlength=count).double()
    label_of = torch.zeros(count, dtype=torch.long).scatter_(0, strings, labels)
    same = (label_of[:, None] == label_of[None, :]).double()
    product = rows_of[:, None] * rows_of[None, :]
    label_pairs = _weighted_pairs(product * same, rows_of, weights)
    all_pairs = _weighted_pairs(product, rows_of, weights)
    values = []
    for problem in clusters:
        table = torch.zeros(k * count).index_add_(
            0, problem * count + strings, torch.ones(len(strings))
        )
        table = table.view(k, count).double()
        shared = table.T @ table
        both = _weighted_pairs(shared * same, rows_of, weights)
        cluster_pairs = _weighted_pairs(shared, rows_of, weights)
        value = adjusted_rand(both, cluster_pairs, label_pairs, all_pairs)
        # A sample in which nothing is together says nothing for the clusters.
        values.append(value.where(cluster_pairs + label_pairs > 0, 0))
    return torch.stack(values).numpy()


def _weighted_pairs(shared: Tensor, rows_of: Tensor, weights: Tensor) -> Tensor:
    """Pairs of rows, from ordered pairs [string string]: w w' across strings, w within one."""
    within = shared.diagonal()
    across = shared - torch.diag(within)
    return (((weights @ across) * weights).sum(1) + weights @ (within - rows_of)) / 2

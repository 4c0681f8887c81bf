"""The interval of an ARI over instruction strings."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate.metrics.clusters._agreement import adjusted_rand

_UNSEEN = 20110
"""Seed of the shares of unseen strings; unlike the seeds of resamples, so as not to follow them."""


def resamples(
    chosen: Int[np.ndarray, "chosen"], strings: int, draws: int, seed: int
) -> Float[Tensor, "draw string"]:
    """How often each string occurs in each sample drawn with replacement from the chosen ones."""
    if not len(chosen):
        return torch.zeros(draws, strings, dtype=torch.float64)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(chosen), np.full(len(chosen), 1 / len(chosen)), size=draws)
    weights = np.zeros((draws, strings))
    weights[:, chosen] = counts
    return torch.from_numpy(weights)


def bootstrap_ari(
    clusters: Int[Tensor, "problem row"] | Int[Tensor, "problem solution row"],
    labels: Int[Tensor, "row"],
    strings: Int[Tensor, "row"],
    weights: Float[Tensor, "draw string"],
) -> Float[np.ndarray, "problem draw"]:
    """ARI over resampled instruction strings, and over clusterings that are equally good.

    Three things vary from draw to draw:

    - the strings, drawn with replacement. A string that is drawn twice is two strings of the same
      rows. Pairs between its copies would agree by construction and lift every value (a null ARI
      of 0 to 0.15 where a task has six strings of one row), so such pairs are left out; pairs
      within one copy stay;
    - the clustering, where several solutions are given: the draws take one after the other;
    - kinds of strings that were not drawn at all. Of n strings, a share p of all strings may be
      unlike any of them, with the distribution Beta(1, n) (mean 1 / (n + 1); 95 % point 3 / n, the
      rule of three). Such strings are clustered at random in one half of the draws and without
      error in the other: (1 - p)^2 ARI, plus 1 - (1 - p)^2 in the latter. Without it, ten strings
      that are all clustered without error would give the interval [1, 1].

    Args:
        clusters: numbers from 0; of each problem one clustering, or several such as
            `Clustering.near`.
        labels: one number a row, the same for all rows of a string.
        strings: which string each row belongs to, from 0.
        weights: how often each string was drawn.

    Returns:
        One ARI per draw. Draws of the same number go together over problems and calls.

    Notes:
        Clusters are not found again for each draw. The 95 % interval of draws from five near-best
        solutions holds the mean of the number over other strings of the same tasks in 91 to 100 %
        of simulated sets; with one solution it does so in 76 to 100 % (`benchmarks/intervals.py`).
    """
    several = clusters[:, None] if clusters.ndim == 2 else clusters
    count, k = weights.shape[1], int(several.max()) + 1
    rows_of = torch.bincount(strings, minlength=count).double()
    label_of = torch.zeros(count, dtype=torch.long).scatter_(0, strings, labels)
    same = (label_of[:, None] == label_of[None, :]).double()
    product = rows_of[:, None] * rows_of[None, :]
    label_pairs = _weighted_pairs(product * same, rows_of, weights)
    all_pairs = _weighted_pairs(product, rows_of, weights)
    values = torch.empty(len(several), len(weights), dtype=torch.float64)
    for problem, solutions in enumerate(several.cpu()):
        for number, labels_found in enumerate(solutions):
            turn = slice(number, None, len(solutions))
            drawn = weights[turn]
            table = torch.zeros(k * count).index_add_(
                0, labels_found * count + strings, torch.ones(len(strings))
            )
            table = table.view(k, count).double()
            shared = table.T @ table
            both = _weighted_pairs(shared * same, rows_of, drawn)
            cluster_pairs = _weighted_pairs(shared, rows_of, drawn)
            value = adjusted_rand(both, cluster_pairs, label_pairs[turn], all_pairs[turn])
            # A sample in which nothing is together says nothing for the clusters.
            values[problem, turn] = value.where(cluster_pairs + label_pairs[turn] > 0, 0)
    return _with_unseen(values.numpy(), weights.sum(1).numpy())


def _with_unseen(
    values: Float[np.ndarray, "problem draw"], strings: Float[np.ndarray, "draw"]
) -> Float[np.ndarray, "problem draw"]:
    """Mix in kinds of strings that are not among those drawn."""
    rng = np.random.default_rng(_UNSEEN)
    share = 1 - rng.random(len(strings)) ** (1 / np.maximum(strings, 1))
    right = rng.random(len(strings)) < 0.5
    seen = (1 - share) ** 2
    return np.asarray(seen * values + (1 - seen) * right)


def _weighted_pairs(shared: Tensor, rows_of: Tensor, weights: Tensor) -> Tensor:
    """Pairs of rows, from ordered pairs [string string]: w w' across strings, w within one."""
    within = shared.diagonal()
    across = shared - torch.diag(within)
    return (((weights @ across) * weights).sum(1) + weights @ (within - rows_of)) / 2

"""Clusters that are several clouds, for which one centroid is not enough."""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int

from nucleate.metrics import kmeans, principal_axes

FEWEST = 40
"""Rows of a cloud below which it is not asked whether it is several."""
MOST = 4
LEVEL = 0.05
FLAT = 0.75
"""Share that the best cut takes away from a flat distribution, which has no gap either."""
_AXES = 16
_DRAWS = 4000
_SMALLEST = 0.1


def subclusters(
    white: Float[np.ndarray, "row rank"], code: Int[np.ndarray, "row"], seed: int
) -> Int[np.ndarray, "row"]:
    """Number clusters from 0, and the clouds of those that are several one after the other.

    A cluster is cut in two where both halves of its rows show the gap that the other half names:
    k-means of one half gives a direction, and along it the best cut takes away more of the other
    half's variance than of Gaussian draws, and than of a flat distribution. On a fixed direction a
    Gaussian is a Gaussian, whatever its covariance, so that nothing need be estimated. The level of
    0.05 is shared by all clusters: where each is one Gaussian cloud, nothing is cut in 95 % of
    fits. Each part is asked again, up to four clouds a cluster. What is missed: three clouds of one
    size at equal distances in a row, which look like a flat distribution, and small or close ones.

    Args:
        white: whitened vectors.
        code: the cluster of each row, from 0.
        seed: of halves and of k-means.

    Returns:
        The number of the cloud of each row.
    """
    clusters = int(code.max()) + 1
    # Both halves must show it, each by chance with the root of the level.
    level = float(np.sqrt(LEVEL / clusters))
    rng = np.random.default_rng(seed)
    group = np.zeros(len(code), dtype=np.int64)
    number = 0
    for cluster in range(clusters):
        clouds = [np.flatnonzero(code == cluster)]
        whole = 0
        while whole < len(clouds) < MOST:
            parts = _parts(white[clouds[whole]], level, rng)
            if parts is None:
                whole += 1
            else:
                rows = clouds.pop(whole)
                clouds += [rows[parts == 0], rows[parts == 1]]
        for rows in clouds:
            group[rows] = number
            number += 1
    return group


def _parts(
    rows: Float[np.ndarray, "member rank"], level: float, rng: np.random.Generator
) -> Int[np.ndarray, "member"] | None:
    """Which of two clouds each row is in; None where there is no gap."""
    if len(rows) < FEWEST:
        return None
    halves = np.array_split(rng.permutation(len(rows)), 2)
    for named, shown in (halves, halves[::-1]):
        along = rows[shown] @ _direction(rows[named])
        share = float(_best_cut(np.sort(along)[None])[0])
        if share <= max(FLAT, _gaussian_limit(len(shown), level)):
            return None
    return _two(rows)


def _direction(rows: Float[np.ndarray, "member rank"]) -> Float[np.ndarray, "rank"]:
    """From one cloud of k-means to the other."""
    side = _two(rows)
    return np.asarray(rows[side == 1].mean(0) - rows[side == 0].mean(0))


def _two(rows: Float[np.ndarray, "member rank"]) -> Int[np.ndarray, "member"]:
    """Two clouds of k-means, in the axes of the largest variance."""
    rotated, _ = principal_axes(torch.from_numpy(rows - rows.mean(0)))
    found = kmeans(rotated[None, :, :_AXES].float(), 2).labels
    return np.asarray(found.reshape(-1).numpy(), dtype=np.int64)


def _best_cut(ordered: Float[np.ndarray, "draw member"]) -> Float[np.ndarray, "draw"]:
    """Share of the variance of numbers in order that the best cut in two takes away.

    About .64 for a Gaussian, .75 for a flat distribution, near 1 where there is a gap. A tenth of
    the numbers at least must be on either side, so that an outlier is no cloud.
    """
    count = ordered.shape[1]
    points = ordered - ordered.mean(1, keepdims=True)
    left = np.arange(1, count)
    sums = points.cumsum(1)[:, :-1]
    between = sums**2 * (1 / left + 1 / (count - left))
    few = max(1, int(np.ceil(_SMALLEST * count)))
    best = between[:, few - 1 : count - few].max(1)
    return np.asarray(best / np.maximum(np.square(points).sum(1), 1e-30))


@lru_cache(maxsize=256)
def _gaussian_limit(count: int, level: float) -> float:
    draws = np.sort(np.random.default_rng(count).standard_normal((_DRAWS, count)), axis=1)
    return float(np.quantile(_best_cut(draws), 1 - level))

"""What is compared of clusters in two versions: where they are, and which stand apart."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.distance import cdist

from nucleate.findings.changes._string_means import StringMeans

APART = 0.9
"""Two clusters stand apart where this share of strings is nearer to its own centroid."""
LOST = 0.5
"""A cluster has no place of its own where at most this share is nearest to its centroid."""
_ROUNDS = 12


def displacements(
    before: StringMeans,
    after: StringMeans,
    common_basis: bool,
    spread: Float[np.ndarray, "cluster"] | None = None,
) -> Float[np.ndarray, "cluster"]:
    """How far each cluster has moved, as a distance.

    In a common basis: from centroid to centroid, less the shift that most clusters share, in root
    mean squares of a string's distance from its centroid. Else: by which factor the cluster's
    distance to another one has changed, less the factor that is common to all pairs: the median
    over the others of the absolute logarithm. A cluster that moves changes all its distances, those
    that stay change only the one to it.
    """
    if not common_basis:
        change = np.log(_distances(after)) - np.log(_distances(before))
        away = ~np.eye(len(change), dtype=bool)
        change -= np.median(change[away])
        return np.asarray(np.median(np.abs(change)[away].reshape(len(change), -1), axis=1))
    moves = after.centroids - before.centroids
    moves -= _common(moves)
    within = (before.spreads + after.spreads) / 2 if spread is None else spread
    return np.asarray(np.sqrt(np.square(moves).sum(1) / within))


def common_shift(before: StringMeans, after: StringMeans) -> float:
    """The shift that most clusters share, in within-cluster spreads."""
    spread = float(np.mean(before.spreads + after.spreads) / 2)
    return float(np.linalg.norm(_common(after.centroids - before.centroids)) / spread**0.5)


def pair_separations(means: StringMeans) -> Float[np.ndarray, "cluster cluster"]:
    """log(1 + class separation) of every pair; sampling makes it vary about equally everywhere.

    Class separation is 2 |a - b|^2 / (s_a^2 + s_b^2), with |a - b|^2 less what sampling of strings
    adds to it, and 0 where that leaves nothing.
    """
    squares = cdist(means.centroids, means.centroids, "sqeuclidean")
    noise, spread = means.spreads / means.counts, means.spreads
    squares -= noise[:, None] + noise
    separation = 2 * np.maximum(squares, 0) / (spread[:, None] + spread)
    np.fill_diagonal(separation, 0)
    return np.asarray(np.log1p(separation))


def nearer_to_own(means: StringMeans) -> Bool[np.ndarray, "string cluster"]:
    """Whether a string is nearer to its own centroid, made without it, than to each other one."""
    squares = cdist(means.points, means.centroids, "sqeuclidean")
    own = squares[np.arange(len(squares)), means.of]
    counts = means.counts[means.of]
    nearer = (own * (counts / (counts - 1)) ** 2)[:, None] < squares
    nearer[np.arange(len(squares)), means.of] = True
    return np.asarray(nearer)


def stand_apart(means: StringMeans) -> Bool[np.ndarray, "cluster cluster"]:
    """Which pairs stand apart: nearly all strings of both are nearer to their own centroid."""
    nearer = nearer_to_own(means).astype(float)
    share = np.add.reduceat(nearer, means.starts) / means.counts[:, None]
    return np.asarray((share + share.T) / 2 >= APART)


def recalls(
    means: StringMeans, partners: Bool[np.ndarray, "cluster cluster"] | None = None
) -> Float[np.ndarray, "cluster"]:
    """Share of a cluster's strings that are nearest to its centroid, or to that of a partner."""
    nearer = nearer_to_own(means)
    if partners is not None:
        nearer |= partners[means.of]
    return np.asarray(np.add.reduceat(nearer.all(1).astype(float), means.starts) / means.counts)


def _distances(means: StringMeans) -> Float[np.ndarray, "cluster cluster"]:
    found = cdist(means.centroids, means.centroids)
    least = 1e-9 * found.max() + 1e-300
    return np.asarray(np.maximum(found, least))


def _common(moves: Float[np.ndarray, "cluster width"]) -> Float[np.ndarray, "width"]:
    """The geometric median (Weiszfeld): what most have in common, however far a few go."""
    middle = np.median(moves, axis=0)
    for _ in range(_ROUNDS):
        away = np.linalg.norm(moves - middle, axis=1)
        weights = 1 / np.maximum(away, 1e-9 * away.max() + 1e-300)
        middle = (weights[:, None] * moves).sum(0) / weights.sum()
    return np.asarray(middle)

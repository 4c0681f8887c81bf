"""What two samples of instruction strings of one version differ by, and what exceeds that."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from nucleate.findings.changes._cluster_geometry import (
    APART,
    LOST,
    displacements,
    pair_separations,
    recalls,
    stand_apart,
)
from nucleate.findings.changes._string_means import StringMeans

_INTERVAL_DRAWS = 200


@dataclass(frozen=True, eq=False)
class SamplingNull:
    """What two samples of strings of one version differ by."""

    displacement: Float[np.ndarray, "draw cluster"]
    separation: Float[np.ndarray, "draw cluster cluster"]
    recall: Float[np.ndarray, "draw cluster"]

    @classmethod
    def draw(
        cls,
        before: StringMeans,
        after: StringMeans,
        common_basis: bool,
        draws: int,
        rng: np.random.Generator,
    ) -> "SamplingNull":
        """Compare pairs of samples, taken from either version in turn."""
        found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for number in range(draws):
            source = (before, after)[number % 2]
            one, other = (_sample(source, like, rng) for like in (before, after))
            found.append(
                (
                    displacements(one, other, common_basis),
                    pair_separations(other) - pair_separations(one),
                    recalls(other) - recalls(one),
                )
            )
        return cls(*(np.array(each) for each in zip(*found, strict=True)))

    def displacement_p(self, moved: Float[np.ndarray, "cluster"]) -> Float[np.ndarray, "cluster"]:
        """How often any cluster is as far apart by sampling alone, in its own scale."""
        scale = self._scale
        return _over_all(self.displacement / scale, moved / scale)

    def displacement_limits(self, level: float) -> Float[np.ndarray, "cluster"]:
        """What all clusters at once stay below in all but a share `level` of the draws."""
        highest = (self.displacement / self._scale).max(1)
        return np.asarray(self._scale * np.quantile(highest, 1 - level, method="higher"))

    @property
    def _scale(self) -> Float[np.ndarray, "cluster"]:
        return np.asarray(np.sqrt(np.square(self.displacement).mean(0)) + 1e-300)


def _over_all(draws: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """How often the highest value of a draw is at least as high as each observed one."""
    highest = draws.reshape(len(draws), -1).max(1)
    above = (highest.reshape(-1, *[1] * observed.ndim) >= observed).sum(0)
    return np.asarray((1 + above) / (1 + len(highest)))


@dataclass(frozen=True, eq=False)
class PairChanges:
    """Which clusters stand apart, and where that has changed beyond sampling."""

    apart_before: Bool[np.ndarray, "cluster cluster"]
    apart_after: Bool[np.ndarray, "cluster cluster"]
    merged: Bool[np.ndarray, "cluster cluster"]
    parted: Bool[np.ndarray, "cluster cluster"]
    vanished: Bool[np.ndarray, "cluster"]
    appeared: Bool[np.ndarray, "cluster"]

    @classmethod
    def of(
        cls, before: StringMeans, after: StringMeans, null: SamplingNull, level: float
    ) -> "PairChanges":
        change = np.abs(pair_separations(after) - pair_separations(before))
        scale = np.sqrt(np.square(null.separation).mean(0)) + 1e-9
        changed = _over_all(np.abs(null.separation) / scale, change / scale) <= level / 2
        apart = stand_apart(before), stand_apart(after)
        merged, parted = changed & apart[0] & ~apart[1], changed & ~apart[0] & apart[1]

        one = 1 / np.minimum(before.counts, after.counts)
        scale = np.maximum(np.sqrt(np.square(null.recall).mean(0)), one)
        own = np.abs(recalls(after) - recalls(before))
        changed = _over_all(np.abs(null.recall) / scale, own / scale) <= level / 2
        lost = changed & (recalls(before) >= APART) & (recalls(after, merged) <= LOST)
        gained = changed & (recalls(before, parted) <= LOST) & (recalls(after) >= APART)
        return cls(*apart, merged, parted, lost, gained)


def _sample(source: StringMeans, like: StringMeans, rng: np.random.Generator) -> StringMeans:
    """New strings for the clusters of one version, as many as the other has.

    Gaussian, with the covariance of the cluster's own strings: drawing the strings themselves would
    repeat some of the few, and those of other clusters lie along other directions.
    """
    parts = []
    for cluster, count in enumerate(like.counts):
        own = source.deviations[source.member(cluster)]
        drawn = rng.standard_normal((count, len(own))) @ own / np.sqrt(len(own) - 1)
        parts.append(source.centroids[cluster] + drawn)
    return like.with_points(np.concatenate(parts))


def displacement_intervals(
    before: StringMeans, after: StringMeans, common_basis: bool, rng: np.random.Generator
) -> Float[np.ndarray, "2 cluster"]:
    """95 % of displacements with strings resampled; the same ones where both have the same.

    A distance is never below 0, so that noise adds to its square: what it adds is taken off.
    """
    paired = before.strings == after.strings
    found = []
    for _ in range(_INTERVAL_DRAWS):
        one = _resampled(before, rng)
        other = one if paired else _resampled(after, rng)
        found.append(
            displacements(
                before.with_points(before.points[one]),
                after.with_points(after.points[other]),
                common_basis,
                spread=(before.spreads + after.spreads) / 2,
            )
        )
    squares = np.square(found)
    squares -= squares.mean(0) - np.square(displacements(before, after, common_basis))
    return np.asarray(np.sqrt(np.maximum(np.percentile(squares, [2.5, 97.5], axis=0), 0)))


def _resampled(means: StringMeans, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(means.starts[means.of] + rng.integers(means.counts[means.of]))

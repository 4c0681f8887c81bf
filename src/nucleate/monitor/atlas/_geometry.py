"""Where clusters are: whitened by the covariance they have in common, a centroid or more each."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from nucleate._core.errors import BadInput


@dataclass(frozen=True, eq=False)
class Geometry:
    """A linear map in which the clusters' common covariance is the identity, and their centroids.

    Attributes:
        center: the mean of the rows that it was fitted to.
        whitening: from a vector less `center` to whitened coordinates.
        centroids: whitened.
        owner: the cluster of each centroid; every cluster has one or more.
        background: from a whitened vector to coordinates in which all rows, whatever their
            cluster, have the identity as covariance.
        unit_length: whether each vector is brought to the length root of width first.
    """

    center: Float[np.ndarray, "width"]
    whitening: Float[np.ndarray, "rank width"]
    centroids: Float[np.ndarray, "centroid rank"]
    owner: Int[np.ndarray, "centroid"]
    background: Float[np.ndarray, "rank rank"]
    unit_length: bool = False

    @cached_property
    def _offset(self) -> Float[np.ndarray, "rank"]:
        return np.asarray(self.whitening @ self.center)

    @cached_property
    def _half_squares(self) -> Float[np.ndarray, "centroid"]:
        return np.asarray(np.square(self.centroids).sum(1) / 2)

    @cached_property
    def _single(self) -> bool:
        """Whether each cluster has one centroid, in the order of the clusters."""
        return np.array_equal(self.owner, np.arange(len(self.owner)))

    def whiten(self, vectors: Float[np.ndarray, "row width"]) -> Float[np.ndarray, "row rank"]:
        """Vectors in whitened coordinates."""
        vectors = unit_rows(vectors) if self.unit_length else vectors
        return np.asarray(vectors @ self.whitening.T - self._offset)

    def squared_distances(
        self, white: Float[np.ndarray, "row rank"]
    ) -> Float[np.ndarray, "row cluster"]:
        """Squared distance of whitened vectors from each cluster: its nearest centroid's."""
        own = np.einsum("rw,rw->r", white, white)
        found = white @ self.centroids.T
        found -= self._half_squares
        found *= -2
        found += own[:, None]
        np.maximum(found, 0, out=found)
        if self._single:
            return np.asarray(found)
        starts = np.flatnonzero(np.diff(self.owner, prepend=-1))
        return np.asarray(np.minimum.reduceat(found, starts, axis=1))

    def background_distances(
        self, white: Float[np.ndarray, "row rank"]
    ) -> Float[np.ndarray, "row"]:
        """Squared Mahalanobis distance from all rows taken as one cloud."""
        mapped = white @ self.background.T
        return np.asarray(np.einsum("rw,rw->r", mapped, mapped))


def unit_rows(vectors: Float[np.ndarray, "row width"]) -> Float[np.ndarray, "row width"]:
    """Each vector at the length root of width; one of zeros stays.

    A block reads its stream through a norm that takes the length away, so that it says little, and
    varies much.
    """
    square = np.einsum("rw,rw->r", vectors, vectors)
    scale = np.sqrt(vectors.shape[1] / np.maximum(square, 1e-30)).astype(vectors.dtype)
    return np.asarray(vectors * scale[:, None])


def whitening_of(
    residuals: Float[np.ndarray, "row width"],
) -> Float[np.ndarray, "width width"]:
    """The symmetric map that makes the covariance of some rows the identity.

    The covariance is shrunk towards a multiple of the identity as Ledoit and Wolf (2004) do, so
    that fewer rows than dimensions are no obstacle.

    Args:
        residuals: with mean zero.

    Raises:
        BadInput: the rows do not vary.
    """
    from sklearn.covariance import ledoit_wolf

    covariance, _ = ledoit_wolf(residuals.astype(np.float64), assume_centered=True)
    values, axes = np.linalg.eigh(covariance)
    if not values[-1] > 0:
        raise BadInput("states do not differ within clusters; give several texts of each cluster")
    # Directions without any spread would blow rounding up.
    values = np.maximum(values, 1e-10 * values[-1])
    return np.asarray((axes / np.sqrt(values)) @ axes.T)


def fit_geometry(
    vectors: Float[np.ndarray, "row width"],
    code: Int[np.ndarray, "row"],
    group: Int[np.ndarray, "row"],
    *,
    unit_length: bool = False,
) -> Geometry:
    """Centroids and their common covariance.

    Args:
        vectors: to fit to.
        code: the cluster of each.
        group: the sub-cluster of each, from 0, numbered so that those of one cluster follow each
            other and clusters are in order.
        unit_length: whether lengths are taken away first.
    """
    exact = vectors.astype(np.float64)
    exact = unit_rows(exact) if unit_length else exact
    center = exact.mean(0)
    sums = np.zeros((int(group.max()) + 1, exact.shape[1]))
    np.add.at(sums, group, exact - center)
    means = sums / np.bincount(group)[:, None]
    whitening = whitening_of(exact - center - means[group])
    white = (exact - center) @ whitening
    owner = np.zeros(len(means), dtype=np.int64)
    owner[group] = code
    return Geometry(
        center.astype(np.float32), whitening.astype(np.float32),
        (means @ whitening).astype(np.float32), owner, whitening_of(white).astype(np.float32),
        unit_length,
    )  # fmt: skip

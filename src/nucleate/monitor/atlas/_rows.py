"""Rows that an atlas keeps: its bank of neighbors, and its reference."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, eq=False)
class Bank:
    """The rows that the clusters were fitted to: those that a request's neighbors are among.

    Attributes:
        vectors: whitened.
        cluster: of each row, its code.
        hashes: of each row's text.
        texts: the texts themselves, where they were to be kept; else empty.
    """

    vectors: Float[np.ndarray, "row rank"]
    cluster: Int[np.ndarray, "row"]
    hashes: tuple[str, ...]
    texts: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.cluster)


@dataclass(frozen=True, eq=False)
class Reference:
    """Rows that neither the clusters nor the calibration were made from: how traffic looked.

    Attributes:
        vectors: whitened.
        cluster: of each row, the nearest one: as of a request, not its label.
        p: of each row, as of a request.
        hashes: of each row's text.
        label: the cluster that each row was given with.
        probability: of the nearest cluster, as of a request.
        p_states: of each row, by its states alone: as of a request without its text.
        centroids: of the atlas, whitened.
        owner: the cluster of each centroid.
    """

    vectors: Float[np.ndarray, "row rank"]
    cluster: Int[np.ndarray, "row"]
    p: Float[np.ndarray, "row"]
    hashes: tuple[str, ...]
    label: Int[np.ndarray, "row"]
    probability: Float[np.ndarray, "row"]
    p_states: Float[np.ndarray, "row"]
    centroids: Float[np.ndarray, "centroid rank"] = field(repr=False)
    owner: Int[np.ndarray, "centroid"] = field(repr=False)

    def __len__(self) -> int:
        return len(self.cluster)

    @cached_property
    def residual(self) -> Float[np.ndarray, "row rank"]:
        """Each whitened vector less the nearest centroid of its cluster."""
        return residuals(self.vectors, self.cluster, self.centroids, self.owner)


def residuals(
    white: Float[np.ndarray, "row rank"],
    cluster: Int[np.ndarray, "row"],
    centroids: Float[np.ndarray, "centroid rank"],
    owner: Int[np.ndarray, "centroid"],
) -> Float[np.ndarray, "row rank"]:
    """Whitened vectors less the nearest centroid of their cluster."""
    squared = np.square(centroids).sum(1) - 2 * white @ centroids.T
    squared[owner[None] != cluster[:, None]] = np.inf
    return np.asarray(white - centroids[squared.argmin(1)])

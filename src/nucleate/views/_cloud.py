"""Clouds: the states of one place at every step, in one fixed basis of eight or sixteen axes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from nucleate._core.errors import BadInput
from nucleate.metrics import agreement, kmeans
from nucleate.views._projection import Groups, between_share, centered

BasisName = Literal["tasks", "variance"]
BASES: tuple[BasisName, ...] = ("tasks", "variance")
FEW, MANY = 8, 16
"""Coordinates of a cloud: few, and many where few lose more than a tenth of the agreement."""
_KEPT = 0.9
_LARGEST = 32767
_DEAD = 1e-6
"""A dimension that varies less than this part of the liveliest one shows nothing."""


@dataclass(frozen=True)
class CloudBasis:
    """A few directions in the space of states at one place, the same at every step.

    Attributes:
        name: `tasks`, directions through the means of the tasks, by how far they are apart, and
            then those in which the rest varies most; `variance`, principal axes, blind to tasks.
        scale: standard deviation of each dimension at the step that the basis comes from.
        axes: orthonormal directions in the scaled space.
        conditioned: whether each input's mean is taken off before anything is seen.
    """

    name: BasisName
    scale: Float[np.ndarray, " width"]
    axes: Float[np.ndarray, "width k"]
    conditioned: bool

    def scaled(
        self, states: Float[np.ndarray, "row width"], inputs: Groups
    ) -> Float[np.ndarray, "row width"]:
        """States, centered, in standard deviations of the step of the basis."""
        values = centered(states, inputs if self.conditioned else None)
        found: Float[np.ndarray, "row width"] = values / self.scale
        return found


@dataclass(frozen=True)
class CloudFrame:
    """One step of a cloud.

    Attributes:
        points: coordinates, divided by their root-mean-square radius.
        radius: that radius, in standard deviations of the step of the basis.
        variance: share of the variance of all dimensions that the coordinates keep.
        between: share of the variance of the coordinates that lies between groups.
        between_full: the same in all dimensions.
    """

    points: Float[np.ndarray, "row k"]
    radius: float
    variance: float
    between: float
    between_full: float

    def packed(self, rows: Int[np.ndarray, " some"] | None = None) -> tuple[bytes, float]:
        """Little-endian int16 `[row k]`, and what one unit of them stands for.

        Args:
            rows: which to take; all by default.
        """
        points = self.points if rows is None else self.points[rows]
        unit = float(np.abs(points).max(initial=0.0)) / _LARGEST or 1.0
        return np.rint(points / unit).astype("<i2").tobytes(), unit


def cloud_basis(
    states: Float[np.ndarray, "row width"],
    groups: Groups,
    *,
    name: BasisName,
    k: int,
    inputs: Groups | None = None,
) -> CloudBasis:
    """Choose the directions in which a place is shown.

    Args:
        states: of the place at one step; take the last, and use the basis at all steps.
        groups: the task of each row; read by the basis `tasks` alone.
        name: of the basis.
        k: how many directions; the last are zeros where the states have fewer dimensions.
        inputs: the input of each row; given, each input's mean is removed first.

    Returns:
        The basis. The largest loading of every axis is positive, so that the same states give the
        same picture.

    Raises:
        BadInput: fewer than three rows or two dimensions, or states that are not finite.

    Notes:
        A basis that is chosen by labels flatters them at its own step: of 600 rows of noise in 256
        dimensions, eight tasks have an ARI of 0.2 in eight axes through their means. Compare with
        permuted labels in a basis of their own, or take `variance`, which is blind to tasks.
    """
    if states.shape[0] < 3 or states.shape[1] < 2 or not np.isfinite(states).all():
        raise BadInput(
            f"a cloud needs finite states of at least 3 rows and 2 dimensions, not shape "
            f"{states.shape} or a gap; give it more rows of the prompt set or an earlier step"
        )
    values = centered(states, inputs)
    scale = values.std(axis=0)
    scale[scale <= _DEAD * max(float(scale.max()), 1e-12)] = np.inf
    values = values / scale
    full, k = k, min(k, values.shape[1])
    first = _through_means(values, groups)[:, :k] if name == "tasks" else values[:0].T
    rest = values - values @ first @ first.T
    axes = np.concatenate([first, _principal(rest)[:, : k - first.shape[1]]], axis=1)
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
    axes = axes * np.where(signs == 0, 1, signs)
    # A renderer reads four coordinates at a time: narrow states get some that are 0.
    return CloudBasis(name, scale, np.pad(axes, ((0, 0), (0, full - k))), inputs is not None)


def cloud_frame(
    states: Float[np.ndarray, "row width"],
    basis: CloudBasis,
    *,
    groups: Groups,
    inputs: Groups,
) -> CloudFrame:
    """See the states of one step in a basis.

    Only the center and the common radius are taken off: states grow and drift while a model trains,
    and without that early steps would be a dot.

    Args:
        states: of the place that the basis belongs to, at any step.
        basis: of `cloud_basis`.
        groups: the task of each row, for the shares between tasks.
        inputs: the input of each row.
    """
    scaled = basis.scaled(states, inputs)
    points = scaled @ basis.axes
    total, kept = float((scaled**2).sum()), float((points**2).sum())
    radius = float(np.sqrt((points**2).sum(axis=1).mean()))
    return CloudFrame(
        points=points / radius if radius > 0 else points,
        radius=radius,
        variance=kept / total if total > 0 else 0.0,
        between=between_share(points, groups),
        between_full=between_share(scaled, groups),
    )


def agreements(
    points: Float[np.ndarray, "step row k"], labels: Int[np.ndarray, "labeling row"]
) -> Float[np.ndarray, "step labeling"]:
    """ARI of k-means in the given coordinates with each labeling, at every step.

    Args:
        points: coordinates; as many clusters are asked for as the first labeling has classes.
        labels: classes of the rows: of the task, and of its permuted twin.
    """
    classes = len(np.unique(labels[0]))
    if classes < 2 or classes >= points.shape[1]:
        return np.full((len(points), len(labels)), np.nan)
    found = kmeans(np.ascontiguousarray(points, dtype=np.float32), classes, n_init=10)
    return np.asarray(agreement(found.labels, labels).ari, dtype=float).reshape(len(points), -1)


def enough(few: float, full: float) -> bool:
    """Whether few coordinates keep nine tenths of the agreement that all dimensions have."""
    return not few < _KEPT * full


def through(
    states: Mapping[int, Float[np.ndarray, "row width"]],
    basis: CloudBasis,
    *,
    groups: Groups,
    inputs: Groups,
) -> dict[int, CloudFrame]:
    """Every step in the same basis."""
    return {
        step: cloud_frame(states[step], basis, groups=groups, inputs=inputs)
        for step in sorted(states)
    }


def _through_means(
    values: Float[np.ndarray, "row width"], groups: Groups
) -> Float[np.ndarray, "width axis"]:
    """Directions of the plane through the group means, the farthest apart first."""
    _, code, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    means = np.zeros((len(counts), values.shape[1]))
    np.add.at(means, code, values)
    means *= 1 / np.sqrt(counts)[:, None]  # each mean weighs as much as the rows that it stands for
    _, extents, directions = np.linalg.svd(means, full_matrices=False)
    real: Float[np.ndarray, "width axis"] = directions[extents > 1e-9 * max(extents[0], 1e-12)].T
    return real


def _principal(values: Float[np.ndarray, "row width"]) -> Float[np.ndarray, "width axis"]:
    """Principal axes, from the matrix of covariances: rows are many, dimensions few."""
    _, directions = np.linalg.eigh(values.T @ values)
    falling: Float[np.ndarray, "width axis"] = directions[:, ::-1]
    return falling

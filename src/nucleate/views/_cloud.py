"""Clouds: the states of one place at every step, in one fixed basis of eight or sixteen axes."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from nucleate.metrics import agreement, kmeans
from nucleate.views._projection import (
    Basis,
    Frame,
    Groups,
    facing,
    group_sums,
    project,
    standardized,
)
from nucleate.views._umap import has_umap

BasisName = Literal["tasks", "variance", "twin", "umap"]
"""`tasks`: directions through the means of the tasks, by how far they are apart, and then those in
which the rest varies most. `variance`: principal axes, blind to tasks. `twin`: as `tasks`, of tasks
that were dealt anew: what axes chosen by labels show by chance. `umap`: no axes but a bent map."""
BASES: tuple[BasisName, ...] = ("tasks", "variance", "twin")
FEW, MANY = 8, 16
"""Coordinates of a cloud: few, and many where few lose more than a tenth of the agreement."""
_KEPT = 0.9


def offered() -> tuple[BasisName, ...]:
    """What a place can be shown in: the bases, and a bent map where its package is installed."""
    return (*BASES, "umap") if has_umap() else BASES


def cloud_basis(
    states: Float[np.ndarray, "row width"],
    groups: Groups,
    *,
    name: BasisName,
    k: int,
    inputs: Groups | None = None,
) -> Basis:
    """Choose the directions in which a place is shown.

    Args:
        states: of the place at one step; take the last, and use the basis at all steps.
        groups: the task of each row, or for `twin` that of its permuted twin; not read for
            `variance`.
        name: of the basis; one that has axes.
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
    values, scale = standardized(states, inputs)
    full, k = k, min(k, values.shape[1])
    first = values[:0].T if name == "variance" else _through_means(values, groups)[:, :k]
    rest = values - values @ first @ first.T
    axes = facing(np.concatenate([first, _principal(rest)[:, : k - first.shape[1]]], axis=1))
    # A renderer reads four coordinates at a time: narrow states get some that are 0.
    return Basis(scale, np.pad(axes, ((0, 0), (0, full - k))), inputs is not None)


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
    basis: Basis,
    *,
    tasks: Groups,
    inputs: Groups,
) -> dict[int, Frame]:
    """Every step in the same basis."""
    return {
        step: project(states[step], basis, tasks=tasks, inputs=inputs) for step in sorted(states)
    }


def _through_means(
    values: Float[np.ndarray, "row width"], groups: Groups
) -> Float[np.ndarray, "width axis"]:
    """Directions of the plane through the group means, the farthest apart first."""
    sums, _, counts = group_sums(values, groups)
    means = sums / np.sqrt(counts)[:, None]  # each mean weighs as much as the rows it stands for
    _, extents, directions = np.linalg.svd(means, full_matrices=False)
    real: Float[np.ndarray, "width axis"] = directions[extents > 1e-9 * max(extents[0], 1e-12)].T
    return real


def _principal(values: Float[np.ndarray, "row width"]) -> Float[np.ndarray, "width axis"]:
    """Principal axes, from the matrix of covariances: rows are many, dimensions few."""
    _, directions = np.linalg.eigh(values.T @ values)
    falling: Float[np.ndarray, "width axis"] = directions[:, ::-1]
    return falling

"""Linear pictures of states: one fixed plane a place, so that a move seen is a move in the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from nucleate._core.errors import BadInput

Groups = Sequence[str] | Int[np.ndarray, " row"]
"""The group of each row, by name or by number."""


_DEAD = 1e-6
"""A dimension that varies less than this part of the liveliest one shows nothing."""
_LARGEST = 32767


@dataclass(frozen=True)
class Basis:
    """A few directions in the space of states at one place, and the scale of its dimensions.

    Attributes:
        scale: standard deviation of each dimension at the step that the basis comes from.
        axes: orthonormal directions in the scaled space: two of a picture, more of a cloud.
        conditioned: whether each input's mean is taken off before anything is seen.
    """

    scale: Float[np.ndarray, " width"]
    axes: Float[np.ndarray, "width k"]
    conditioned: bool

    def scaled(
        self, states: Float[np.ndarray, "row width"], inputs: Groups | None
    ) -> Float[np.ndarray, "row width"]:
        """States, centered, in standard deviations of the step of the basis."""
        values = centered(states, inputs if self.conditioned else None)
        found: Float[np.ndarray, "row width"] = values / self.scale
        return found


@dataclass(frozen=True)
class Frame:
    """One step seen in a basis.

    Attributes:
        points: coordinates, divided by their root-mean-square radius.
        radius: that radius, in standard deviations of the basis step.
        variance_share: share of the variance of the scaled states that the coordinates keep.
        between_plane: share of the variance of the coordinates that lies between tasks.
        between_full: the same in the whole space; where this is larger, tasks are further apart
            than the picture shows, where it is smaller the picture flatters them. By chance both
            are about (tasks - 1) / (distinct states - 1), not 0.
    """

    points: Float[np.ndarray, "row k"]
    radius: float
    variance_share: float
    between_plane: float
    between_full: float

    def packed(self, rows: Int[np.ndarray, " some"] | None = None) -> tuple[bytes, float]:
        """Little-endian int16 `[row k]`, and what one unit of them stands for.

        Args:
            rows: which to take; all by default.
        """
        points = self.points if rows is None else self.points[rows]
        unit = float(np.abs(points).max(initial=0.0)) / _LARGEST or 1.0
        return np.rint(points / unit).astype("<i2").tobytes(), unit


def picture_basis(
    states: Float[np.ndarray, "row width"], *, inputs: Sequence[str] | None = None
) -> Basis:
    """The first two principal axes of standardized states: linear, and blind to tasks.

    Take the states of the last step and use the basis for all steps of that place. A plane that is
    fitted at the end keeps the variance of the end: earlier steps may have structure outside it,
    which `Frame.variance_share` shows.

    Args:
        states: the states of one place at one step.
        inputs: the input of each row; given, each input's mean is removed first. Sensible only
            where tasks and inputs are crossed.

    Returns:
        The basis; the sign of each axis makes its largest loading positive.

    Raises:
        BadInput: fewer than three rows or two dimensions, or states that are not finite.
    """
    values, scale = standardized(states, inputs)
    _, _, directions = np.linalg.svd(values, full_matrices=False)
    return Basis(scale, facing(directions[:2].T), inputs is not None)


def standardized(
    states: Float[np.ndarray, "row width"], inputs: Groups | None
) -> tuple[Float[np.ndarray, "row width"], Float[np.ndarray, " width"]]:
    """States that a basis can be made from: centered and scaled; and the scale.

    Raises:
        BadInput: fewer than three rows or two dimensions, or states that are not finite.
    """
    if states.shape[0] < 3 or states.shape[1] < 2 or not np.isfinite(states).all():
        raise BadInput(
            f"a picture needs finite states of at least 3 rows and 2 dimensions, not shape "
            f"{states.shape} or a gap; give it more rows of the prompt set or an earlier step"
        )
    values = centered(states, inputs)
    scale = values.std(axis=0)
    scale[scale <= _DEAD * max(float(scale.max()), 1e-12)] = np.inf
    return values / scale, scale


def facing(axes: Float[np.ndarray, "width k"]) -> Float[np.ndarray, "width k"]:
    """The same axes with the largest loading of each positive: a picture has no mirror image."""
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
    return axes * np.where(signs == 0, 1, signs)


def project(
    states: Float[np.ndarray, "row width"],
    basis: Basis,
    *,
    tasks: Groups,
    inputs: Groups | None = None,
) -> Frame:
    """See the states of one step in a fixed basis, centered, at radius one.

    Centering and the common radius are the only things that differ between steps: states grow and
    drift while a model trains, and without them early frames would be a dot.

    Args:
        states: the states of the place that the basis belongs to, at any step.
        basis: of a picture or a cloud.
        tasks: the task of each row, for the two shares between tasks only.
        inputs: the input of each row; needed if the basis is conditioned.

    Raises:
        BadInput: the basis is conditioned and no inputs are given, or widths differ.
    """
    if basis.conditioned and inputs is None:
        raise BadInput("the basis removes each input's mean and no inputs were given; pass inputs=")
    if states.shape[1] != len(basis.scale):
        raise BadInput(
            f"states of width {states.shape[1]} do not fit a basis of width {len(basis.scale)}; "
            "make the basis from the same model"
        )
    scaled = basis.scaled(states, inputs)
    points = scaled @ basis.axes
    total, kept = float((scaled**2).sum()), float((points**2).sum())
    radius = float(np.sqrt((points**2).sum(axis=1).mean()))
    return Frame(
        points=points / radius if radius > 0 else points,
        radius=radius,
        variance_share=kept / total if total > 0 else 0.0,
        between_plane=between_share(points, tasks),
        between_full=between_share(scaled, tasks),
    )


def picture_table(
    states: Mapping[int, Float[np.ndarray, "row width"]],
    *,
    stream: str,
    position: str,
    tasks: Sequence[str],
    inputs: Sequence[str],
    correct: Mapping[int, Bool[np.ndarray, " row"] | Float[np.ndarray, " row"]],
    conditioned: bool,
) -> pd.DataFrame:
    """The rows of the picture table for one place: the basis of the last step, all steps in it.

    Args:
        states: step -> states of this place.
        stream: its name.
        position: its name.
        tasks: the task of each row.
        inputs: the input of each row.
        correct: step -> whether each row was answered right then; NaN for a row without answer.
        conditioned: remove each input's mean; only where tasks and inputs are crossed.

    Returns:
        Columns `step, stream, position, row, x, y, task, input, correct, radius, variance_share,
        between_plane, between_full`; the last four are the same for all rows of a step.
    """
    by_input = inputs if conditioned else None
    basis = picture_basis(states[max(states)], inputs=by_input)
    frames = []
    for step in sorted(states):
        frame = project(states[step], basis, tasks=tasks, inputs=by_input)
        frames.append(
            pd.DataFrame(
                {
                    "step": step,
                    "stream": stream,
                    "position": position,
                    "row": np.arange(len(tasks)),
                    "x": frame.points[:, 0],
                    "y": frame.points[:, 1],
                    "task": list(tasks),
                    "input": list(inputs),
                    "correct": correct[step],
                    "radius": frame.radius,
                    "variance_share": frame.variance_share,
                    "between_plane": frame.between_plane,
                    "between_full": frame.between_full,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def centered(
    states: Float[np.ndarray, "row width"], groups: Groups | None
) -> Float[np.ndarray, "row width"]:
    """Take off the mean of all rows, or of each group of rows."""
    values = states.astype(np.float64)
    means = values.mean(axis=0) if groups is None else _group_means(values, groups)
    found: Float[np.ndarray, "row width"] = values - means
    return found


def _group_means(
    values: Float[np.ndarray, "row width"], groups: Groups
) -> Float[np.ndarray, "row width"]:
    """The mean of each row's group, in each row."""
    sums, code, counts = group_sums(values, groups)
    means: Float[np.ndarray, "row width"] = (sums / counts[:, None])[code]
    return means


def group_sums(
    values: Float[np.ndarray, "row width"], groups: Groups
) -> tuple[Float[np.ndarray, "group width"], Int[np.ndarray, " row"], Int[np.ndarray, " group"]]:
    """The sum of each group, the group of each row, and how many rows each group has."""
    _, code, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    # Rows in the order of their groups are added up far faster than one by one.
    order, starts = np.argsort(code, kind="stable"), np.cumsum(counts) - counts
    return np.add.reduceat(values[order], starts, axis=0), code, counts


def between_share(values: Float[np.ndarray, "row width"], groups: Groups) -> float:
    """Sum of squares between groups / total, of values that are centered."""
    total = float((values**2).sum())
    sums, _, counts = group_sums(values, groups)
    between = float((sums**2 / counts[:, None]).sum())
    return between / total if total > 0 else 0.0

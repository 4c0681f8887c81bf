"""Erasers: affine maps that remove a subspace, or a concept, from hidden states."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from nucleate._core.errors import BadInput
from nucleate.intervene._gate import Numbers, as_labeled, as_numbers, in_double, moved_to

# Directions below this part of the largest one are rounding.
_REAL = 1e-5


@dataclass(frozen=True)
class Eraser:
    """The map x -> x - write^T read (x - mean): what `read` finds is taken out along `write`.

    With orthonormal `read` = `write` it removes a subspace; LEACE's is oblique. Applied twice it is
    the same as once, and the mean stays where it is. What is fitted fits states of its own place;
    `erase` warns where one is applied elsewhere.

    Attributes:
        read: what is looked for, one direction a line; lines of zeros remove nothing.
        write: along what it is taken out.
        mean: of the states, in the same units.
        fitted_at: stream and position of the states that it was fitted on; None where one is not
            known, and None altogether for a subspace that was given.
    """

    read: Float[Tensor, "*row rank width"]
    write: Float[Tensor, "*row rank width"]
    mean: Float[Tensor, "*row width"]
    fitted_at: tuple[str | None, str | None] | None = None

    def __post_init__(self) -> None:
        rank, width = self.read.shape[-2:]
        if rank >= width:
            raise BadInput(
                f"the subspace has rank {rank} in states {width} wide, so that nothing but the "
                "mean would be left; for mean ablation, patch the states to their mean"
            )

    @classmethod
    def subspace(cls, basis: Numbers, mean: Numbers) -> "Eraser":
        """Remove the span of some vectors, at right angles.

        Args:
            basis: vectors [rank width] that span the subspace, of any length and angle; or
                [row rank width], one subspace per row of a batch (then of one rank; vectors that
                add nothing are made zeros). A numpy array, a tensor or lists.
            mean: what the states are centered by, [width] or [row width].

        Raises:
            BadInput: as many directions as the states are wide; numbers that are not finite.
        """
        basis, mean = as_numbers(basis, "the basis"), as_numbers(mean, "the mean")
        if (
            basis.ndim not in (2, 3)
            or mean.shape != basis.shape[: basis.ndim - 2] + basis.shape[-1:]
        ):
            raise BadInput(
                f"a basis of shape {list(basis.shape)} and a mean of shape {list(mean.shape)} do "
                "not fit; give [rank width] and [width], or [row rank width] and [row width]"
            )
        _, extents, directions = torch.linalg.svd(in_double(basis), full_matrices=False)
        real = extents > _REAL * extents[..., :1].clamp(min=1e-30)
        kept = directions[real] if basis.ndim == 2 else directions * real[..., None]
        kept = kept.to(_stored(basis)).to(basis.device)
        return cls(kept, kept, mean.to(kept.dtype).to(kept.device))

    @classmethod
    def means(
        cls,
        states: Numbers,
        labels: "Labels",
        *,
        stream: str | None = None,
        position: str | None = None,
    ) -> "Eraser":
        """Remove the span of the differences between the classes' means, at right angles.

        Args:
            states: as for `leace`.
            labels: as for `leace`.
            stream, position: as for `leace`.

        Raises:
            BadInput: as for `leace`.
        """
        x, onehot, stored, device = _fitting(states, labels)
        centroids = (onehot.T @ x) / onehot.sum(0)[:, None]
        span = cls.subspace(centroids - centroids.mean(0), x.mean(0)).to(stored).to(device)
        return replace(span, fitted_at=_place_of(states, stream, position))

    @classmethod
    def leace(
        cls,
        states: Numbers,
        labels: "Labels",
        *,
        others: Numbers | None = None,
        stream: str | None = None,
        position: str | None = None,
        shrink: bool = True,
        tolerance: float = 0.01,
    ) -> "Eraser":
        """Fit the smallest change after which no linear classifier finds the classes.

        With W the whitening of the states and U an orthonormal basis of the columns of
        W cov(x, one-hot): read = U^T W, write = U^T W^+. Computed in float64.

        Args:
            states: of one place, [row width]: a numpy array, a tensor on any device, lists, or
                pandas columns. Gradients are not followed.
            labels: a class per row, by name or number; one column of a table will do. Continuous
                concepts are not meant.
            others: states [row width] of the same place under prompts that have nothing to do with
                the classes and should stay as they are. Among all maps that erase, the one is taken
                that changes both least, on average and at equal weights.
            stream, position: the place of the states, by name. States that come right from
                `States.at` know it; rows that were chosen from them do not.
            shrink: shrink the covariance towards a multiple of the identity by the amount that is
                best for many dimensions (Bodnar, Gupta & Parolya 2014). Without it, and with fewer
                rows than dimensions, rows are learned by heart and everything is removed.
            tolerance: directions whose covariance with the classes, in standard deviations of the
                states, is not above it are kept; at most one fewer than the classes are removed.
                With `others` it is relative to the largest such covariance.

        Raises:
            BadInput: states that are not finite; labels for another number of rows, missing or
                one-hot; fewer than two classes, or as many directions as the states are wide.

        Source: Belrose et al. 2023, LEACE: Perfect linear concept erasure in closed form.

        Notes:
            Only linear traces, and only those at this place, are gone; later blocks may compute
            them anew from other tokens. The erasure is oblique and may enlarge norms, and without
            `others` it moves states that are far from the fitted ones far. What else
            tells rows of the fitted states from those it is applied to, such as another input, is
            partly removed as well: subtract each input's own mean first, as `causal_map` does.
        """
        x, onehot, stored, device = _fitting(states, labels)
        mean = x.mean(0)
        centered = x - mean
        covariance = centered.T @ centered / (len(x) if shrink else len(x) - 1)
        if shrink:
            covariance = _shrunk(covariance, len(x))
        if others is not None:
            apart = in_double(_others(others, mean)).to(mean.device) - mean
            covariance = (covariance + apart.T @ apart / len(apart)) / 2
        cross = centered.T @ (onehot - onehot.mean(0)) / (len(x) - 1)
        whiten, color = _roots(covariance)
        directions, extents, _ = torch.linalg.svd(whiten @ cross, full_matrices=False)
        least = tolerance if others is None else tolerance * extents[0]
        basis = directions[:, extents > least].T
        made = cls(basis @ whiten, basis @ color, mean).to(stored).to(device)
        return replace(made, fitted_at=_place_of(states, stream, position))

    def __call__(self, states: Numbers) -> Float[Tensor, "*any width"]:
        """The states without what is removed, in their own dtype.

        Args:
            states: [width], or [row width] or more, where the eraser's own rows, if it has any,
                are those of the states. Tensors keep their gradient.

        Raises:
            BadInput: states of another width, or no numbers.
        """
        if not isinstance(states, Tensor):
            states = as_numbers(states, "states")
        if states.shape[-1] != self.mean.shape[-1]:
            raise BadInput(
                f"the eraser is {self.mean.shape[-1]} wide, the states are {states.shape[-1]}; "
                "fit it on states of the same model"
            )
        read, write, mean = (moved_to(t, states) for t in (self.read, self.write, self.mean))
        found = torch.einsum("...kd,...d->...k", read, states - mean)
        return (states - torch.einsum("...k,...kd->...d", found, write)).to(states.dtype)

    def __getitem__(self, rows: Any) -> "Eraser":
        """Erasers of some rows, of one that has an eraser a row."""
        return Eraser(self.read[rows], self.write[rows], self.mean[rows], self.fitted_at)

    def to(self, *where: Any) -> "Eraser":
        """The same eraser in another dtype or on another device, as `Tensor.to`."""
        read, write, mean = (part.to(*where) for part in (self.read, self.write, self.mean))
        return Eraser(read, write, mean, self.fitted_at)

    @property
    def rank(self) -> int:
        """How many directions are removed at most."""
        return self.read.shape[-2]

    @property
    def projection(self) -> Float[Tensor, "*row width width"]:
        """The matrix P of x -> mean + P (x - mean); oblique, and P P = P."""
        eye = torch.eye(self.mean.shape[-1], dtype=self.read.dtype, device=self.read.device)
        return eye - self.write.mT @ self.read


Labels = Sequence[Any] | Tensor | np.ndarray | pd.Series | pd.DataFrame
"""A class for every row, by name or number."""


def _fitting(states: Numbers, labels: Labels) -> tuple[Tensor, Tensor, torch.dtype, torch.device]:
    """States and one-hot classes in float64, and dtype and device of what is made of them."""
    x, classes = as_labeled(states, labels)
    count = int(classes.max()) + 1
    if count < 2:
        raise BadInput(
            f"the labels name {count} class, and a difference needs at least two tasks; "
            "pass rows of several"
        )
    exact = in_double(x)
    onehot = torch.nn.functional.one_hot(classes.to(exact.device), count).double()
    return exact, onehot, _stored(x), x.device


def _others(states: Numbers, mean: Tensor) -> Tensor:
    """States that should stay as they are."""
    x = as_numbers(states, "others").detach()
    if x.ndim != 2 or x.shape[-1] != len(mean) or not len(x):
        raise BadInput(
            f"others= is of shape {list(x.shape)}; give states [row, {len(mean)}] of the same place"
        )
    return x


def _place_of(
    states: Any, stream: str | None, position: str | None
) -> tuple[str | None, str | None]:
    """Where states were read: as is said, or as `States.at` has noted."""
    noted = getattr(states, "place", (None, None))
    return stream or noted[0], position or noted[1]


def _stored(states: Tensor) -> torch.dtype:
    """Double stays double; all else is float32, which half-precision states are raised to."""
    return torch.float64 if states.dtype == torch.float64 else torch.float32


def _shrunk(covariance: Tensor, rows: int) -> Tensor:
    """Mix the covariance with the identity of the same trace, by eq. 2.10 of Bodnar et al."""
    width = len(covariance)
    trace = covariance.trace()
    target = torch.eye(width, dtype=covariance.dtype, device=covariance.device) * trace / width
    spread = (covariance - target).square().sum()
    if spread == 0:
        return covariance
    kept = (1 - trace.square() / rows / spread).clamp(0, 1)
    return kept * covariance + (1 - kept) * target


def _roots(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse square root and the square root of a covariance, on its support."""
    values, vectors = torch.linalg.eigh(covariance)
    floor = values[-1] * len(values) * torch.finfo(values.dtype).eps
    real = values > floor
    root = values.clamp(min=0).sqrt()
    inverse = torch.where(real, 1 / root.clamp(min=1e-300), 0)
    return (vectors * inverse) @ vectors.T, (vectors * (root * real)) @ vectors.T

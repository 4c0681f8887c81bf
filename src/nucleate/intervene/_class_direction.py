"""The direction from one class of prompts to another, and what it is compared with."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nucleate._core.errors import BadInput

CONTROLS = {
    "random": "a random vector of equal norm, another one for each row",
    "shuffled": "the difference of means under permuted classes, of equal norm, other permutations "
    "for each row",
    "reverse": "the same direction the other way",
}
"""What stands beside a direction at each dose."""

_PERMUTATIONS = 199
_NEEDED = 4
"""Fewest groups of a class: two for each half, of which one is to choose the place with."""


@dataclass(frozen=True)
class Halves:
    """Which rows a direction is fitted on, and which it is tried on.

    Attributes:
        target: which rows are of class B.
        group: of each row; a group is in one half as a whole.
        source: which rows are of class A.
        fold: 0 and 1: the two folds of the fitted half; 2: the half it is tried on; -1: neither
            class.
    """

    target: Bool[np.ndarray, "row"]
    source: Bool[np.ndarray, "row"]
    group: Int[np.ndarray, "row"]
    fold: Int[np.ndarray, "row"]

    @classmethod
    def drawn(
        cls,
        source: Bool[np.ndarray, "row"],
        target: Bool[np.ndarray, "row"],
        group: Int[np.ndarray, "row"],
        rng: np.random.Generator,
    ) -> "Halves":
        """Halve the groups of each class; those that have rows of both classes likewise.

        Raises:
            BadInput: a class has too few groups.
        """
        count = int(group.max()) + 1
        kinds = np.bincount(group[source], minlength=count).clip(max=1)
        kinds = kinds + 2 * np.bincount(group[target], minlength=count).clip(max=1)
        for name, bit in (("A", 1), ("B", 2)):
            there = int((kinds & bit > 0).sum())
            if there < _NEEDED:
                raise BadInput(
                    f"class {name} has {there} groups of prompts, of which half are fitted; give "
                    f"at least {_NEEDED}"
                )
        of_group = np.full(count, -1)
        # Those of both classes stand in the middle, so that each class's groups are neighbors and
        # every four of them have all that is given out in turn.
        order = [rng.permutation(np.flatnonzero(kinds == kind)) for kind in (1, 3, 2)]
        groups = np.concatenate(order)
        of_group[groups] = np.array([2, 0, 2, 1])[np.arange(len(groups)) % 4]
        fold = np.where(source | target, of_group[group], -1)
        return cls(target, source, group, fold)

    @property
    def fitted(self) -> Bool[np.ndarray, "row"]:
        """Rows of the fitted half."""
        inside: np.ndarray = (self.fold == 0) | (self.fold == 1)
        return inside


def difference(
    states: Float[Tensor, "row width"],
    source: Bool[np.ndarray, "row"],
    target: Bool[np.ndarray, "row"],
) -> Float[Tensor, "width"]:
    """mu_B - mu_A."""
    found: Tensor = states[torch.as_tensor(target)].mean(0) - states[torch.as_tensor(source)].mean(
        0
    )
    return found


def shuffled_differences(
    states: Float[Tensor, "row width"],
    halves: Halves,
    rows: Bool[np.ndarray, "row"],
    draws: int,
    rng: np.random.Generator,
) -> Float[Tensor, "draw width"]:
    """Differences of means with the classes of some rows permuted over their groups.

    What is permuted are a group's rows of one class, all together: a group of both classes is two.
    """
    unit, first = _units(halves, rows)
    classes = np.tile(halves.target[rows][first], (draws, 1))
    permuted = rng.permuted(classes, axis=1)[:, unit].astype(np.float32)
    to_b = permuted / permuted.sum(1, keepdims=True)
    to_a = (1 - permuted) / (1 - permuted).sum(1, keepdims=True)
    some = states[torch.as_tensor(rows)]
    found: Tensor = torch.as_tensor(to_b - to_a, device=some.device) @ some
    return found


def random_vectors(count: int, width: int, rng: np.random.Generator) -> Float[Tensor, "row width"]:
    """Random vectors in all directions alike."""
    return torch.as_tensor(rng.standard_normal((count, width)), dtype=torch.float32)


def of_norm(
    vectors: Float[Tensor, "*row width"], norm: Float[Tensor, "..."]
) -> Float[Tensor, "*row width"]:
    """The vectors at another norm."""
    scaled: Tensor = vectors * (norm / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-12))
    return scaled


def nearest_share(states: Float[Tensor, "row width"], halves: Halves) -> float:
    """Share of fitted rows that are nearest to their own class's mean of the other fold."""
    folds = [(halves.fold == 1 - fold, halves.fold == fold) for fold in (0, 1)]
    return float(np.concatenate([_right(states, halves.target, *each) for each in folds]).mean())


def readable(
    states: Float[Tensor, "row width"], halves: Halves, rng: np.random.Generator
) -> tuple[float, float]:
    """How well the class is read by the nearest mean of the fitted half, on the other half.

    Returns:
        the mean of both classes' shares of tried rows that are nearest to their own mean; and what
        19 of 20 permutations of the classes over groups, within each half, stay below.
    """
    tried = halves.fold == 2
    units = [(half, *_units(halves, half)) for half in (halves.fitted, tried)]

    def share(target: Bool[np.ndarray, "row"]) -> float:
        right, own = _right(states, target, halves.fitted, tried), target[tried]
        return float((right[own].mean() + right[~own].mean()) / 2)

    permuted = []
    for _ in range(_PERMUTATIONS):
        target = halves.target.copy()
        # Were the tried rows' classes left as they are, any direction along the states' widest
        # spread would find these, one way or the other.
        for half, unit, first in units:
            target[half] = rng.permutation(halves.target[half][first])[unit]
        permuted.append(share(target))
    return share(halves.target), float(np.quantile(permuted, 0.95))


def _right(
    states: Float[Tensor, "row width"],
    target: Bool[np.ndarray, "row"],
    fitted: Bool[np.ndarray, "row"],
    tried: Bool[np.ndarray, "row"],
) -> Bool[np.ndarray, "tried"]:
    """Which tried rows are nearest to the mean of the fitted rows of their own class."""
    kinds = (fitted & ~target, fitted & target)
    means = torch.stack([states[torch.as_tensor(kind)].mean(0) for kind in kinds])
    near = torch.cdist(states[torch.as_tensor(tried)], means).argmin(1).cpu().numpy()
    right: np.ndarray = near == target[tried]
    return right


def _units(
    halves: Halves, rows: Bool[np.ndarray, "row"]
) -> tuple[Int[np.ndarray, "some"], Int[np.ndarray, "unit"]]:
    """Some rows' numbers of what is permuted as a whole, and the first row of each."""
    pairs = np.stack([halves.group[rows], halves.target[rows]], 1)
    first, unit = np.unique(pairs, axis=0, return_index=True, return_inverse=True)[1:]
    return unit.reshape(-1), first

"""How much of the variance each factor makes: task, input, family, interaction."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate._core.errors import BadInput
from nucleate.metrics._arrays import ArrayLike, centered, shaped
from nucleate.metrics._labels import one

RESIDUAL = "residual"
_USUAL = (("task", "input"),)


def variance_shares(
    x: ArrayLike,
    factors: Mapping[str, ArrayLike],
    interactions: Sequence[tuple[str, str]] | None = None,
) -> dict[str, np.ndarray | float]:
    """Share of the total variance that each factor makes, free of what noise adds to it.

    Each factor's levels are taken as drawn at random. Sums of squares are split one factor after
    another, and each component follows from what they are expected to be (Henderson 1953, method
    3; the textbook analysis of variance where the design is balanced). So a factor that does
    nothing gets 0 on average, however many levels it has, with unequal and missing cells too.

    Args:
        x: states `[*place row width]`; standardize them first, or large dimensions decide.
        factors: a label `[row]` for each factor, crossed or nested. Those of fewer levels are
            taken first, so that what is nested comes after what holds it.
        interactions: pairs of factors, taken last; None: `("task", "input")` if both are there.

    Returns:
        One share `[*place]` for each factor, each interaction (`task x input`) and `residual`;
        they sum to 1. By chance below 0 as often as above: that is left as it is. 0 for constant
        states. NaN for a factor that cannot be told from those before it, and for the residual
        if no row is left for it: their variance counts in the one before.

        A task's share is what it adds whatever the input; what only one input shows is the
        interaction's. Rows of one instruction string share their noise: unless the string is a
        factor as well, that noise counts for the family, or the task.

    Raises:
        BadInput: labels of another length, no factor, or an interaction of unknown factors.
    """
    points, finite = centered(x, double=True)
    codes = _with_interactions(factors, interactions, points.shape[1])
    terms = _Terms(codes, points.shape[1])
    squares = terms.sums_of_squares(points)
    solved = torch.linalg.solve(terms.expected, squares.T).T
    components = torch.full((len(points), len(terms.names)), torch.nan, dtype=points.dtype)
    components[:, terms.told] = solved.cpu()
    total = components.nansum(1, keepdim=True)
    varies = points.flatten(1).any(1).cpu()
    shares = (components / total).where(varies[:, None], 0)
    shares = shares.where(finite.cpu()[:, None], torch.nan)
    return {name: shaped(shares[:, i], x) for i, name in enumerate(terms.names)}


def _with_interactions(
    factors: Mapping[str, ArrayLike], interactions: Sequence[tuple[str, str]] | None, rows: int
) -> dict[str, Int[Tensor, "row"]]:
    """Codes of all terms in the order in which they are fitted."""
    if not isinstance(factors, Mapping):
        raise BadInput(
            f"factors are a {type(factors).__name__}; give a mapping from names to labels"
        )
    if not factors:
        raise BadInput("no factor is given; give labels for at least one, such as the task")
    codes = {name: one(labels, rows, name=name) for name, labels in factors.items()}
    codes = dict(sorted(codes.items(), key=lambda item: int(item[1].max())))
    if interactions is None:
        interactions = [pair for pair in _USUAL if set(pair) <= set(codes)]
    if not isinstance(interactions, list | tuple):
        raise BadInput(f"interactions are {interactions!r}; give pairs of names of factors")
    for pair in interactions:
        first, second = pair if isinstance(pair, tuple | list) and len(pair) == 2 else (pair, "?")
        if not {first, second} <= set(codes):
            raise BadInput(
                f"the interaction {first} x {second} needs both factors; "
                f"choose among {', '.join(codes)}"
            )
        cell = codes[first] * (int(codes[second].max()) + 1) + codes[second]
        codes[f"{first} x {second}"] = torch.unique(cell, return_inverse=True)[1]
    return codes


class _Terms:
    """Orthonormal bases of what each term adds to those before it.

    Attributes:
        names: of all terms, the residual last.
        told: which of them can be told from those before.
        expected: sums of squares `[told told]` that a component of 1 is expected to give.
    """

    def __init__(self, codes: Mapping[str, Tensor], rows: int) -> None:
        self.names = [*codes, RESIDUAL]
        self.told: list[int] = []
        self._bases: list[Tensor] = []
        members = []
        seen = torch.full((rows, 1), rows**-0.5, dtype=torch.float64)
        for index, code in enumerate(codes.values()):
            member = torch.zeros(rows, int(code.max()) + 1, dtype=torch.float64)
            member.scatter_(1, code[:, None], 1)
            basis = _basis(member - seen @ (seen.T @ member))
            if not basis.shape[1]:
                continue
            self.told.append(index)
            self._bases.append(basis)
            members.append(member)
            seen = torch.cat([seen, basis], 1)
        left = rows - seen.shape[1]
        # Every row is a level of its own of the residual.
        sizes = [[float((b.T @ m).square().sum()) for m in members] for b in self._bases]
        if left > 0:
            self.told.append(len(codes))
            sizes = [[*row, b.shape[1]] for row, b in zip(sizes, self._bases, strict=True)]
            sizes.append([0.0] * len(members) + [left])
        self.expected = torch.tensor(sizes, dtype=torch.float64)
        self._left = left

    def sums_of_squares(
        self, points: Float[Tensor, "place row width"]
    ) -> Float[Tensor, "place told"]:
        parts = [(b.T.to(points.device) @ points).square().sum((1, 2)) for b in self._bases]
        if self._left > 0:
            # The factors' parts can exceed the whole by rounding.
            rest = points.square().sum((1, 2)) - sum(parts, points.new_zeros(()))
            parts.append(rest.clamp(min=0))
        return torch.stack(parts, 1).cpu()


def _basis(columns: Float[Tensor, "row level"]) -> Float[Tensor, "row axis"]:
    """Orthonormal basis of the span of some columns; cheap where rows are many."""
    values, axes = torch.linalg.eigh(columns.T @ columns)
    # Indicators have squares of whole numbers: what is far below 1 is rounding.
    kept = values > 1e-8
    basis: Tensor = (columns @ axes[:, kept]) / values[kept].sqrt()
    return basis

"""Classes, instruction strings and folds of rows, as numbers on the device of the states."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate._core.errors import BadInput
from nucleate.metrics._arrays import ArrayLike, as_codes, rows_of

States = Float[Tensor, "place row width"]


def class_codes(labels: ArrayLike, states: States) -> Int[Tensor, "labeling row"]:
    """Classes of each row, from 0; whole numbers from 0 stay as they are.

    Raises:
        BadInput: labels that do not fit the rows, or one class only.
    """
    rows = states.shape[1]
    codes = as_codes(labels, rows, compact=False)
    if int(codes.min()):
        codes = as_codes(codes, rows)
    if int(codes.max()) == 0:
        raise BadInput(
            f"all {rows} rows have one label; classes are compared only where there are two, so "
            "give labels that differ"
        )
    return codes.to(states.device)


def one_labeling(labels: ArrayLike, states: States) -> Int[Tensor, "one row"]:
    """Classes of each row, each of which has a row, where one labeling is asked for."""
    return class_codes(one(labels, states.shape[1]), states)


def one(labels: ArrayLike, rows: int, *, name: str = "labels") -> Int[Tensor, "row"]:
    """Values of one labeling as numbers from 0; BadInput if there are several."""
    codes = as_codes(labels, rows, name=name)
    if len(codes) != 1:
        raise BadInput(
            f"{name} are several labelings, {len(codes)} of {rows} rows; give one label per row"
        )
    return codes[0]


def group_codes(groups: ArrayLike | None, states: States) -> Int[Tensor, "row"] | None:
    """Instruction string of each row, from 0."""
    if groups is None:
        return None
    return one(groups, states.shape[1], name="groups").to(states.device)


def groups_or_rows(groups: ArrayLike | None, states: States) -> Int[Tensor, "row"]:
    """Instruction string of each row, from 0; each row alone if None."""
    codes = group_codes(groups, states)
    return torch.arange(states.shape[1], device=states.device) if codes is None else codes


def fold_codes(
    folds: ArrayLike, states: States, groups: Int[Tensor, "row"] | None
) -> Int[Tensor, "row"]:
    """Fold of each row, from 0.

    Raises:
        BadInput: one fold only, or a string whose rows are in two.
    """
    codes = one(folds, states.shape[1], name="folds").to(states.device)
    if int(codes.max()) == 0:
        raise BadInput(
            f"all {len(codes)} rows are in one fold; give at least two, so that some rows are "
            "left to learn from"
        )
    if groups is not None:
        of_group = torch.zeros_like(codes).scatter_(0, groups, codes)
        if not torch.equal(of_group[groups], codes):
            row = int((of_group[groups] != codes).nonzero()[0])
            raise BadInput(
                f"the instruction string of row {row} has rows in two folds, so that they tell "
                "each other's class; put all rows of a string into one fold (grouped_folds does)"
            )
    return codes


def paired_codes(
    labels: ArrayLike, groups: ArrayLike, name: str = "groups"
) -> tuple[Int[np.ndarray, "row"], Int[np.ndarray, "row"]]:
    """Two columns of the same rows as numbers from 0."""
    rows = rows_of(labels)
    return one(labels, rows).numpy(), one(groups, rows, name=name).numpy()


def several(codes: Int[Tensor, "row"], what: str, remedy: str) -> int:
    """Count the values of codes, which must be at least two."""
    count = int(torch.bincount(codes).count_nonzero())
    if count < 2:
        raise BadInput(f"{what}s of {count} value cannot be compared; {remedy}")
    return count

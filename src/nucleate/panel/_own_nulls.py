"""Nulls of the user's that are about labels: layouts with their labelings in place of N0's."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from nucleate._core.errors import BadInput
from nucleate._core.strings import Permutations
from nucleate.panel._cache import key_of
from nucleate.panel._layout import TASK, Layout
from nucleate.panel._nulls import Null


def own_layouts(where: Layout, nulls: Sequence[Null], seed: int) -> dict[str, Layout]:
    """For every null of the user's that is about labels, the layout with its labelings."""
    found = {}
    for null in nulls:
        rng = np.random.default_rng(seed)
        labelings = {
            label: drawn
            for label, code in where.codes.items()
            if (drawn := _labelings(null, code.numpy(), where.strings.numpy(), rng)) is not None
        }
        if not labelings:
            continue
        if TASK in labelings:
            task = labelings[TASK]
            labelings |= {half: task.rows(rows.numpy()) for half, rows in where.halves.items()}
            labelings["folds"] = task
        plain = {label: Permutations(where.nulls[label].first(0).labels) for label in where.nulls}
        found[null.name.lower()] = replace(where, nulls=plain | labelings)
    return found


def _labelings(
    null: Null, code: np.ndarray, strings: np.ndarray, rng: np.random.Generator
) -> Permutations | None:
    drawn = null.permuted(code.copy(), strings.copy(), rng)
    if drawn is None:
        return None
    drawn = np.asarray(drawn)
    whole = np.issubdtype(drawn.dtype, np.integer) and drawn.ndim == 2 and len(drawn) > 0
    if not whole or drawn.shape[1] != len(code) or not np.isin(drawn, code).all():
        raise BadInput(
            f"the null {null.name!r} gave labels of shape {list(drawn.shape)} and type "
            f"{drawn.dtype} for {len(code)} rows of {code.max() + 1} classes; give integers "
            "[draw row] of the classes that there are"
        )
    return Permutations(torch.from_numpy(np.concatenate([code[None], drawn.astype(np.int64)])))


def content_of(own: tuple[str, Layout]) -> str:
    """A text for the labelings of one null of the user's."""
    name, where = own
    labels = [(key, where.nulls[key].labels.numpy().tobytes()) for key in sorted(where.nulls)]
    return key_of(name, *labels)

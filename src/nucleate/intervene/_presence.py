"""Whether the task can be read at a place at all: what a map says where it has no panel."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nucleate.intervene._cast import Cast
from nucleate.intervene._controls import permuted_tasks
from nucleate.metrics import condition, nearest_centroid

_FOLDS = 3
_PERMUTATIONS = 199
_LEVEL = 0.95


def presence(
    states: Float[Tensor, "stream position all width"], roles: Cast, seed: int
) -> tuple[Float[np.ndarray, "stream position"], float]:
    """How often the nearest task mean of other instruction strings is the row's own task's.

    Args:
        states: of all of the prompt set's rows. Where every task has every input, the mean of all
            rows with the same input is subtracted first.
        roles: the fitted rows are used.
        seed: of folds and permutations.

    Returns:
        The share at every place, and the bar: the 95 % point, over permutations of the tasks over
        strings, of the largest share at any place. NaN where a task has one string only.
    """
    rng = np.random.default_rng(seed)
    rows = roles.fitted
    fold = _string_folds(roles, rng)
    if fold is None:
        return np.full(states.shape[:2], np.nan), float("nan")
    some = states[:, :, torch.as_tensor(rows)].float()
    if roles.crossed:
        some = condition(some, torch.as_tensor(roles.input[rows], device=some.device))
    labels = [roles.task, *(permuted_tasks(roles, rng) for _ in range(_PERMUTATIONS))]
    shares = np.asarray(
        nearest_centroid(some, np.stack(labels)[:, rows], fold[rows], roles.string[rows])
    )
    bar = float(np.quantile(shares[..., 1:].max((0, 1)), _LEVEL))
    return shares[..., 0], bar


def _string_folds(roles: Cast, rng: np.random.Generator) -> np.ndarray | None:
    """A fold for every row: the strings of each task are dealt out in turn."""
    strings, first = np.unique(roles.string[roles.fitted], return_index=True)
    task = roles.task[roles.fitted][first]
    of_string = np.zeros(roles.string.max() + 1, dtype=np.int64)
    for each in np.unique(task):
        mine = rng.permutation(strings[task == each])
        if len(mine) < 2:
            return None
        of_string[mine] = np.arange(len(mine)) % _FOLDS
    of_row: np.ndarray = of_string[roles.string]
    return of_row

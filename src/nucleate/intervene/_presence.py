"""Whether the task can be read at a place at all: what a map says where it has no panel."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nucleate._core.strings import Strings
from nucleate.intervene._cast import Cast
from nucleate.metrics import condition, nearest_centroid

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
        the strings of each fold, of the largest share at any place. Every fold holds each task;
        permutations over all strings would not, and their shares would be too small. NaN where a
        task has one string only.
    """
    rng = np.random.default_rng(seed)
    rows = roles.fitted
    task, string = (
        np.unique(code[rows], return_inverse=True)[1] for code in (roles.task, roles.string)
    )
    strings = Strings.of(string, task, string, np.zeros_like(string))
    fold = strings.folds(rng)
    if fold is None:
        return np.full(states.shape[:2], np.nan), float("nan")
    labels = strings.permuted(task, _PERMUTATIONS, rng, within=fold).labels.numpy()
    some = states[:, :, torch.as_tensor(rows)].float()
    if roles.crossed:
        some = condition(some, torch.as_tensor(roles.input[rows], device=some.device))
    shares = np.asarray(nearest_centroid(some, labels, fold[string], string))
    bar = float(np.quantile(shares[..., 1:].max((0, 1)), _LEVEL, method="higher"))
    return shares[..., 0], bar

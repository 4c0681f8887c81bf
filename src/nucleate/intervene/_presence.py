"""Whether the task can be read at a place at all: what a map says where it has no panel."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nucleate._core.strings import Strings
from nucleate.intervene._cast import Cast
from nucleate.intervene._controls import input_averages, task_averages
from nucleate.metrics import condition, nearest_centroid

_PERMUTATIONS = 199
_LEVEL = 0.95
_ROUNDING = 1e-5  # of the length of a state


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


class NearestTask:
    """Whether the nearest task mean, of other instruction strings, is the row's own task's.

    Row by row, for the tested rows alone, and of many sets of their states: each about the mean of
    its input, to which all tasks contribute equally.

    Args:
        roles: the tested rows.
        rng: of the folds of strings.
    """

    def __init__(self, roles: Cast, rng: np.random.Generator) -> None:
        rows = roles.tested
        task, string = (
            np.unique(code[rows], return_inverse=True)[1] for code in (roles.task, roles.string)
        )
        fold = Strings.of(string, task, string, np.zeros_like(string)).folds(rng)
        self._known = fold is not None
        if fold is None:
            return
        of_row = np.zeros(len(roles.task), dtype=np.int64)
        of_row[rows] = fold[string]
        tested = replace(roles, fitted=rows, fold=of_row)
        self._means = task_averages(tested, roles.task)[:, :, rows]
        centers = input_averages(replace(roles, fitted=rows))[:, rows]
        self._centers = centers[torch.as_tensor(roles.input[rows])]
        self._fold = torch.as_tensor(of_row[rows])
        self._task = torch.as_tensor(roles.task[rows])

    def __call__(self, states: Float[Tensor, "set row width"]) -> Float[np.ndarray, "set row"]:
        """1 where it is, one over their number where means tie; NaN if a task has one string."""
        if not self._known:
            return np.full(states.shape[:2], np.nan)
        there = self._means.any(-1)
        right = np.zeros(states.shape[:2])
        for number, each in enumerate(states):
            centered = each - self._centers @ each
            distance = torch.cdist(centered, self._means @ centered)
            own = distance[self._fold, torch.arange(len(each))]
            own = own.masked_fill(~there[self._fold], torch.inf)
            # Means that tie, but for rounding, share the credit.
            rounding = _ROUNDING * each.norm(dim=-1).mean()
            nearest = own <= own.amin(-1, keepdim=True) + rounding
            hit = nearest.gather(1, self._task[:, None])[:, 0] / nearest.sum(-1)
            right[number] = hit.numpy()
        return right

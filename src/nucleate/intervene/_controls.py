"""The edits of one place: shift, patch and removal, each beside the controls that could say no.

All edits of a row run side by side. The directions (means, subspaces, erasers) are estimated on
rows with other inputs than the row they are applied to, so that a place which merely carries the
answer to one input cannot pass.

Removal works about the mean of the row's own input, both where it is fitted and where it is
applied: an input's offset from the overall mean is no information about the task, and an eraser
fitted on other inputs would take part of it for one, so that erasing moves the row towards another
input and costs accuracy in models that know no task. The mean of an input weights its tasks
equally. An input of a single task has no mean without it; the mean of the other folds is used.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate.intervene._cast import NOBODY, Cast
from nucleate.intervene._erasers import Eraser

EDITS = {
    "shift": "add mu_B - mu_A",
    "mean_shift": "add mu - mu_A, towards the mean of all tasks",
    "random_direction": "add a random vector of the norm of mu_B - mu_A",
    "shuffled": "add the difference of two means under permuted tasks, of the norm of mu_B - mu_A",
    "other_input": "put in the state of a row of the same task with another input",
    "patch": "put in the state of a row of task B with the same input",
    "patch_subspace": "put in its part within the span of the task means, and no more",
    "erase": "LEACE about the mean of the row's input: no linear trace of the task is left",
    "ablate": "give the span of the task means the mean of the row's input",
    "random_erase": "give a random subspace of that rank the mean of the row's input",
    "displaced": "add a random vector of the norm of what `erase` changes, row by row",
    "erase_onward": "LEACE here and at every stream above, at the same token",
    "random_onward": "random subspaces here and at every stream above",
    "displaced_onward": "random vectors here and above, of the norms that `erase_onward` changes",
}
"""What is done to the state of a row of task A at one place."""
SHIFTS = ("mean_shift", "random_direction", "shuffled", "other_input")
"""The controls of `shift`; the fifth is how often it makes a third task's answer."""
REMOVALS = ("erase", "random_erase", "displaced", "ablate", "erase_onward", "random_onward",
            "displaced_onward")  # fmt: skip
"""What takes the task out of a state, with its controls."""

_NAMES = tuple(EDITS)
_ERASED, _RANDOM, _DISPLACED = (_NAMES.index(f"{name}_onward") for name in
                                ("erase", "random", "displaced"))  # fmt: skip
_RANDOM_SUBSPACES = 8


@dataclass(frozen=True)
class Fitted:
    """What is estimated at one stream of one position, one for each fold of inputs.

    Attributes:
        centroids: the tasks' means.
        mean: the mean of those.
        shuffled: means under permuted tasks.
        centers: the mean at each input, about which removal works; one for each input.
        erasers: LEACE, of states less their input's center.
        spans: removal of the span of the task means, at right angles; likewise.
    """

    centroids: Float[Tensor, "fold task width"]
    mean: Float[Tensor, "fold width"]
    shuffled: Float[Tensor, "fold task width"]
    centers: Float[Tensor, "input width"]
    erasers: tuple[Eraser, ...]
    spans: tuple[Eraser, ...]


class Editor:
    """Makes the edits of all tested rows at one position, stream by stream.

    Args:
        states: of all of the prompt set's rows at this position.
        roles: who is tested and who lends.
        seed: of random directions, subspaces and permuted tasks.
    """

    def __init__(self, states: Float[Tensor, "stream all width"], roles: Cast, seed: int) -> None:
        self.states, self.roles = states.float(), roles
        device = states.device
        self.fold = torch.as_tensor(roles.fold[roles.tested], device=device)
        self.input = torch.as_tensor(roles.input[roles.tested], device=device)
        rng = np.random.default_rng(seed)
        permuted = permuted_tasks(roles, rng)
        averages = task_averages(roles, roles.task).to(device)
        shuffled = task_averages(roles, permuted).to(device)
        inputs = input_averages(roles).to(device)
        self.fitted = [
            self._fit(of_stream, averages, shuffled, inputs) for of_stream in self.states
        ]
        width, rank = states.shape[-1], min(roles.tasks - 1, states.shape[-1] - 1)
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        drawn = torch.randn(_RANDOM_SUBSPACES, width, rank, generator=generator)
        self._bases = torch.linalg.qr(drawn).Q.mT.to(device)
        self._basis_of = torch.arange(len(roles.tested), device=device) % _RANDOM_SUBSPACES
        # A new direction for each row and stream, and two more at the place itself.
        units = torch.randn(len(states) + 1, len(roles.tested), width, generator=generator)
        self._units = (units / units.norm(dim=-1, keepdim=True)).to(device)

    def edited(self, stream: int) -> Float[Tensor, "row edit width"]:
        """The states that every edit puts in the place of each tested row's, in `EDITS`' order."""
        roles, fitted = self.roles, self.fitted[stream]
        every = self.states[stream]
        own = every[torch.as_tensor(roles.tested)]
        task, target = (
            torch.as_tensor(t, device=own.device) for t in (roles.task[roles.tested], roles.target)
        )
        means = fitted.centroids[self.fold]
        each = torch.arange(len(own), device=own.device)
        by = means[each, target] - means[each, task]
        norm = by.norm(dim=-1, keepdim=True)
        permuted = fitted.shuffled[self.fold]
        false = permuted[each, target] - permuted[each, task]
        patched = _lent(every, own, roles.donor)
        erased = self._erase(stream, own, slice(None))
        random = self._remove_random(stream, own, slice(None))
        removed = (own - erased).norm(dim=-1, keepdim=True)
        displaced = own + self._units[stream] * removed
        ablated = self._ablate(stream, own)
        whole = patched - own
        inside = whole - self._ablate(stream, patched) + ablated if roles.erasable else whole
        made = {
            "shift": own + by,
            "mean_shift": own + fitted.mean[self.fold] - means[each, task],
            "random_direction": own + self._units[-1] * norm,
            "shuffled": own + false * (norm / false.norm(dim=-1, keepdim=True).clamp(min=1e-12)),
            "other_input": _lent(every, own, roles.other),
            "patch": patched,
            "patch_subspace": own + inside,
            "erase": erased,
            "ablate": ablated,
            "random_erase": random,
            "displaced": displaced,
            "erase_onward": erased,
            "random_onward": random,
            "displaced_onward": displaced,
        }
        return torch.stack([made[name] for name in EDITS], 1)

    def onward(
        self, stream: int, states: Float[Tensor, "some edit width"], rows: Int[Tensor, "some"]
    ) -> Float[Tensor, "some edit width"]:
        """Go on with what is done at every stream above the first; the rest passes as it is.

        Args:
            stream: where the states are now.
            states: of all edits of some tested rows.
            rows: which ones.
        """
        # Blocks may be on other devices than the states that all this was fitted on.
        after, hidden = states.clone(), states.to(self.states.device).float()
        erased = self._erase(stream, hidden[:, _ERASED], rows)
        norm = (hidden[:, _ERASED] - erased).norm(dim=-1, keepdim=True)
        after[:, _ERASED] = erased.to(after)
        random = self._remove_random(stream, hidden[:, _RANDOM], rows)
        after[:, _RANDOM] = random.to(after)
        displaced = hidden[:, _DISPLACED] + self._units[stream, rows] * norm
        after[:, _DISPLACED] = displaced.to(after)
        return after

    def beyond(self, edited: Float[Tensor, "row edit width"], stream: int) -> np.ndarray:
        """Which edited states are longer than 99 % of the states that occur there [row, edit]."""
        limit = self.states[stream][torch.as_tensor(self.roles.fitted)].norm(dim=-1).quantile(0.99)
        longer: np.ndarray = (edited.norm(dim=-1) > limit * (1 + 1e-6)).cpu().numpy()
        return longer

    def _fit(self, states: Tensor, averages: Tensor, shuffled: Tensor, inputs: Tensor) -> Fitted:
        roles = self.roles
        means, centers = averages @ states, inputs @ states
        centered = states - centers[torch.as_tensor(roles.input, device=states.device)]
        erasers, spans = [], []
        for fold in range(roles.folds):
            rows = roles.fitted[roles.fold[roles.fitted] != fold]
            some = centered[torch.as_tensor(rows)]
            if not roles.erasable:
                nothing = Eraser.subspace(some[:0], some.new_zeros(some.shape[-1]))
                erasers.append(nothing)
                spans.append(nothing)
                continue
            erasers.append(Eraser.leace(some, roles.task[rows]))
            spans.append(Eraser.means(some, roles.task[rows]))
        there = averages.any(-1).sum(1, keepdim=True)  # a task may have no input but the fold's
        mean = means.sum(1) / there
        return Fitted(means, mean, shuffled @ states, centers, tuple(erasers), tuple(spans))

    def _erase(self, stream: int, states: Tensor, rows: Tensor | slice) -> Tensor:
        fitted = self.fitted[stream]
        center = fitted.centers[self.input[rows]]
        return _by_fold(fitted.erasers, self.fold[rows], states - center) + center

    def _ablate(self, stream: int, states: Tensor) -> Tensor:
        fitted = self.fitted[stream]
        center = fitted.centers[self.input]
        return _by_fold(fitted.spans, self.fold, states - center) + center

    def _remove_random(self, stream: int, states: Tensor, rows: Tensor | slice) -> Tensor:
        basis = self._bases[self._basis_of[rows]]
        centered = states - self.fitted[stream].centers[self.input[rows]]
        found = torch.einsum("rkd,rd->rk", basis, centered)
        return states - torch.einsum("rk,rkd->rd", found, basis)


def permuted_tasks(roles: Cast, rng: np.random.Generator) -> Int[np.ndarray, "all"]:
    """The tasks of all rows, permuted over instruction strings."""
    first = np.unique(roles.string, return_index=True)[1]
    permuted: np.ndarray = rng.permutation(roles.task[first])[roles.string]
    return permuted


def task_averages(roles: Cast, task: Int[np.ndarray, "all"]) -> Float[Tensor, "fold task all"]:
    """What gives every fold the tasks' means over the other folds, multiplied with the states."""
    weights = torch.zeros(roles.folds, roles.tasks, len(task))
    for fold in range(roles.folds):
        rows = roles.fitted[roles.fold[roles.fitted] != fold]
        weights[fold, task[rows], rows] = 1
    weights /= weights.sum(-1, keepdim=True).clamp(min=1)
    return weights


def input_averages(roles: Cast) -> Float[Tensor, "input all"]:
    """What gives the center of every input, multiplied with the states.

    The mean over the input's tasks of the mean of each one's rows; of an input of one task the
    mean of all rows of the other folds.
    """
    rows = roles.fitted
    counts = np.zeros((int(roles.input.max()) + 1, roles.tasks))
    np.add.at(counts, (roles.input[rows], roles.task[rows]), 1)
    weights = np.zeros((len(counts), len(roles.task)), dtype=np.float32)
    weights[roles.input[rows], rows] = 1 / counts[roles.input[rows], roles.task[rows]]
    alone = (counts > 0).sum(1) < 2
    fold_of = np.zeros(len(counts), dtype=np.int64)
    fold_of[roles.input] = roles.fold
    fitted = np.isin(np.arange(len(roles.task)), rows)
    weights[alone] = fitted & (roles.fold != fold_of[alone, None])
    return torch.from_numpy(weights / weights.sum(1, keepdims=True).clip(min=1e-9))


def _by_fold(erasers: tuple[Eraser, ...], fold: Tensor, states: Tensor) -> Tensor:
    """Each row's states by the eraser of its fold."""
    changed = states.clone()
    for number, eraser in enumerate(erasers):
        inside = fold == number
        changed[inside] = eraser(states[inside])
    return changed


def _lent(every: Tensor, own: Tensor, lender: Int[np.ndarray, "row"]) -> Tensor:
    """The lenders' states; a row without one keeps its own."""
    there = torch.as_tensor(lender != NOBODY, device=own.device)
    return torch.where(there[:, None], every[torch.as_tensor(lender)], own)

"""The causal map: at every place, does the model use the task information that is there?

Two questions a place, each with a control that could have said no:

- *sufficient*: add mu_B - mu_A to the states of task A's rows. Does the model now do task B on
  the same input? Control: a random direction of the same norm; and how often the answer becomes
  that of a third task.
- *necessary*: remove the span of the task means. Is accuracy lost? Control: a random subspace of
  the same rank.

Means come from other inputs than those that are tested, so that a place that merely carries the
answer to one input cannot pass.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nucleate._errors import BadInput
from nucleate.intervene._answers import Answers, Prompts, hits
from nucleate.intervene._edit import erase, shift
from nucleate.recording import read
from nucleate.runs import States
from nucleate.tasks import Encoder, Probe, TaskSet

# An effect smaller than this is called none: a tenth of the answers.
MARGIN = 0.1
RULES = (
    f"used: redirected beyond chance and both controls, or accuracy lost beyond the random "
    f"subspace, by more than {MARGIN:.0%} of the answers, at the lower end of the interval "
    "(bootstrap over instruction strings, corrected for the number of places)",
    f"not used: both effects less than {MARGIN:.0%} at the upper end of the interval; with "
    "clusters the place is 'present but not used', without them 'absent'",
    "undecided: everything else",
)
_RESAMPLES = 2000
_INPUT_FOLDS = 5


def causal_map(
    model: nn.Module,
    probe: Probe,
    taskset: TaskSet,
    encoder: Encoder,
    *,
    rows: int = 400,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Shift and removal with their controls at every (stream, position) of the probe.

    Args:
        model: a trained causal LM; left as it was.
        probe: its rows of trained instructions and inputs are tested.
        taskset: knows what every task answers on every input.
        encoder: makes tokens of answers.
        rows: how many rows are tested at most, drawn at random.
        seed: of the rows, target tasks, random directions and subspaces, and resamples.
        progress: called with the places done and their number.

    Returns:
        one row a place: `stream, position, shift, shift_low, shift_high, chance,
        random_direction, wrong_task, accuracy, erase, erase_low, erase_high, random_erase, use`;
        `use` is `used`, `not used` or `undecided` by `RULES`. Shares of the rows; `erase` and
        `random_erase` are accuracy lost. What needs inputs that all tasks share (the shift) is
        NaN where they do not.

    Raises:
        BadInput: fewer than two tasks or two inputs; positions that are no single tokens; a probe
            without the labels of a task set.

    What can fool it: a subspace of rank T - 1 is a large part of a narrow model, so that a random
    one of that rank costs something too; a place may matter only in company with others.
    """
    probe.check_labels("task", "instruction", "input", "output", "split", user="causal_map")
    spans = [name for name, where in probe.positions.items() if where.ndim != 1]
    if spans:
        raise BadInput(
            f"position {spans[0]!r} is a mean over tokens, and only a token can be changed; use a "
            "probe of token positions for causal_map"
        )
    study = _Study(model, probe, taskset, encoder, rows, seed)
    places = [
        (stream, position)
        for position in range(len(study.states.positions))
        for stream in range(len(study.states.streams))
    ]
    records = []
    for done, (stream, position) in enumerate(places, 1):
        records.append(study.measure(stream, position, len(places)))
        progress(done, len(places))
    return pd.DataFrame(records)


@dataclass(frozen=True)
class _Targets:
    """For each tested row: task B, what it answers there, and how likely that is by chance."""

    task: Int[np.ndarray, "row"]
    answers: dict[str, Answers]
    chance: Float[np.ndarray, "row"]
    valid: Bool[np.ndarray, "row"]


class _Study:
    """One probe's rows, states and targets, asked place by place."""

    def __init__(
        self,
        model: nn.Module,
        probe: Probe,
        taskset: TaskSet,
        encoder: Encoder,
        rows: int,
        seed: int,
    ) -> None:
        trained = [i for i, s in enumerate(probe.labels["split"]) if s in _TRAINED]
        self.model = model
        self.generator = np.random.default_rng(seed)
        tested = self.generator.permutation(trained)[:rows]
        self.rows = np.sort(tested)
        self.tasks = list(taskset.tasks)
        self.task = np.array([self.tasks.index(t) for t in probe.labels["task"]])
        self.states: States = read(model, probe).states
        self.device = self.states.values.device
        self.prompts = Prompts.of(probe, self.rows, self.device)
        self.tokens = {name: index[self.rows] for name, index in probe.positions.items()}
        self.fold = _input_folds(probe, self.generator)
        self.fitted = np.array(trained)
        if len(set(self.task[trained])) < 2 or len(set(self.fold[trained])) < 2:
            raise BadInput(
                "the causal map needs at least two tasks and two inputs in the probe; "
                "add tasks or inputs"
            )
        self.targets = _targets(probe, taskset, encoder, self.rows, self.task, self.generator)
        self.strings = np.unique(
            np.array(probe.labels["instruction"])[self.rows], return_inverse=True
        )[1]
        self.correct = hits(model, self.prompts, {"own": self.targets.answers["own"]})["own"]

    def measure(self, stream: int, position: int, places: int) -> dict[str, object]:
        """One place's row of the table."""
        name = self.states.positions[position]
        where = (self.states.streams[stream], torch.as_tensor(self.tokens[name]))
        centroids, grand = self._centroids(self.states.values[stream, position].float())
        fold = torch.as_tensor(self.fold[self.rows], device=self.device)
        own = torch.as_tensor(self.task[self.rows], device=self.device)
        target = torch.as_tensor(self.targets.task, device=self.device)
        record: dict[str, object] = {"stream": where[0], "position": name}
        record |= dict.fromkeys(_SHIFT_COLUMNS, math.nan)
        effects = {}
        if self.targets.valid.any():
            by = centroids[fold, target] - centroids[fold, own]
            moved = self._under_shift(where, by)
            drawn = self._under_shift(where, self._random_like(by))
            effects["shift"] = self._redirected(record, moved, drawn, places)
        bases = _span(centroids - grand[:, None])
        erased = self._under_erase(where, bases[fold], grand[fold])
        random = self._under_erase(where, self._random_bases(bases)[fold], grand[fold])
        effects["erase"] = self._lost(record, erased, random, places)
        return record | {"use": _verdict(list(effects.values()))}

    def _redirected(
        self,
        record: dict[str, object],
        moved: dict[str, Bool[np.ndarray, "row"]],
        drawn: dict[str, Bool[np.ndarray, "row"]],
        places: int,
    ) -> tuple[float, float]:
        """Fill in the shift's numbers; the interval of its excess over the strongest control."""
        valid = self.targets.valid
        values = {
            "shift": moved["target"],
            "chance": self.targets.chance,
            "random_direction": drawn["target"],
            "wrong_task": moved["third"],
        }
        shares = {key: float(value[valid].mean()) for key, value in values.items()}
        low, high = self._interval(moved["target"][valid], valid)
        record |= shares | {"shift_low": low, "shift_high": high}
        rival = max(("chance", "random_direction", "wrong_task"), key=shares.__getitem__)
        excess = moved["target"].astype(float) - values[rival]
        return self._interval(excess[valid], valid, places)

    def _lost(
        self,
        record: dict[str, object],
        erased: Bool[np.ndarray, "row"],
        random: Bool[np.ndarray, "row"],
        places: int,
    ) -> tuple[float, float]:
        """Fill in the removal's numbers; the interval of its excess over the random subspace."""
        everything = np.ones(len(self.rows), dtype=bool)
        cost = self.correct.astype(float) - erased
        random_cost = self.correct.astype(float) - random
        low, high = self._interval(cost, everything)
        record |= {
            "accuracy": float(self.correct.mean()),
            "erase": float(cost.mean()),
            "erase_low": low,
            "erase_high": high,
            "random_erase": float(random_cost.mean()),
        }
        return self._interval(cost - random_cost, everything, places)

    def _centroids(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Means [fold, task, width] over the inputs outside each fold, and their grand mean."""
        folds = int(self.fold.max()) + 1
        centroids = states.new_zeros(folds, len(self.tasks), states.shape[-1])
        for fold in range(folds):
            rows = self.fitted[self.fold[self.fitted] != fold]
            task = torch.as_tensor(self.task[rows], device=self.device)
            counts = torch.bincount(task, minlength=len(self.tasks)).clamp(min=1)
            centroids[fold].index_add_(0, task, states[torch.as_tensor(rows, device=self.device)])
            centroids[fold] /= counts[:, None]
        return centroids, centroids.mean(1)

    def _under_shift(
        self, where: tuple[str, Tensor], by: Tensor
    ) -> dict[str, Bool[np.ndarray, "row"]]:
        def editing(rows: slice) -> AbstractContextManager[None]:
            return shift(self.model, stream=where[0], token=where[1][rows], by=by[rows])

        wanted = {name: self.targets.answers[name] for name in ("target", "third")}
        return hits(self.model, self.prompts, wanted, editing)

    def _under_erase(
        self, where: tuple[str, Tensor], basis: Tensor, mean: Tensor
    ) -> Bool[np.ndarray, "row"]:
        def editing(rows: slice) -> AbstractContextManager[None]:
            return erase(
                self.model,
                stream=where[0],
                token=where[1][rows],
                basis=basis[rows],
                mean=mean[rows],
            )

        return hits(self.model, self.prompts, {"own": self.targets.answers["own"]}, editing)["own"]

    def _random_like(self, vectors: Tensor) -> Tensor:
        """For each vector one of random direction and the same length."""
        drawn = torch.as_tensor(self.generator.standard_normal(tuple(vectors.shape))).to(vectors)
        lengths: Tensor = vectors.norm(dim=-1, keepdim=True) / drawn.norm(dim=-1, keepdim=True)
        return drawn * lengths

    def _random_bases(self, bases: Tensor) -> Tensor:
        """Random subspaces of the same ranks; a basis vector of zeros stays one."""
        drawn = torch.as_tensor(self.generator.standard_normal(tuple(bases.shape))).to(bases)
        orthonormal: Tensor = torch.linalg.qr(drawn.transpose(1, 2)).Q.transpose(1, 2)
        there: Tensor = bases.norm(dim=-1, keepdim=True).round()
        return orthonormal * there

    def _interval(
        self,
        values: Float[np.ndarray, "n"] | Bool[np.ndarray, "n"],
        rows: Bool[np.ndarray, "row"],
        comparisons: int = 1,
    ) -> tuple[float, float]:
        """95 % bootstrap interval of a mean over instruction strings, corrected over places."""
        strings = np.unique(self.strings[rows], return_inverse=True)[1]
        sums = np.bincount(strings, weights=values.astype(float))
        counts = np.bincount(strings)
        drawn = self.generator.integers(len(sums), size=(_RESAMPLES, len(sums)))
        means = sums[drawn].sum(1) / counts[drawn].sum(1)
        tail = 0.025 / comparisons
        low, high = np.quantile(means, [tail, 1 - tail])
        return float(low), float(high)


_SHIFT_COLUMNS = (
    "shift",
    "shift_low",
    "shift_high",
    "chance",
    "random_direction",
    "wrong_task",
)
_TRAINED = ("seen", "unseen_string", "unseen_cell")


def _input_folds(probe: Probe, generator: np.random.Generator) -> Int[np.ndarray, "row"]:
    """A fold for every row, all rows of one input in the same."""
    inputs, index = np.unique(np.array(probe.labels["input"]), return_inverse=True)
    folds = min(_INPUT_FOLDS, len(inputs))
    fold: Int[np.ndarray, row] = generator.permutation(np.arange(len(inputs)) % folds)[index]
    return fold


def _targets(
    probe: Probe,
    taskset: TaskSet,
    encoder: Encoder,
    rows: Int[np.ndarray, "row"],
    task: Int[np.ndarray, "all"],
    generator: np.random.Generator,
) -> _Targets:
    """Draw, for every row, a task B and a third one whose answers there differ from A's."""
    inputs = [probe.labels["input"][row] for row in rows]
    own = [probe.labels["output"][row] for row in rows]
    target, third, chance, valid, chosen = [], [], [], [], []
    for row, text, answer in zip(rows, inputs, own, strict=True):
        known = [(t, taskset.answers.get((name, text))) for t, name in enumerate(taskset.tasks)]
        others = [(t, a) for t, a in known if a is not None and t != task[row]]
        rivals = [(t, a) for t, a in others if a != answer]
        b, wanted = rivals[generator.integers(len(rivals))] if rivals else (int(task[row]), answer)
        thirds = [a for _, a in rivals if a != wanted]
        chosen.append(b)
        target.append(wanted)
        third.append(thirds[generator.integers(len(thirds))] if thirds else answer)
        chance.append(float(np.mean([a == wanted for _, a in others])) if others else 0.0)
        valid.append(bool(thirds))
    tokens: dict[str, Answers] = {
        name: [encoder.answer_part(text) for text in texts]
        for name, texts in {"own": own, "target": target, "third": third}.items()
    }
    return _Targets(np.array(chosen), tokens, np.array(chance), np.array(valid))


def _span(centred: Float[Tensor, "fold task width"]) -> Float[Tensor, "fold rank width"]:
    """An orthonormal basis of the task means' span; directions without extent are zeros."""
    _, extents, directions = torch.linalg.svd(centred, full_matrices=False)
    real = extents > 1e-5 * extents[:, :1].clamp(min=1e-30)
    rank = centred.shape[1] - 1
    basis: Tensor = directions[:, :rank] * real[:, :rank, None]
    return basis


def _verdict(intervals: list[tuple[float, float]]) -> str:
    if any(low > MARGIN for low, _ in intervals):
        return "used"
    if all(high < MARGIN for _, high in intervals):
        return "not used"
    return "undecided"

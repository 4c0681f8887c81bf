"""What may be drawn at a step, and how: by weight, in groups of one input, or entering by turns."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from nucleate._core.errors import BadInput
from nucleate.tasks import Example, TaskSet
from nucleate.training._config import Curriculum

GROUP = 4
"""Rows of one input and different tasks in a group of hard negatives."""


class Pool:
    """Training rows, a task drawn as often as its weight says.

    Args:
        tasks: the task of each row, by number.
        inputs: its input, by number.
        weights: of each task.
        rows: which rows may be drawn.
    """

    def __init__(
        self,
        tasks: Int[np.ndarray, " row"],
        inputs: Int[np.ndarray, " row"],
        weights: Float[np.ndarray, " task"],
        rows: Int[np.ndarray, " drawable"],
    ) -> None:
        self._inputs, self._tasks, self._rows, self._weights = inputs, tasks, rows, weights
        counts = np.bincount(tasks[rows], minlength=len(weights))
        chances = weights[tasks[rows]] / counts[tasks[rows]]
        self._until = np.cumsum(chances / chances.sum())
        # The rows again, by input and then by task, so that those of one cell lie together.
        cell = inputs[rows] * len(weights) + tasks[rows]
        self._by_cell = rows[np.argsort(cell, kind="stable")]
        sizes = np.bincount(cell, minlength=(int(inputs.max()) + 1) * len(weights))
        self._sizes = sizes.reshape(-1, len(weights))
        self._starts = (np.cumsum(sizes) - sizes).reshape(self._sizes.shape)

    def draw(self, count: int, generator: np.random.Generator) -> Int[np.ndarray, " row"]:
        """Rows drawn independently of each other."""
        drawn = np.searchsorted(self._until, generator.random(count))
        found: Int[np.ndarray, " row"] = self._rows[np.minimum(drawn, len(self._until) - 1)]
        return found

    def with_rivals(
        self, rows: Int[np.ndarray, " row"], count: int, generator: np.random.Generator
    ) -> Int[np.ndarray, " row"]:
        """Replace some rows, so that the first `count` stand in groups of `GROUP` of one input.

        The first row of a group stays; the others are of other tasks, drawn by weight, each at most
        once, with the input of the first. Where too few tasks have it, the rest stays as it was.
        """
        leaders = rows[:count:GROUP]
        sizes = self._sizes[self._inputs[leaders]]
        order, there = self._rivals(sizes, self._tasks[leaders], generator)
        group = np.arange(len(leaders))[:, None]
        starts = self._starts[self._inputs[leaders]][group, order]
        within = (generator.random(order.shape) * sizes[group, order]).astype(np.int64)
        found = self._by_cell[np.minimum(starts + within, len(self._by_cell) - 1)]
        place = group * GROUP + 1 + np.arange(order.shape[1])
        there &= place < count
        changed = rows.copy()
        changed[place[there]] = found[there]
        return changed

    def _rivals(
        self,
        sizes: Int[np.ndarray, "group task"],
        own: Int[np.ndarray, " group"],
        generator: np.random.Generator,
    ) -> tuple[Int[np.ndarray, "group rival"], Bool[np.ndarray, "group rival"]]:
        """Other tasks for each group, and which of them have rows.

        The largest of log weights with Gumbel noise are a draw without replacement.
        """
        with np.errstate(divide="ignore"):
            scores = np.log(self._weights) + generator.gumbel(size=sizes.shape)
        scores[sizes == 0] = -np.inf
        scores[np.arange(len(own)), own] = -np.inf
        order = np.argsort(-scores, axis=1)[:, : GROUP - 1]
        return order, np.isfinite(np.take_along_axis(scores, order, axis=1))


def check_rivals(taskset: TaskSet, share: float) -> None:
    """Refuse hard negatives among tasks of which no two are trained on the same input.

    Raises:
        BadInput: there is no such input.
    """
    tasks: dict[str, set[str]] = {}
    for row in taskset.split("train"):
        tasks.setdefault(row.input, set()).add(row.task)
    if all(len(own) < 2 for own in tasks.values()):
        raise BadInput(
            f"training.hard_negatives is {share}, and no two tasks are trained on the same input; "
            "set it to 0, or give tasks that share inputs"
        )


def entries(
    rows: Sequence[Example], lengths: Sequence[int], curriculum: Curriculum, seed: int
) -> Float[np.ndarray, " row"]:
    """When each training row enters: 0 at the start, always less than 1.

    Args:
        rows: the training rows.
        lengths: tokens of each row's instruction.
        curriculum: `tasks`: one after the other; `families`: of every task the first, then its
            next; `short`: of every task the shortest instructions, then longer ones; `random`: of
            every task its instructions in random order, which is the control of the last two.
        seed: of the random order.
    """
    if curriculum == "tasks":
        names = list(dict.fromkeys(row.task for row in rows))
        return np.array([names.index(row.task) / len(names) for row in rows])
    by_task: dict[str, dict[str, float]] = {}
    for row, length in zip(rows, lengths, strict=True):
        unit = row.family if curriculum == "families" else row.instruction
        by_task.setdefault(row.task, {}).setdefault(unit, float(length))
    rng = np.random.default_rng(seed)
    for own in by_task.values():
        rank = {"families": np.arange(len(own)), "random": rng.permutation(len(own))}.get(
            curriculum, np.array(list(own.values()))
        )
        # The share that comes strictly before: units of one rank enter together.
        before = np.searchsorted(np.sort(rank), rank) / len(own)
        own.update(zip(own, before.tolist(), strict=True))
    return np.array(
        [
            by_task[row.task][row.family if curriculum == "families" else row.instruction]
            for row in rows
        ]
    )

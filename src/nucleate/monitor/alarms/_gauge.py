"""The numbers of a reading, quick enough to be taken while a model trains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, log, nan

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate._core.errors import BadInput
from nucleate._core.strings import number_strings
from nucleate.monitor.alarms._columns import Column
from nucleate.prompts import PromptSet
from nucleate.runs import States, index_of

_FLOOR = 1e-6
"""Share of the total variance below which a variance within tasks is taken for none."""
_TINY = 1e-12
_OF_TASK = ("separation", "centroid")
_OF_PLACE = ("mean separation", "rank", "norm")


@dataclass(frozen=True)
class Numbers:
    """The numbers of one reading.

    Attributes:
        step: optimizer steps taken.
        values: in the order of the gauge's columns; NaN where a number is not known.
        rivals: the task nearest to each task, by place.
        not_finite: what is NaN or infinite, such as `states of block.1 @ last`; empty if nothing.
    """

    step: int
    values: Float[np.ndarray, "column"]
    rivals: Int[np.ndarray, "place task"]
    not_finite: tuple[str, ...] = ()


class Gauge:
    """Takes the numbers of a reading of one prompt set.

    Args:
        prompts: the rows that are read, with their `task`.
        places: (stream, position) of the states that count. None: the middle and the last block, at
            `instruction_end` where that was read (behind it the input counts as variance within
            tasks), else at `last`, else at the position that is named last.

    Attributes:
        tasks: names, by code.
        uncrossed: tasks of one instruction string only, of which no separation is known: their two
            halves would be the same string.

    Raises:
        BadInput: the prompts have no tasks, or one only, or a place is asked for that they lack.
    """

    def __init__(self, prompts: PromptSet, places: Sequence[tuple[str, str]] | None = None) -> None:
        prompts.check_labels("task", user="the watch over a training")
        names, codes = np.unique(np.array(prompts.labels["task"]), return_inverse=True)
        if len(names) < 2:
            raise BadInput(
                f"all {len(prompts)} prompts are of the task {str(names[0])!r}; a watch compares "
                "tasks, so record prompts of at least two"
            )
        self.tasks = tuple(map(str, names))
        self.prompts_hash = prompts.content_hash()
        self._positions = tuple(prompts.positions)
        self._codes = codes.astype(np.int64)
        self._half = _halves(number_strings(prompts.labels), self._codes)
        self._places = None if places is None else tuple((str(s), str(p)) for s, p in places)
        for _, position in self._places or ():
            index_of(position, self._positions, "position")
        self._answered = (prompts.lengths > prompts.prompt_lengths).astype(bool)
        cells = self._half * len(names) + self._codes
        self._cells = np.bincount(cells, minlength=2 * len(names)).reshape(2, -1)
        member = np.zeros((2 * len(names), len(cells)), dtype=np.float32)
        member[cells, np.arange(len(cells))] = 1
        self._sum = member
        self._mean = member / np.maximum(self._cells, 1).reshape(-1, 1).astype(np.float32)
        both = np.asarray((self._cells > 0).all(0))
        self.uncrossed = tuple(n for n, known in zip(self.tasks, both, strict=True) if not known)
        self._pairs = both[:, None] & both[None] & ~np.eye(len(names), dtype=bool)

    def places(self, streams: Sequence[str]) -> tuple[tuple[str, str], ...]:
        """The places that count, of a model with these streams.

        Raises:
            BadInput: one that was asked for is not there.
        """
        if self._places is not None:
            for stream, _ in self._places:
                index_of(stream, tuple(streams), "stream")
            return self._places
        blocks = [name for name in streams if name.startswith("block.")] or list(streams)
        chosen = dict.fromkeys((blocks[(len(blocks) - 1) // 2], blocks[-1]))
        read = self._positions
        at = next((name for name in ("instruction_end", "last") if name in read), read[-1])
        return tuple((stream, at) for stream in chosen)

    def columns(self, streams: Sequence[str]) -> tuple[Column, ...]:
        """What each number of a reading is."""
        found = []
        for stream, position in self.places(streams):
            place = f"{stream} @ {position}"
            found += [Column(name, place, task) for name in _OF_TASK for task in self.tasks]
            found += [Column(name, place) for name in _OF_PLACE]
        found += [Column("right", "", task) for task in self.tasks]
        return (*found, Column("loss"), Column("accuracy"), Column("training loss"))

    def read(
        self,
        step: int,
        states: States,
        scores: Mapping[str, Tensor],
        training_loss: float | None = None,
    ) -> Numbers:
        """Take the numbers of one reading.

        Args:
            step: optimizer steps taken.
            states: of the prompts.
            scores: `correct` and `nll` of each row, where rows have answers.
            training_loss: mean since the last reading, where it is known.
        """
        places = self.places(states.streams)
        # All places at once: at this size calls take longer than arithmetic.
        read = torch.stack([states.at(*place) for place in places])
        points = read.detach().float().cpu().numpy()
        finite = np.isfinite(points).all((1, 2))
        bad = [
            f"states of {stream} @ {position}"
            for (stream, position), known in zip(places, finite, strict=True)
            if not known
        ]
        T = len(self.tasks)
        values, rivals = np.full((len(places), 2 * T + 3), np.nan), np.zeros((len(places), T), int)
        if finite.any():
            values[finite], rivals[finite] = self._of_places(points[finite] if bad else points)
        answers = self._of_answers(scores, bad)
        if training_loss is not None and not np.isfinite(training_loss):
            bad.append("training loss")
        found = np.concatenate([values.ravel(), answers, [_log(training_loss)]])
        return Numbers(step, found, rivals, tuple(bad))

    def _of_places(
        self, points: Float[np.ndarray, "place row width"]
    ) -> tuple[Float[np.ndarray, "place number"], Int[np.ndarray, "place task"]]:
        norms = np.sqrt(_squares(points)).mean(-1)
        points = points - points.mean(-2, keepdims=True)
        means = self._mean @ points
        lengths = _squares(means)
        pairs = np.log1p(np.maximum(self._separation(_squares(points), means, lengths), 0))
        known = np.where(self._pairs, pairs, np.inf)
        least = known.min(-1)
        least[~np.isfinite(least)] = np.nan
        mean = pairs[:, self._pairs].mean(-1) if self._pairs.any() else np.full(len(points), np.nan)
        score = points @ means.swapaxes(-1, -2) - lengths[:, None] / 2
        ranks = _rankme(points)
        logs = [
            [_log(float(rank)), _log(float(norm))] for rank, norm in zip(ranks, norms, strict=True)
        ]
        whole = np.column_stack([mean, logs])
        return np.concatenate([least, self._centroid(score), whole], axis=-1), known.argmin(-1)

    def _separation(
        self,
        squares: Float[np.ndarray, "place row"],
        means: Float[np.ndarray, "place cell width"],
        lengths: Float[np.ndarray, "place cell"],
    ) -> Float[np.ndarray, "place task task"]:
        """Squared distance of two means over the variance within, as `pairwise_separation`.

        The distance is the product of the differences in two halves of the strings: what strings
        add by chance is not the same in both, so that it is 0 on average where tasks do not differ.
        """
        T = len(self.tasks)
        inside = squares @ self._sum.T - self._cells.ravel() * lengths
        inside = inside[:, :T] + inside[:, T:]
        spread = np.maximum(inside, 0) / np.maximum(self._cells.sum(0) - 2, 1)
        cross = means[:, :T] @ means[:, T:].swapaxes(-1, -2)
        own = cross.diagonal(axis1=-2, axis2=-1)
        gap = own[:, :, None] + own[:, None] - cross - cross.swapaxes(-1, -2)
        floor = _FLOOR * squares.mean(-1) + 1e-30
        between = (spread[:, :, None] + spread[:, None]) / 2
        found: np.ndarray = gap / np.maximum(between, floor[:, None, None])
        return found

    def _centroid(
        self, score: Float[np.ndarray, "place row cell"]
    ) -> Float[np.ndarray, "place task"]:
        """Share of each task's rows that lie nearest to its mean in the other half of strings."""
        T = len(self.tasks)
        score[:, :, self._cells.ravel() == 0] = -np.inf
        other = np.where(self._half[:, None], score[..., :T], score[..., T:])
        hit = other.argmax(-1) == self._codes
        found = np.stack([_shares(each, self._codes, T) for each in hit])
        found[:, ~self._pairs.any(1)] = np.nan
        return found

    def _of_answers(
        self, scores: Mapping[str, Tensor], bad: list[str]
    ) -> Float[np.ndarray, "number"]:
        T = len(self.tasks)
        if "correct" not in scores:
            return np.full(T + 2, np.nan)
        correct = scores["correct"].cpu().numpy().astype(bool)[self._answered]
        right = _shares(correct, self._codes[self._answered], T)
        nll = scores["nll"].float().cpu().numpy()[self._answered]
        if not np.isfinite(nll).all():
            bad.append("loss of the answers")
            return np.full(T + 2, np.nan)
        return np.array([*right, _log(float(nll.mean())), correct.mean()])


def _halves(
    strings: Int[np.ndarray, "row"], codes: Int[np.ndarray, "row"]
) -> Int[np.ndarray, "row"]:
    """Which half of its task's instruction strings each row is of, the same for every reading."""
    half = np.zeros(int(strings.max()) + 1, dtype=np.int64)
    random = np.random.default_rng(0)
    for task in np.unique(codes):
        own = random.permutation(np.unique(strings[codes == task]))
        half[own] = np.arange(len(own)) % 2
    found: np.ndarray = half[strings]
    return found


def _shares(
    hit: np.ndarray, codes: Int[np.ndarray, "row"], tasks: int
) -> Float[np.ndarray, "task"]:
    rows = np.bincount(codes, minlength=tasks)
    hits = np.bincount(codes, weights=hit, minlength=tasks)
    return np.where(rows > 0, hits / np.maximum(rows, 1), np.nan)


def _squares(
    points: Float[np.ndarray, "place row width"],
) -> Float[np.ndarray, "place row"]:
    found: np.ndarray = np.einsum("pij,pij->pi", points, points)
    return found


def _rankme(points: Float[np.ndarray, "place row width"]) -> Float[np.ndarray, "place"]:
    """`metrics.rankme` of centered rows, without what it spends on other kinds of input."""
    exact = points.astype(np.float64)
    _, rows, width = exact.shape
    turned = exact.swapaxes(-1, -2)
    values = np.linalg.eigvalsh(turned @ exact if width <= rows else exact @ turned)
    roots = np.sqrt(np.where(values > 1e-14 * values[:, -1:], values, 0))
    total = roots.sum(-1)
    shares = roots / np.where(total > 0, total, 1)[:, None]
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(-1)
    return np.where(total > 0, np.exp(entropy), 0)


def _log(value: float | None) -> float:
    if value is None or not isfinite(value):
        return nan
    return log(max(value, _TINY))

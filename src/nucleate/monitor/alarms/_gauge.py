"""The numbers of a reading, quick enough to be taken while a model trains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
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
        T = len(self.tasks)
        values: list[np.ndarray] = []
        rivals, bad = [], []
        for stream, position in self.places(states.streams):
            points = states.at(stream, position).detach().float().cpu().numpy()
            if np.isfinite(points).all():
                found, nearest = self._of_place(points)
            else:
                bad.append(f"states of {stream} @ {position}")
                found, nearest = np.full(2 * T + 3, np.nan), np.zeros(T, dtype=np.int64)
            values.append(found)
            rivals.append(nearest)
        values.append(self._of_answers(scores, bad))
        if training_loss is not None and not np.isfinite(training_loss):
            bad.append("training loss")
        values.append(np.array([_log(training_loss)]))
        return Numbers(step, np.concatenate(values), np.stack(rivals), tuple(bad))

    def _of_place(
        self, points: Float[np.ndarray, "row width"]
    ) -> tuple[Float[np.ndarray, "number"], Int[np.ndarray, "task"]]:
        norm = _log(float(np.sqrt(_squares(points)).mean()))
        points = points - points.mean(0)
        means = self._mean @ points
        lengths = _squares(means)
        pairs = np.log1p(np.maximum(self._separation(_squares(points), means, lengths), 0))
        known = np.where(self._pairs, pairs, np.inf)
        nearest = known.argmin(1)
        least = known.min(1)
        least[~np.isfinite(least)] = np.nan
        mean = float(pairs[self._pairs].mean()) if self._pairs.any() else np.nan
        rank = _log(_rankme(points))
        found = [
            least,
            self._centroid(points @ means.T - lengths / 2),
            np.array([mean, rank, norm]),
        ]
        return np.concatenate(found), nearest

    def _separation(
        self,
        squares: Float[np.ndarray, "row"],
        means: Float[np.ndarray, "cell width"],
        lengths: Float[np.ndarray, "cell"],
    ) -> Float[np.ndarray, "task task"]:
        """Squared distance of two means over the variance within, as `pairwise_separation`.

        The distance is the product of the differences in two halves of the strings: what strings
        add by chance is not the same in both, so that it is 0 on average where tasks do not differ.
        """
        T = len(self.tasks)
        inside = (self._sum @ squares - self._cells.ravel() * lengths).reshape(2, T).sum(0)
        spread = np.maximum(inside, 0) / np.maximum(self._cells.sum(0) - 2, 1)
        cross = means[:T] @ means[T:].T
        own = cross.diagonal()
        gap = own[:, None] + own[None] - cross - cross.T
        floor = _FLOOR * float(squares.mean()) + 1e-30
        found: np.ndarray = gap / np.maximum((spread[:, None] + spread[None]) / 2, floor)
        return found

    def _centroid(self, score: Float[np.ndarray, "row cell"]) -> Float[np.ndarray, "task"]:
        """Share of each task's rows that lie nearest to its mean in the other half of strings."""
        score[:, self._cells.ravel() == 0] = -np.inf
        other = np.where(self._half[:, None], *np.split(score, 2, 1))
        hit = other.argmax(1) == self._codes
        found = _shares(hit, self._codes, len(self.tasks))
        found[~self._pairs.any(1)] = np.nan
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


def _squares(points: Float[np.ndarray, "row width"]) -> Float[np.ndarray, "row"]:
    found: np.ndarray = np.einsum("ij,ij->i", points, points)
    return found


def _rankme(points: Float[np.ndarray, "row width"]) -> float:
    """`metrics.rankme` of centered rows, without what it spends on other kinds of input."""
    exact = points.astype(np.float64)
    rows, width = exact.shape
    values = np.linalg.eigvalsh(exact.T @ exact if width <= rows else exact @ exact.T)
    roots = np.sqrt(values[values > 1e-14 * values[-1]])
    if not len(roots):
        return 0.0
    shares = roots / roots.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _log(value: float | None) -> float:
    if value is None or not np.isfinite(value):
        return float("nan")
    return float(np.log(max(value, _TINY)))

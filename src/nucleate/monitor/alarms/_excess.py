"""How much worse a training is than it was, and than reference runs were at that step."""

from collections import deque
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from nucleate.monitor.alarms._columns import Column
from nucleate.monitor.alarms._series import Series

_FEWEST = 3
"""Reference runs of which a spread can be told."""


class Fall:
    """How much worse each number is than the best level that the training itself has held.

    Two readings in a row count on both sides: a level is *held* if two readings in a row were at
    least as good, and a number is worse only by what two readings in a row were worse. One odd
    reading thus neither raises the level nor an alarm, which comes a reading later for it.

    Args:
        columns: what the numbers are.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._bad = np.array([column.about.bad for column in columns], dtype=np.float64)
        memory = np.array([column.about.memory for column in columns])
        self._short, self._memory = memory > 0, int(memory.max(initial=0))
        self._best = np.full(len(columns), np.nan)
        self._held: deque[np.ndarray] = deque(maxlen=2 + self._memory)
        self._last: np.ndarray | None = None
        self.level = np.full(len(columns), np.nan)
        """The best level held, in the numbers' own direction."""

    def add(self, values: Float[np.ndarray, "column"]) -> Float[np.ndarray, "column"]:
        """Take the next reading; positive is worse, NaN where nothing can be said yet."""
        worse = values * self._bad
        excess = np.full(len(worse), np.nan)
        if self._last is not None:
            # The level of two readings in a row, neither of which is one of the newest two.
            if len(self._held) >= 2:
                self._best = np.fmin(self._best, self._held[-2])
                recent = np.array(self._held)[:-1][-self._memory :] if self._memory else None
                level = self._best
                if recent is not None:
                    level = np.where(self._short, _least(recent), level)
                excess = np.minimum(worse, self._last) - level
                self.level = level * self._bad
            self._held.append(np.maximum(worse, self._last))
        self._last = worse
        return excess


class Band:
    """How far each number is from that of reference runs at the same step, in their spreads.

    Between two readings of the references their means are interpolated; behind their last reading
    nothing is said. As in `Fall`, the lesser of two readings in a row counts.

    Args:
        steps: at which the reference runs were read.
        values: of the reference runs.
        columns: what the numbers are.
    """

    def __init__(
        self,
        steps: Sequence[int],
        values: Float[np.ndarray, "run step column"],
        columns: Sequence[Column],
    ) -> None:
        self._bad = np.array([column.about.bad for column in columns], dtype=np.float64)
        floor = np.array([column.about.floor for column in columns])
        self._steps = np.array(steps, dtype=np.float64)
        known = np.isfinite(values)
        count = known.sum(0)
        total = np.maximum(count, 1)
        mean = np.where(known, values, 0).sum(0) / total
        square = np.where(known, np.square(values - mean), 0).sum(0)
        self._mean = np.where(count >= _FEWEST, mean, np.nan)
        self._spread = np.sqrt(square / np.maximum(total - 1, 1)) + floor
        self._last: np.ndarray | None = None

    def at(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and spread of each number at a step."""
        steps = self._steps
        if not steps[0] <= step <= steps[-1]:
            return np.full_like(self._mean[0], np.nan), self._spread[0]
        after = int(np.searchsorted(steps, step))
        if steps[after] == step:
            return self._mean[after], self._spread[after]
        share = (step - steps[after - 1]) / (steps[after] - steps[after - 1])
        mean = (1 - share) * self._mean[after - 1] + share * self._mean[after]
        return mean, np.maximum(self._spread[after - 1], self._spread[after])

    def add(self, step: int, values: Float[np.ndarray, "column"]) -> Float[np.ndarray, "column"]:
        """Take the next reading; positive is worse, NaN where nothing can be said."""
        mean, spread = self.at(step)
        away = (values - mean) * self._bad / spread
        found = np.full(len(away), np.nan) if self._last is None else np.minimum(away, self._last)
        self._last = away
        return found


def falls_of(series: Series) -> Float[np.ndarray, "step column"]:
    """`Fall` over a whole series."""
    fall = Fall(series.columns)
    return np.array([fall.add(each.values) for each in series.numbers])


def aligned(runs: Sequence[Series], steps: Sequence[int]) -> Float[np.ndarray, "run step column"]:
    """The numbers of runs at given steps, interpolated between their readings."""
    return np.stack([_at_steps(run, steps) for run in runs])


def _at_steps(run: Series, steps: Sequence[int]) -> Float[np.ndarray, "step column"]:
    if run.steps == tuple(steps):
        return run.values
    there, values = np.array(run.steps, dtype=np.float64), run.values
    found = [np.interp(steps, there, column, left=np.nan, right=np.nan) for column in values.T]
    return np.stack(found, 1)


def _least(levels: Float[np.ndarray, "time column"]) -> Float[np.ndarray, "column"]:
    found: np.ndarray = np.fmin.reduce(levels, axis=0)
    return found

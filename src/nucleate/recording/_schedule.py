"""When a recorder reads: at chosen steps, within a budget if one is given."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from nucleate._core.errors import BadInput


@dataclass(frozen=True)
class Schedule:
    """When states are read. Made by the class methods; `a | b` reads where either does.

    Attributes:
        steps: optimizer steps taken before the reading, as far as they are known from the start;
            0 is the untrained model.
        periods: multiples of these are read, and the last step.
        points: for each number, so many steps are read once the last one is known.
        reads_saves: whether steps at which a checkpoint is saved are read.
        share: the part of the training's own time that recording may take; None for no limit.
        last: the training's last step, where it is known.
    """

    steps: tuple[int, ...] = ()
    periods: tuple[int, ...] = ()
    points: tuple[int, ...] = ()
    reads_saves: bool = False
    share: float | None = None
    last: int | None = None

    @classmethod
    def at(cls, steps: Iterable[int]) -> "Schedule":
        """Exactly these steps.

        Raises:
            BadInput: a step is below 0.
        """
        chosen = tuple(sorted(set(steps)))
        if chosen and chosen[0] < 0:
            raise BadInput(f"step {chosen[0]} is below 0; count optimizer steps from 0")
        return cls(chosen)

    @classmethod
    def every(cls, period: int) -> "Schedule":
        """Step 0, every `period`-th one, and the last if it is known.

        Raises:
            BadInput: `period` is below 1.
        """
        if period < 1:
            raise BadInput(f"a period of {period} steps is none; choose 1 or more")
        return cls(periods=(period,))

    @classmethod
    def log(cls, points: int, last: int | None = None) -> "Schedule":
        """Step 0, then steps evenly in log(step) up to the last one, each once.

        Args:
            points: how many; a training of fewer steps has every step read.
            last: the last step of training, itself a point; None leaves it to a trainer's
                callback, which knows it.

        Raises:
            BadInput: fewer than two points, or more than steps.
        """
        if points < 2:
            raise BadInput(f"{points} recorded points are no curve; choose 2 or more")
        if last is None:
            return cls(points=(points,))
        _check_points(points, last)
        return cls(_evenly_in_log(points, last))

    @classmethod
    def log_then_linear(cls, last: int, points: int) -> "Schedule":
        """Step 0, then half of the points evenly in log(step), then half evenly up to `last`.

        Args:
            last: the last step of training, itself a point.
            points: how many points are wanted; whole steps leave room for few early ones, so
                that the density is raised until at least so many are distinct.

        Raises:
            BadInput: fewer than two points, or more points than steps.
        """
        _check_points(points, last)
        turn = max(1, last // 4)
        steps: set[int] = set()
        density = points
        while len(steps) < points:
            early = np.geomspace(1, turn, (density + 1) // 2)
            late = np.linspace(turn, last, (density + 1) // 2)
            steps = {0, last, *np.rint([*early, *late]).astype(int).tolist()}
            density += 1
        return cls(tuple(sorted(steps)))

    @classmethod
    def at_saves(cls) -> "Schedule":
        """The steps at which a checkpoint is saved (`Recorder.saved` tells)."""
        return cls(reads_saves=True)

    def within(self, share: float) -> "Schedule":
        """The same steps, less those whose reading would break a budget.

        What is skipped is counted and on record. The first reading of a session is always taken,
        since nothing tells its cost before.

        Args:
            share: recorder's time over the training's own time, above 0 and at most 1; 0.03 lets
                an hour of training take at most 108 s more.

        Raises:
            BadInput: `share` is not such a number.
        """
        if not 0 < share <= 1:
            raise BadInput(f"a budget of {share} is no share; choose above 0 and at most 1")
        return replace(self, share=share)

    def bound(self, last: int) -> "Schedule":
        """The same schedule with the training's last step known."""
        return replace(self, last=last)

    def __or__(self, other: "Schedule") -> "Schedule":
        shares = [share for share in (self.share, other.share) if share is not None]
        return Schedule(
            steps=tuple(sorted({*self.steps, *other.steps})),
            periods=(*self.periods, *other.periods),
            points=(*self.points, *other.points),
            reads_saves=self.reads_saves or other.reads_saves,
            share=min(shares, default=None),
            last=other.last if self.last is None else self.last,
        )

    def __contains__(self, step: int) -> bool:
        if self.periods and step == self.last:
            return True
        return step in self._fixed or any(step % period == 0 for period in self.periods)

    @cached_property
    def _fixed(self) -> frozenset[int]:
        if not self.points:
            return frozenset(self.steps)
        if self.last is None:
            raise BadInput(
                f"Schedule.log({self.points[0]}) does not know the last step; give it: "
                f"Schedule.log({self.points[0]}, last=...)"
            )
        found = set(self.steps)
        for points in self.points:
            found |= set(_evenly_in_log(max(2, min(points, self.last + 1)), self.last))
        return frozenset(found)


def _check_points(points: int, last: int) -> None:
    if not 2 <= points <= last + 1:
        raise BadInput(
            f"{points} recorded points do not fit {last} training steps; "
            f"choose between 2 and {last + 1}"
        )


def _evenly_in_log(points: int, last: int) -> tuple[int, ...]:
    """0, then `points - 1` steps up to `last`; where a ratio is below a whole step, the next."""
    steps = [0, 1] if points > 2 else [0]
    for left in range(points - len(steps), 0, -1):
        ratio = (last / max(1, steps[-1])) ** (1 / left)
        steps.append(max(steps[-1] + 1, round(max(1, steps[-1]) * ratio)))
    return tuple(steps)

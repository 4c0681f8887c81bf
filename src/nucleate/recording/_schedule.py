"""When a recorder reads: at chosen steps, within a budget."""

import operator
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real

import numpy as np

from nucleate._core.errors import BadInput

# What recording may take where nothing else is said: a part of the training's own time, and a
# second after the first reading in any case, which nobody misses.
_SHARE, _GRACE = 0.05, 1.0


@dataclass(frozen=True)
class Schedule:
    """When states are read. Made by the class methods; `a | b` reads where either does.

    A training need not stop at every step, as one of two optimizers does not: a due step that never
    comes is read at the first one after it. `every`, `log` and `log_then_linear` also read the step
    at which the training ends, whichever it is (`Recorder.finish`).

    `log` and `log_then_linear`, whose steps nobody names one by one, have a budget of 5 % of the
    training's own time, or a second if that is more; the first and the last step are always read.
    `within(None)` lifts it, and `within` gives the others one.

    Attributes:
        steps: optimizer steps taken before the reading, as far as they are known from the start;
            0 is the untrained model.
        periods: multiples of these are read.
        points: for each number, so many steps are read once the last one is known.
        reads_saves: whether steps at which a checkpoint is saved are read.
        reads_last: whether the step at which the training ends is read.
        share: the part of the training's own time that recording may take; None for no limit.
        grace: seconds that recording may take after its first reading, whatever the share.
        last: the training's last step, as far as that is known.
    """

    steps: tuple[int, ...] = ()
    periods: tuple[int, ...] = ()
    points: tuple[int, ...] = ()
    reads_saves: bool = False
    reads_last: bool = False
    share: float | None = None
    grace: float = 0.0
    last: int | None = None

    @classmethod
    def at(cls, steps: Iterable[int]) -> "Schedule":
        """Exactly these steps, whatever that takes.

        Raises:
            BadInput: a step is no whole number, or below 0.
        """
        if not isinstance(steps, Iterable) or isinstance(steps, str | bytes):
            raise BadInput(f"{steps!r} is no list of steps; give one: Schedule.at([0, 10, 100])")
        chosen = tuple(sorted({_whole(step, "a step") for step in steps}))
        if chosen and chosen[0] < 0:
            raise BadInput(f"step {chosen[0]} is below 0; count optimizer steps from 0")
        return cls(chosen)

    @classmethod
    def every(cls, period: int) -> "Schedule":
        """Step 0, every `period`-th one, and the last, whatever that takes.

        Raises:
            BadInput: `period` is no whole number, or below 1.
        """
        if _whole(period, "a period") < 1:
            raise BadInput(f"a period of {period} steps is none; choose 1 or more")
        return cls(periods=(int(period),), reads_last=True)

    @classmethod
    def log(cls, points: int, last: int | None = None) -> "Schedule":
        """Step 0, then steps evenly in log(step) up to the last one, each once.

        Args:
            points: how many; a training of fewer steps has every step read.
            last: the last step of training, itself a point; None leaves it to a trainer's
                callback, which knows it.

        Raises:
            BadInput: fewer than two points, or more than steps; or no whole numbers.
        """
        if _whole(points, "a number of points") < 2:
            raise BadInput(f"{points} recorded points are no curve; choose 2 or more")
        if last is None:
            return cls._dense((), points=(int(points),))
        _check_points(points, last)
        return cls._dense(_evenly_in_log(points, last))

    @classmethod
    def _dense(cls, steps: tuple[int, ...], points: tuple[int, ...] = ()) -> "Schedule":
        return cls(steps, points=points, reads_last=True, share=_SHARE, grace=_GRACE)

    @classmethod
    def log_then_linear(cls, last: int, points: int) -> "Schedule":
        """Step 0, then half of the points evenly in log(step), then half evenly up to `last`.

        Args:
            last: the last step of training, itself a point.
            points: how many points are wanted; whole steps leave room for few early ones, so
                that the density is raised until at least so many are distinct.

        Raises:
            BadInput: fewer than two points, or more points than steps; or no whole numbers.
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
        return cls._dense(tuple(sorted(steps)))

    @classmethod
    def at_saves(cls) -> "Schedule":
        """The steps at which a checkpoint is saved (`Recorder.saved` tells)."""
        return cls(reads_saves=True)

    def within(self, share: float | None) -> "Schedule":
        """The same steps, less those whose reading would break a budget.

        Where the training's last step is known, readings are spread evenly over the schedule, and
        early ones may borrow from later ones, up to four times the share of the time so far. What
        is skipped is counted and on record. The first reading of a session is always taken, since
        nothing tells its cost before, and so is the last step where it is asked for.

        Args:
            share: recorder's time over the training's own time, above 0 and at most 1; 0.03 lets
                an hour of training take at most 108 s more. None for no limit.

        Raises:
            BadInput: `share` is not such a number.
        """
        if share is None:
            return replace(self, share=None, grace=0.0)
        if isinstance(share, bool) or not isinstance(share, Real) or not 0 < share <= 1:
            raise BadInput(
                f"a budget of {share!r} is no share; choose above 0 and at most 1, or None for "
                "no limit"
            )
        return replace(self, share=float(share), grace=0.0)

    def bound(self, last: int) -> "Schedule":
        """The same schedule with the training's last step known, as far as anybody knows it.

        Raises:
            BadInput: `last` is no whole number, or below 0.
        """
        if _whole(last, "a last step") < 0:
            raise BadInput(f"the last step cannot be {last}; give 0 or more")
        return replace(self, last=int(last))

    def __or__(self, other: object) -> "Schedule":
        if not isinstance(other, Schedule):
            raise BadInput(f"a schedule and {other!r} make none; give two schedules")
        limits = [(one.share, one.grace) for one in (self, other) if one.share is not None]
        share, grace = min(limits, default=(None, 0.0))
        return Schedule(
            steps=tuple(sorted({*self.steps, *other.steps})),
            periods=(*self.periods, *other.periods),
            points=(*self.points, *other.points),
            reads_saves=self.reads_saves or other.reads_saves,
            reads_last=self.reads_last or other.reads_last,
            share=share,
            grace=grace,
            last=other.last if self.last is None else self.last,
        )

    def __contains__(self, step: int) -> bool:
        return step >= 0 and self.latest(step) == step

    def latest(self, step: int) -> int | None:
        """The newest due step that is not after `step`; None if there is none."""
        found = [period * (step // period) for period in self.periods if step >= 0]
        if place := bisect_right(self._fixed, step):
            found.append(self._fixed[place - 1])
        return max(found, default=None)

    def first_after(self, after: int, step: int) -> int | None:
        """The first due step that is after `after` and not after `step`; None if there is none."""
        found = [period * (after // period + 1) for period in self.periods]
        if (place := bisect_right(self._fixed, after)) < len(self._fixed):
            found.append(self._fixed[place])
        return min((due for due in found if due <= step), default=None)

    def count(self, after: int, step: int) -> int:
        """How many steps are due after `after` and not after `step`; those of periods add up."""
        fixed = bisect_right(self._fixed, step) - bisect_right(self._fixed, after)
        return fixed + sum(step // period - after // period for period in self.periods)

    def after_end(self, end: int) -> list[int]:
        """The steps that are due only after `end`, without those of periods, which never end."""
        return list(self._fixed[bisect_right(self._fixed, end) :])

    @cached_property
    def _fixed(self) -> tuple[int, ...]:
        """All due steps but those of periods, in order."""
        ends = [] if self.last is None or not (self.reads_last and self.periods) else [self.last]
        if not self.points:
            return tuple(sorted({*self.steps, *ends}))
        if self.last is None:
            raise BadInput(
                f"Schedule.log({self.points[0]}) does not know the last step; give it: "
                f"Schedule.log({self.points[0]}, last=...)"
            )
        found = {*self.steps, *ends}
        for points in self.points:
            found |= set(_evenly_in_log(max(2, min(points, self.last + 1)), self.last))
        return tuple(sorted(found))


def _whole(value: object, what: str) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise BadInput(f"{what} must be a whole number, not {value!r}")
    return operator.index(value)


def _check_points(points: int, last: int) -> None:
    if _whole(last, "a last step") < 1:
        raise BadInput(f"a training whose last step is {last} has no curve; choose 1 or more")
    if not 2 <= _whole(points, "a number of points") <= last + 1:
        raise BadInput(
            f"{points} recorded points do not fit {last} training steps; "
            f"choose between 2 and {last + 1}"
        )


def _evenly_in_log(points: int, last: int) -> tuple[int, ...]:
    """0, then `points - 1` steps up to `last`; where a ratio is below a whole step, the next."""
    if last == 0:
        return (0,)
    steps = [0, 1] if points > 2 else [0]
    for left in range(points - len(steps), 0, -1):
        ratio = (last / max(1, steps[-1])) ** (1 / left)
        steps.append(max(steps[-1] + 1, round(max(1, steps[-1]) * ratio)))
    return tuple(steps)

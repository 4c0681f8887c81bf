"""One session of a training as its recorder sees it, and what it may still spend."""

import math
from collections import deque
from dataclasses import dataclass, field

from nucleate.recording._schedule import Schedule

# What the next reading takes is judged by the dearest of so many before it.
_RECENT = 3
# Early readings may take so many times the share of the time so far, at the cost of later ones.
_BORROWED = 4


@dataclass
class Session:
    """One session of a training as the recorder sees it.

    Attributes:
        began: when, in seconds of the monotonic clock.
        seconds_before: the recorder's seconds at that time.
        started: whether the model has been met.
        placed: whether it is known where in the run the training stands.
        shown: whether the journal has a heartbeat of the session.
        warned: whether states that are not finite were spoken of.
        first: the first step that the recorder was shown; None before that.
        reached: the last one; -1 before that, and after a rewind.
        end: the step that the training has ended with; None where that is not known.
        readings: how many there were.
        read_at: the step of the last one; -1 before the first.
        opening: seconds that the first one took, which nothing could tell before.
        costs: seconds that the last ones took.
    """

    began: float
    seconds_before: float
    started: bool = False
    placed: bool = False
    shown: bool = False
    warned: bool = False
    first: int | None = None
    reached: int = -1
    end: int | None = None
    readings: int = 0
    read_at: int = -1
    opening: float = 0.0
    costs: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    _answers: tuple[int, dict[bool, bool]] = field(default_factory=lambda: (-1, {}))

    def answers(self, step: int) -> dict[bool, bool]:
        """What was answered of a step: whether it must be read whatever it takes -> the answer."""
        if self._answers[0] != step:
            self._answers = step, {}
        return self._answers[1]

    def settle(self, step: int) -> None:
        """The step is on record, and need not be read again."""
        self._answers = step, {False: False, True: False}

    def has_read(self, step: int, seconds: float) -> None:
        """A reading has taken so long."""
        self.read_at = step
        self.opening = self.opening if self.readings else seconds
        self.readings += 1
        self.costs.append(seconds)

    def arrive(self, step: int, *, last: bool) -> None:
        """The training has come to `step`, perhaps its last one."""
        self.first = step if self.first is None else self.first
        self.reached = step
        self.end = step if last or self.end == step else None

    def forget(self) -> None:
        """The training is somewhere else."""
        self._answers, self.reached = (-1, {}), -1

    def due(self, schedule: Schedule, step: int) -> int | None:
        """The due step that a reading at `step` would stand for; None if none would.

        The first call of a session answers for all steps before it.
        """
        if self.reached < 0:
            return schedule.latest(step)
        return schedule.first_after(self.reached, step)

    def _cost(self, schedule: Schedule) -> float:
        """What the next reading may take: as much as the dearest of the last."""
        if schedule.last is None or self.readings > _RECENT:
            return max(self.costs)
        # The first one also finds out how the model is read. Where one can do with an estimate,
        # since what is left is known and shared out, it does not count.
        return max(list(self.costs)[1:], default=self.opening / 2)

    def allows(self, schedule: Schedule, step: int, now: float, seconds: float) -> bool:
        """Whether one more reading, at `step`, stays within the schedule's budget.

        Args:
            schedule: with the training's last step, if it is known.
            step: optimizer steps taken.
            now: on the clock that `began` is of.
            seconds: that the recorder has taken so far, as `seconds_before` counts them.
        """
        share = schedule.share
        if share is None or self.readings == 0:
            return True
        spent, cost = seconds - self.seconds_before, self._cost(schedule)
        training = now - self.began - spent
        limit = share * training
        if self.first is not None and schedule.last is not None and self.first < step:
            whole = limit / (step - self.first) * (schedule.last - self.first)
            # What is left is spread over the due steps that are left, the last one among them.
            affordable = (whole - spent) / cost if cost else math.inf
            since = schedule.count(self.read_at, step)
            enough = since * affordable >= schedule.count(step - 1, schedule.last)
            reserve = cost if schedule.reads_last and step < schedule.last else 0.0
            limit = min(_BORROWED * limit, whole - reserve) if enough else 0.0
        free = self.opening + schedule.grace if schedule.grace else 0.0
        return spent + cost <= max(limit, free)


def what_is_missing(
    schedule: Schedule, session: Session, skipped: list[int], missed: list[int], end: int | None
) -> str:
    """Say which due steps a session has not read, and why; empty if it has read all."""
    said = []
    if skipped:
        said.append(
            f"{len(skipped)} of {len(skipped) + session.readings} due steps were not read, since "
            f"recording may take {schedule.share:.0%} of the training's own time "
            "(schedule.within(None) lifts that)"
        )
    if end is not None and end in missed:
        said.append(
            f"the last step {end} was not read, since the model was not shown there "
            "(recorder.finish(model, step) does)"
        )
    if end is not None and (later := [step for step in missed if step > end]):
        noun = "one" if len(later) == 1 else "ones"
        said.append(f"the training ended at step {end}, before {len(later)} due {noun}")
    return "; ".join(said)

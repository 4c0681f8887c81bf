"""One session of a training as its recorder sees it, and what it may still spend."""

from collections import deque
from dataclasses import dataclass, field

# What the next reading takes is judged by the dearest of so many before it.
_RECENT = 3


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
        readings: how many there were.
        costs: seconds that the last ones took.
        answer: the step last asked for, and whether it is to be read.
    """

    began: float
    seconds_before: float
    started: bool = False
    placed: bool = False
    shown: bool = False
    warned: bool = False
    readings: int = 0
    costs: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    answer: tuple[int, bool] | None = None

    def allows(self, share: float | None, now: float, seconds: float) -> bool:
        """Whether one more reading stays within `share` of the training's own time."""
        if share is None or not self.costs:
            return True
        spent = seconds - self.seconds_before
        return spent + max(self.costs) <= share * (now - self.began - spent)

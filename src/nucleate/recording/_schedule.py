"""When a recorder reads: dense early, where clusters form, then at even distances."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from nucleate._errors import BadInput


@dataclass(frozen=True)
class Schedule:
    """The steps at which states are read, in order, without repeats.

    Attributes:
        steps: optimiser steps taken before the reading; 0 is the untrained model.
    """

    steps: tuple[int, ...]

    @classmethod
    def at(cls, steps: Iterable[int]) -> "Schedule":
        """Exactly these steps."""
        return cls(tuple(sorted(set(steps))))

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
        if not 2 <= points <= last + 1:
            raise BadInput(
                f"{points} recorded points do not fit {last} training steps; "
                f"choose between 2 and {last + 1}"
            )
        turn = max(1, last // 4)
        steps: set[int] = set()
        density = points
        while len(steps) < points:
            early = np.geomspace(1, turn, (density + 1) // 2)
            late = np.linspace(turn, last, (density + 1) // 2)
            steps = {0, last, *np.rint([*early, *late]).astype(int).tolist()}
            density += 1
        return cls(tuple(sorted(steps)))

    def __contains__(self, step: int) -> bool:
        return step in self.steps

"""What is watched: the numbers of a reading, each with its direction and the alarm it may raise."""

from dataclasses import dataclass
from math import exp
from typing import Literal

Kind = Literal[
    "not finite", "merged tasks", "lost task", "collapse", "forgetting", "blow-up", "off course"
]
"""What an alarm says; `off course`: worse at a step than the reference runs were there."""

Source = Literal["states", "answers", "loss", "training"]
"""Where a number comes from: hidden states; answers by task; loss and accuracy of all rows that are
read; the loss of the training itself."""


@dataclass(frozen=True)
class Statistic:
    """A kind of number.

    Attributes:
        name: such as `separation`.
        source: where it comes from.
        kind: of the alarm that it raises.
        bad: -1 where falling is bad, 1 where rising is.
        memory: readings among which the best level is looked for; 0: all. What moves in one
            direction while all is well has a short one.
        floor: a difference between two runs of this size is none, in the statistic's own unit.
        least: a limit for what gets worse than the own past is at least this.
        words: what it is, in a line.
    """

    name: str
    source: Source
    kind: Kind
    bad: Literal[-1, 1]
    memory: int
    floor: float
    least: float
    words: str

    def plain(self, value: float) -> float:
        """A value without the logarithm that some are kept by."""
        return exp(value) if self.name in _LOGARITHMS else value


_LOGARITHMS = ("rank", "norm", "loss", "training loss")

# The states' length grows by an amount that is each architecture's own: only ten times as long
# within four readings is no growth. All else has a limit above what rounding makes of it.
STATISTICS: dict[str, Statistic] = {
    each.name: each
    for each in (
        Statistic(
            "separation", "states", "merged tasks", -1, 0, 0.05, 0.05,
            "log(1 + 1/CDNV) of a task and the task nearest to it",
        ),
        Statistic(
            "centroid", "states", "lost task", -1, 0, 0.1, 0.1,
            "share of a task's rows whose nearest task mean is their own",
        ),
        Statistic(
            "mean separation", "states", "collapse", -1, 0, 0.05, 0.05,
            "log(1 + 1/CDNV), mean over all pairs of tasks",
        ),
        Statistic("rank", "states", "collapse", -1, 4, 0.02, 0.1, "log of RankMe"),
        Statistic("norm", "states", "blow-up", 1, 4, 0.02, 2.3, "log of their mean length"),
        Statistic("right", "answers", "forgetting", -1, 0, 0.03, 0.03, "share answered right"),
        Statistic("loss", "loss", "blow-up", 1, 0, 0.05, 0.05, "log of the answers' loss"),
        Statistic("accuracy", "loss", "forgetting", -1, 0, 0.02, 0.02, "share of answers right"),
        Statistic(
            "training loss", "training", "blow-up", 1, 0, 0.05, 0.05,
            "log of the mean training loss since the last reading",
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, order=True)
class Column:
    """One number of every reading.

    Attributes:
        statistic: a name of `STATISTICS`.
        place: `stream @ position`; empty where it is of no place.
        task: the task's name; empty where it is of all.
    """

    statistic: str
    place: str = ""
    task: str = ""

    @property
    def about(self) -> Statistic:
        """What kind of number it is."""
        return STATISTICS[self.statistic]

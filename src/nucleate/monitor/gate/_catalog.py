"""What the gate can ask about: every statistic, what it is a number of, and where it is read."""

from dataclasses import dataclass
from typing import Literal

Evidence = Literal["run", "control", "series", "atlas", "drift", "audit", "alarms"]
Unit = Literal["share", "agreement", "count"]
"""How a number is read: a share from 0 to 1, an agreement from -1 to 1, a whole number from 0."""
SPLITS = ("seen", "unseen_string", "unseen_cell", "unseen_family", "all")


@dataclass(frozen=True)
class Statistic:
    """A number that a criterion may set a bound to.

    Attributes:
        unit: what it is a number of.
        counted: what its n counts.
        where: what `where` may be; empty: any text, None: `where` is of no use.
        place: `where` of a criterion that names none.
        has_null: whether a number by chance stands beside it, so that a bound may be `chance`.
    """

    unit: Unit
    counted: str
    where: tuple[str, ...] | None = None
    place: str = ""
    has_null: bool = False


STATISTICS: dict[str, dict[str, Statistic]] = {
    "run": {
        "accuracy": Statistic(
            "share", "instruction strings", SPLITS, "unseen_string", has_null=True
        ),
        "clusters": Statistic("agreement", "instruction strings", (), "last", has_null=True),
        "used": Statistic("count", "places"),
        "seeds": Statistic("count", "runs"),
    },
    "control": {"found": Statistic("count", "runs")},
    "series": {"flags": Statistic("count", "checkpoints")},
    "atlas": {
        "coverage": Statistic("share", "tasks"),
        "recognized": Statistic("share", "rows", has_null=True),
    },
    "drift": {
        "found": Statistic("count", "requests"),
        "detectable": Statistic("share", "requests"),
    },
    "audit": {
        "gaps": Statistic("count", "requests"),
        "unsettled": Statistic("count", "requests"),
    },
    "alarms": {"raised": Statistic("count", "readings")},
}
"""Of each kind of evidence, by name."""

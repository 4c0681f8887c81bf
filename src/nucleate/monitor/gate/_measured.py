"""A number that evidence gives, or why it gives none."""

import math
from dataclasses import dataclass

Number = float | int


@dataclass(frozen=True)
class Measured:
    """One number with all that is needed to judge it.

    Attributes:
        value: the number; None where there is none.
        low: lower end of its 95 % interval; the number itself where it is exact.
        high: upper end.
        n: what it rests on.
        null: the number by chance, or of the control that stands beside it.
        source: of which run or report, where there are several.
        missing: why there is no number.
        undecided: why the evidence itself decides nothing.
        broken: why it cannot be read.
    """

    value: Number | None = None
    low: Number | None = None
    high: Number | None = None
    n: int | None = None
    null: Number | None = None
    source: str = ""
    missing: str = ""
    undecided: str = ""
    broken: str = ""

    def __post_init__(self) -> None:
        for name in ("value", "low", "high", "null"):
            given = getattr(self, name)
            if given is not None and not math.isfinite(given) and not self.broken:
                object.__setattr__(self, "broken", f"{name} is {given}, which is no finite number")


def exact(value: Number, n: int, *, null: Number | None = None, source: str = "") -> Measured:
    """A number that was counted and has no interval."""
    return Measured(value, value, value, n, null, source)


def missing(why: str, source: str = "") -> Measured:
    """No number, and why."""
    return Measured(missing=why, source=source)


def broken(why: str, source: str = "") -> Measured:
    """A number that cannot be read, and why."""
    return Measured(broken=why, source=source)

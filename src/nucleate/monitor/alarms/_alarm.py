"""An alarm: what went wrong in a training, where and when, and how rare it is in healthy runs."""

from dataclasses import asdict, dataclass
from typing import Any

from nucleate.monitor.alarms._columns import STATISTICS, Kind
from nucleate.monitor.alarms._limits import Limits, Rule


@dataclass(frozen=True)
class Alarm:
    """One alarm.

    Attributes:
        kind: what it says.
        rule: what the training was compared with: its own past, or reference runs.
        statistic: the number that exceeded its limit; a name of `STATISTICS`, or `finite`.
        step: of the reading.
        place: `stream @ position`; empty where it is of no place.
        tasks: that it is about, the worst first; of merged tasks the two that merged; of `not
            finite` what is.
        value: how much worse the number is than the best level that the training held, or than the
            reference runs, in their spreads.
        threshold: the limit that `value` exceeds.
        now: the number itself: a share, a loss in nats, a number of axes, a length; a separation as
            log(1 + 1/CDNV).
        before: the level that it held; or the reference runs' mean.
        seen: in how many of the healthy runs this statistic was as bad.
        healthy: how many healthy runs there are.
        rate: share of healthy trainings that alarm at all, which the limits hold.
        loss_alarm: the first step at which the same rule on evaluation loss and accuracy alone, at
            the same rate, has alarmed so far; None if it has not.
        training_alarm: the same on the training loss alone.
    """

    kind: Kind
    rule: Rule
    statistic: str
    step: int
    place: str
    tasks: tuple[str, ...]
    value: float
    threshold: float
    now: float | None
    before: float | None
    seen: int
    healthy: int
    rate: float
    loss_alarm: int | None = None
    training_alarm: int | None = None

    def json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "tasks": list(self.tasks), "words": self.words()}

    @classmethod
    def of_json(cls, known: dict[str, Any]) -> "Alarm":
        """From what `json` gave."""
        names = cls.__dataclass_fields__
        values = {name: value for name, value in known.items() if name in names}
        return cls(**{**values, "tasks": tuple(values["tasks"])})

    def words(self) -> str:
        """The alarm as a sentence, with its numbers."""
        where = f" at {self.place}" if self.place else ""
        if self.statistic == "finite":
            return f"step {self.step}: not finite: {', '.join(self.tasks)}"
        about = self._about()
        parts = [f"step {self.step}: {about}{where}: {self._change()}"]
        parts.append(f"seen in {self.seen} of {self.healthy} healthy runs")
        parts.append(self._beside())
        return "; ".join(parts)

    def _about(self) -> str:
        merged = self.kind == "merged tasks"
        named = " and ".join(self.tasks[:2]) if merged else _listed(self.tasks)
        title = f"{self.kind}: {named}" if named else self.kind
        return f"{title} ({self.statistic})"

    def _change(self) -> str:
        now, before = _number(self.now), _number(self.before)
        if self.rule == "own past":
            direction = "fell" if STATISTICS[self.statistic].bad < 0 else "rose"
            by = f"by {self.value:.2g}, limit {self.threshold:.2g}"
            return f"{direction} from {before} to {now} ({by})"
        return (
            f"{now} where reference runs have {before} ({self.value:.2g} spreads away, limit "
            f"{self.threshold:.2g})"
        )

    def _beside(self) -> str:
        if self.loss_alarm is None:
            return "the same rule on loss and accuracy has not alarmed"
        gap = self.step - self.loss_alarm
        if gap <= 0:
            return "the same rule on loss and accuracy alarms at this step"
        return f"the same rule on loss and accuracy alarmed {gap} steps earlier"


def not_finite(step: int, what: tuple[str, ...], limits: Limits) -> Alarm:
    """The alarm of what is NaN or infinite, which no healthy run is."""
    return Alarm(
        kind="not finite", rule="own past", statistic="finite", step=step, place="", tasks=what,
        value=1.0, threshold=0.0, now=None, before=None, seen=0, healthy=len(limits.worst),
        rate=0.0, loss_alarm=step, training_alarm=step,
    )  # fmt: skip


def _listed(tasks: tuple[str, ...]) -> str:
    shown = ", ".join(tasks[:5])
    return shown if len(tasks) <= 5 else f"{shown} and {len(tasks) - 5} more"


def _number(value: float | None) -> str:
    return "an unknown level" if value is None else f"{value:.3g}"

"""What is said about drift: numbers, and sentences that follow from them."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from nucleate.findings import json_value

Amount = tuple[float, float, float, str]
"""Value, ends of its interval, unit."""


class DriftVerdict(StrEnum):
    """What requests say about drift."""

    NO_DRIFT_SEEN = "no drift seen"
    """Nothing beyond the rate, and a shift that matters would have been seen."""
    DRIFT = "drift"
    UNDECIDED = "undecided"
    """Nothing beyond the rate, but a shift that matters would often have been missed."""
    TOO_FEW = "too few"
    """Too few requests, or too small a reference, to say anything."""


@dataclass(frozen=True)
class Signal:
    """One statistic of reference against requests.

    Attributes:
        name: mass (shares of clusters), regions (shares of clusters that lie together), outside
            (requests of no cluster), score (distribution of p), residuals (states within clusters),
            new group.
        value: of the statistic, on its own scale.
        p: over all statistics together, and all looks of the horizon where there is one.
        limit: what the value stays below in all but a share `rate` of cases without drift; NaN
            where each search has a null of its own.
        found: whether it is beyond that.
        amount, low, high: how large the shift is, with a 95 % interval, from other rows than those
            on which its direction was chosen; None where that is not known.
        unit: what the amount is.
        window: number of looks that it was taken over; None for a single test.
    """

    name: str
    value: float
    p: float | None
    limit: float
    found: bool
    amount: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    window: int | None = None

    def sized(self, size: Amount | None) -> "Signal":
        """The same with the amount of the shift, where one is known."""
        if size is None:
            return self
        amount, low, high, unit = size
        return replace(self, amount=amount, low=low, high=high, unit=unit)


@dataclass(frozen=True)
class ClusterShift:
    """Share of a cluster in the reference and among the requests.

    Attributes:
        cluster: its name.
        before, after: shares.
        low, high: interval of the difference (Newcombe), 95 % over all clusters at once.
        beyond: whether that leaves out 0.
    """

    cluster: str
    before: float
    after: float
    low: float
    high: float
    beyond: bool


@dataclass(frozen=True)
class NewGroup:
    """Requests that gather outside all clusters.

    Attributes:
        requests: how many they are.
        share, low, high: of all requests, with a 95 % interval; the group was looked for, so that
            the share is rather too high.
        near: the clusters that most of them are nearest to.
        spread: typical distance from their middle (root of the median square), whitened.
        cluster_spread: the same of the reference's clusters: that of the middle one, and what 95 %
            stay below.
        dense: whether the group is as dense as those: a new cluster rather than a thin cloud.
        examples: hashes of texts of those nearest to their mean, where hashes are known.
    """

    requests: int
    share: float
    low: float
    high: float
    near: tuple[str, ...]
    spread: float
    cluster_spread: tuple[float, float]
    dense: bool
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Detectable:
    """The smallest shift that would have been found.

    Attributes:
        kind: `moved to one cluster`, or `outside` (as far from all clusters as the reference's
            outside rows).
        share: of the requests; None if even all of them would be missed.
        power: with which it would be found, by simulation from the reference; at least .9.
    """

    kind: str
    share: float | None
    power: float


@dataclass(frozen=True)
class Looks:
    """Where a series of looks stands.

    Attributes:
        done: full looks of this horizon.
        size: requests a look.
        horizon: looks that the rate holds over.
        horizons: that have ended before.
        waiting: requests that wait for their look to be full.
        first_alarm: the look at which the first alarm was raised, counted from 1.
        since: the look since which requests differ, as it is estimated after an alarm.
        still: whether the last look is beyond a limit too.
        evidence: of the anytime-valid method: an e-value, alarm at 1 / rate or more; else None.
    """

    done: int
    size: int
    horizon: int
    horizons: int
    waiting: int
    first_alarm: int | None
    since: int | None
    still: bool
    evidence: float | None = None


@dataclass(frozen=True)
class DriftReport:
    """Whether requests still are what the reference was drawn from.

    Attributes:
        verdict: in a word.
        p: of all statistics together; None where nothing could be tested.
        rate: of false alarms: a single test's, or over the horizon of looks.
        method: `one look`, `scan` or `anytime`.
        requests, reference: numbers of rows.
        signals: one a statistic; of looks, the window that is furthest beyond its limit.
        clusters: all whose share changed beyond its interval, largest change first; where there are
            none, the three largest changes.
        new_group: where requests gather outside; None where they do not.
        detectable: what would have been found.
        looks: where a series of looks stands; None for a single test.
        false_alarms_a_month: expected at this traffic; None where that is not known.
        inputs: the atlas's version and hashes of both samples.
        notes: what was left out, and why.
    """

    verdict: DriftVerdict
    p: float | None
    rate: float
    method: str
    requests: int
    reference: int
    signals: tuple[Signal, ...] = ()
    clusters: tuple[ClusterShift, ...] = ()
    new_group: NewGroup | None = None
    detectable: tuple[Detectable, ...] = ()
    looks: Looks | None = None
    false_alarms_a_month: float | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def found(self) -> tuple[str, ...]:
        """Names of the statistics that are beyond their limits."""
        return tuple(signal.name for signal in self.signals if signal.found)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON has it."""
        plain: dict[str, Any] = json_value(
            {"kind": "drift", "version": 1} | asdict(self) | {"verdict": self.verdict.value}
        )
        return plain

    def lines(self) -> list[str]:
        """The report in sentences."""
        return [*self._headline(), *self._shifts(), *self._power(), *self._alarms(), *self.notes]

    def _headline(self) -> Iterator[str]:
        over = f"{self.requests} requests against {self.reference} reference rows"
        if self.looks is not None:
            one = self.looks
            over += f", look {one.done} of {one.horizon}, {one.size} requests each"
        p = "" if self.p is None else f" (p {self.p:.3g}, alarm at {self.rate:g} or less)"
        if self.looks is not None and self.looks.evidence is not None:
            p = f" (evidence {self.looks.evidence:.3g}, alarm at {1 / self.rate:g} or more)"
        yield f"{self.verdict.value}{p}: {over}"
        if self.looks is not None and self.looks.first_alarm is not None:
            one = self.looks
            still = "and the last look is too" if one.still else "the last look is not any more"
            since = "" if one.since is None else f"requests differ since look {one.since} or so; "
            yield f"first alarm at look {one.first_alarm}; {since}{still}"

    def _shifts(self) -> Iterator[str]:
        for signal in self.signals:
            if signal.found:
                yield f"{_NAMES[signal.name]}: {_amount(signal)}"
        if {"mass", "regions"} & set(self.found):
            yield from (
                f"  {each.cluster}: {_percent(each.before)} -> {_percent(each.after)}, difference "
                f"[{_percent(each.low, sign=True)}, {_percent(each.high, sign=True)}]"
                + ("" if each.beyond else ", not beyond chance by itself")
                for each in self.clusters[:10]
            )
        if self.new_group is not None:
            yield _group_words(self.new_group)

    def _power(self) -> Iterator[str]:
        if self.verdict is DriftVerdict.DRIFT or not self.detectable:
            return
        parts = [
            f"{_percent(each.share)} {_KINDS[each.kind]}"
            if each.share is not None
            else f"not even all requests {_KINDS[each.kind]}"
            for each in self.detectable
        ]
        yield f"would have been found in 9 of 10 cases: {'; '.join(parts)}"

    def _alarms(self) -> Iterator[str]:
        if self.false_alarms_a_month is not None:
            yield f"expected false alarms a month at this traffic: {self.false_alarms_a_month:.2g}"


_NAMES = {
    "mass": "shares of clusters moved",
    "regions": "shares of regions of clusters moved",
    "outside": "more requests outside all clusters",
    "score": "scores are distributed otherwise",
    "residuals": "states moved within their clusters",
    "new group": "requests gather at one place outside",
}
_KINDS = {"moved to one cluster": "moved to one cluster", "outside": "outside all clusters"}


def _amount(signal: Signal) -> str:
    limit = f"statistic {signal.value:.3g}"
    if math.isfinite(signal.limit):
        limit += f", limit {signal.limit:.3g}"
    if signal.window is not None:
        limit += f", last {signal.window} looks" if signal.window > 1 else ", last look"
    if signal.amount is None:
        return limit
    show = _percent if signal.unit.startswith("of requests") else _decimals
    low, high = (show(each or 0, sign=True) for each in (signal.low, signal.high))
    return f"{show(signal.amount, sign=True)} [{low}, {high}] {signal.unit}; {limit}"


def _group_words(group: NewGroup) -> str:
    what = "a new cluster" if group.dense else "a loose group outside all clusters"
    examples = f"; such as {', '.join(group.examples)}" if group.examples else ""
    return (
        f"{what}: {group.requests} requests, {_percent(group.share)} "
        f"[{_percent(group.low)}, {_percent(group.high)}], near {', '.join(group.near)}; spread "
        f"{group.spread:.1f}, known clusters {group.cluster_spread[0]:.1f} "
        f"(95 % below {group.cluster_spread[1]:.1f}){examples}"
    )


def _percent(value: float, *, sign: bool = False) -> str:
    return f"{100 * value:{'+' if sign else ''}.1f} %".replace("-", "−")


def _decimals(value: float, *, sign: bool = False) -> str:
    return f"{value:{'+' if sign else ''}.2f}".replace("-", "−")

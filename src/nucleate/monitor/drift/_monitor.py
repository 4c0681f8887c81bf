"""Many looks at a stream of requests, at one rate of false alarms over all of them."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from nucleate._core.errors import BadInput
from nucleate.monitor.drift._amounts import Halves, amounts, cluster_shifts, describe_group
from nucleate.monitor.drift._joint import Joint
from nucleate.monitor.drift._judged import (
    GROUP_SHARE,
    Base,
    GroupTest,
    MonitorSettings,
    search_group,
)
from nucleate.monitor.drift._look import FEWEST_REFERENCE, alike, named_inputs, ready, verdict
from nucleate.monitor.drift._power import detectable
from nucleate.monitor.drift._report import (
    Amount,
    ClusterShift,
    Detectable,
    DriftReport,
    DriftVerdict,
    Looks,
    NewGroup,
    Signal,
)
from nucleate.monitor.drift._sample import DriftSample
from nucleate.monitor.drift._state import LookSums, packed, unpacked

_STATE = {"kind": "drift state", "version": 1}


class DriftMonitor:
    """Looks at a stream of requests again and again, at one rate of false alarms over a horizon.

    Every `size` requests are a look. After each look the last 1, 5 and 20 looks are compared with
    the reference; what their statistics stay below over a whole horizon is simulated beforehand,
    with the reference drawn anew each time as well. One alarm in a horizon makes it `drift` until
    the horizon ends; then the next one begins.

    Of a look, sums are kept, and of the requests outside all clusters the whitened vectors and
    hashes; no text. `state` gives all of it as JSON has it, `restore` goes on from there.

    Args:
        reference: rows that the atlas was neither fitted nor calibrated on.
        size: requests a look.
        horizon: looks that the rate holds over.
        windows: numbers of looks that are taken together.
        rate: of false alarms in a horizon.
        method: `scan`; or `anytime`, which needs no simulation and holds for any horizon up to
            10,000 looks, but sees less: shares of clusters and of scores only, no regions,
            residuals or new clusters.
        outside: p from which down a request belongs to no cluster.
        matters: the share of requests whose moving matters; see `drift`.
        training: hashes of training texts; refused in the reference, left out of the requests.
        draws: simulated horizons.
        per_day: requests a day, for the expected number of false alarms.
        seed: of all draws.

    Raises:
        BadInput: a setting is out of its range, or the reference holds training rows.
    """

    def __init__(
        self,
        reference: DriftSample,
        *,
        size: int = 100,
        horizon: int = 100,
        windows: Sequence[int] = (1, 5, 20),
        rate: float = 0.05,
        method: str = "scan",
        outside: float = 0.05,
        matters: float = 0.2,
        training: Collection[str] = frozenset(),
        draws: int = 2000,
        per_day: float | int | None = None,
        seed: int = 0,
    ) -> None:
        self.settings = MonitorSettings(
            size, horizon, tuple(windows), rate, method, outside, matters, draws, per_day, seed
        )
        ready(reference, reference, training if not reference.hashes else frozenset())
        ready(reference, reference.take(slice(0, 1)), training)
        self._given, self._training = reference, training
        self._base = Base(reference, self.settings)
        self._highest: Joint | None = None
        self._smallest: dict[int, tuple[Detectable, ...]] = {}
        self._groups: dict[int, GroupTest | None] = {}
        self._notes: tuple[str, ...] = ()
        self._horizons = 0
        self._begin()

    def _begin(self) -> None:
        """Begin a horizon."""
        self._looks: list[LookSums] = []
        self._current = self._empty()
        self._lowest, self._first, self._last = 1.0, 0, 0
        self._groups.clear()

    def _empty(self) -> LookSums:
        base = self._base
        return LookSums(
            np.zeros((2, base.rows.shape[1])), np.zeros(len(base.reference.clusters), dtype=int)
        )

    def add(self, requests: DriftSample) -> DriftReport:
        """Take more requests in, in their order; a look is judged when it is full.

        Raises:
            BadInput: no requests, another atlas, or vectors where earlier requests had none.
        """
        requests, notes = ready(self._given, requests, self._training)
        self._adapt(requests)
        self._notes = tuple(dict.fromkeys((*self._notes, *notes)))
        rows = self._base.layout.rows(requests)
        size, at = self.settings.size, 0
        while at < len(requests):
            if len(self._looks) == self.settings.horizon:
                self._horizons += 1
                self._begin()
            some = slice(at, at + size - self._current.rows)
            self._current.add(requests.take(some), rows[some], self.settings.outside)
            at = some.stop
            if self._current.rows == size:
                self._looks.append(self._current)
                self._current = self._empty()
                self._judge()
        return self.report()

    def _adapt(self, requests: DriftSample) -> None:
        """Go on without vectors where requests have none; refuse it where others had."""
        known = self._base.reference
        if known.rank == requests.rank or known.rank is None:
            return
        if self._looks or self._current.rows or self._horizons:
            raise BadInput("earlier requests had vectors and these have none; keep vectors in all")
        self._base = Base(alike(known, requests)[0], self.settings)
        self._highest = None
        self._begin()

    def _judge(self) -> None:
        """Say whether the look that has just been filled raises an alarm."""
        done = len(self._looks)
        if self.settings.method == "anytime":
            p = min(1.0, 1 / self._base.evidence(self._looks).value)
        else:
            of_sums, of_group = self._p_values(done)
            p = min(float(of_sums.min()), of_group)
        self._lowest = min(self._lowest, p)
        if p <= self.settings.rate:
            self._first = self._first or done
            self._last = done

    def report(self) -> DriftReport:
        """Where the stream stands."""
        settings, base, done = self.settings, self._base, len(self._looks)
        look = self._last or done
        signals = self._signals(look) if look else ()
        window = self._window(look)
        smallest = self._detectable(window * settings.size) if window else ()
        group = None
        if any(signal.found and signal.name == "new group" for signal in signals):
            group = self._group_found(look)
        word = DriftVerdict.TOO_FEW
        if self._first or (done and len(base.rows) >= FEWEST_REFERENCE):
            n = window * settings.size
            word = verdict(bool(self._first), len(base.rows), n, smallest, settings.matters)
        month = None
        if settings.per_day is not None:
            month = settings.rate * 30 * settings.per_day / (settings.size * settings.horizon)
        return DriftReport(
            verdict=word,
            p=self._lowest if done else None,
            rate=settings.rate,
            method=settings.method,
            requests=done * settings.size + self._current.rows,
            reference=len(base.rows),
            signals=signals,
            clusters=self._shifts(look) if look else (),
            new_group=group,
            detectable=smallest,
            looks=self._standing(look, signals),
            false_alarms_a_month=month,
            inputs=named_inputs(self._given),
            notes=self._notes,
        )

    def _standing(self, look: int, signals: tuple[Signal, ...]) -> Looks:
        settings, done = self.settings, len(self._looks)
        since = evidence = None
        if settings.method == "anytime" and done:
            found = self._base.evidence(self._looks[: look or done])
            evidence = found.value
            since = found.start + 1 if self._first else None
        elif self._first:
            strongest = min((s for s in signals if s.found), key=lambda s: s.p or 0)
            since = self._base.start(self._looks[:look], strongest.name, self._first)
        return Looks(
            done=done, size=settings.size, horizon=settings.horizon, horizons=self._horizons,
            waiting=self._current.rows, first_alarm=self._first or None, since=since,
            still=bool(done) and self._last == done, evidence=evidence,
        )  # fmt: skip

    def _window(self, look: int) -> int:
        """The longest window that is full after a look, in looks."""
        if self.settings.method == "anytime":
            # All looks are; a power of two, so that power is not simulated after each.
            return 1 << (look.bit_length() - 1) if look else 0
        return max((each for each in self.settings.windows if each <= look), default=0)

    def _signals(self, look: int) -> tuple[Signal, ...]:
        """One a statistic, as they stood after a look."""
        if self.settings.method == "anytime":
            return self._events(look)
        base, settings = self._base, self.settings
        values = base.statistics(self._looks[:look])
        p, group_p = self._p_values(look)
        limits = self._simulated().critical(self._share).reshape(values.shape)
        found = []
        full = np.flatnonzero(np.array(settings.windows) <= look)
        for column, name in enumerate(base.layout.statistics if len(full) else ()):
            # Of full windows with the same p, the longest.
            at = int(full[::-1][p[full[::-1], column].argmin()])
            window = settings.windows[at]
            own = min(1.0, float(p[at, column]))
            found.append(
                Signal(
                    name, float(values[at, column]), own, float(limits[at, column]),
                    own <= settings.rate, window=window,
                ).sized(self._amounts(look, window).get(name))
            )  # fmt: skip
        group = self._group(look)
        if group is not None:
            found.append(
                Signal(
                    "new group", group.value, group_p, np.nan, group_p <= settings.rate,
                    window=group.window,
                )
            )  # fmt: skip
        return tuple(found)

    def _p_values(self, look: int) -> tuple[np.ndarray, float]:
        """Over the whole horizon: of each window and statistic, and of a new group."""
        rate = self.settings.rate
        values = self._base.statistics(self._looks[:look])
        p = self._simulated().p_values(values.ravel()).reshape(values.shape) * rate / self._share
        group = self._group(look)
        if group is None:
            return p, 1.0
        return p, min(1.0, group.p * self.settings.group_tests / GROUP_SHARE)

    def _events(self, look: int) -> tuple[Signal, ...]:
        """Evidence from shares of clusters and from scores."""
        base = self._base
        found = base.evidence(self._looks[:look])
        cells = base.layout.cells
        alarm = found.value >= 1 / self.settings.rate
        parts = {
            "mass": found.events[:cells].mean(),
            "outside": found.events[cells],
            "score": found.events[cells + 1 :].mean(),
        }
        largest = max(parts.values())
        sizes = self._amounts(look, look - found.start)
        return tuple(
            Signal(
                name, float(value), min(1.0, 1 / float(value)), 1 / self.settings.rate,
                bool(alarm and (value >= 1 / self.settings.rate or value == largest)),
                window=look - found.start,
            ).sized(sizes.get(name))
            for name, value in parts.items()
        )  # fmt: skip

    def _amounts(self, look: int, window: int) -> dict[str, Amount]:
        looks = self._looks[max(look - window, 0) : look]
        each = self.settings.size
        rows = np.array([-(-each // 2), each // 2]) * len(looks)
        requests = Halves(np.sum([one.sums for one in looks], axis=0), rows)
        return amounts(self._base.layout, self._base.halves, requests, self._base.rows)

    def _shifts(self, look: int) -> tuple[ClusterShift, ...]:
        window = self._window(look) or 1
        counts = np.sum([one.counts for one in self._looks[look - window : look]], axis=0)
        reference = self._base.reference
        before = np.bincount(reference.cluster, minlength=len(reference.clusters))
        return cluster_shifts(reference.clusters, before, counts)

    def _group(self, look: int) -> GroupTest | None:
        """The search for new clusters at a look; None where it was not the time for one."""
        if look % self.settings.group_every:
            return None
        if look not in self._groups:
            self._groups[look] = search_group(self._base, self._looks[:look])
        return self._groups[look]

    def _group_found(self, look: int) -> NewGroup | None:
        group = self._group(look)
        if group is None or len(group.members) < 2:
            return None
        return describe_group(self._base.reference, group.outside, group.members, group.requests)

    def _simulated(self) -> Joint:
        if self._highest is None:
            self._highest = self._base.simulated()
        return self._highest

    def _detectable(self, rows: int) -> tuple[Detectable, ...]:
        """What would be found in so many requests: a window, or all since the horizon began."""
        if rows not in self._smallest:
            base = self._base
            self._smallest[rows] = detectable(
                base.layout, base.rows, base.reference.cluster, rows, self._beyond(rows),
                base.rng("power"),
            )  # fmt: skip
        return self._smallest[rows]

    def _beyond(self, rows: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        base, settings = self._base, self.settings
        if settings.method == "anytime":
            return lambda one, other: base.evidence_of(one, other, rows) >= 1 / settings.rate
        window = settings.windows.index(rows // settings.size)
        limits = self._simulated().critical(self._share).reshape(len(settings.windows), -1)[window]
        count = len(base.rows)
        return lambda one, other: (
            base.layout.statistics_of(one, count, other, rows) >= limits
        ).any(-1)

    @property
    def _share(self) -> float:
        """Of the rate, what the statistics of sums may spend."""
        whole = self._base.reference.rank is None
        return self.settings.rate * (1 if whole else 1 - GROUP_SHARE)

    def state(self) -> dict[str, Any]:
        """Everything that the monitor knows, as JSON has it: for `restore`."""
        highest = self._highest
        return _STATE | {
            "settings": asdict(self.settings),
            "reference": self._given.digest,
            "vectors": self._base.reference.rank is not None,
            "highest": None if highest is None else packed(highest.draws, "<f8"),
            "looks": [look.to_dict() for look in self._looks],
            "current": self._current.to_dict(),
            "horizons": self._horizons,
            "lowest": self._lowest,
            "first": self._first,
            "last": self._last,
            "notes": list(self._notes),
        }

    @classmethod
    def restore(
        cls,
        state: dict[str, Any],
        reference: DriftSample,
        *,
        training: Collection[str] = frozenset(),
    ) -> "DriftMonitor":
        """Go on where another monitor was.

        Args:
            state: what `state` gave.
            reference: the same one.
            training: as given before.

        Raises:
            BadInput: no such state, a damaged one, or one of another reference.
        """
        if not isinstance(state, dict) or {name: state.get(name) for name in _STATE} != _STATE:
            raise BadInput("this is no state of a drift monitor; begin a new one")
        if state.get("reference") != reference.digest:
            raise BadInput(
                f"the state belongs to the reference {state.get('reference')}, and this one is "
                f"{reference.digest}; begin a new state"
            )
        try:
            found = cls(reference, **state["settings"], training=training)
            if not state["vectors"]:
                found._base = Base(reference.without_vectors(), found.settings)
            if state["highest"] is not None:
                weights = np.tile(found._base.layout.weights, len(found.settings.windows))
                draws = unpacked(state["highest"], "<f8")
                found._highest = Joint(draws.reshape(found.settings.draws, len(weights)), weights)
            like = found._base.reference
            found._looks = [LookSums.from_dict(each, like) for each in state["looks"]]
            found._current = LookSums.from_dict(state["current"], like)
            columns = found._base.rows.shape[1]
            if any(look.sums.shape[1] != columns for look in (*found._looks, found._current)):
                raise BadInput("the state is of another version of nucleate; begin a new one")
            found._horizons, found._lowest = int(state["horizons"]), float(state["lowest"])
            found._first, found._last = int(state["first"]), int(state["last"])
            found._notes = tuple(state["notes"])
        except BadInput:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"the state of drift is damaged ({error}); begin a new one") from error
        return found

"""The state of a stream after some look: statistics of its windows, over the whole horizon."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from nucleate._core.arguments import check_number, check_whole
from nucleate._core.errors import BadInput
from nucleate._core.seeds import component_seed
from nucleate.monitor.drift._amounts import Halves
from nucleate.monitor.drift._anytime import Evidence, evidence, log_e
from nucleate.monitor.drift._horizon import running_totals, simulate_highest, window_statistics
from nucleate.monitor.drift._joint import Joint
from nucleate.monitor.drift._sample import DriftSample
from nucleate.monitor.drift._scan import Pool
from nucleate.monitor.drift._state import LookSums
from nucleate.monitor.drift._sums import PARTS, Layout

METHODS = ("scan", "anytime")
GROUP_SHARE = 0.2
"""Of the rate, spent on new clusters: these are permuted, the rest is simulated beforehand."""
_GROUP_TESTS = 20
_BATCH = 128
_SCORE_EDGES = (0.2, 0.5)


@dataclass(frozen=True)
class MonitorSettings:
    """How a stream is looked at; see `DriftMonitor`.

    Raises:
        BadInput: a setting is out of its range.
    """

    size: int = 100
    horizon: int = 100
    windows: tuple[int, ...] = (1, 5, 20)
    rate: float = 0.05
    method: str = "scan"
    outside: float = 0.05
    matters: float = 0.2
    draws: int = 2000
    per_day: float | int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("size", 10), ("horizon", 1), ("draws", 100), ("seed", 0)):
            check_whole(name, getattr(self, name), least=least)
        if self.horizon > 10_000:
            raise BadInput(f"horizon is {self.horizon}; give at most 10000 looks")
        if not self.windows or sorted(set(self.windows)) != list(self.windows):
            raise BadInput(
                f"windows are {self.windows}; give rising numbers of looks, as (1, 5, 20)"
            )
        for window in self.windows:
            check_whole("a window", window, least=1)
        if self.method not in METHODS:
            raise BadInput(f"method is {self.method!r}; choose one of {', '.join(METHODS)}")
        for name in ("rate", "outside", "matters"):
            value = getattr(self, name)
            check_number(name, value)
            if not 0 < value < 1:
                raise BadInput(f"{name} is {value!r}; give a number between 0 and 1, as 0.05")
        if self.per_day is not None:
            check_number("per_day", self.per_day)
            if self.per_day <= 0:
                raise BadInput(f"per_day is {self.per_day!r}; give a number above 0")
        # The highest draw of each statistic and window is an alarm under some rate at least.
        told = 1.5 * PARTS * len(self.windows) / (1 - GROUP_SHARE) / self.draws
        if self.method == "scan" and self.rate < told - 1e-9:
            raise BadInput(
                f"rate is {self.rate:g}, and {self.draws} draws cannot tell rates below "
                f"{told:.2g}; give more draws"
            )

    @property
    def group_every(self) -> int:
        """Looks from one search for new clusters to the next."""
        return -(-self.horizon // _GROUP_TESTS)

    @property
    def group_tests(self) -> int:
        """Searches for new clusters in a horizon."""
        return self.horizon // self.group_every


class Base:
    """The reference, and what follows from it and the settings alone."""

    def __init__(self, reference: DriftSample, settings: MonitorSettings) -> None:
        self.reference, self.settings = reference, settings
        counts = np.bincount(reference.cluster, minlength=len(reference.clusters))
        whole = Layout.of(
            len(reference.clusters), settings.outside, reference.rank,
            component_seed(settings.seed, "drift waves"),
        )  # fmt: skip
        self.layout = whole.without_rare(counts).with_regions([reference])
        self.rows = self.layout.rows(reference)
        self.sum = self.rows.sum(0, dtype=np.float64)
        self.halves = Halves.of(self.rows, self.rng("halves"))

    def rng(self, part: str) -> np.random.Generator:
        """A generator of the part's own."""
        return np.random.default_rng(component_seed(self.settings.seed, f"drift {part}"))

    def simulated(self) -> Joint:
        """The highest statistics of horizons without drift."""
        one = self.settings
        return Joint(
            simulate_highest(
                self.layout, self.rows, one.size, one.horizon, one.windows, one.draws,
                self.rng("horizons"),
            ),
            np.tile(self.layout.weights, len(one.windows)),
        )  # fmt: skip

    @cached_property
    def events(self) -> Int[np.ndarray, "column event"]:
        """Which columns of sums an event is counted in: a cell of clusters, or p up to an edge."""
        layout = self.layout
        ends = [layout.outside, *np.searchsorted(layout.edges, _SCORE_EDGES)]
        bins = np.arange(layout.bins)[:, None] <= np.array(ends)[None]
        found = np.zeros((self.rows.shape[1], layout.cells + len(ends)), dtype=int)
        found[: layout.cells, : layout.cells] = np.eye(layout.cells)
        found[layout.cells : layout.cells + layout.bins, layout.cells :] = bins
        return found

    @property
    def event_weights(self) -> Float[np.ndarray, "event"]:
        """Half for the cells together, half for the edges together."""
        cells = self.layout.cells
        edges = self.events.shape[1] - cells
        return np.concatenate([np.full(cells, 0.5 / cells), np.full(edges, 0.5 / edges)])

    def evidence(self, looks: Sequence[LookSums]) -> Evidence:
        """Of the anytime-valid method, after some looks."""
        counts = np.array([look.sums.sum(0) @ self.events for look in looks])
        return evidence(
            (self.sum @ self.events).round().astype(int), len(self.rows),
            counts.round().astype(int), self.settings.size, self.event_weights,
        )  # fmt: skip

    def evidence_of(
        self,
        reference: Float[np.ndarray, "set column"],
        requests: Float[np.ndarray, "set column"],
        rows: int,
    ) -> Float[np.ndarray, "set"]:
        """Of sets of requests, each against its reference, if all of them are one look."""
        counts = [(each @ self.events).round().astype(np.float64) for each in (reference, requests)]
        n = np.full(counts[1].shape, float(rows))
        logs = log_e(counts[0], float(len(self.rows)), counts[1], n)
        return np.asarray(np.exp(np.minimum(logs, 700)) @ self.event_weights / 2 + 0.5)

    def statistics(self, looks: Sequence[LookSums]) -> Float[np.ndarray, "window statistic"]:
        """Of the windows that end with the last look; -inf of those that are not full."""
        recent = looks[-max(self.settings.windows) :]
        totals = running_totals(np.array([look.sums.sum(0) for look in recent]))
        found = np.full((len(self.settings.windows), len(self.layout.statistics)), -np.inf)
        for at, window in enumerate(self.settings.windows):
            values = window_statistics(
                self.layout, self.sum, len(self.rows), totals[-window - 1 :], self.settings.size,
                window,
            )  # fmt: skip
            found[at] = values[-1] if len(values) else -np.inf
        return found

    def start(self, looks: Sequence[LookSums], statistic: str, latest: int) -> int:
        """The look, from 1 to `latest`, that parts what was before from what came since the most.

        What was before is the reference with all earlier looks.
        """
        sums = np.array([look.sums.sum(0) for look in looks])
        since = np.cumsum(sums[::-1], 0)[::-1][:latest]
        whole = self.sum + sums.sum(0)
        names = self.layout.statistics
        column = names.index(statistic if statistic in names else "outside")
        values = []
        for at, after in enumerate(since):
            n = self.settings.size * (len(looks) - at)
            m = len(self.rows) + self.settings.size * at
            values.append(self.layout.statistics_of(whole - after, m, after, n)[column])
        return 1 + int(np.argmax(values))


@dataclass(frozen=True, eq=False)
class GroupTest:
    """A search for a new cluster in the last looks.

    Attributes:
        p: of this search alone.
        value: of the scan.
        members: the requests that gather, among `outside`.
        outside: the requests outside, of these looks.
        requests: all requests of these looks.
        window: number of looks.
    """

    p: float
    value: float
    members: Int[np.ndarray, "member"]
    outside: DriftSample
    requests: int
    window: int


def search_group(base: Base, looks: Sequence[LookSums]) -> GroupTest | None:
    """Search the last looks for a new cluster; None where vectors were not kept.

    Permuted until it is plain that p is above what is spent on one search.
    """
    settings, reference = base.settings, base.reference
    recent = looks[-max(settings.windows) :]
    parts = [part for look in recent for part in look.outside]
    if not parts or reference.vectors is None:
        return None
    outside = DriftSample.joined(parts)
    known = reference.take(reference.p <= settings.outside)
    assert known.vectors is not None
    assert outside.vectors is not None
    rng = base.rng(f"group {len(looks)}")
    vectors = np.concatenate([known.vectors, outside.vectors])
    pool = Pool.of(vectors, np.ones(len(vectors), dtype=bool), rng)
    named = (np.arange(len(vectors)) >= len(known))[None]
    observed = pool.highest(named)[0]
    level = settings.rate * GROUP_SHARE / max(settings.group_tests, 1)
    draws = int(np.ceil(1 / level - 1e-9)) - 1
    higher = done = 0
    while done < draws and higher + 1 <= level * (1 + draws) + 1e-9:
        batch = rng.permuted(named.repeat(min(_BATCH, draws - done), 0), axis=1)
        higher += int((pool.highest(batch) >= observed - 1e-9).sum())
        done += len(batch)
    members = pool.group(named[0]) - len(known) if observed > 0 else np.zeros(0, dtype=int)
    requests = settings.size * len(recent)
    p = (1 + higher) / (1 + done)
    return GroupTest(p, float(observed), members, outside, requests, len(recent))

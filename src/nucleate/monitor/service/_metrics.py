"""What Prometheus reads: requests, rows by cluster, the outside share, drift, the gate."""

import threading
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import HistogramMetricFamily

TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
DRIFT_STATES = ("no drift seen", "drift", "undecided", "too few", "off", "failed")
GATE_VERDICTS = ("pass", "warn", "fail", "inconclusive", "error", "none")
_SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_P_VALUES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_LONGEST_LABEL = 100


def label_names(clusters: Sequence[str]) -> tuple[str, ...]:
    """Names of clusters as they can stand in labels and JSON: valid, not too long, all different.

    Args:
        clusters: names of an atlas, which come from data and may hold anything.
    """
    names = [printable(name) for name in clusters]
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
    return tuple(n if seen[n] == 1 else f"{n} #{code}" for code, n in enumerate(names))


def printable(name: str) -> str:
    """A name as it can be encoded, at most 100 characters of it."""
    name = name.encode("utf-8", "backslashreplace").decode()
    return name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1]}…"


class Metrics:
    """The numbers of one service, in a registry of their own.

    Label values are those of fixed lists and the clusters of the atlas that is served, so that
    no request can add a series.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._clusters: tuple[str, ...] = ()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        self._make_requests(registry)
        self._make_rows(registry)
        self._make_states(registry)

    def _make_requests(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "nucleate_requests", "Requests answered, by route and status.", ["route", "status"],
            registry=registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "nucleate_request_seconds", "From the first byte of a request to the answer's last.",
            ["route"], buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.in_flight = Gauge(
            "nucleate_requests_in_flight", "Score requests that are held now.", registry=registry
        )
        self.ready = Gauge("nucleate_ready", "1 while requests are welcome.", registry=registry)

    def _make_rows(self, registry: CollectorRegistry) -> None:
        self.rows = Counter(
            "nucleate_rows", "Rows scored, by their nearest cluster.", ["cluster"],
            registry=registry,
        )  # fmt: skip
        self.outside = Counter(
            "nucleate_rows_outside", "Rows whose p value is at most the rate: in no known cluster.",
            registry=registry,
        )  # fmt: skip
        self.p = _PValues()
        registry.register(self.p)
        self.rate = Gauge(
            "nucleate_outside_rate", "Share of known requests outside that was asked for.",
            registry=registry,
        )  # fmt: skip
        self.rate_upper = Gauge(
            "nucleate_outside_rate_upper",
            "Largest share that the atlas's calibration makes plausible for known requests "
            "(1 calibration in 1,000 gives more).",
            registry=registry,
        )

    def _make_states(self, registry: CollectorRegistry) -> None:
        self.atlas = Gauge(
            "nucleate_atlas_info", "The atlas that is served.", ["version", "stream", "position"],
            registry=registry,
        )  # fmt: skip
        self.atlas_loaded = Gauge(
            "nucleate_atlas_loaded_timestamp_seconds", "When it was loaded.", registry=registry
        )
        self.reloads = Counter(
            "nucleate_reloads", "Reloads, by what became of them.", ["outcome"], registry=registry
        )
        for outcome in ("swapped", "unchanged", "refused"):
            self.reloads.labels(outcome)
        self.drift = Gauge(
            "nucleate_drift_state", "1 for what the drift monitor says now.", ["state"],
            registry=registry,
        )  # fmt: skip
        self.drift_statistic = Gauge(
            "nucleate_drift_statistic", "Newest value of each statistic.", ["statistic"],
            registry=registry,
        )  # fmt: skip
        self.drift_threshold = Gauge(
            "nucleate_drift_threshold", "Value from which it alarms.", ["statistic"],
            registry=registry,
        )  # fmt: skip
        self.drift_looks = Gauge("nucleate_drift_looks", "Looks so far.", registry=registry)
        self.drift_lost = Counter(
            "nucleate_drift_rows_left_out", "Rows that came faster than drift could be watched.",
            registry=registry,
        )  # fmt: skip
        self.false_alarms = Gauge(
            "nucleate_false_alarms_per_month",
            "Expected number at the traffic of the last hour, were nothing to change.", ["alarm"],
            registry=registry,
        )  # fmt: skip
        self.gate = Gauge(
            "nucleate_gate_verdict", "1 for the verdict of the gate report given.", ["verdict"],
            registry=registry,
        )  # fmt: skip
        self.gate_fits = Gauge(
            "nucleate_gate_of_this_atlas", "Whether that report names the atlas in service.",
            ["version"], registry=registry,
        )  # fmt: skip

    def show_atlas(
        self, clusters: tuple[str, ...], about: Mapping[str, str], *, when: float, rate: float,
        rate_upper: float,
    ) -> None:  # fmt: skip
        """Tell of a new atlas; series of clusters that it lacks end."""
        with self._lock:
            for gone in set(self._clusters) - set(clusters):
                self.rows.remove(gone)
            for name in clusters:
                self.rows.labels(name)
            self._clusters = clusters
        self.atlas.clear()
        self.atlas.labels(**about).set(1)
        self.atlas_loaded.set(when)
        self.rate.set(rate)
        self.rate_upper.set(rate_upper)

    def count_rows(
        self,
        names: Sequence[str],
        cluster: Int[np.ndarray, "row"],
        p: Float[np.ndarray, "row"],
        outside: Bool[np.ndarray, "row"],
    ) -> None:
        """Add scored rows; of an atlas that was just replaced, those in clusters still known."""
        counts = np.bincount(cluster, minlength=len(names)).tolist()
        with self._lock:
            known = None if names is self._clusters else set(self._clusters)
            for name, count in zip(names, counts, strict=True):
                if count and (known is None or name in known):
                    self.rows.labels(name).inc(count)
        self.outside.inc(int(outside.sum()))
        self.p.add(p)

    def show_drift_state(self, state: str) -> None:
        """Tell what the drift monitor says; `off` where there is none."""
        for name in DRIFT_STATES:
            self.drift.labels(name).set(name == state)

    def show_gate(self, verdict: str, version: str, fits: bool | None) -> None:
        """Tell what the gate said; `none` where no report was given.

        Args:
            verdict: of the report.
            version: of the atlas in service.
            fits: whether the report names it; None where it names none.
        """
        for name in GATE_VERDICTS:
            self.gate.labels(name).set(name == verdict)
        self.gate_fits.clear()
        if fits is not None:
            self.gate_fits.labels(version).set(fits)

    def text(self) -> bytes:
        """All numbers, as Prometheus reads them."""
        text: bytes = generate_latest(self._registry)
        return text


class _PValues:
    """A histogram that takes the p values of a batch at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = np.zeros(len(_P_VALUES), dtype=np.int64)
        self._sum = 0.0

    def add(self, p: Float[np.ndarray, "row"]) -> None:
        places = np.searchsorted(_P_VALUES, p).clip(max=len(_P_VALUES) - 1)
        with self._lock:
            self._counts += np.bincount(places, minlength=len(_P_VALUES))
            self._sum += float(p.sum())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        with self._lock:
            below, total = self._counts.cumsum(), self._sum
        buckets = [(str(edge), float(n)) for edge, n in zip(_P_VALUES, below, strict=True)]
        yield HistogramMetricFamily(
            "nucleate_row_p",
            "p values of rows: spread evenly while the traffic is that of the reference.",
            buckets=[*buckets, ("+Inf", float(below[-1]))],
            sum_value=total,
        )

"""One look: requests against a reference, once."""

from collections.abc import Callable, Collection

import numpy as np
from jaxtyping import Bool, Float

from nucleate._core.arguments import check_number, check_whole
from nucleate._core.errors import BadInput
from nucleate._core.seeds import component_seed
from nucleate.monitor.drift._amounts import Halves, amounts, cluster_shifts, describe_group
from nucleate.monitor.drift._joint import Joint
from nucleate.monitor.drift._power import detectable
from nucleate.monitor.drift._report import Detectable, DriftReport, DriftVerdict, NewGroup, Signal
from nucleate.monitor.drift._sample import DriftSample, refuse_training_rows
from nucleate.monitor.drift._scan import Pool
from nucleate.monitor.drift._sums import PARTS, Layout

FEWEST_TESTED = 10
FEWEST_REQUESTS = 30
FEWEST_REFERENCE = 100
_BATCH = 128


def drift(
    reference: DriftSample,
    requests: DriftSample,
    *,
    rate: float = 0.05,
    outside: float = 0.05,
    matters: float = 0.2,
    training: Collection[str] = frozenset(),
    draws: int = 999,
    per_day: float | int | None = None,
    seed: int = 0,
) -> DriftReport:
    """Test once whether requests come from where the reference comes from.

    Six statistics at one level: shares of clusters, shares of regions of clusters, share outside,
    distribution of the scores, states within clusters, and a group outside. Rows of both samples
    are pooled and told apart anew at random (`draws` times), which carries the reference's own
    uncertainty; the smallest p over the six is judged against the same of each draw.

    A test that is repeated every day at 5 % alarms once in 20 days without drift: for repeated
    looks use `DriftMonitor`. Rows are taken as independent: one user's hundred requests in a row
    are not, and look like drift.

    Args:
        reference: rows that the atlas was neither fitted nor calibrated on.
        requests: scored by the same atlas.
        rate: of false alarms of this one test.
        outside: p from which down a request belongs to no cluster.
        matters: the share of requests whose moving matters. Where it would be found in fewer than 9
            of 10 cases, a quiet test is `undecided`.
        training: hashes of training texts; refused in the reference, left out of the requests.
        draws: permutations.
        per_day: requests a day, for the expected number of false alarms; by default from the
            requests' times, where they have any.
        seed: of all draws.

    Raises:
        BadInput: no requests, another atlas, rates out of range, too few draws for the rate, or
            training rows in the reference.
    """
    check_settings(rate=rate, outside=outside, matters=matters, per_day=per_day)
    check_whole("seed", seed, least=0)
    # A new group has a part too.
    check_whole("draws", draws, least=int(np.ceil((PARTS + 1) / rate - 1e-9)) - 1)
    requests, notes = ready(reference, requests, training)
    inputs = named_inputs(reference, requests)
    per_day = requests.per_day if per_day is None else per_day
    month = None if per_day is None or not len(requests) else rate * 30 * per_day / len(requests)
    if min(len(requests), len(reference)) < FEWEST_TESTED:
        return DriftReport(
            DriftVerdict.TOO_FEW, None, rate, "one look", len(requests), len(reference),
            false_alarms_a_month=month, inputs=inputs, notes=notes,
        )  # fmt: skip
    reference, requests = alike(reference, requests)
    rank = requests.rank
    layout = Layout.of(
        len(reference.clusters), outside, rank, component_seed(seed, "drift waves")
    ).with_regions([reference, requests])
    tested = _Tested(layout, reference, requests, outside, draws, seed)
    p = tested.joint.p_values(tested.observed)
    limits = tested.joint.critical(rate)
    rng = np.random.default_rng(component_seed(seed, "drift power"))
    smallest = detectable(
        layout, tested.rows[: len(reference)], reference.cluster, len(requests),
        tested.beyond(limits), rng,
    )  # fmt: skip
    group = tested.group() if rank is not None and p[-1] <= rate else None
    return DriftReport(
        verdict=verdict(float(p.min()) <= rate, len(reference), len(requests), smallest, matters),
        p=float(p.min()),
        rate=rate,
        method="one look",
        requests=len(requests),
        reference=len(reference),
        signals=tested.signals(p, limits, rate),
        clusters=cluster_shifts(
            reference.clusters,
            np.bincount(reference.cluster, minlength=len(reference.clusters)),
            np.bincount(requests.cluster, minlength=len(reference.clusters)),
        ),
        new_group=group,
        detectable=smallest,
        false_alarms_a_month=month,
        inputs=inputs,
        notes=notes,
    )


class _Tested:
    """Statistics of both samples as they are, and with their rows told apart at random."""

    def __init__(
        self,
        layout: Layout,
        reference: DriftSample,
        requests: DriftSample,
        outside: float,
        draws: int,
        seed: int,
    ) -> None:
        self.layout, self.reference, self.requests = layout, reference, requests
        self.rows = np.concatenate([layout.rows(reference), layout.rows(requests)])
        m, n = len(reference), len(requests)
        self.rng = np.random.default_rng(component_seed(seed, "drift permutations"))
        self.pool = None
        if reference.vectors is not None and requests.vectors is not None:
            vectors = np.concatenate([reference.vectors, requests.vectors])
            out = np.concatenate([reference.p, requests.p]) <= outside
            self.pool = Pool.of(vectors, out, self.rng)
        apart = np.arange(m + n)[None] >= m
        drawn = [self._drawn(min(_BATCH, draws - at)) for at in range(0, draws, _BATCH)]
        values = np.concatenate([self._values(apart), *drawn])
        weights = layout.weights if self.pool is None else np.append(layout.weights, 1.0)
        self.observed, self.joint = values[0], Joint(values[1:], weights)

    def _drawn(self, draws: int) -> Float[np.ndarray, "draw statistic"]:
        """Statistics where as many rows as there are requests are called so at random."""
        named = np.zeros((draws, len(self.rows)), dtype=bool)
        for draw in named:
            rows = self.rng.choice(len(self.rows), len(self.requests), replace=False, shuffle=False)
            draw[rows] = True
        return self._values(named)

    def _values(self, named: Bool[np.ndarray, "draw row"]) -> Float[np.ndarray, "draw statistic"]:
        """Statistics where some rows are called requests, the others reference."""
        m, n = len(self.reference), len(self.requests)
        sums = (named.astype(np.float32) @ self.rows).astype(np.float64)
        total = self.rows.sum(0, dtype=np.float64)
        values = self.layout.statistics_of(total - sums, m, sums, n)
        if self.pool is None:
            return values
        return np.column_stack([values, self.pool.highest(named)])

    def beyond(self, limits: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """Which pairs of sums are an alarm, by the statistics of sums."""
        m, n = len(self.reference), len(self.requests)
        least = limits[: len(self.layout.statistics)]
        return lambda one, other: np.asarray(
            (self.layout.statistics_of(one, m, other, n) >= least).any(-1)
        )

    def group(self) -> NewGroup:
        """The requests that gather outside."""
        assert self.pool is not None
        m, n = len(self.reference), len(self.requests)
        members = self.pool.group(np.arange(m + n) >= m) - m
        return describe_group(self.reference, self.requests, members, n)

    def signals(self, p: np.ndarray, limits: np.ndarray, rate: float) -> tuple[Signal, ...]:
        """One for each statistic."""
        m = len(self.reference)
        names = [*self.layout.statistics, *(["new group"] if self.pool is not None else [])]
        halves = [Halves.of(part, self.rng) for part in (self.rows[:m], self.rows[m:])]
        sizes = amounts(self.layout, halves[0], halves[1], self.rows[:m])
        return tuple(
            Signal(
                name, float(self.observed[at]), float(p[at]), float(limits[at]),
                bool(p[at] <= rate), *sizes.get(name, (None, None, None, "")),
            )
            for at, name in enumerate(names)
        )  # fmt: skip


def verdict(
    found: bool,
    reference: int,
    requests: int,
    smallest: tuple[Detectable, ...],
    matters: float,
) -> DriftVerdict:
    """What may be said: of nothing found, only where a shift that matters would have been."""
    if found:
        return DriftVerdict.DRIFT
    if requests < FEWEST_REQUESTS or reference < FEWEST_REFERENCE:
        return DriftVerdict.TOO_FEW
    seen = all(each.share is not None and each.share <= matters for each in smallest)
    return DriftVerdict.NO_DRIFT_SEEN if seen else DriftVerdict.UNDECIDED


def ready(
    reference: DriftSample, requests: DriftSample, training: Collection[str]
) -> tuple[DriftSample, tuple[str, ...]]:
    """Requests that may be compared with the reference, and what is to be said about the others.

    Raises:
        BadInput: there is no row in one of them, they are of different atlases, or the reference
            holds training rows.
    """
    reference.check_same_atlas(requests, "the requests")
    if not len(requests):
        raise BadInput("there are no requests to look at; give a scored folder with rows")
    if not len(reference):
        raise BadInput("the reference has no rows; fit the atlas with a reference split")
    refuse_training_rows(reference, training)
    notes = []
    known = np.array([each in training for each in requests.hashes], dtype=bool)
    if training and known.any():
        # The reference has no such rows, so that they would look like drift towards it.
        notes.append(f"left out: {known.sum()} requests that are training rows word for word")
        requests = requests.take(~known)
    if reference.rank is None or requests.rank is None:
        notes.append(
            "not looked at, as vectors were not kept: states within clusters, new clusters"
        )
    if len(reference) < FEWEST_REFERENCE:
        notes.append(f"the reference is small: {len(reference)} rows, {FEWEST_REFERENCE} are asked")
    return requests, tuple(notes)


def alike(reference: DriftSample, requests: DriftSample) -> tuple[DriftSample, DriftSample]:
    """Both with vectors, or both without."""
    if reference.rank is not None and requests.rank is not None:
        return reference, requests
    return reference.without_vectors(), requests.without_vectors()


def named_inputs(reference: DriftSample, requests: DriftSample | None = None) -> dict[str, str]:
    """Which atlas and which rows a report is about."""
    found = {"atlas": reference.atlas, "reference": reference.digest}
    return found if requests is None else found | {"requests": requests.digest}


def check_settings(
    *, rate: float, outside: float, matters: float, per_day: float | int | None
) -> None:
    """Refuse rates that are none.

    Raises:
        BadInput: one is out of its range.
    """
    for name, value in (("rate", rate), ("outside", outside), ("matters", matters)):
        check_number(name, value)
        if not 0 < value < 1:
            raise BadInput(f"{name} is {value!r}; give a number between 0 and 1, as 0.05")
    if per_day is not None:
        check_number("per_day", per_day)
        if per_day <= 0:
            raise BadInput(f"per_day is {per_day!r}; give a number of requests above 0")

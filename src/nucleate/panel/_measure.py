"""measure: from snapshots to a panel."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from nucleate.panel._assemble import Chain, Nulls, assemble
from nucleate.panel._cache import Shards, key_of
from nucleate.panel._columns import Result
from nucleate.panel._layout import Layout, layout
from nucleate.panel._metric import Metric
from nucleate.panel._metric_input import VIEWS, Effort, Stopwatch
from nucleate.panel._nulls import (
    ControlLabels,
    Gaussian,
    Null,
    Permuted,
    Scrambled,
    SurfaceText,
    Untrained,
    missing_nulls,
)
from nucleate.panel._panel import Panel
from nucleate.panel._registry import choose_metrics
from nucleate.panel._source import (
    Memory,
    OfRun,
    Unit,
    check_alike,
    fingerprint_of,
    part_of,
    source_of,
)
from nucleate.panel._step import Bench, as_long
from nucleate.prompts import PromptSet
from nucleate.runs import Run, States

_STREAMS_TOGETHER = 8
"""Streams of one unit: enough to be measured at one go, few enough to give workers work."""

Progress = Callable[[int, int], None]


def measure(
    source: Run | States | Iterable[tuple[int, States]],
    prompts: PromptSet | None = None,
    *,
    nulls: Sequence[Null] | None = None,
    metrics: Sequence[str | Metric] | None = None,
    bootstraps: int = 200,
    restarts: int = 20,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Panel:
    """Measure every snapshot, stream and position, each number beside its nulls.

    Rows with equal tokens up to a position are one state there and are read once; rows of the
    splits unseen_family and unseen_input are left out. K of k-means is the number of classes of
    the label at hand. Each step starts k-means from the clusters of the step before as well as
    afresh.

    Of a run, what is measured stays in its folder (`panel/`, and the tables of `Panel.save`):
    measuring again takes up new snapshots only, and goes on where it was stopped. Other metrics
    or settings measure anew; N1, N2 and N4 are laid beside what is there.

    Args:
        source: a run; or the states of one model; or (step, states) in rising order. Any dtype.
        prompts: the rows, their labels and positions; of a run its own. It needs the label `task`;
            `family`, `input`, `output`, `instruction` and any others are used where they are.
        nulls: rungs of the ladder; by default `default_nulls` of the source.
        metrics: names or metrics; None for all that are not on request, `all` for every one.
        bootstraps: resamples of the instruction strings for intervals; 0 leaves them out.
        restarts: how good k-means must be, as scikit-learn's `n_init`.
        seed: of k-means, permutations, halves and resamples.
        workers: places measured side by side; by default torch's threads. The numbers are the
            same whatever their number.
        progress: called with (done, total) after each step of each unit of work.

    Returns:
        The panel; `Panel.missing` names the nulls that are not in it, with what they need.

    Raises:
        BadInput: no snapshots; states of other rows, streams or positions than expected; a prompt
            set without tasks, or with no more rows than tasks.

    Examples:
        States of two tasks, three instruction strings each, far apart at one place:

        >>> import nucleate as nc
        >>> import torch
        >>> rows = [{"ids": [1 + i, 9], "task": "ab"[i % 2], "instruction": str(i)}
        ...         for i in range(6)]
        >>> prompts = nc.PromptSet.from_records(rows, None, positions="last")
        >>> values = torch.tensor([[0.0, 1], [9, 0], [1, 0], [9, 1], [0, 0], [8, 1]])
        >>> states = nc.States(values[None, None], ("embed",), ("last",))
        >>> panel = nc.measure(states, prompts, metrics=["agreement"], nulls=(), bootstraps=0)
        >>> table = panel.table.query("metric == 'ari' and label == 'task' and view == 'raw'")
        >>> table.query("half == 'all'")["value"].tolist()
        [1.0]
    """
    given = source_of(source, prompts)
    ladder = default_nulls(source) if nulls is None else tuple(nulls)
    chosen = choose_metrics(metrics)
    settings = _Settings.of(ladder, bootstraps, restarts, seed)
    work = _Work(given, settings, chosen, progress)
    chains = work.done(workers or torch.get_num_threads())
    scrambled = next((null.panel for null in ladder if isinstance(null, Scrambled)), None)
    with work.watch("table"):
        panel = assemble(
            given.steps,
            given.streams,
            chains,
            scrambled=scrambled,
            missing=missing_nulls(ladder, [metric.name for metric in chosen]),
            seconds=work.watch.seconds,
        )
    if given.folder is not None:
        panel.save(given.folder)
    return panel


def default_nulls(source: object = None) -> tuple[Null, ...]:
    """N0, N2 and N5, and N1 where the source is a run that has states of untrained models."""
    untrained = source.untrained() if isinstance(source, Run) else []
    n1 = (Untrained(tuple(untrained)),) if untrained else ()
    return (Permuted(), *n1, SurfaceText(), ControlLabels())


@dataclass(frozen=True)
class _Settings:
    """What is drawn while a step is measured."""

    permutations: int
    bootstraps: int
    effort: Effort
    untrained: tuple[States, ...]
    surface: bool

    @classmethod
    def of(cls, ladder: Sequence[Null], bootstraps: int, restarts: int, seed: int) -> "_Settings":
        drawn = {
            null.name: null.draws
            for null in ladder
            if isinstance(null, Permuted | Gaussian | ControlLabels)
        }
        models = [
            states for null in ladder if isinstance(null, Untrained) for states in null.states
        ]
        return cls(
            permutations=drawn.get("N0", 0),
            bootstraps=bootstraps,
            effort=Effort(restarts, seed, drawn.get("N3", 0), drawn.get("N5", 0)),
            untrained=tuple(models),
            surface=any(isinstance(null, SurfaceText) for null in ladder),
        )


class _Stopped(Exception):
    """Another worker failed, or the user stopped it: this one has no more to do."""


class _Work:
    """All units of one call."""

    def __init__(
        self,
        source: Memory | OfRun,
        settings: _Settings,
        metrics: Sequence[Metric],
        progress: Progress | None,
    ) -> None:
        self._source, self._settings, self._metrics = source, settings, metrics
        self._progress, self._shards = progress, Shards(source.folder)
        self._fingerprints = {step: source.fingerprint(step) for step in source.steps}
        self._surface = settings.surface
        for number, states in enumerate(settings.untrained):
            check_alike(states, source, f"untrained model {number}")
        self.watch = Stopwatch()
        with self.watch("layout"):
            self._layouts = {position: self._layout(position) for position in source.positions}
        self._units = self._cut()
        self._lock, self._stop, self._count = threading.Lock(), threading.Event(), 0

    def done(self, workers: int) -> list[Chain]:
        """Measure every unit, `workers` at a time, each on one thread of its own.

        The operations are small: two units side by side scale, two threads in one do not. And
        numbers that depend on how an operation is cut into threads would differ between machines.
        """
        from joblib import Parallel, delayed
        from threadpoolctl import threadpool_limits

        threads = torch.get_num_threads()
        try:
            with threadpool_limits(1):
                # Threads: torch lets go of the interpreter, and nothing is copied or started.
                follow = (delayed(self._follow)(unit) for unit in self._units)
                return list(Parallel(n_jobs=workers, backend="threading")(follow))
        finally:
            torch.set_num_threads(threads)

    def _layout(self, position: str) -> Layout:
        return layout(
            self._source.prompts,
            position,
            permutations=self._settings.permutations,
            bootstraps=self._settings.bootstraps,
            seed=self._settings.effort.seed,
        )

    def _cut(self) -> list[Unit]:
        """The units of work, the largest first: they are what workers wait for."""
        count = len(self._source.streams)
        units = [
            Unit(position, view, slice(start, min(start + _STREAMS_TOGETHER, count)))
            for position in self._source.positions
            for view in VIEWS
            for start in range(0, count, _STREAMS_TOGETHER)
        ]
        return sorted(units, key=lambda unit: -len(self._layouts[unit.position].rows))

    def _follow(self, unit: Unit) -> Chain:
        """Measure one unit from the first step to the last."""
        torch.set_num_threads(1)
        bench = Bench(
            self._layouts[unit.position], unit.view, self._metrics, self._settings.effort,
            Stopwatch(),
        )  # fmt: skip
        try:
            chain = self._chain(unit, bench)
        except BaseException:
            self._stop.set()
            raise
        with self._lock:
            for part, seconds in bench.watch.seconds.items():
                self.watch.seconds[part] += seconds
        return chain

    def _chain(self, unit: Unit, bench: Bench) -> Chain:
        key = self._first_key(unit)
        nulls = self._nulls(unit, bench, key)
        looks_back = any(metric.name == "to_first" for metric in self._metrics)
        results: list[Result] = []
        for step in self._source.steps:
            key = key_of(key, step, self._fingerprints[step])
            result = self._shards.load(unit, str(step), key)
            if result is None:
                first = self._source.read(self._source.steps[0], unit) if looks_back else None
                warm = as_long(results[-1].clusters) if results else {}
                result = bench.result(self._source.read(step, unit), warm=warm, first=first)
                with bench.watch("files"):
                    self._shards.save(unit, str(step), key, result)
            results.append(result)
            self._tick()
        return Chain(unit, results, nulls)

    def _first_key(self, unit: Unit) -> str:
        return key_of(
            self._source.prompts.content_hash(), unit, self._source.streams,
            [f"{metric.name} {metric.version}" for metric in self._metrics],
            self._settings.permutations, self._settings.bootstraps, self._settings.effort,
        )  # fmt: skip

    def _nulls(self, unit: Unit, bench: Bench, key: str) -> Nulls:
        """N1 and N2, which do not change from step to step."""
        n1_key = key_of(key, fingerprint_of(self._settings.untrained))
        n1 = self._shards.load_strengths(unit, "n1", n1_key)
        if n1 is None:
            n1 = bench.untrained(part_of(states, unit) for states in self._settings.untrained)
            self._shards.save_strengths(unit, "n1", n1_key, n1)
        if not self._settings.surface:
            return Nulls(n1, {})
        n2 = self._shards.load_strengths(unit, "n2", key)
        if n2 is None:
            n2 = bench.surface(self._source.prompts, unit.position)
            self._shards.save_strengths(unit, "n2", key, n2)
        return Nulls(n1, n2)

    def _tick(self) -> None:
        with self._lock:
            self._count += 1
            if self._progress is not None:
                self._progress(self._count, len(self._units) * len(self._source.steps))
        if self._stop.is_set():
            raise _Stopped

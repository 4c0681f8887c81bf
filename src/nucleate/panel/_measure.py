"""measure: from snapshots to a panel."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from nucleate._core.arguments import as_path, check_whole
from nucleate._core.errors import BadInput
from nucleate._core.threads import side_by_side
from nucleate.panel._assemble import Nulls, UnitResults, assemble
from nucleate.panel._cache import Shards, Strengths, key_of
from nucleate.panel._columns import Result
from nucleate.panel._keyframes import joined, keyframes_of, unmeasured
from nucleate.panel._layout import Layout, layout
from nucleate.panel._metric import Metric
from nucleate.panel._metric_input import VIEWS, Effort, Stopwatch
from nucleate.panel._nulls import (
    LADDER,
    ControlLabels,
    Gaussian,
    Null,
    Permuted,
    Scrambled,
    SurfaceText,
    Untrained,
    missing_nulls,
)
from nucleate.panel._own_nulls import content_of, own_layouts
from nucleate.panel._panel import Panel
from nucleate.panel._registry import choose_metrics
from nucleate.panel._settings import PanelSettings, settings_of
from nucleate.panel._several import join_panels, runs_in
from nucleate.panel._source import (
    Memory,
    OfRun,
    Snapshots,
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
    source: Run | str | Path | Snapshots | Sequence[Run | str | Path],
    prompts: PromptSet | None = None,
    *,
    nulls: Sequence[Null] | Null | None = None,
    metrics: Sequence[str | Metric] | str | Metric | None = None,
    n_bootstraps: int | None = None,
    n_init: int | None = None,
    keyframes: int | None = None,
    seed: int | None = None,
    n_jobs: int | None = None,
    progress: Progress | None = None,
    out: Path | str | None = None,
) -> Panel:
    """Measure every snapshot, stream and position, each number beside its nulls.

    Rows with equal tokens up to a position are one state there and are read once; rows of the
    splits unseen_family and unseen_input are left out. K of k-means is the number of classes of
    the label at hand. Each step starts k-means from the clusters of the step before as well as
    afresh. Metrics that take long are measured at keyframes only: at the first step, the last, and
    others evenly spaced in the order of the recorded steps; elsewhere their rows are NaN with the
    note `not measured: no keyframe`.

    Of a run, what is measured stays in its folder (`panel/`, and the tables of `Panel.save`):
    measuring again takes up new snapshots only, and resumes where it was stopped. Other metrics
    or settings measure anew; N1, N2 and N4 are laid beside what is there.

    Args:
        source: a run or its folder; or the states of one model; or pairs (step, states), or a
            mapping from step to states, in rising order. Any dtype and device; the numbers are
            computed on the CPU. Or a list of runs: each is measured into its own folder.
        prompts: the rows, their labels and positions; of a run its own. It needs the label `task`;
            `family`, `input`, `output`, `instruction` and any others are used where they are.
        nulls: rungs of the ladder, or one.
        metrics: names or metrics, or one; `all` for every one.
        n_bootstraps: resamples of the instruction strings for intervals; 0 leaves them out.
        n_init: how good k-means must be, as scikit-learn's `n_init`.
        keyframes: how many steps are keyframes, at least 2; with as many as there are snapshots,
            everything is measured at every snapshot.
        seed: of k-means, permutations, halves and resamples.
        n_jobs: places measured side by side, -1 for all cores; by default torch's threads. The
            numbers are the same whatever their number.
        progress: called with (done, total) after each step of each unit of work.
        out: of a run, the folder that is written into; by default the run's own.

        What is None of nulls, metrics, n_bootstraps, n_init, keyframes and seed is the run's own
        setting: that of its configuration, else of the panel that is in its folder. Else it is
        `default_nulls`, the metrics that are not on request, 200, 20, 5 and 0.

    Returns:
        The panel; `Panel.missing` names the nulls that are not in it, with what they need. Of a
        list of runs one panel, with the column `run` in front and without draws.

    Raises:
        BadInput: no snapshots; states of other rows, streams or positions than expected; a prompt
            set without tasks, or with no more rows than tasks; fewer than two keyframes; a null of
            your own with the name of another or with labels that do not fit.

    Examples:
        States of two tasks, three instruction strings each, far apart at one place:

        >>> import nucleate as nc
        >>> import torch
        >>> rows = [{"ids": [1 + i, 9], "task": "ab"[i % 2], "instruction": str(i)}
        ...         for i in range(6)]
        >>> prompts = nc.PromptSet.from_records(rows, None, positions="last")
        >>> values = torch.tensor([[0.0, 1], [9, 0], [1, 0], [9, 1], [0, 0], [8, 1]])
        >>> states = nc.States(values[None, None], ("embed",), ("last",))
        >>> panel = nc.measure(states, prompts, metrics=["agreement"], nulls=(), n_bootstraps=0)
        >>> table = panel.table.query("metric == 'ari' and label == 'task' and view == 'raw'")
        >>> table.query("half == 'all'")["value"].tolist()
        [1.0]
    """
    out = None if out is None else as_path("out", out)
    if several := runs_in(source):
        options: dict[str, Any] = {
            "nulls": nulls, "metrics": metrics, "n_bootstraps": n_bootstraps, "n_init": n_init,
            "keyframes": keyframes, "seed": seed, "n_jobs": n_jobs, "progress": progress,
        }  # fmt: skip
        return join_panels(several, [measure(run, prompts, **options) for run in several])
    if isinstance(source, str | Path):
        source = Run(source)
    given = source_of(cast("Run | Snapshots", source), prompts)
    if out is not None and given.folder is not None:
        given.folder = out
    if n_jobs not in (None, -1):
        check_whole("n_jobs", n_jobs, least=1)
    wanted = _listed(metrics)
    own = settings_of(source) if isinstance(source, Run) else PanelSettings()
    ladder = _ladder(source, own, _listed(nulls))
    settings = replace(
        own.with_ladder(ladder),
        metrics=own.metrics if wanted is None else tuple(
            it.name if isinstance(it, Metric) else it for it in wanted
        ),
        n_bootstraps=own.n_bootstraps if n_bootstraps is None else n_bootstraps,
        n_init=own.n_init if n_init is None else n_init,
        keyframes=own.keyframes if keyframes is None else keyframes,
        seed=own.seed if seed is None else seed,
    )  # fmt: skip
    chosen = choose_metrics(settings.metrics if wanted is None else wanted)
    work = _Work(given, _Drawn.of(settings, ladder), chosen, progress)
    chains = work.done(n_jobs)
    scrambled = next((null.panel for null in ladder if isinstance(null, Scrambled)), None)
    with work.watch("table"):
        panel = assemble(
            given.steps,
            given.streams,
            chains,
            scrambled=scrambled,
            missing=missing_nulls(ladder, [metric.name for metric in chosen]),
            seconds=work.watch.seconds,
            settings=settings.as_json(),
        )
    if given.folder is not None:
        panel.save(given.folder)
    return panel


def default_nulls(source: object = None) -> tuple[Null, ...]:
    """N0, N2 and N5, and N1 where the source is a run that has states of untrained models."""
    return PanelSettings().ladder(source if isinstance(source, Run) else None)


def _listed(given: Any) -> Any:
    """What may be one or several, as several."""
    return given if given is None or isinstance(given, list | tuple) else [given]


def _ladder(source: object, own: PanelSettings, nulls: Sequence[Null] | None) -> tuple[Null, ...]:
    if nulls is None:
        return own.ladder(source if isinstance(source, Run) else None)
    if strange := [null for null in nulls if not isinstance(null, Null)]:
        raise BadInput(
            f"{strange[0]!r} is no null; give objects such as nc.panel.Permuted(999), which is N0"
        )
    names = [null.name for null in nulls]
    for null in nulls:
        ours = any(type(null) is rung for rung in LADDER)
        if names.count(null.name) > 1 or (not ours and null.name in {it.name for it in LADDER}):
            raise BadInput(
                f"two nulls are named {null.name!r}; give each a name of its own, other than "
                f"{', '.join(rung.name for rung in LADDER)}"
            )
    return tuple(nulls)


@dataclass(frozen=True)
class _Drawn:
    """What is drawn while a step is measured."""

    permutations: int
    bootstraps: int
    keyframes: int
    effort: Effort
    untrained: tuple[States, ...]
    surface: bool
    others: tuple[Null, ...]

    @classmethod
    def of(cls, settings: PanelSettings, ladder: Sequence[Null]) -> "_Drawn":
        drawn = {
            null.name: null.size
            for null in ladder
            if isinstance(null, Permuted | Gaussian | ControlLabels)
        }
        models = [
            states for null in ladder if isinstance(null, Untrained) for states in null.states
        ]
        return cls(
            permutations=drawn.get("N0", 0),
            bootstraps=settings.n_bootstraps,
            keyframes=settings.keyframes,
            effort=Effort(settings.n_init, settings.seed, drawn.get("N3", 0), drawn.get("N5", 0)),
            untrained=tuple(models),
            surface=any(isinstance(null, SurfaceText) for null in ladder),
            others=tuple(null for null in ladder if type(null) not in LADDER),
        )


class _Stopped(Exception):
    """Another worker failed, or the user stopped it: this one has no more to do."""


class _Work:
    """All units of one call."""

    def __init__(
        self,
        source: Memory | OfRun,
        drawn: _Drawn,
        metrics: Sequence[Metric],
        progress: Progress | None,
    ) -> None:
        self._source, self._drawn = source, drawn
        self._every = [metric for metric in metrics if not metric.keyframes]
        self._at_keyframes = [metric for metric in metrics if metric.keyframes]
        self._keys = {metric.name: metric.key for metric in metrics}
        self._keyframes = keyframes_of(source.steps, drawn.keyframes)
        self._progress, self._shards = progress, Shards(source.folder)
        self._fingerprints = {step: source.fingerprint(step) for step in source.steps}
        self._others = {null.name: tuple(null.models()) for null in drawn.others}
        for number, states in enumerate(drawn.untrained):
            check_alike(states, source, f"untrained model {number}")
        for name, models in self._others.items():
            for number, states in enumerate(models):
                check_alike(states, source, f"model {number} of the null {name}")
        self.watch = Stopwatch()
        with self.watch("layout"):
            self._layouts = {position: self._layout(position) for position in source.positions}
            self._own = {
                position: own_layouts(where, drawn.others, drawn.effort.seed)
                for position, where in self._layouts.items()
            }
        self._units = self._cut()
        self._lock, self._stop, self._count = threading.Lock(), threading.Event(), 0
        each = len(source.steps) + (len(self._keyframes) if self._at_keyframes else 0)
        self._total = each * len(self._units)

    def done(self, n_jobs: int | None) -> list[UnitResults]:
        """Measure every unit, `n_jobs` at a time."""
        return side_by_side(self._follow, self._units, n_jobs)

    def _layout(self, position: str) -> Layout:
        return layout(
            self._source.prompts,
            position,
            n_permutations=self._drawn.permutations,
            n_bootstraps=self._drawn.bootstraps,
            seed=self._drawn.effort.seed,
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

    def _follow(self, unit: Unit) -> UnitResults:
        """Measure one unit from the first step to the last."""
        watch = Stopwatch()
        try:
            chain = self._chain(unit, watch)
        except BaseException:
            self._stop.set()
            raise
        with self._lock:
            for part, seconds in watch.seconds.items():
                self.watch.seconds[part] += seconds
        return chain

    def _chain(self, unit: Unit, watch: Stopwatch) -> UnitResults:
        """One unit at all steps, with what is measured at keyframes joined to it."""
        every, nulls = self._results(unit, self._every, self._source.steps, "", watch)
        if not self._at_keyframes:
            return UnitResults(unit, [every[step] for step in self._source.steps], nulls)
        rare, rare_nulls = self._results(
            unit, self._at_keyframes, self._keyframes, ".keyframe", watch
        )
        blank = unmeasured(rare[self._source.steps[0]])
        results = [joined(every[step], rare.get(step, blank)) for step in self._source.steps]
        return UnitResults(unit, results, _both(nulls, rare_nulls))

    def _results(
        self, unit: Unit, metrics: Sequence[Metric], steps: Sequence[int], kind: str,
        watch: Stopwatch,
    ) -> tuple[dict[int, Result], Nulls]:  # fmt: skip
        """Some metrics of one unit at some steps, each from the clusters of the one before."""
        bench = Bench(
            self._layouts[unit.position], unit.view, metrics, self._drawn.effort, watch,
            self._own[unit.position],
        )  # fmt: skip
        key = self._first_key(unit, metrics)
        nulls = self._nulls(unit, bench, key, kind)
        key = key_of(key, *(content_of(own) for own in bench.own.items()))
        looks_back = any(metric.name == "to_first" for metric in metrics)
        results: dict[int, Result] = {}
        warm: Mapping[str, torch.Tensor] = {}
        for step in steps:
            key = key_of(key, step, self._fingerprints[step])
            result = self._shards.load(unit, f"{step}{kind}", key)
            if result is None:
                first = self._source.read(self._source.steps[0], unit) if looks_back else None
                result = bench.result(self._source.read(step, unit), warm=warm, first=first)
                with watch("files"):
                    self._shards.save(unit, f"{step}{kind}", key, result)
            warm = as_long(result.clusters)
            results[step] = result
            self._tick()
        return results, nulls

    def _first_key(self, unit: Unit, metrics: Sequence[Metric]) -> str:
        return key_of(
            self._source.prompts.content_hash(), unit, self._source.streams,
            [self._keys[metric.name] for metric in metrics],
            self._drawn.permutations, self._drawn.bootstraps, self._drawn.effort,
        )  # fmt: skip

    def _nulls(self, unit: Unit, bench: Bench, key: str, kind: str) -> Nulls:
        """N1, N2 and the user's own models, which do not change from step to step."""

        def kept(name: str, key: str, make: Callable[[], Strengths]) -> Strengths:
            found = self._shards.load_strengths(unit, f"{name}{kind}", key)
            if found is None:
                found = make()
                self._shards.save_strengths(unit, f"{name}{kind}", key, found)
            return found

        def most(name: str, models: Sequence[States]) -> Strengths:
            return kept(
                name.lower(),
                key_of(key, fingerprint_of(models)),
                lambda: bench.most((part_of(states, unit) for states in models), name),
            )

        n1 = most("N1", self._drawn.untrained)
        others = {
            f"{name.lower()}_max": most(name, models)
            for name, models in self._others.items()
            if models
        }
        if not self._drawn.surface:
            return Nulls(n1, {}, others)
        surface = kept("n2", key, lambda: bench.surface(self._source.prompts, unit.position))
        return Nulls(n1, surface, others)

    def _tick(self) -> None:
        with self._lock:
            self._count += 1
            if self._progress is not None:
                self._progress(self._count, self._total)
        if self._stop.is_set():
            raise _Stopped


def _both(one: Nulls, other: Nulls) -> Nulls:
    others = {name: {**one.others[name], **other.others[name]} for name in one.others}
    return Nulls({**one.n1, **other.n1}, {**one.n2, **other.n2}, others)

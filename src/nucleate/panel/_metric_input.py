"""What a metric is given: the states of one snapshot at one position, in one view."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypedDict

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate._core.errors import BadInput
from nucleate._core.strings import Permutations
from nucleate.metrics import Clustering, Space, Spectrum, condition, kmeans, spectrum, standardize
from nucleate.panel._layout import LENGTH, TASK, Layout
from nucleate.panel._score import Score, Shown

VIEWS = ("raw", "conditioned")
SOLUTIONS = 5
"""Clusterings of nearly the same inertia that the interval of ARI(task) draws from."""
_OF_ROWS = ("input", "output", "length", LENGTH)
"""Labels that conditioning on the input takes away, or that it makes senseless."""


class RestsOn(TypedDict):
    """Fields of a `Score`: how many strings a number is about, and what its null permutes."""

    strings: int
    unit: str
    no_null: str


class Stopwatch:
    """Seconds of processor time by part; an inner part's do not count for the outer one.

    Each unit is measured on one thread, whose time alone is read: what else the machine does
    makes no difference.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        self._inner.append(0.0)
        began = time.thread_time()
        try:
            yield
        finally:
            spent = time.thread_time() - began
            self.seconds[part] += spent - self._inner.pop()
            self._inner[-1] += spent


@dataclass(frozen=True)
class Effort:
    """How much is drawn and tried.

    Attributes:
        n_init: how good k-means must be, as scikit-learn's `n_init`.
        seed: of k-means and of what metrics draw.
        gaussian: draws of N3.
        controls: draws of N5; 0 leaves it out.
        nulls: False measures values alone, as for untrained models.
    """

    n_init: int = 20
    seed: int = 0
    gaussian: int = 0
    controls: int = 1
    nulls: bool = True


@dataclass
class MetricInput:
    """What a metric is given: all streams of one snapshot at one position, in one view.

    Attributes:
        z: the states as metrics read them [stream row width]: the rows that `where` chooses,
            conditioned if so seen, standardized.
        states: the same rows as they were read, in float32; streams that are not finite are 0 here
            and are marked in the table.
        where: labels, folds, permutations and resamples of these rows.
        view: `raw`, or `conditioned`: each input's mean is subtracted.
        effort: how much to draw and to try.
        first: the same place at the first step, for metrics that look back; None at that step.
        watch: where time is counted.
    """

    z: Float[Tensor, "stream row width"]
    states: Float[Tensor, "stream row width"]
    where: Layout
    view: str
    effort: Effort
    first: Float[Tensor, "stream row width"] | None = None
    watch: Stopwatch = field(default_factory=Stopwatch)
    warm: Mapping[str, Int[Tensor, "stream row"]] = field(default_factory=dict)
    known: dict[str, Int[Tensor, "stream row"]] = field(default_factory=dict)
    _found: dict[str, Clustering] = field(default_factory=dict)

    @cached_property
    def constant(self) -> list[bool]:
        """Which streams do not vary over the rows."""
        return (self.z == 0).flatten(1).all(1).tolist()

    @cached_property
    def space(self) -> Space:
        """The states made ready for k-means, whatever the number of clusters."""
        with self.watch("k-means"):
            return Space.of(self.z)

    @cached_property
    def spectrum(self) -> Spectrum:
        """Variances along the principal axes."""
        return spectrum(self.z)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that this view can be about, defined at this position or not."""
        names = self.where.labels
        return names if self.view == "raw" else tuple(n for n in names if n not in _OF_ROWS)

    @property
    def streams(self) -> int:
        return len(self.states)

    @property
    def rows(self) -> int:
        return self.states.shape[1]

    def clusters(self, label: str) -> Int[Tensor, "stream row"]:
        """K-means clusters, as many as the label has classes; found once, for all metrics."""
        if label in self.known:
            return self.known[label]
        return self.clustering(label).labels

    def clustering(self, label: str) -> Clustering:
        """The same with centroids; of the task also other solutions, where intervals are drawn."""
        if label not in self._found:
            several = label == TASK and self.effort.nulls and len(self.where.weights["all"])
            with self.watch("k-means"):
                before = self.warm.get(label)
                self._found[label] = kmeans(
                    self.space,
                    self.where.classes(label),
                    n_init=self.effort.n_init,
                    seed=self.effort.seed,
                    warm=None if before is None else _means(self.z, before, self.where, label),
                    solutions=SOLUTIONS if several else 1,
                )
        return self._found[label]

    @property
    def found(self) -> dict[str, Int[Tensor, "stream row"]]:
        """The clusters that were asked for so far."""
        return {label: clustering.labels for label, clustering in self._found.items()}

    def labelings(self, label: str, limit: int | None = None) -> Permutations:
        """A label with its permutations: all, the first `limit`, or none if nulls are not drawn."""
        permuted = self.where.nulls[label]
        if not self.effort.nulls:
            return permuted.first(0)
        return permuted if limit is None else permuted.first(limit)

    def rests_on(self, label: str) -> "RestsOn":
        """What the null of a label, of the task in a half, or of its folds is made of.

        These are arguments of a `Score`.
        """
        where, inside = self.where, self.where.halves.get(label)
        strings = where.strings if inside is None else where.strings[inside]
        return {
            "strings": len(torch.unique(strings)),
            "unit": where.units[label],
            "no_null": where.no_null.get(label, ""),
        }

    def undefined(self, label: str, *metrics: str, half: str = "all", why: str = "") -> list[Score]:
        """Scores without values, with the reason."""
        missing = np.full(self.streams, np.nan)
        note = why or self.where.undefined.get(
            label, f"undefined: the prompt set has no label {label}"
        )
        return [Score(label, metric, missing, half=half, note=note) for metric in metrics]


def in_view(
    x: Float[Tensor, "stream row width"], where: Layout, view: str
) -> Float[Tensor, "stream row width"]:
    """Standardized states of one view."""
    if view == "conditioned":
        return standardize(condition(x, where.codes["input"]), x)
    return standardize(x)


def finite_part(
    x: Float[Tensor, "stream row width"],
) -> tuple[Float[Tensor, "stream row width"], list[bool]]:
    """The states in float32 with every stream that is not finite at 0, and which those are."""
    x = x.float()
    finite = torch.isfinite(x).flatten(1).all(1)
    return x.where(finite[:, None, None], 0), (~finite).tolist()


def split(values: np.ndarray | float) -> tuple[np.ndarray, np.ndarray | None]:
    """Values of the label itself and of its permutations, from values [stream labeling]."""
    table = np.asarray(values)
    return table[:, 0], table[:, 1:] if table.shape[1] > 1 else None


def scores_of_function(
    block: MetricInput,
    name: str,
    function: Callable[..., Any],
    labels: tuple[str, ...],
    shown: Shown,
    permuted: bool,
) -> Iterable[Score]:
    """Scores of a user's function; see `Metric.of`."""
    sign = -1.0 if shown == "negated" else 1.0

    def value(*given: np.ndarray) -> float:
        found = function(*given)
        try:
            return sign * float(found)
        except (TypeError, ValueError) as error:
            raise BadInput(
                f"the metric {name!r} returned {found!r} for states of shape "
                f"{list(given[0].shape)}; let its function return one number"
            ) from error

    arrays = [points.cpu().numpy() for points in block.z]
    if not labels:
        values = np.array([value(points) for points in arrays])
        yield Score("", name, values, n=block.rows, shown=shown)
    for label in labels:
        if label not in block.labels:
            continue
        if label not in block.where.codes:
            yield from block.undefined(label, name)
            continue
        codes = block.labelings(label, None if permuted else 0).labels.numpy()
        table = [[value(points, code) for code in codes] for points in arrays]
        values, null = split(np.array(table))
        yield Score(label, name, values, k=block.where.classes(label), n=block.rows, null=null,
                    shown=shown, **block.rests_on(label))  # fmt: skip


def _means(
    z: Float[Tensor, "stream row width"],
    clusters: Int[Tensor, "stream row"],
    where: Layout,
    label: str,
) -> Float[Tensor, "stream cluster width"]:
    """Where the clusters of the step before lie now.

    Their rows' means in the present states rather than their old centroids: between two steps the
    states turn and stretch, the rows of a cluster mostly stay together.
    """
    k, (streams, _, width) = where.classes(label), z.shape
    index = (clusters + torch.arange(streams)[:, None] * k).to(z.device).flatten()
    sums = z.new_zeros(streams * k, width).index_add_(0, index, z.flatten(0, 1))
    sizes = torch.bincount(index, minlength=streams * k).clamp(min=1)
    return (sums / sizes[:, None]).view(streams, k, width)

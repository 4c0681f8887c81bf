"""One unit at one step: from states to scores, and the same of untrained models and of words."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate._core.strings import HALVES
from nucleate.panel._columns import Result, result_of, strengths
from nucleate.panel._layout import TASK, Layout
from nucleate.panel._metric import Metric
from nucleate.panel._metric_input import (
    Effort,
    MetricInput,
    Stopwatch,
    finite_part,
    in_view,
)
from nucleate.panel._score import Key, Score, show
from nucleate.panel._surface import bag_of_tokens
from nucleate.prompts import PromptSet

Strengths = dict[Key, Float[np.ndarray, "stream"]]


@dataclass(frozen=True)
class Bench:
    """What every step of a unit is measured with.

    Attributes:
        where: labels and resamples of the unit's position.
        view: `raw` or `conditioned`.
        metrics: in the order of the table.
        effort: how much is drawn and tried.
        watch: where time is counted.
        own: null of the user's -> the layout with its labelings in place of N0's.
    """

    where: Layout
    view: str
    metrics: Sequence[Metric]
    effort: Effort
    watch: Stopwatch
    own: Mapping[str, Layout] = field(default_factory=dict)

    def result(
        self,
        x: Float[Tensor, "stream row width"],
        *,
        warm: Mapping[str, Int[Tensor, "stream measured"]],
        first: Float[Tensor, "stream row width"] | None,
    ) -> Result:
        """Measure one step.

        Args:
            x: states of all rows of the prompt set.
            warm: the clusters of the step before.
            first: states of the first step, where a metric looks back.
        """
        scores, constant, broken, clusters = self._scores(x[:, self.where.rows], warm, first)
        beside = {name: self._bars(name, x, scores, clusters) for name in self.own}
        with self.watch("table"):
            result = result_of(
                scores, constant=constant, broken=broken, names=self.where.names, clusters=clusters
            )
            result.columns.update({f"{name}_q99": bars for name, bars in beside.items()})
            return result

    def _bars(
        self,
        name: str,
        x: Float[Tensor, "stream row width"],
        scores: Sequence[Score],
        clusters: Mapping[str, Int[np.ndarray, "stream measured"]],
    ) -> list[float]:
        """The 99 % point of each number under a null of the user's; the clusters stand."""
        other = replace(self, where=self.own[name], own={}, watch=Stopwatch())
        with self.watch(name):
            found = other._scores(x[:, self.where.rows], as_long(clusters), None, found=clusters)[0]
        bars = []
        drawn = {score.key: score for score in found if score.null is not None}
        for score in scores:
            under = drawn.get(score.key)
            top = np.full(len(score.values), np.nan)
            if under is not None and under.null is not None and under.null.shape[1]:
                top = show(np.quantile(under.null, 0.99, axis=1), score.shown)
            bars += top.tolist()
        return bars

    def most(self, models: Iterable[Float[Tensor, "stream row width"]], name: str) -> Strengths:
        """The most among some models, such as untrained ones (N1), by stream."""
        plain = self._without_nulls()
        with self.watch(name):
            return _most(plain._strengths(x[:, self.where.rows]) for x in models)

    def surface(self, prompts: PromptSet, position: str) -> Strengths:
        """N2: the better of token counts and TF-IDF, for numbers that are about a label."""
        plain = self._without_nulls()
        with self.watch("N2"):
            bags = bag_of_tokens(prompts, position, self.where.rows.numpy())
            found = _most(plain._strengths(bag[None]) for bag in bags)
        return {key: best for key, best in found.items() if key[0]}

    def _without_nulls(self) -> "Bench":
        effort = replace(self.effort, nulls=False)
        return replace(self, effort=effort, watch=Stopwatch())

    def _strengths(self, x: Float[Tensor, "stream row width"]) -> Strengths:
        scores, constant, broken, _ = self._scores(x, {}, None)
        return strengths(scores, constant, broken)

    def _scores(
        self,
        x: Float[Tensor, "stream row width"],
        warm: Mapping[str, Int[Tensor, "stream row"]],
        first: Float[Tensor, "stream every width"] | None,
        found: Mapping[str, Int[np.ndarray, "stream row"]] | None = None,
    ) -> tuple[list[Score], list[bool], list[bool], dict[str, Int[np.ndarray, "stream row"]]]:
        where, streams = self.where, len(x)
        if self.view == "conditioned" and where.conditioned:
            return self._nothing(streams), [False] * streams, [False] * streams, {}
        with self.watch("states"):
            finite, broken = finite_part(x)
            block = MetricInput(
                in_view(finite, where, self.view), finite, where, self.view, self.effort,
                watch=self.watch, warm=warm,
            )  # fmt: skip
            block.known.update(as_long(found or {}))
            if first is not None:
                block.first = in_view(finite_part(first[:, where.rows])[0], where, self.view)
        scores: list[Score] = []
        for metric in self.metrics:
            with self.watch(metric.name):
                scores += metric.measure(block)
        clusters = {
            label: found.cpu().numpy().astype(np.int16) for label, found in block.found.items()
        }
        return scores, block.constant, broken, clusters

    def _nothing(self, streams: int) -> list[Score]:
        """The main numbers of a view that does not exist here, with the reason."""
        missing, why = np.full(streams, np.nan), self.where.conditioned
        if any(metric.keyframes for metric in self.metrics):
            keys = [(TASK, "ncm", "all")]
        else:
            keys = [(TASK, name, "all") for name in ("ari", "ami", "separation", "cdnv")]
            keys += [(TASK, "ari", half) for half in HALVES]
        return [Score(label, name, missing, half=half, note=why) for label, name, half in keys]


def _most(found: Iterable[Strengths]) -> Strengths:
    """The largest of each number, by stream."""
    result: Strengths = {}
    for values in found:
        for key, each in values.items():
            result[key] = np.fmax(result[key], each) if key in result else each
    return result


def as_long(clusters: Mapping[str, Int[np.ndarray, "stream row"]]) -> dict[str, Tensor]:
    """Clusters as they are kept, for torch."""
    return {name: torch.from_numpy(found.astype(np.int64)) for name, found in clusters.items()}

"""Every number of the panel at one position and view, for all streams of one snapshot."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate.metrics._agreement import agreement
from nucleate.metrics._bootstrap import bootstrap_ari
from nucleate.metrics._kmeans import kmeans
from nucleate.metrics._layout import LABELS, Layout, Permutations
from nucleate.metrics._prepare import condition, principal_axes, standardise
from nucleate.metrics._separation import class_separation, nearest_centroid, rankme

VIEWS = ("raw", "conditioned")
CLUSTERED = {"raw": LABELS, "conditioned": ("task", "family")}
TOO_SMALL = "undefined: fewer than two tasks have two rows"
ONE_STRING = "undefined: a task has one instruction string only"
_FEW = 32
"""Up to so many clusters a start costs little and a bad one is found often."""
NOT_POSITIVE = "undefined: the separation is not positive"


@dataclass(frozen=True)
class Effort:
    """How hard k-means tries (as scikit-learn's `n_init`), and its seed."""

    restarts: int
    seed: int

    def cluster(
        self,
        z: Float[Tensor, "stream row width"],
        leading: int,
        k: int,
        warm: Int[Tensor, "stream row"] | None,
    ) -> Int[Tensor, "stream row"]:
        """Find the clusters of every stream.

        Greedy seeds and single-row moves need fewer starts than Lloyd's algorithm from seeds of
        one candidate: measured against scikit-learn (`benchmarks/measure.py`), two fifths for few
        clusters, a fifth for many, and half of that beside the clusters of the step before.
        """
        share = 2 * self.restarts if k <= _FEW else self.restarts
        restarts = -(-share // (5 if warm is None else 10))
        return kmeans(
            z, k, restarts=restarts, carried=2, seed=self.seed, warm=warm, leading=leading
        ).labels


@dataclass(frozen=True)
class Score:
    """One metric of one label on all streams, with its permuted values.

    Attributes:
        null: values under permuted labels; None where no permutation applies.
        blocks: values under labels permuted by whole families.
        draws: bootstrap draws over instruction strings.
        note: why the values are missing, if they are, for all streams.
    """

    label: str
    metric: str
    values: Float[np.ndarray, "stream"]
    half: str = "all"
    k: int = 0
    n: int = 0
    null: Float[np.ndarray, "stream labelling"] | None = None
    blocks: Float[np.ndarray, "stream labelling"] | None = None
    draws: Float[np.ndarray, "stream draw"] | None = None
    note: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.label, self.metric, self.half


@dataclass
class Scored:
    """All scores of one view; the clusters warm the next step's k-means."""

    scores: list[Score] = field(default_factory=list)
    clusters: dict[str, Int[Tensor, "stream row"]] = field(default_factory=dict)
    constant: list[bool] = field(default_factory=list)
    broken: list[bool] = field(default_factory=list)


def view_of(
    x: Float[Tensor, "stream row width"], where: Layout, view: str
) -> Float[Tensor, "stream row width"]:
    """Standardised states of one view; rows of a stream that is not finite become 0."""
    finite = torch.isfinite(x.float()).all(-1, keepdim=True).all(-2, keepdim=True)
    x = x.float().where(finite, 0)
    if view == "conditioned":
        return standardise(condition(x, where.codes["input"]), x)
    return standardise(x)


def score(
    x: Float[Tensor, "stream row width"],
    where: Layout,
    view: str,
    effort: Effort,
    *,
    nulls: bool = True,
    warm: dict[str, Int[Tensor, "stream row"]] | None = None,
) -> Scored:
    """Measure one view of one position.

    Args:
        x: states of the layout's rows, as recorded.
        where: the position's layout.
        view: `raw` or `conditioned`.
        effort: of k-means.
        nulls: permute and resample too; off for the states that are nulls themselves.
        warm: the clusters of the step before, by label.

    Returns:
        The scores; labels that are undefined at the position have NaN and a note.
    """
    streams = len(x)
    result = Scored(broken=(~torch.isfinite(x.float()).all(-1).all(-1)).tolist())
    if view == "conditioned" and where.conditioned:
        result.constant = [False] * streams
        result.scores = _undefined(CLUSTERED[view], streams, where.conditioned, separate=True)
        return result
    z = view_of(x, where, view)
    result.constant = [
        not varies and not broken
        for varies, broken in zip((z != 0).any(-1).any(-1).tolist(), result.broken, strict=True)
    ]
    if view == "raw":
        result.scores.append(Score("", "rankme", rankme(z), n=z.shape[1]))
    z, leading = principal_axes(z)
    for label in CLUSTERED[view]:
        if label not in where.codes:
            separate = label == "task"
            why = where.undefined[label]
            result.scores += _undefined((label,), streams, why, separate=separate)
            continue
        found = effort.cluster(
            z, leading, where.classes(label), None if warm is None else warm[label]
        )
        result.clusters[label] = found
        result.scores += _agreements(found, where, label, nulls)
    if "task" in where.codes:
        result.scores += _separations(z, where, nulls)
    return result


def _agreements(
    clusters: Int[Tensor, "stream row"], where: Layout, label: str, nulls: bool
) -> list[Score]:
    """ARI and AMI of a label; of the task also in each half, with intervals."""
    permuted = where.nulls[label]
    k, n = where.classes(label), clusters.shape[1]
    both = _score_permuted(clusters, permuted, nulls)
    draws = None
    if label == "task" and nulls:
        draws = bootstrap_ari(clusters, where.codes["task"], where.strings, where.weights["all"])
    scores = [
        Score(label, name, values[0], k=k, n=n, null=values[1], blocks=values[2],
              draws=draws if name == "ari" else None)
        for name, values in both.items()
    ]  # fmt: skip
    if label != "task":
        return scores
    for half, inside in where.halves.items():
        part = _score_permuted(clusters[:, inside], where.nulls[half], nulls)["ari"]
        draws = None
        if half == "report" and nulls:
            draws = bootstrap_ari(
                clusters, where.codes["task"], where.strings, where.weights["report"]
            )
        scores.append(
            Score(label, "ari", part[0], half=half, k=k, n=len(inside), null=part[1],
                  blocks=part[2], draws=draws)
        )  # fmt: skip
    return scores


_Values = tuple[np.ndarray, np.ndarray | None, np.ndarray | None]


def _score_permuted(
    clusters: Int[Tensor, "stream row"], permuted: Permutations, nulls: bool
) -> dict[str, _Values]:
    over_strings = agreement(clusters, permuted.labels if nulls else permuted.labels[:1])
    result: dict[str, _Values] = {
        name: (values[:, 0], values[:, 1:] if nulls else None, None)
        for name, values in (("ari", over_strings.ari), ("ami", over_strings.ami))
    }
    if not nulls or permuted.blocks is None:
        return result
    over_families = agreement(clusters, permuted.blocks)
    return {
        "ari": (*result["ari"][:2], over_families.ari[:, 1:]),
        "ami": (*result["ami"][:2], over_families.ami[:, 1:]),
    }


def _separations(z: Float[Tensor, "stream row width"], where: Layout, nulls: bool) -> list[Score]:
    """Class separation, its reciprocal, and nearest centroids, of the task."""
    streams, rows, _ = z.shape
    k = where.classes("task")

    def chosen(labels: Tensor) -> Tensor:
        return labels if nulls else labels[:1]

    values = class_separation(z, chosen(where.nulls["task"].labels), where.strings)
    null = values[:, 1:] if nulls else None
    note = TOO_SMALL if np.isnan(values[:, 0]).all() else ""
    scores = [
        Score("task", "separation", values[:, 0], k=k, n=rows, null=null, note=note),
        Score("task", "cdnv", _reciprocal(values[:, 0]), k=k, n=rows, null=null, note=note),
    ]
    if where.folds is None:
        return [*scores, *_undefined((), streams, ONE_STRING, metrics=("ncm",))]
    values = nearest_centroid(z, chosen(where.nulls["folds"].labels), where.folds, where.strings)
    null = values[:, 1:] if nulls else None
    return [*scores, Score("task", "ncm", values[:, 0], k=k, n=rows, null=null)]


def _reciprocal(values: Float[np.ndarray, "stream"]) -> Float[np.ndarray, "stream"]:
    return np.where(values > 0, 1 / np.where(values > 0, values, 1), np.nan)


def _undefined(
    labels: tuple[str, ...],
    streams: int,
    why: str,
    *,
    separate: bool = False,
    metrics: tuple[str, ...] = (),
) -> list[Score]:
    missing = np.full(streams, np.nan)
    wanted = [(label, name, "all") for label in labels for name in ("ari", "ami")]
    if separate:
        wanted += [("task", "ari", "choose"), ("task", "ari", "report")]
        metrics = ("separation", "cdnv", "ncm")
    wanted += [("task", name, "all") for name in metrics]
    return [Score(label, name, missing, half=half, note=why) for label, name, half in wanted]

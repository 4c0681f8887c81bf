"""The metrics of the panel: each takes a block and gives scores."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from nucleate.metrics import (
    agreement,
    bootstrap_ari,
    ccgp,
    centroid_margin,
    cka,
    class_separation,
    geometry,
    hdbscan,
    knn_decodability,
    linear_probe,
    mdl_probe,
    nearest_centroid,
    procrustes,
    ranks_within,
    recall_by_class,
    selectivity,
    silhouette,
    singletons,
    stability,
    variance_shares,
    ward,
)
from nucleate.panel._layout import TASK
from nucleate.panel._metric import Metric
from nucleate.panel._metric_input import MetricInput, split
from nucleate.panel._score import Score

ALL_ROWS = "undefined: no row has neighbors of other instruction strings"
ONE_CONDITION = "undefined: no task has a second {}"
ONE_ROW = "undefined: every instruction string is one state here"
TOO_SMALL = "undefined: fewer than two tasks have two rows"
FEW_ROWS = "undefined: fewer than two rows a cluster"
_COSTLY_DRAWS = 199
"""Permutations where each takes a pass over the states."""
_NEIGHBORS = 10
_TOL = 1e-4
"""Nats per row: linear probes move far less than by their sampling error."""


def _agreement(block: MetricInput) -> Iterator[Score]:
    if TASK in block.where.codes:
        yield from _agreements(block, TASK)
        return
    yield from block.undefined(TASK, "ari", "ami")
    for half in block.where.halves or ("choose", "report"):
        yield from block.undefined(TASK, "ari", half=half)


def _labels(block: MetricInput) -> Iterator[Score]:
    for label in block.labels:
        if label in block.where.codes and label != TASK:
            yield from _agreements(block, label)
        elif label != TASK:
            yield from block.undefined(label, "ari", "ami")


def _agreements(block: MetricInput, label: str) -> Iterator[Score]:
    """ARI and AMI of a label; of the task also in each half, with intervals."""
    where, clusters, draws = block.where, block.clusters(label), None
    k = where.classes(label)
    if label == TASK and block.effort.nulls:
        with block.watch("bootstrap"):
            draws = _resampled(block, "all")
    permuted = block.labelings(label)
    found = agreement(clusters, permuted.labels)
    blocks = None if permuted.blocks is None else agreement(clusters, permuted.blocks)
    for name in ("ari", "ami"):
        values, null = split(getattr(found, name))
        apart = None if blocks is None else split(getattr(blocks, name))[1]
        yield Score(label, name, values, k=k, n=block.rows, null=null, blocks=apart,
                    draws=draws if name == "ari" else None, **block.rests_on(label))  # fmt: skip
    if label != TASK:
        return
    for half, inside in where.halves.items():
        permuted = block.labelings(half)
        values, null = split(agreement(clusters[:, inside], permuted.labels).ari)
        apart = None
        if permuted.blocks is not None:
            apart = split(agreement(clusters[:, inside], permuted.blocks).ari)[1]
        draws = None
        if half == "report" and block.effort.nulls:
            with block.watch("bootstrap"):
                draws = _resampled(block, "report")
        yield Score(label, "ari", values, half=half, k=k, n=len(inside), null=null, blocks=apart,
                    draws=draws, **block.rests_on(half))  # fmt: skip


def _resampled(block: MetricInput, half: str) -> np.ndarray:
    where = block.where
    near = block.clustering(TASK).near
    return bootstrap_ari(near, where.codes[TASK], where.strings, where.weights[half])


def _recall(block: MetricInput) -> Iterator[Score]:
    for label in (TASK,):
        if label not in block.where.codes:
            yield from block.undefined(label, "recall", "recall_worst")
            continue
        codes, k = block.where.codes[label].numpy(), block.where.classes(label)
        clusters = block.clusters(label).cpu().numpy()
        classes = np.stack([recall_by_class(found, codes) for found in clusters])
        yield Score(label, "recall", classes.mean(1), k=k, n=block.rows, classes=classes)
        yield Score(label, "recall_worst", classes.min(1), k=k, n=block.rows)


def _variance(block: MetricInput) -> Iterator[Score]:
    if block.view != "raw":
        return
    where = block.where
    names = ("task", "input", "family", "task x input", "instruction", "residual")
    if where.conditioned:
        for name in names:
            yield from block.undefined(name, "variance_share", why=where.conditioned)
        return
    factors = {name: code for name, code in where.codes.items() if name in names}
    if where.string_count < block.rows:
        # Otherwise what is a string's own would count as its family's.
        factors["instruction"] = where.strings
    for name, values in variance_shares(block.z, factors).items():
        yield Score(name, "variance_share", np.asarray(values), n=block.rows)


def _separation(block: MetricInput) -> Iterator[Score]:
    """Class separation, and its reciprocal."""
    if TASK not in block.where.codes:
        yield from block.undefined(TASK, "separation", "cdnv")
        return
    permuted = block.labelings(TASK)
    values, null = split(class_separation(block.z, permuted.labels, block.where.strings))
    note = TOO_SMALL if np.isnan(values).all() else ""
    k = block.where.classes(TASK)
    fields: dict[str, Any] = {"k": k, "n": block.rows, "null": null, "note": note}
    fields |= block.rests_on(TASK)
    yield Score(TASK, "separation", values, **fields)
    yield Score(TASK, "cdnv", values, **fields, shown="reciprocal")


def _centroids(block: MetricInput) -> Iterator[Score]:
    where, folds = block.where, block.where.folds
    if folds is None:
        yield from block.undefined(TASK, "ncm", why=_why_no_folds(block))
        return
    labels = block.labelings("folds", _COSTLY_DRAWS).labels
    values, null = split(nearest_centroid(block.z, labels, folds, where.strings))
    yield Score(TASK, "ncm", values, k=where.classes(TASK), n=block.rows, null=null,
                **block.rests_on("folds"))  # fmt: skip


def _margin(block: MetricInput) -> Iterator[Score]:
    """By how much the own centroid is nearer than the nearest other one."""
    where, folds = block.where, block.where.folds
    if folds is None:
        yield from block.undefined(TASK, "margin", why=_why_no_folds(block))
        return
    k = where.classes(TASK)
    margins = np.asarray(centroid_margin(block.z, where.codes[TASK], folds, where.strings))
    yield Score(TASK, "margin", margins.mean(1), k=k, n=block.rows,
                classes=_by_class(margins, where.codes[TASK].numpy(), k))  # fmt: skip


def _neighbors(block: MetricInput) -> Iterator[Score]:
    if TASK not in block.where.codes:
        yield from block.undefined(TASK, "knn")
        return
    if block.where.single:
        yield from block.undefined(TASK, "knn", why=block.where.single)
        return
    labels = block.labelings(TASK, _COSTLY_DRAWS).labels
    values, null = split(knn_decodability(block.z, labels, block.where.strings))
    yield Score(TASK, "knn", values, k=block.where.classes(TASK), n=block.rows, null=null,
                **block.rests_on(TASK))  # fmt: skip


def _linear_probe(block: MetricInput) -> Iterator[Score]:
    where, folds = block.where, block.where.folds
    if folds is None:
        why = _why_no_folds(block)
        yield from block.undefined(TASK, "probe_accuracy", "probe_nll", why=why)
        return
    k = where.classes(TASK)
    found = linear_probe(block.z, where.codes[TASK], folds, tol=_TOL)
    yield Score(TASK, "probe_accuracy", np.asarray(found.accuracy), k=k, n=block.rows)
    yield Score(TASK, "probe_nll", -np.asarray(found.nll), k=k, n=block.rows, shown="negated")


def _selectivity(block: MetricInput) -> Iterator[Score]:
    if TASK not in block.where.codes:
        yield from block.undefined(TASK, "selectivity", "probe_known_strings")
        return
    where, k = block.where, block.where.classes(TASK)
    if len(where.strings) == where.string_count:
        yield from block.undefined(TASK, "selectivity", "probe_known_strings", why=ONE_ROW)
        return
    if where.string_count == k:
        # A control label for each string would be the task under another name.
        yield from block.undefined(TASK, "selectivity", "probe_known_strings", why=where.single)
        return
    found = selectivity(
        block.z, where.codes[TASK], where.strings, seed=block.effort.seed,
        n_draws=max(1, block.effort.controls), tol=_TOL,
    )  # fmt: skip
    control = np.asarray(found.control) if block.effort.controls else None
    yield Score(TASK, "probe_known_strings", np.asarray(found.task), k=k, n=block.rows,
                control=control)  # fmt: skip
    yield Score(TASK, "selectivity", np.asarray(found.selectivity), k=k, n=block.rows)


def _ccgp(block: MetricInput) -> Iterator[Score]:
    """Generalization of a linear probe to families, and to inputs, that it was not fitted on."""
    where = block.where
    for name in ("family", "input"):
        metric = f"ccgp_{name}"
        if name == "input" and block.view == "conditioned":
            continue
        if TASK not in where.codes or name not in where.codes:
            yield from block.undefined(name if TASK in where.codes else TASK, metric)
            continue
        conditions = _conditions(block, name)
        if not conditions.any():
            yield from block.undefined(TASK, metric, why=ONE_CONDITION.format(name))
            continue
        values = np.asarray(ccgp(block.z, where.codes[TASK], conditions, tol=_TOL))
        note = "undefined: a condition lacks some task" if np.isnan(values).all() else ""
        k = where.classes(TASK)
        yield Score(TASK, metric, values, k=k, n=block.rows, note=note)


def _spectrum(block: MetricInput) -> Iterator[Score]:
    """Shape of the cloud of states, whatever the labels."""
    if block.view != "raw":
        return
    found = block.spectrum
    yield Score("", "rankme", np.asarray(found.rankme), n=block.rows)
    yield Score("", "participation_ratio", np.asarray(found.participation_ratio), n=block.rows)
    yield Score("", "top_share", np.asarray(found.top_share()), n=block.rows)
    yield Score("", "norm", np.asarray(geometry.mean_norm(block.states)), n=block.rows)


def _silhouette(block: MetricInput) -> Iterator[Score]:
    """Of the true classes beside permuted ones, and of the clusters beside one Gaussian's (N3)."""
    if TASK not in block.where.codes:
        yield from block.undefined(TASK, "silhouette")
        return
    k, labels = block.where.classes(TASK), block.labelings(TASK, _COSTLY_DRAWS).labels
    values, null = split(silhouette(block.z, labels))
    yield Score(TASK, "silhouette", values, k=k, n=block.rows, null=null, **block.rests_on(TASK))
    found = block.clusters(TASK)
    values = np.array([silhouette(z, c) for z, c in zip(block.z, found, strict=True)])
    yield Score("", "silhouette", values, k=k, n=block.rows, gaussian=_twins(block, k))


def _twins(block: MetricInput, k: int) -> np.ndarray | None:
    """Silhouettes of clusters of data with the same covariance and no clusters."""
    draws = block.effort.gaussian if block.effort.nulls else 0
    if not draws:
        return None
    from nucleate.metrics import kmeans

    values = np.empty((block.streams, draws))
    with block.watch("N3"):
        for stream, points in enumerate(block.z):
            twins = geometry.gaussian_twin(points, draws, seed=block.effort.seed)
            found = kmeans(twins, k, n_init=block.effort.n_init, seed=block.effort.seed)
            values[stream] = [
                silhouette(twin, labels) for twin, labels in zip(twins, found.labels, strict=True)
            ]
    return values


def _by_other_algorithms(block: MetricInput, name: str) -> Iterator[Score]:
    if TASK not in block.where.codes:
        yield from block.undefined(TASK, f"{name}_ari")
        return
    k = block.where.classes(TASK)
    found = ward(block.z, k) if name == "ward" else hdbscan(block.z)
    # What HDBSCAN calls noise is no cluster: each such row stands alone.
    clusters = torch.from_numpy(singletons(found))
    permuted = block.labelings(TASK)
    values, null = split(agreement(clusters, permuted.labels).ari)
    blocks = None if permuted.blocks is None else split(agreement(clusters, permuted.blocks).ari)[1]
    yield Score(TASK, f"{name}_ari", values, k=k, n=block.rows, null=null, blocks=blocks,
                **block.rests_on(TASK))  # fmt: skip


def _stability(block: MetricInput) -> Iterator[Score]:
    if TASK not in block.where.codes:
        yield from block.undefined("", "stability", why=block.where.undefined[TASK])
        return
    k, strings = block.where.classes(TASK), block.where.strings
    if 2 * k > block.rows:
        yield from block.undefined("", "stability", why=FEW_ROWS)
        return
    values = [stability(points, k, seed=block.effort.seed, groups=strings) for points in block.z]
    yield Score("", "stability", np.array(values), k=k, n=block.rows)


def _mdl(block: MetricInput) -> Iterator[Score]:
    if TASK not in block.where.codes:
        yield from block.undefined(TASK, "mdl_bits", "mdl_compression")
        return
    if block.where.single:
        why = block.where.single
        yield from block.undefined(TASK, "mdl_bits", "mdl_compression", why=why)
        return
    where, k = block.where, block.where.classes(TASK)
    found = mdl_probe(block.z, where.codes[TASK], where.strings, seed=block.effort.seed, tol=_TOL)
    yield Score(TASK, "mdl_bits", -np.asarray(found.bits), k=k, n=block.rows, shown="negated")
    yield Score(TASK, "mdl_compression", np.asarray(found.compression), k=k, n=block.rows)


def _parallelism(block: MetricInput) -> Iterator[Score]:
    where = block.where
    for name in ("family", "input"):
        if name == "input" and block.view == "conditioned":
            continue
        if TASK not in where.codes or name not in where.codes:
            yield from block.undefined(name if TASK in where.codes else TASK, f"parallelism_{name}")
            continue
        conditions = _conditions(block, name)
        if not conditions.any():
            why = ONE_CONDITION.format(name)
            yield from block.undefined(TASK, f"parallelism_{name}", why=why)
            continue
        values = geometry.parallelism_score(block.z, where.codes[TASK], conditions)
        k = where.classes(TASK)
        yield Score(TASK, f"parallelism_{name}", np.asarray(values), k=k, n=block.rows)


def _dimension(block: MetricInput) -> Iterator[Score]:
    if block.view == "raw":
        yield Score("", "two_nn", np.asarray(geometry.two_nn(block.z)), n=block.rows)


def _to_first(block: MetricInput) -> Iterator[Score]:
    """Similarity to the same place at the first step."""
    if block.view != "raw" or block.first is None:
        return
    first = block.first
    yield Score("", "cka_to_first", np.asarray(cka(block.z, first)), n=block.rows)
    yield Score("", "procrustes_to_first", np.asarray(procrustes(block.z, first)), n=block.rows)
    strings = block.where.strings
    neighbors = min(_NEIGHBORS, block.rows - int(torch.bincount(strings).max()))
    if neighbors < 1:
        yield from block.undefined("", "overlap_with_first", why=ALL_ROWS)
        return
    overlap = geometry.neighborhood_overlap(block.z, first, n_neighbors=neighbors, groups=strings)
    yield Score("", "overlap_with_first", np.asarray(overlap), n=block.rows)


def _collapse(block: MetricInput) -> Iterator[Score]:
    """NC2: how far the class means are from a simplex, for tasks and for outputs."""
    for label in (TASK, "output"):
        if label not in block.labels:
            continue
        if label not in block.where.codes:
            yield from block.undefined(label, "nc2")
            continue
        found = geometry.neural_collapse(block.z, block.where.codes[label])
        yield Score(label, "nc2", -np.asarray(found.nc2), k=block.where.classes(label),
                    n=block.rows, shown="negated")  # fmt: skip


def _conditions(block: MetricInput, name: str) -> np.ndarray:
    """Inputs as they are; of families, which are a task's own, their rank within the task."""
    codes = block.where.codes
    found = codes[name].numpy()
    return ranks_within(codes[TASK], found) if name == "family" else found


def _why_no_folds(block: MetricInput) -> str:
    return block.where.undefined.get(TASK, block.where.single)


def _by_class(values: np.ndarray, codes: np.ndarray, k: int) -> np.ndarray:
    return np.stack(
        [np.bincount(codes, row, k) / np.bincount(codes, minlength=k) for row in values]
    )


def _with_ward(block: MetricInput) -> Iterable[Score]:
    return _by_other_algorithms(block, "ward")


def _with_hdbscan(block: MetricInput) -> Iterable[Score]:
    return _by_other_algorithms(block, "hdbscan")


CATALOG = (
    Metric("agreement", "ARI and AMI of k-means with the task", _agreement),
    Metric("recall", "share of each task in its own cluster", _recall),
    Metric("variance", "shares of task, input, family and their interaction", _variance),
    Metric("separation", "class separation and CDNV, its reciprocal", _separation),
    Metric("margin", "by how much the own task's centroid is the nearest", _margin),
    Metric("linear_probe", "accuracy and NLL of a linear probe on strings left out", _linear_probe),
    Metric("spectrum", "RankMe, participation ratio, top share, norm", _spectrum),
    Metric("labels", "ARI and AMI of k-means with every other label", _labels, keyframes=True),
    Metric("centroids", "nearest-centroid accuracy", _centroids, keyframes=True),
    Metric("neighbors", "task of the nearest rows of other strings", _neighbors, keyframes=True),
    Metric(
        "selectivity",
        "what a linear probe knows beyond memorized strings",
        _selectivity,
        keyframes=True,
    ),
    Metric("ccgp", "generalization to families and inputs left out", _ccgp, keyframes=True),
    Metric("silhouette", "silhouette of tasks, and of clusters beside N3", _silhouette, True),
    Metric("ward", "ARI of Ward's clusters", _with_ward, True),
    Metric("hdbscan", "ARI of HDBSCAN's clusters", _with_hdbscan, True),
    Metric("stability", "agreement of clusters of bootstrap samples", _stability, True),
    Metric("mdl", "code length of the tasks given the states", _mdl, True),
    Metric(
        "parallelism", "whether task directions are alike in all conditions", _parallelism, True
    ),
    Metric("dimension", "TwoNN intrinsic dimension", _dimension, True),
    Metric("to_first", "similarity to the first step", _to_first, True),
    Metric("collapse", "NC2 of tasks and outputs", _collapse, True),
)

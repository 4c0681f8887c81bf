"""What leaves every metric as it is: the order of the rows, names, rotation, scale.

Each exported function stands in one of two tables: with what it promises, or with the file that
tests it otherwise. A new metric has to say which.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate import metrics as m
from nucleate.findings import cluster_verdict
from nucleate.metrics.clusters._bootstrap import resamples

CLASSES, STRINGS, WIDTH = 4, 18, 6


@dataclass(frozen=True)
class Rows:
    """Rows of strings within classes, with clusters of another make, and a second reading.

    `ids` numbers the strings, whatever their names.
    """

    x: torch.Tensor
    other: torch.Tensor
    labels: np.ndarray
    strings: np.ndarray
    folds: np.ndarray
    conditions: np.ndarray
    clusters: np.ndarray
    ids: np.ndarray

    @classmethod
    def drawn(cls, seed: int) -> "Rows":
        rng = np.random.default_rng(seed)
        strings = np.repeat(np.arange(CLASSES * STRINGS), 2)
        labels = strings % CLASSES
        means = rng.standard_normal((CLASSES, WIDTH))
        # Dimensions of unequal length: a rotation then matters to what z-scores.
        x = (means[labels] + rng.standard_normal((len(labels), WIDTH))) * np.arange(1, WIDTH + 1)
        mixed = x @ rng.standard_normal((WIDTH, 5)) + 5 * rng.standard_normal((len(x), 5))
        clusters = np.where(rng.random(len(x)) < 0.4, rng.integers(CLASSES, size=len(x)), labels)
        of_class = strings // CLASSES
        return cls(torch.from_numpy(x), torch.from_numpy(mixed), labels, strings, of_class % 3,
                   of_class % 2, clusters, strings)  # fmt: skip


def rotated(rows: Rows, rng: np.random.Generator) -> Rows:
    turn = np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0]
    return replace(rows, x=rows.x @ torch.from_numpy(turn))


def scaled(rows: Rows, rng: np.random.Generator) -> Rows:
    return replace(rows, x=rows.x * 10 ** rng.uniform(0.5, 3))


def shifted(rows: Rows, rng: np.random.Generator) -> Rows:
    return replace(rows, x=rows.x + torch.from_numpy(rng.uniform(1, 9, WIDTH)))


def reordered(rows: Rows, rng: np.random.Generator) -> Rows:
    order = rng.permutation(len(rows.x))
    return Rows(**{name: values[order] for name, values in vars(rows).items()})


def renamed(rows: Rows, rng: np.random.Generator) -> Rows:
    """Other names of classes, strings, folds, conditions and clusters, in another order."""
    names = ("labels", "strings", "folds", "conditions", "clusters")
    new = {name: rng.permutation(200)[getattr(rows, name)] for name in names}
    return replace(rows, **new)


CHANGES = {change.__name__: change for change in (rotated, scaled, shifted, reordered, renamed)}


def of_clusters(r: Rows) -> torch.Tensor:
    return torch.from_numpy(np.unique(r.clusters, return_inverse=True)[1])


def bootstrapped(r: Rows) -> np.ndarray:
    labels = torch.from_numpy(np.unique(r.labels, return_inverse=True)[1])
    count = CLASSES * STRINGS
    weights = resamples(np.arange(count), count, 5, 0)
    return m.bootstrap_ari(of_clusters(r)[None], labels, torch.from_numpy(r.ids), weights)


def agreeing(found: np.ndarray, r: Rows) -> float:
    return float(m.agreement(m.singletons(found), r.labels).ari)


def in_pairs(table: np.ndarray) -> np.ndarray:
    """The values of all pairs, whatever the classes are called."""
    return np.sort(table[~np.eye(len(table), dtype=bool)])


ALL = frozenset(CHANGES)
PROMISES: dict[str, tuple[Callable[[Rows], object], frozenset[str]]] = {
    "agreement": (lambda r: vars(m.agreement(r.clusters, r.labels)), ALL),
    "bootstrap_ari": (bootstrapped, ALL),
    "matched_accuracy": (lambda r: m.matched_accuracy(r.clusters, r.labels), ALL),
    "recall_by_class": (lambda r: np.sort(m.recall_by_class(r.clusters, r.labels)), ALL),
    "class_separation": (lambda r: m.class_separation(r.x, r.labels, r.strings), ALL),
    "cdnv": (lambda r: m.cdnv(r.x, r.labels), ALL),
    "nearest_centroid": (lambda r: m.nearest_centroid(r.x, r.labels, r.folds, r.strings), ALL),
    "centroid_margin": (lambda r: np.sort(m.centroid_margin(r.x, r.labels, r.folds)), ALL),
    "nearest_centroid_margin": (
        lambda r: m.nearest_centroid_margin(r.x, r.labels, r.folds, r.strings),
        ALL,
    ),
    "pairwise_separation": (lambda r: in_pairs(m.pairwise_separation(r.x, r.labels)), ALL),
    "pairwise_nearest": (lambda r: in_pairs(m.pairwise_nearest(r.x, r.labels, r.folds)), ALL),
    "knn_decodability": (lambda r: m.knn_decodability(r.x, r.labels, r.strings), ALL),
    "silhouette": (lambda r: m.silhouette(r.x, r.labels, r.strings), ALL),
    "ward": (lambda r: agreeing(m.ward(r.x, CLASSES), r), ALL),
    # Equal distances are merged in the order of the rows, where clusters are unclear.
    "hdbscan": (
        lambda r: agreeing(m.hdbscan(r.x, min_cluster_size=5), r),
        ALL - {"reordered"},
    ),
    "variance_shares": (
        lambda r: m.variance_shares(r.x, {"task": r.labels, "input": r.conditions}),
        ALL,
    ),
    "parallelism_score": (lambda r: m.parallelism_score(r.x, r.labels, r.conditions), ALL),
    "neural_collapse": (lambda r: vars(m.neural_collapse(r.x, r.labels)), ALL),
    # Its folds are drawn, over groups in sorted order: here each of two conditions is one.
    "nc4": (
        lambda r: m.nc4(r.x, r.labels, r.labels[..., None] == np.unique(r.labels),
                        groups=r.conditions, n_splits=2),
        ALL,
    ),
    "spectrum": (lambda r: m.spectrum(r.x).top_share(2), ALL),
    "rankme": (lambda r: m.rankme(r.x), ALL),
    "participation_ratio": (lambda r: m.participation_ratio(r.x), ALL),
    "top_share": (lambda r: m.top_share(r.x), ALL),
    "mean_norm": (lambda r: m.mean_norm(r.x), ALL - {"scaled", "shifted"}),
    "two_nn": (lambda r: m.two_nn(r.x), ALL),
    "neighborhood_overlap": (
        lambda r: m.neighborhood_overlap(r.x, r.other, groups=r.strings),
        ALL,
    ),
    "cka": (lambda r: m.cka(r.x, r.other), ALL),
    "procrustes": (lambda r: m.procrustes(r.x, r.other), ALL),
    "similarity_matrix": (lambda r: m.similarity_matrix([r.x, r.other]), ALL),
    # Prompt sets z-score each dimension and pull weights towards 0: axes matter to them.
    "linear_probe": (
        lambda r: m.linear_probe(r.x, r.labels, r.folds, r.strings).nll,
        ALL - {"rotated"},
    ),
    "ccgp": (lambda r: m.ccgp(r.x, r.labels, r.conditions), ALL - {"rotated"}),
    "mdl_probe": (lambda r: m.mdl_probe(r.x, r.labels, r.ids).bits, ALL - {"rotated"}),
    "selectivity": (
        lambda r: m.selectivity(r.x, r.labels, r.ids, folds=of_second(r), n_draws=1).task,
        ALL - {"rotated"},
    ),
}  # fmt: skip
OTHERWISE = {
    "test_kmeans": ("kmeans",),
    "test_streaming": ("kmeans_streaming",),
    "test_bootstrap": ("resamples",),
    "test_stability": ("stability", "choose_k"),
    "test_geometry": ("gaussian_twin",),
    "test_decoding": ("control_labels", "grouped_folds", "ranks_within"),
    "test_prepare": ("principal_axes",),
    "test_arrays": ("as_codes", "as_states"),
    "test_other_clusters": ("singletons",),
    "below": ("standardize", "condition"),
}


def of_second(r: Rows) -> np.ndarray:
    """Folds that split each string: a row's fold follows its larger or smaller first value."""
    partner = np.array([r.x[(r.ids == i)][:, 0].max() for i in r.ids])
    return (r.x[:, 0].numpy() == partner).astype(int)


def numbers(found: object) -> np.ndarray:
    values = list(found.values()) if isinstance(found, dict) else [found]
    return np.concatenate([np.ravel(np.asarray(value, dtype=float)) for value in values])


def test_every_exported_function_says_what_leaves_it_as_it_is():
    exported = {name for name in dir(m) if inspect.isfunction(getattr(m, name))}
    elsewhere = {name for names in OTHERWISE.values() for name in names}
    assert exported == set(PROMISES) | elsewhere
    assert not set(PROMISES) & elsewhere


def moved(name: str, change: str, seed: int) -> bool:
    """Whether a change of the rows moves the number."""
    measured, rows = PROMISES[name][0], Rows.drawn(seed)
    before = numbers(measured(rows))
    after = numbers(measured(CHANGES[change](rows, np.random.default_rng(seed))))
    assert np.isfinite(before).all()
    return after != pytest.approx(before, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "change"), [(n, c) for n in PROMISES for c in CHANGES if c in PROMISES[n][1]]
)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 999))
def test_what_is_promised_to_change_nothing_changes_nothing(name, change, seed):
    assert not moved(name, change, seed)


@pytest.mark.parametrize(
    ("name", "change"), [(n, c) for n in PROMISES for c in CHANGES if c not in PROMISES[n][1]]
)
def test_what_is_not_promised_changes_something(name, change):
    """Otherwise the promise is too small, or the change changes nothing."""
    assert any(moved(name, change, seed) for seed in range(10))


@pytest.mark.parametrize(
    "name", [n for n in PROMISES if "labels" in inspect.getsource(PROMISES[n][0])]
)
def test_labels_of_other_rows_give_other_numbers(name):
    """A metric that ignored its labels would keep every promise."""
    rows = Rows.drawn(0)
    classes = np.random.default_rng(1).permutation(CLASSES * STRINGS) % CLASSES
    others = replace(rows, labels=classes[rows.strings])
    assert numbers(PROMISES[name][0](others)) != pytest.approx(
        numbers(PROMISES[name][0](rows)), abs=1e-3
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_standardizing_forgets_scale_and_shift_of_each_dimension(seed):
    rows, rng = Rows.drawn(seed), np.random.default_rng(seed)
    stretch = torch.from_numpy(rng.uniform(0.1, 9, (2, WIDTH)))
    z = m.standardize(rows.x)
    assert torch.allclose(m.standardize(rows.x * stretch[0] + stretch[1]), z, atol=1e-4)
    assert torch.allclose(m.standardize(z), z, atol=1e-5)
    order = torch.from_numpy(rng.permutation(len(z)))
    assert torch.allclose(m.standardize(rows.x[order]), z[order], atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_conditioning_forgets_what_a_group_shares_and_does_so_once(seed):
    rows, rng = Rows.drawn(seed), np.random.default_rng(seed)
    groups = torch.from_numpy(rows.conditions)
    plain = m.condition(rows.x, groups)
    shared = 100 * torch.from_numpy(rng.standard_normal((2, WIDTH)))
    assert torch.allclose(m.condition(rows.x + shared[groups], groups), plain, atol=1e-3)
    assert torch.allclose(m.condition(plain, groups), plain, atol=1e-4)
    assert torch.allclose(m.condition(rows.x, 1 - groups), plain, atol=1e-4)


NUMBERS = ("value", "low", "n0_q99", "n1_max", "n2")
SHARE = st.floats(-1, 1) | st.just(float("nan"))


@settings(max_examples=200, deadline=None)
@given(
    row=st.fixed_dictionaries(dict.fromkeys(NUMBERS, SHARE)),
    name=st.sampled_from(NUMBERS),
    by=st.floats(0, 1) | st.just(float("nan")),
)
def test_no_higher_bar_lower_value_or_missing_number_makes_clusters(row, name, by):
    before = {"note": "", **row}
    after = {**before, name: before[name] + (-by if name in ("value", "low") else by)}
    if cluster_verdict(before) != "clusters":
        assert cluster_verdict(after) != "clusters"
    if np.isnan(list(row.values())).any():
        assert cluster_verdict(before) != "clusters"
    assert cluster_verdict({**before, "note": "constant"}) == "none"

"""Every metric takes arrays of every kind through one gate, and refuses the rest in a sentence."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import astuple, is_dataclass

import numpy as np
import pandas as pd
import pytest
import torch

from nucleate import metrics
from nucleate._core.errors import BadInput
from nucleate.metrics import as_codes, as_states
from pretend import elsewhere, pretending

ROWS, WIDTH, CLASSES = 48, 6, 3
TASK = np.arange(ROWS) % CLASSES
STRING = np.arange(ROWS) // 3 * CLASSES + TASK
FOLD = np.arange(ROWS) // 3 % 4
COND = np.arange(ROWS) // 3 % 2
_RNG = np.random.default_rng(0)
# Halves of small whole numbers: every float type holds them exactly.
X = np.round(4 * (_RNG.normal(size=(ROWS, WIDTH)) + 2 * np.eye(WIDTH)[TASK])) / 2
Y = np.round(4 * _RNG.normal(size=(ROWS, WIDTH))) / 2

Call = Callable[..., object]
OF_STATES: dict[str, Call] = {
    "standardize": metrics.standardize,
    "principal_axes": metrics.principal_axes,
    "as_states": metrics.as_states,
    "kmeans": lambda x: metrics.kmeans(_one_problem(x), 3),
    "kmeans_streaming": lambda x: metrics.kmeans_streaming(x, 3),
    "ward": lambda x: metrics.ward(x, 3),
    "hdbscan": metrics.hdbscan,
    "stability": lambda x: metrics.stability(x, 3, n_draws=2),
    "choose_k": lambda x: metrics.choose_k(x, [2, 3], n_draws=2),
    "spectrum": metrics.spectrum,
    "rankme": metrics.rankme,
    "participation_ratio": metrics.participation_ratio,
    "top_share": metrics.top_share,
    "mean_norm": metrics.mean_norm,
    "two_nn": metrics.two_nn,
    "gaussian_twin": metrics.gaussian_twin,
    "cka": lambda x: metrics.cka(x, Y),
    "procrustes": lambda x: metrics.procrustes(Y, x),
    "neighborhood_overlap": lambda x: metrics.neighborhood_overlap(x, Y),
    "similarity_matrix": lambda x: metrics.similarity_matrix([x, Y]),
}
OF_BOTH: dict[str, Call] = {
    "condition": metrics.condition,
    "silhouette": metrics.silhouette,
    "class_separation": metrics.class_separation,
    "cdnv": metrics.cdnv,
    "nearest_centroid": lambda x, y: metrics.nearest_centroid(x, y, FOLD),
    "centroid_margin": lambda x, y: metrics.centroid_margin(x, y, FOLD),
    "nearest_centroid_margin": lambda x, y: metrics.nearest_centroid_margin(x, y, FOLD),
    "pairwise_separation": metrics.pairwise_separation,
    "pairwise_nearest": lambda x, y: metrics.pairwise_nearest(x, y, FOLD),
    "parallelism_score": lambda x, y: metrics.parallelism_score(x, y, COND),
    "neural_collapse": metrics.neural_collapse,
    "nc4": lambda x, y: metrics.nc4(x, y, y),
    "variance_shares": lambda x, y: metrics.variance_shares(x, {"task": y}),
    "linear_probe": lambda x, y: metrics.linear_probe(x, y, FOLD),
    "mdl_probe": metrics.mdl_probe,
    "ccgp": lambda x, y: metrics.ccgp(x, y, COND),
    "selectivity": lambda x, y: metrics.selectivity(x, y, STRING),
    "knn_decodability": metrics.knn_decodability,
}
OF_LABELS: dict[str, Call] = {
    "as_codes": lambda y: metrics.as_codes(y, ROWS),
    "agreement": lambda y: (metrics.agreement(y, TASK), metrics.agreement(TASK, y)),
    "recall_by_class": lambda y: metrics.recall_by_class(TASK, y),
    "matched_accuracy": lambda y: metrics.matched_accuracy(TASK, y),
    "grouped_folds": lambda y: metrics.grouped_folds(y, STRING, 4),
    "control_labels": lambda y: metrics.control_labels(y, STRING),
    "ranks_within": lambda y: metrics.ranks_within(y, COND),
    "groups of linear_probe": lambda y: (
        metrics.linear_probe(X, TASK, FOLD % 3, groups=None)
        and metrics.mdl_probe(X, COND, groups=y)
    ),
    "groups of knn": lambda y: metrics.knn_decodability(X, COND, groups=y),
    "folds": lambda y: metrics.nearest_centroid(X, COND, y),
    "conditions": lambda y: metrics.ccgp(X, COND, y),
}
# Values that follow from tensors of this library's own, or no array at all.
NOT_HERE = {"bootstrap_ari", "resamples", "singletons"}

STATES: dict[str, Call] = {
    "float32": lambda x: torch.from_numpy(x).float(),
    "float16": lambda x: torch.from_numpy(x).half(),
    "bfloat16": lambda x: torch.from_numpy(x).bfloat16(),
    "with gradients": lambda x: torch.from_numpy(x).requires_grad_(),
    "numpy float16": lambda x: x.astype(np.float16),
    "numpy float128": lambda x: x.astype(np.longdouble),
    "read-only": lambda x: np.frombuffer(x.tobytes()).reshape(x.shape),
    "backwards": lambda x: x[::-1].copy()[::-1],
    "other byte order": lambda x: x.astype(">f4"),
    "whole numbers": lambda x: (2 * x).astype(np.int32),
    "lists": lambda x: x.tolist(),
    "list of tensors": lambda x: [torch.from_numpy(row).requires_grad_() for row in x],
    "table": pd.DataFrame,
}
LABELS: dict[str, Call] = {
    "texts": lambda y: np.array([f"task {i}" for i in y]),
    "list of texts": lambda y: [f"task {i}" for i in y],
    "list of numbers": lambda y: y.tolist(),
    "tensor": torch.from_numpy,
    "narrow tensor": lambda y: torch.from_numpy(y).to(torch.uint8),
    "floats": lambda y: torch.from_numpy(y).bfloat16().requires_grad_(),
    "column": lambda y: y[:, None],
    "column of a tensor": lambda y: torch.from_numpy(y)[:, None],
    "series": lambda y: pd.Series(y, index=range(5, ROWS + 5)),
    "series of texts": lambda y: pd.Series([f"task {i}" for i in y]),
    "categories": lambda y: pd.Series([f"task {i}" for i in y], dtype="category"),
    "nullable": lambda y: pd.Series(y, dtype="Int64"),
    "table of one column": lambda y: pd.DataFrame({"task": y}),
    "objects": lambda y: y.astype(object),
}
REFUSED_STATES: dict[str, tuple[Call, str]] = {
    "complex": (lambda x: x.astype(complex), "complex128"),
    "complex tensor": (lambda x: torch.from_numpy(x).cfloat(), "complex64"),
    "booleans": (lambda x: x > 0, "bool"),
    "boolean tensor": (lambda x: torch.from_numpy(x) > 0, "bool"),
    "objects": (lambda x: x.astype(object), "dtype object"),
    "texts": (lambda x: x.astype(str), "cannot be measured"),
    "none": (lambda _: None, "cannot be measured"),
    "one row": (lambda x: x[:1], "at least two rows|at least one"),
    "no rows": (lambda x: x[:0], r"shape \[0, 6\]|cannot be found"),
    "no width": (lambda x: x[:, :0], r"shape \[48, 0\]"),
    "one dimension": (lambda x: x[:, 0], "shape"),
    "a column of a table": (lambda x: pd.Series(x[:, 0]), "shape"),
    "ragged": (lambda x: [[1.0, 2.0], [1.0], *x.tolist()], "one width"),
}
REFUSED_LABELS: dict[str, tuple[Call, str]] = {
    "None among texts": (lambda y: [None if i == 4 else f"t{k}" for i, k in enumerate(y)], "row 4"),
    "NaN among texts": (lambda y: ["a"] * 7 + [float("nan")] + ["b"] * (len(y) - 8), "row 7"),
    "NaN": (lambda y: np.where(np.arange(len(y)) == 9, np.nan, y), "row 9"),
    "missing": (lambda y: pd.Series(y, dtype="Int64").where(y != 2), "row 2"),
    "numbers among texts": (lambda y: [*(f"t{k}" for k in y[1:]), 3], "the label 3"),
    "one-hot": (lambda y: np.eye(CLASSES)[y], r"argmax\(1\)"),
    "too few": (lambda y: y[:-1], "do not fit"),
    "none": (lambda _: [], "labels|groups|clusters|conditions|folds|rows"),
    "None": (lambda _: None, "do not fit|shape"),
    "complex": (lambda y: y.astype(complex), "complex128"),
    "lists": (lambda y: [[k] * (1 + k) for k in y.tolist()], "shape|among texts"),
}


def _one_problem(x: object) -> object:
    if isinstance(x, torch.Tensor | np.ndarray):
        return x[None]
    return [x.to_numpy().tolist()] if isinstance(x, pd.DataFrame) else [x]


def _flat(value: object) -> list[float]:
    """All numbers of a result, whatever it is made of."""
    if isinstance(value, metrics.Spectrum):
        return _flat(value.variances)
    if is_dataclass(value):
        return _flat(astuple(value))
    if isinstance(value, dict):
        return _flat(list(value.values()))
    if isinstance(value, list | tuple):
        return [number for item in value for number in _flat(item)]
    if value is None:
        return [np.nan]
    if isinstance(value, torch.Tensor):
        value = value.cpu()
    return np.asarray(value, dtype=float).ravel().tolist()


def test_no_exported_function_is_left_out():
    exported = {
        name for name in dir(metrics) if callable(getattr(metrics, name)) and name[0].islower()
    }
    covered = {*OF_STATES, *OF_BOTH, *OF_LABELS}
    assert exported - covered - NOT_HERE == set()


@pytest.mark.parametrize("kind", STATES)
@pytest.mark.parametrize("name", [*OF_STATES, *OF_BOTH])
def test_states_of_every_kind_give_the_same_number(name, kind):
    states = STATES[kind](X)
    scale = 2.0 if kind == "whole numbers" else 1.0
    call = OF_STATES.get(name) or (lambda x: OF_BOTH[name](x, TASK))
    expected, found = _flat(call(scale * X)), _flat(call(states))
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", [*OF_STATES, *OF_BOTH])
def test_states_on_an_accelerator_mix_no_devices_and_give_the_same_number(name):
    call = OF_STATES.get(name) or (lambda x: OF_BOTH[name](x, TASK))
    with pretending():
        found = _flat(call(elsewhere(torch.from_numpy(X))))
    np.testing.assert_allclose(found, _flat(call(X)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [*OF_BOTH, *OF_LABELS])
def test_labels_on_an_accelerator_give_the_same_number(name):
    call = OF_LABELS.get(name) or (lambda y: OF_BOTH[name](X, y))
    with pretending():
        found = _flat(call(elsewhere(torch.from_numpy(TASK))))
    np.testing.assert_array_equal(found, _flat(call(TASK)))


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("name", [*OF_BOTH, *OF_LABELS])
def test_labels_of_every_kind_give_the_same_number(name, kind):
    call = OF_LABELS.get(name) or (lambda y: OF_BOTH[name](X, y))
    np.testing.assert_array_equal(_flat(call(LABELS[kind](TASK))), _flat(call(TASK)))


@pytest.mark.parametrize("kind", REFUSED_STATES)
@pytest.mark.parametrize("name", [*OF_STATES, *OF_BOTH])
def test_states_that_are_none_are_refused_in_a_sentence(name, kind):
    if kind == "one row" and name in ("standardize", "principal_axes", "kmeans_streaming"):
        pytest.skip("one row is enough")
    make, match = REFUSED_STATES[kind]
    call = OF_STATES.get(name) or (lambda x: OF_BOTH[name](x, TASK))
    with pytest.raises(BadInput, match=f"{match}|shape|cannot be"):
        call(make(X))


@pytest.mark.parametrize("kind", REFUSED_LABELS)
@pytest.mark.parametrize("name", [*OF_BOTH, *OF_LABELS])
def test_labels_that_are_none_are_refused_in_a_sentence(name, kind):
    make, match = REFUSED_LABELS[kind]
    call = OF_LABELS.get(name) or (lambda y: OF_BOTH[name](X, y))
    if kind == "None" and name in ("groups of linear_probe", "groups of knn"):
        pytest.skip("no groups: each row alone")
    with pytest.raises(BadInput, match=f"{match}|do not fit|no rows|several labelings"):
        call(make(TASK))


@pytest.mark.parametrize("name", [*OF_STATES, *OF_BOTH])
def test_an_offset_that_float64_holds_changes_nothing(name):
    if name in ("mean_norm", "as_states", "principal_axes", "gaussian_twin", "kmeans"):
        pytest.skip("where rows lie is part of the result")
    call = OF_STATES.get(name) or (lambda x: OF_BOTH[name](x, TASK))
    if name == "kmeans_streaming":
        call = lambda x: metrics.kmeans_streaming(x, 3).inertia  # noqa: E731
    # No float32 has both the offset and these digits.
    noisy = X + np.random.default_rng(1).normal(size=X.shape) / 8
    np.testing.assert_allclose(_flat(call(noisy + 1e8)), _flat(call(noisy)), rtol=1e-3, atol=1e-3)


def test_k_means_with_an_offset_that_float64_holds_finds_the_same_clusters():
    noisy = X + np.random.default_rng(1).normal(size=X.shape) / 8
    near, far = (metrics.kmeans(x[None], 3) for x in (noisy, noisy + 1e8))
    assert torch.equal(near.labels, far.labels)
    assert far.inertia == pytest.approx(near.inertia, rel=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", [*OF_STATES, *OF_BOTH])
def test_a_value_that_is_not_finite_is_never_measured_as_a_number(name, value):
    x = X.copy()
    x[5, 2] = value
    call = OF_STATES.get(name) or (lambda x: OF_BOTH[name](x, TASK))
    if name in ("principal_axes", "kmeans_streaming"):
        with pytest.raises(BadInput, match="NaN or infinity"):
            call(x)
        return
    found = _flat(call(x))
    missing = -1 if name in ("ward", "hdbscan") else np.nan
    assert any(np.isnan(v) or np.isinf(v) or v == missing for v in found)


def test_standardizing_does_not_make_a_column_with_a_nan_look_constant():
    x = X.copy()
    x[5, 2] = np.nan
    found = metrics.standardize(x)
    assert found[:, 2].isnan().all()
    assert torch.equal(found[:, 3], metrics.standardize(X)[:, 3])
    assert np.isnan(metrics.rankme(found))
    assert np.isnan(metrics.linear_probe(found, TASK, FOLD).accuracy)


def test_dimensions_that_do_not_vary_are_none_in_each_precision():
    constant = np.full((ROWS, 1), 0.1) * (1 + 1e-7 * Y[:, :1])
    x = np.concatenate([X, constant], 1)
    assert (metrics.standardize(x.astype(np.float32))[:, -1] == 0).all()
    assert metrics.standardize(x)[:, -1].std() == pytest.approx(1, rel=0.05)
    assert (metrics.standardize(x.astype(np.float32).astype(np.float64))[:, -1] == 0).all()


def test_singletons_takes_clusters_of_every_kind():
    expected = [0, 4, 2, 6]
    for kind in (list, np.array, torch.tensor, pd.Series):
        assert metrics.singletons(kind([0, -1, 2, -1])).tolist() == expected
    for bad in ([], [0.5, 1.0], ["a", "b"]):
        with pytest.raises(BadInput, match="are not clusters"):
            metrics.singletons(bad)


def test_codes_are_the_ranks_of_sorted_values():
    assert as_codes(["b", "a", "ä", "b"], 4).tolist() == [[1, 0, 2, 1]]
    assert as_codes([[3, 1], [1, 7]], 2).tolist() == [[1, 0], [0, 2]]
    assert as_codes([["b", "a"], ["a", "c"]], 2).tolist() == [[1, 0], [0, 2]]
    assert as_codes([True, False], 2).tolist() == [[1, 0]]
    assert as_codes(np.array([2, 0, 2]), 3, compact=False).tolist() == [[2, 0, 2]]
    assert as_codes(np.array([2, 0, 2]), 3).tolist() == [[1, 0, 1]]


def test_states_lose_their_gradients_and_keep_their_precision():
    x = torch.ones(3, 2, requires_grad=True)
    assert not as_states(x).requires_grad
    assert as_states(x.double()).dtype == torch.float64
    assert as_states(x.half()).dtype == torch.float32
    assert as_states(torch.ones(2, 4, 3, 5)).shape == (8, 3, 5)


def test_two_long_texts_among_labels_cost_no_memory():
    code = (
        "import resource, sys\n"
        "from nucleate.metrics import agreement, class_separation\n"
        "import numpy as np\n"
        "labels = ['short'] * 4000; labels[3] = labels[5] = 'x' * 200_000\n"
        "x = np.random.default_rng(0).normal(size=(4000, 4))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "class_separation(x, labels); agreement(labels, labels)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # As texts of fixed width they take 3.2 GB.
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 200e6

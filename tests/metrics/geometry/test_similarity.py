import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate._core.errors import BadInput
from nucleate.metrics.geometry._similarity import cka, procrustes, similarity_matrix

BOTH = pytest.mark.parametrize("metric", [cka, procrustes])


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("width", [5, 90])
def test_cka_is_that_of_repsim(width):
    with warnings.catch_warnings():
        # Of the libraries that it imports, nothing of ours.
        warnings.simplefilter("ignore")
        import repsim

        x = normal(40, 7)
        readings = [x, np.tanh(x) + normal(40, 7, seed=1), 2 + normal(40, width, seed=2)]
        readings.append(readings[2][:, :3])
        # Its `cka` divides by biased norms whatever the estimator, so its `hsic` is the oracle.
        products = repsim.hsic(readings, kernel_type="linear", estimator="song")
    expected = products / np.sqrt(np.outer(products.diagonal(), products.diagonal()))
    assert similarity_matrix(readings) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("width", [6, 60])
def test_procrustes_is_that_of_scipy(width):
    from scipy.spatial import procrustes as disparity

    x, other = normal(40, width), normal(40, width) + normal(40, width, seed=1)
    assert 1 - procrustes(x, other) ** 2 == pytest.approx(disparity(x, other)[2], abs=1e-9)


def test_unrelated_readings_have_no_cka_where_the_biased_one_is_large():
    values, biased = [], []
    for seed in range(60):
        x, y = normal(40, 30, seed=2 * seed), normal(40, 30, seed=2 * seed + 1)
        values.append(cka(x, y))
        x, y = x - x.mean(0), y - y.mean(0)
        norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
        biased.append(np.linalg.norm(x.T @ y) ** 2 / norms)
    assert abs(np.mean(values)) < 3.5 * np.std(values) / 60**0.5
    assert np.mean(biased) > 0.3


def test_procrustes_of_noise_is_far_from_zero():
    value = procrustes(normal(600, 60), normal(600, 60, seed=1))
    assert value == pytest.approx(0.85 * (60 / 600) ** 0.5, abs=0.03)


def test_what_two_readings_share_shows():
    shared = normal(300, 5)
    x, y = (
        np.concatenate([shared, normal(300, 5, seed=s)], 1) @ normal(10, 12, seed=s + 9)
        for s in (1, 2)
    )
    assert 0.1 < cka(x, y) < 0.9


@BOTH
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), scale=st.sampled_from([1e-6, 1.0, 1e6]))
def test_rotation_shift_scale_and_order_change_nothing(metric, seed, scale):
    x, y = normal(50, 6, seed=seed), normal(50, 4, seed=seed + 1)
    y[:, :3] += x[:, :3]
    rng = np.random.default_rng(seed)
    turn, order = np.linalg.qr(rng.standard_normal((6, 6)))[0], rng.permutation(50)
    moved = scale * (x @ turn + 3)
    assert metric(moved[order], y[order]) == pytest.approx(metric(x, y), abs=1e-9)
    assert metric(y, x) == pytest.approx(metric(x, y), abs=1e-9)
    assert metric(x, moved) == pytest.approx(1)


@BOTH
def test_constant_and_nan_readings(metric):
    x = torch.from_numpy(normal(2, 3, 50, 6)).float()
    x[0, 1] = 1 / 3
    x[1, 0] = torch.nan
    other = torch.from_numpy(normal(2, 3, 50, 4, seed=1)).float()
    other[1, 2, 0, 0] = torch.inf
    values = metric(x, other)
    assert values.shape == (2, 3)
    assert values[0, 0] == pytest.approx(metric(x[0, 0], other[0, 0]), abs=1e-9)
    assert values[0, 1] == 0
    assert np.isnan(values).tolist() == [[False, False, False], [True, False, True]]


@pytest.mark.parametrize("metric", ["cka", "procrustes"])
def test_a_matrix_holds_the_pairs(metric):
    x = normal(4, 50, 6)
    x[1] = 2
    x[3, 0, 0] = np.nan
    found = similarity_matrix(x, metric)
    pair = {"cka": cka, "procrustes": procrustes}[metric](x[0], x[2])
    assert found[0, 2] == found[2, 0] == pytest.approx(pair)
    assert found[0, 0] == pytest.approx(1)
    assert (found[1, :3] == 0).all()
    assert np.isnan(found[3]).all()
    assert np.isnan(found[:, 3]).all()


def test_bad_input_is_named():
    x = normal(50, 6)
    for metric in (cka, procrustes):
        with pytest.raises(BadInput, match="same places and rows"):
            metric(x, x[None])
    with pytest.raises(BadInput, match="at least 4 rows"):
        cka(x[:3], x[:3])
    with pytest.raises(BadInput, match="same rows"):
        similarity_matrix([x, x[:9]])
    with pytest.raises(BadInput, match="same rows"):
        similarity_matrix([])

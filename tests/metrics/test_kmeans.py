import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from nucleate._errors import BadInput
from nucleate.metrics import greedy_seeds, kmeans, principal_axes


def blobs(problems, k, rows, width, spread, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(problems, k, width, generator=generator)
    labels = torch.arange(rows) % k
    noise = spread * torch.randn(problems, rows, width, generator=generator)
    return centres[:, labels] + noise, labels


@pytest.mark.parametrize("spread", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("k", [4, 12, 40])
def test_inertia_is_no_worse_than_scikit_learns(k, spread):
    x, _ = blobs(6, k, 160, 24, spread)
    ours = kmeans(x, k).inertia
    theirs = torch.tensor(
        [KMeans(k, n_init=20, random_state=0).fit(points.numpy()).inertia_ for points in x]
    )
    assert (ours / theirs - 1).mean() <= 0.001


def test_clear_clusters_are_found_exactly():
    x, labels = blobs(5, 10, 100, 16, 0.05)
    for found in kmeans(x, 10).labels:
        assert adjusted_rand_score(labels, found) == 1


def test_reported_numbers_are_those_of_the_labels():
    x, _ = blobs(3, 6, 60, 8, 1.0)
    found = kmeans(x, 6)
    centred = x - x.mean(1, keepdim=True)
    for points, labels, inertia, centroids in zip(
        centred, found.labels, found.inertia, found.centroids, strict=True
    ):
        means = torch.stack([points[labels == j].mean(0) for j in range(6)])
        assert torch.allclose(centroids, means, atol=1e-5)
        assert torch.isclose(inertia, (points - means[labels]).square().sum(), rtol=1e-4)
        assert torch.equal(torch.cdist(points, means).argmin(1), labels)


def test_no_cluster_stays_empty():
    x, _ = blobs(4, 3, 40, 5, 0.01)
    for labels in kmeans(x, 20).labels:
        assert len(labels.unique()) == 20


def test_same_seed_same_labels_whatever_the_global_generator_did():
    x, _ = blobs(3, 8, 80, 10, 2.0)
    first = kmeans(x, 8, seed=3).labels
    torch.manual_seed(123)
    before = torch.get_rng_state()
    second = kmeans(x, 8, seed=3).labels
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())


def test_a_warm_start_is_never_thrown_away_for_a_worse_one():
    x, _ = blobs(4, 20, 200, 10, 1.5)
    good = kmeans(x, 20, restarts=16, carried=8)
    warm = kmeans(x, 20, restarts=1, seed=9, warm=good.labels)
    assert (warm.inertia <= good.inertia * 1.0001).all()


def test_searching_in_leading_axes_costs_little_inertia():
    x, _ = blobs(4, 12, 150, 40, 0.7)
    turned, leading = principal_axes(x - x.mean(1, keepdim=True), share=0.8)
    assert leading < 40
    ratio = kmeans(turned, 12, leading=leading).inertia / kmeans(x, 12).inertia
    assert ratio.mean() < 1.005


def test_more_clusters_than_packed_indices_can_tell_apart():
    x, labels = blobs(1, 300, 900, 8, 0.01)
    found = kmeans(x, 300, restarts=4)
    assert adjusted_rand_score(labels, found.labels[0]) > 0.95


def test_constant_rows_are_one_cluster_without_inertia():
    found = kmeans(torch.ones(2, 10, 3), 4)
    assert (found.inertia == 0).all()


@pytest.mark.parametrize("k", [0, 11])
def test_impossible_k_is_named(k):
    with pytest.raises(BadInput, match=rf"{k} clusters of 10 rows"):
        kmeans(torch.randn(1, 10, 3), k)


def test_seeds_are_rows_far_apart():
    x, labels = blobs(2, 6, 60, 10, 0.01)
    for problem in greedy_seeds(x, 6, restarts=4):
        for seeds in problem:
            assert len(labels[seeds].unique()) == 6


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.sampled_from([1e-3, 1.0, 1e4]))
def test_clear_clusters_survive_rotation_scaling_and_row_order(seed, scale):
    x, labels = blobs(1, 5, 50, 6, 0.02, seed)
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator)).Q
    order = torch.randperm(50, generator=generator)
    with warnings.catch_warnings():
        found = kmeans(scale * (x @ turn)[:, order], 5, restarts=12, carried=6, seed=seed)
    assert (
        adjusted_rand_score(kmeans(x, 5, restarts=12, carried=6).labels[0][order], found.labels[0])
        == 1
    )
    assert adjusted_rand_score(labels[order], found.labels[0]) == 1

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate._core.errors import BadInput
from nucleate.metrics.clusters._recall import matched_accuracy, recall_by_class


def test_a_class_without_a_cluster_of_its_own_is_lost():
    labels = np.array(["b"] * 4 + ["a"] * 3 + ["c"] * 3)
    clusters = np.array([7, 7, 7, 1, 1, 1, 1, 7, 7, 1])
    assert recall_by_class(clusters, labels) == pytest.approx([1, 3 / 4, 0])
    assert matched_accuracy(clusters, labels) == pytest.approx(6 / 10)


def test_more_clusters_than_classes_lose_rows_not_classes():
    labels, clusters = np.repeat([0, 1], 4), np.array([0, 0, 0, 1, 2, 2, 3, 3])
    assert recall_by_class(clusters, labels) == pytest.approx([0.75, 0.5])


@settings(max_examples=30, deadline=None)
@given(
    clusters=st.lists(st.integers(0, 3), min_size=6, max_size=12),
    seed=st.integers(0, 99),
)
def test_no_pairing_of_clusters_and_classes_agrees_more(clusters, seed):
    clusters = np.array(clusters)
    labels = np.random.default_rng(seed).integers(0, 4, len(clusters))
    best = max(
        np.mean(np.array(pairing)[clusters] == labels)
        for pairing in itertools.permutations(range(4))
    )
    assert matched_accuracy(clusters, labels) == pytest.approx(best)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99))
def test_order_of_rows_and_names_of_clusters_change_nothing(seed):
    rng = np.random.default_rng(seed)
    labels, clusters = rng.integers(0, 3, 60), rng.integers(0, 5, (2, 60))
    order, names = rng.permutation(60), rng.permutation(9)
    moved = names[clusters[:, order]]
    found = matched_accuracy(moved, labels[order])
    assert found == pytest.approx(matched_accuracy(clusters, labels))
    assert found.shape == (2,)


def test_places_lead_and_tensors_are_taken():
    labels = torch.arange(40) % 4
    clusters = torch.stack([labels, labels * 0, 3 - labels]).view(3, 1, 40)
    found = recall_by_class(clusters, labels)
    assert found.shape == (3, 1, 4)
    assert found[[0, 2]].min() == 1
    assert sorted(found[1, 0]) == [0, 0, 0, 1]


def test_noise_is_no_cluster_that_a_class_could_have():
    labels = np.repeat([0, 1], 5)
    clusters = np.where(labels == 0, -1, 4)
    assert recall_by_class(clusters, labels).tolist() == [0, 1]
    assert recall_by_class(np.full(10, -1), labels).tolist() == [0, 0]


def test_random_clusters_agree_more_than_one_over_the_classes():
    rng = np.random.default_rng(0)
    labels, clusters = np.arange(100) % 10, rng.integers(0, 10, (50, 100))
    assert matched_accuracy(clusters, labels).mean() > 0.2


def test_labels_of_another_length_are_named():
    with pytest.raises(BadInput, match="labels of shape"):
        recall_by_class(np.arange(5), np.arange(4))

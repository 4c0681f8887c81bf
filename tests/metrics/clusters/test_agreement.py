import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from nucleate._core.errors import BadInput
from nucleate.metrics import agreement, bootstrap_ari
from nucleate.metrics.clusters._agreement import expected_information
from nucleate.metrics.clusters._bootstrap import _with_unseen, resamples


def partitions(rows, most):
    return st.lists(st.integers(0, most), min_size=rows, max_size=rows).map(np.array)


@settings(max_examples=100, deadline=None)
@given(a=partitions(30, 6), b=partitions(30, 4))
def test_equal_to_scikit_learn(a, b):
    found = agreement(torch.tensor(a)[None], torch.tensor(b)[None])
    assert found.ari[0, 0] == pytest.approx(adjusted_rand_score(b, a), abs=1e-6)
    assert found.ami[0, 0] == pytest.approx(adjusted_mutual_info_score(b, a), abs=1e-5)


@settings(max_examples=50, deadline=None)
@given(a=partitions(40, 9), b=partitions(40, 5))
def test_expected_information_is_scikit_learns(a, b):
    oracle = expected_mutual_information(contingency_matrix(a, b, sparse=True), 40)
    assert expected_information(np.bincount(a), np.bincount(b)) == pytest.approx(oracle, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(a=partitions(30, 5), b=partitions(30, 5), seed=st.integers(0, 99))
def test_names_and_order_of_rows_do_not_matter(a, b, seed):
    rng = np.random.default_rng(seed)
    order, names = rng.permutation(30), rng.permutation(6)
    plain = agreement(torch.tensor(a)[None], torch.tensor(b)[None])
    moved = agreement(torch.tensor(names[a][order])[None], torch.tensor(b[order])[None])
    assert moved.ari == pytest.approx(plain.ari, abs=1e-6)
    assert moved.ami == pytest.approx(plain.ami, abs=1e-5)


@pytest.mark.parametrize(("rows", "classes"), [(200, 20), (1000, 100)])
def test_independent_labels_score_near_zero(rows, classes):
    rng = np.random.default_rng(0)
    clusters = torch.from_numpy(rng.integers(0, classes, (1, rows)))
    labels = torch.from_numpy(rng.integers(0, classes, (300, rows)))
    found = agreement(clusters, labels)
    for values in (found.ari, found.ami):
        assert np.quantile(values, 0.95) < 0.031
        assert abs(values.mean()) < 0.005


def test_many_labelings_are_scored_as_if_each_stood_alone():
    rng = np.random.default_rng(1)
    labels = torch.from_numpy(np.stack([rng.permutation(np.arange(60) % 6) for _ in range(5)]))
    clusters = torch.from_numpy(rng.integers(0, 7, (3, 60)))
    together = agreement(clusters, labels)
    for index, labeling in enumerate(labels):
        alone = agreement(clusters, labeling[None])
        assert together.ari[:, index] == pytest.approx(alone.ari[:, 0])
        assert together.ami[:, index] == pytest.approx(alone.ami[:, 0], abs=1e-6)


def bootstrap_case(rows_a_string):
    rng = np.random.default_rng(0)
    strings = torch.arange(120).repeat_interleave(rows_a_string)
    labels = (torch.arange(120) // 6).repeat_interleave(rows_a_string)
    clusters = torch.from_numpy(rng.integers(0, 20, (1, len(strings))))
    return clusters, labels, strings


@pytest.mark.parametrize("rows_a_string", [1, 5])
def test_drawing_every_string_once_gives_the_ari_itself(rows_a_string):
    clusters, labels, strings = bootstrap_case(rows_a_string)
    found = bootstrap_ari(clusters, labels, strings, torch.ones(1, 120, dtype=torch.float64))
    exact = np.array([[adjusted_rand_score(labels, clusters[0])]])
    assert found == pytest.approx(_with_unseen(exact, np.array([120.0])), abs=1e-9)


def test_strings_drawn_twice_do_not_lift_a_null_score():
    clusters, labels, strings = bootstrap_case(1)
    found = bootstrap_ari(clusters, labels, strings, resamples(np.arange(120), 120, 300, 0))
    assert abs(found.mean() - adjusted_rand_score(labels, clusters[0])) < 0.02


def test_perfect_clusters_leave_room_for_strings_that_were_not_drawn():
    _, labels, strings = bootstrap_case(5)
    found = bootstrap_ari(labels[None], labels, strings, resamples(np.arange(120), 120, 400, 0))
    assert found.max() == pytest.approx(1)
    # The rule of three: with 95 % at most 3 of 120 strings are of another kind.
    assert 0.9 < np.quantile(found, 0.025) < 1


def test_resamples_hold_as_many_strings_as_were_chosen_and_no_others():
    weights = resamples(np.array([1, 3, 4]), 6, 10, 0)
    assert (weights.sum(1) == 3).all()
    assert (weights[:, [0, 2, 5]] == 0).all()


def test_many_rows_in_classes_of_very_unequal_size_score_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, 51) ** 1.5
    a, b = (rng.choice(50, 100_000, p=shares / shares.sum()) for _ in range(2))
    tracemalloc.start()
    found = agreement(a, b).ami
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == pytest.approx(adjusted_mutual_info_score(b, a), abs=1e-9)
    assert peak < 100e6  # all terms at once are 100 million


def test_equal_partitions_of_a_million_rows_and_of_one_score_one():
    halves = np.random.default_rng(0).integers(0, 2, 1_000_000)
    for labels in (halves, np.array([7])):
        found = agreement(labels, labels)
        assert (found.ari, found.ami) == (pytest.approx(1), pytest.approx(1))


def test_no_rows_are_refused_in_a_sentence():
    with pytest.raises(BadInput, match="no rows"):
        agreement(np.array([], dtype=int), np.array([], dtype=int))

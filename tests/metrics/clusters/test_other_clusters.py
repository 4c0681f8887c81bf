import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score, silhouette_score

from nucleate._core.errors import BadInput
from nucleate.metrics.clusters._other_clusters import (
    hdbscan,
    silhouette,
    singletons,
    ward,
)
from nucleate.metrics.geometry._spectra import gaussian_twin

LABELS = torch.arange(120) % 6


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def blobs(gap=3.0, width=20, seed=0):
    return gap * normal(6, width, seed=seed)[LABELS] + normal(120, width, seed=seed + 1)


@pytest.mark.parametrize("cluster", [lambda x: ward(x, 6), hdbscan])
def test_separate_blobs_are_found_at_every_place(cluster):
    x = torch.stack([blobs(seed=0), blobs(seed=5)])[:, None]
    found = cluster(x)
    assert found.shape == (2, 1, 120)
    assert [adjusted_rand_score(LABELS, c) for c in found[:, 0]] == [1, 1]


def test_few_rows_are_clustered_by_density_too():
    x = torch.cat([normal(4, 3), 50 + normal(4, 3, seed=1)])
    assert len(set(hdbscan(x).tolist()) - {-1}) == 2


def test_ward_is_that_of_scikit_learn():
    x = blobs(0.5)
    expected = AgglomerativeClustering(6, linkage="ward").fit_predict(x.numpy())
    assert adjusted_rand_score(expected, ward(x, 6)) == 1


def test_noise_in_many_dimensions_has_no_dense_parts():
    found = hdbscan(normal(120, 90))
    assert (found == -1).mean() > 0.9


def test_principal_axes_keep_the_clusters_that_many_dimensions_of_noise_hide():
    x = torch.cat([blobs(2.5, width=8), normal(120, 600, seed=7)], 1)
    every, leading = hdbscan(x, n_components=608), hdbscan(x, n_components=5)
    assert (leading >= 0).mean() > (every >= 0).mean()


def test_noise_scored_as_singletons_does_not_look_perfect():
    found = np.where(np.arange(120) < 100, -1, LABELS)
    kept = found >= 0
    assert adjusted_rand_score(LABELS[kept], found[kept]) == 1
    alone = singletons(found)
    assert adjusted_rand_score(LABELS, alone) < 0.2
    assert len(set(alone.tolist())) == 100 + 6
    assert (singletons(found)[kept] == found[kept]).all()


@pytest.mark.parametrize(("cluster", "constant"), [(lambda x: ward(x, 6), 0), (hdbscan, -1)])
def test_constant_and_nan_states_have_no_clusters(cluster, constant):
    x = blobs().repeat(3, 1, 1)
    x[1] = 1e4 / 3
    x[1] += 1e-3 * normal(120, 20)
    x[2, 0, 0] = torch.nan
    found = cluster(x)
    assert (found[0] == cluster(x[0])).all()
    assert (found[1] == constant).all()
    assert (found[2] == -1).all()


def test_silhouettes_are_those_of_scikit_learn_for_many_labelings_and_lone_rows():
    x = torch.stack([blobs(0.5), blobs(2.0, seed=3)])
    lone = torch.cat([LABELS[:119], torch.tensor([9])])
    shuffled = LABELS[torch.randperm(120, generator=torch.Generator().manual_seed(0))]
    labels = torch.stack([LABELS, shuffled, lone])
    expected = [[silhouette_score(z.double(), one) for one in labels] for z in x]
    found = silhouette(x, labels)
    assert found == pytest.approx(np.array(expected), abs=1e-6)
    assert silhouette(x[0], LABELS) == pytest.approx(found[0, 0], abs=1e-6)


def test_summing_strings_first_changes_nothing():
    strings = torch.arange(120) // 5
    generator = torch.Generator().manual_seed(0)
    labels = torch.stack([(torch.randperm(24, generator=generator) % 4)[strings] for _ in range(9)])
    x = normal(120, 7)
    expected = [silhouette_score(x.double(), one) for one in labels]
    assert silhouette(x, labels) == pytest.approx(expected, abs=1e-6)


def test_rows_of_one_string_are_left_out():
    strings = torch.arange(120) // 4
    labels = strings % 3
    x = 5 * normal(30, 10)[strings] + normal(120, 10, seed=1)
    expected = naive(x.double(), labels, strings)
    assert silhouette(x, labels, strings) == pytest.approx(expected, abs=1e-6)
    assert silhouette(x, labels, torch.arange(120)) == pytest.approx(silhouette(x, labels))
    assert expected < silhouette(x, labels) - 0.03


def naive(x, labels, strings):
    distances, scores = torch.cdist(x, x), []
    for row in range(len(x)):
        means = [
            float(distances[row][(labels == c) & (strings != strings[row])].mean())
            for c in range(3)
        ]
        a = means.pop(int(labels[row]))
        scores.append((min(means) - a) / max(a, min(means)))
    return np.mean(scores)


def test_a_class_of_one_string_counts_as_nothing():
    strings = torch.arange(40) // 20
    assert silhouette(normal(40, 3), strings, strings) == 0


def test_classes_that_are_perfectly_told_apart_have_small_silhouettes():
    x = normal(6, 128)[LABELS] + normal(120, 128, seed=1)
    centers = torch.stack([x[c == LABELS].mean(0) for c in range(6)])
    assert (torch.cdist(x, centers).argmin(1) == LABELS).all()
    assert silhouette(x, LABELS) < 0.35


def test_clusters_of_noise_score_above_zero_as_its_twin_does():
    x = normal(120, 3)
    found = silhouette(x, ward(x, 6))
    twins = gaussian_twin(x, 20)
    null = [silhouette(twin, ward(twin, 6)) for twin in twins]
    assert found > 0.1
    assert found < max(null)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), scale=st.sampled_from([0.01, 1.0, 100.0]))
def test_rotation_scale_order_and_names_change_nothing(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    x = blobs(0.7, width=5, seed=seed).double()
    turn = torch.linalg.qr(normal(5, 5, seed=seed).double()).Q
    order, names = torch.randperm(120, generator=generator), torch.randperm(6, generator=generator)
    moved = scale * (x @ turn + 2)[order]
    assert silhouette(moved, names[LABELS][order]) == pytest.approx(silhouette(x, LABELS), abs=1e-5)
    assert adjusted_rand_score(ward(moved, 4), ward(x, 4)[order]) == 1


def test_silhouettes_of_constant_and_nan_states():
    x = blobs().repeat(2, 2, 1, 1)
    x[0, 1] = 1 / 3
    x[1, 0, 4, 4] = torch.nan
    values = silhouette(x, LABELS)
    assert values.shape == (2, 2)
    assert values[0, 1] == 0
    assert np.isnan(values[1, 0])
    assert values[0, 0] == values[1, 1] > 0
    assert silhouette(x[0, 1], LABELS * 0) == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: ward(x, 0), "1 to 120 clusters"),
        (lambda x: ward(x, 121), "1 to 120 clusters"),
        (lambda x: hdbscan(x, n_components=0), "at least 1"),
        (lambda x: hdbscan(x, min_cluster_size=1), "ask for 2 to 120"),
        (lambda x: silhouette(x, LABELS[:9]), "labels of shape"),
        (lambda x: silhouette(x, LABELS, LABELS[:9]), "groups of shape"),
        (lambda x: silhouette(x, torch.stack([LABELS, LABELS * 0])), "at least two classes"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(BadInput, match=words):
        call(blobs())

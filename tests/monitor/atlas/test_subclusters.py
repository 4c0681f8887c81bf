"""A cluster is cut where there is a gap, and nowhere else."""

import numpy as np
import pytest

from nucleate.monitor.atlas import fit_atlas
from nucleate.monitor.atlas._subclusters import _best_cut, subclusters

EACH = 60


def rounds(seed, clusters=4, width=10):
    rng = np.random.default_rng(seed)
    code = np.repeat(np.arange(clusters), EACH)
    return rng.normal(size=(len(code), width)).astype(np.float32), code


def test_a_cluster_of_two_clouds_is_cut_between_them_and_the_others_stay_whole():
    white, code = rounds(0)
    second = np.arange(EACH) % 2 == 1
    white[EACH : 2 * EACH][second] += 7
    group = subclusters(white, code, 0)
    assert group.max() == 4
    parts = group[EACH : 2 * EACH]
    assert len(set(parts[second])) == len(set(parts[~second])) == 1
    assert (np.diff([group[code == k].min() for k in range(4)]) > 0).all()


def test_three_clouds_are_three():
    white, code = rounds(1)
    white[:EACH, 0] += 12 * (np.arange(EACH) % 3 == 1)
    white[:EACH, 1] += 12 * (np.arange(EACH) % 3 == 2)
    assert subclusters(white, code, 0).max() == 5


def test_an_outlier_is_no_cloud():
    white, code = rounds(2)
    white[:2] += 60
    assert subclusters(white, code, 0).max() == 3


def test_the_best_cut_takes_what_is_known_of_known_distributions():
    gauss = np.sort(np.random.default_rng(0).normal(size=(1, 20_000)))
    assert _best_cut(gauss)[0] == pytest.approx(2 / np.pi, abs=0.01)
    assert _best_cut(np.linspace(0, 1, 20_000)[None])[0] == pytest.approx(0.75, abs=0.001)
    assert _best_cut(np.repeat([0.0, 1.0], 50)[None])[0] == pytest.approx(1)


@pytest.mark.slow
def test_gaussian_clusters_of_any_shape_are_cut_in_five_of_a_hundred_fits_at_most():
    cut = 0
    for seed in range(200):
        white, code = rounds(seed)
        white *= np.random.default_rng(seed).lognormal(0, 1, 10).astype(np.float32)
        cut += subclusters(white, code, seed).max() > 3
    assert cut <= 18  # of 200, 5 % allowed: more in one of a hundred such tests


def test_requests_of_either_cloud_are_of_the_cluster():
    rng = np.random.default_rng(5)
    centers = np.array([[0, 0], [40, 0], [20, 30]])
    code = np.repeat([0, 0, 1], 150)
    vectors = centers[np.repeat([0, 1, 2], 150)] + rng.normal(size=(450, 2))
    vectors = np.concatenate([vectors, rng.normal(size=(450, 6))], axis=1).astype(np.float32)
    atlas = fit_atlas(vectors, [f"t{k}" for k in code])
    assert atlas.settings["subclusters"] == {"t0": 2}
    probes = np.zeros((3, 8), dtype=np.float32)
    probes[:, :2] = centers
    assert [atlas.clusters[k] for k in atlas.score(probes).cluster] == ["t0", "t0", "t1"]
    white = atlas.whiten(probes)
    near = np.linalg.norm(atlas.residuals(white, atlas.score(probes).cluster), axis=1)
    assert (near < 2).all()

"""An atlas: known answers, its splits, its bytes, and what it refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

from nucleate._core.errors import BadInput
from nucleate.monitor import Atlas, fit_atlas, text_hash
from nucleate.runs import States

CLUSTERS, EACH, WIDTH = 6, 120, 12


def clouds(seed=0, each=EACH, spread=4.0):
    """Gaussian clusters of one covariance that is no multiple of the identity."""
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(99).normal(size=(CLUSTERS, WIDTH)) * spread
    mix = np.random.default_rng(98).normal(size=(WIDTH, WIDTH))
    code = np.repeat(np.arange(CLUSTERS), each)
    vectors = centers[code] + rng.normal(size=(len(code), WIDTH)) @ mix
    return vectors.astype(np.float32), [f"task {k}" for k in code]


@pytest.fixture(scope="module")
def atlas():
    vectors, labels = clouds()
    return fit_atlas(vectors, labels, [f"text {k}" for k in range(len(labels))])


def test_rows_of_the_clusters_are_found_in_them_and_far_rows_are_outside(atlas):
    vectors, labels = clouds(seed=1, each=50)
    scores = atlas.score(vectors)
    named = [atlas.clusters[k] for k in scores.cluster]
    assert np.mean(np.array(named) == labels) > 0.97
    far = atlas.score(vectors + 200)
    assert far.outside(0.05).all()
    assert scores.outside(0.05).mean() < 0.12
    assert (scores.probability[np.array(named) == labels] > 0.5).mean() > 0.97


def test_whitening_is_that_of_scikit_learns_ledoit_wolf(atlas):
    vectors, labels = clouds()
    hashes = [text_hash(f"text {k}") for k in range(len(labels))]
    kept = set(atlas.bank.hashes)
    rows = np.array([each in kept for each in hashes])
    x, code = vectors[rows].astype(float), np.array(labels)[rows]
    means = {name: x[code == name].mean(0) for name in set(code)}
    residual = x - np.array([means[name] for name in code])
    precision = np.linalg.inv(LedoitWolf(assume_centered=True).fit(residual).covariance_)
    white = atlas.whiten(vectors)
    differ = vectors[5].astype(float) - vectors[400]
    assert np.square(white[5] - white[400]).sum() == pytest.approx(
        differ @ precision @ differ, rel=1e-3
    )


def test_neighbors_are_those_of_scikit_learn(atlas):
    vectors, _ = clouds(seed=2, each=20)
    white = atlas.whiten(vectors)
    oracle = NearestNeighbors(n_neighbors=5).fit(atlas.bank.vectors)
    distances, rows = oracle.kneighbors(white)
    assert np.array_equal(atlas.score(vectors).nearest, rows)
    assert np.allclose(atlas.look(vectors).unusual, distances.mean(1), rtol=1e-3)


def test_no_text_lies_in_two_splits_and_the_reference_made_nothing(atlas):
    assert not set(atlas.reference.hashes) & atlas.texts_hashes
    assert set(atlas.bank.hashes) <= atlas.texts_hashes


def test_rows_of_one_wording_stay_together():
    vectors, labels = clouds()
    texts = [f"Text  {k // 2}" if k % 2 else f"text {k // 2}" for k in range(len(labels))]
    found = fit_atlas(vectors, labels, texts)
    assert not set(found.reference.hashes) & found.texts_hashes


def test_training_rows_never_calibrate_and_are_no_reference():
    vectors, labels = clouds()
    texts = [f"text {k}" for k in range(len(labels))]
    trained = texts[::2]
    found = fit_atlas(vectors, labels, texts, trained_texts=trained)
    assert {text_hash(each) for each in trained} <= found.texts_hashes
    assert not {text_hash(each) for each in trained} & set(found.reference.hashes)
    assert found.settings["rows"]["calibration"] < 0.3 * len(labels)


def test_saved_and_loaded_it_is_the_same_atlas(atlas, tmp_path):
    atlas.save(tmp_path / "a")
    again = Atlas.load(tmp_path / "a")
    assert again.version == atlas.version
    vectors, _ = clouds(seed=3, each=10)
    first, second = atlas.score(vectors), again.score(vectors)
    assert np.array_equal(first.p, second.p)
    again.save(tmp_path / "b")
    for name in ("atlas.json", "atlas.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_changed_file_is_noticed(atlas, tmp_path):
    atlas.save(tmp_path)
    meta = json.loads((tmp_path / "atlas.json").read_text())
    (tmp_path / "atlas.json").write_text(json.dumps(meta | {"calibration.temperature": 7.0}))
    with pytest.raises(BadInput, match="not as it was written"):
        Atlas.load(tmp_path)


def test_a_request_scores_the_same_alone_and_in_a_batch(atlas):
    vectors, _ = clouds(seed=4, each=10)
    together = atlas.score(vectors)
    alone = [atlas.score(vectors[k : k + 1]) for k in range(len(vectors))]
    assert np.array_equal(together.cluster, np.concatenate([each.cluster for each in alone]))
    assert np.allclose(together.p, np.concatenate([each.p for each in alone]), atol=0.01)


def test_the_place_that_tells_the_clusters_is_chosen():
    vectors, labels = clouds()
    noise = np.random.default_rng(5).normal(size=vectors.shape).astype(np.float32)
    values = torch.from_numpy(np.stack([[noise, noise + 0.1 * vectors], [noise * 2, vectors]]))
    states = States(values, ("embed", "block.0"), ("instruction_end", "last"))
    found = fit_atlas(states, labels, [f"text {k}" for k in range(len(labels))])
    assert (found.stream, found.position) == ("block.0", "last")
    assert len(found.settings["place"]["accuracy"]) == 4


def test_a_cluster_with_too_few_rows_is_named_and_is_none_of_the_clusters():
    vectors, labels = clouds()
    labels = ["rare" if k < 5 else label for k, label in enumerate(labels)]
    found = fit_atlas(vectors, labels, [f"text {k}" for k in range(len(labels))])
    assert list(found.settings["too_few"]) == ["rare"]
    assert "rare" not in found.clusters


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda v: v[:, :5], "width 5"),
        (lambda v: np.where(np.arange(len(v))[:, None] == 3, np.nan, v), "first row 3"),
        (lambda v: v[:0], "a row or more"),
    ],
)
def test_vectors_that_cannot_be_scored_are_refused_by_name(atlas, change, says):
    vectors, _ = clouds(seed=1, each=2)
    with pytest.raises(BadInput, match=says):
        atlas.score(change(vectors).astype(np.float32))


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_that_is_none_is_refused(atlas, rate):
    vectors, _ = clouds(seed=1, each=2)
    with pytest.raises(BadInput, match="rate is"):
        atlas.score(vectors).outside(rate)


@pytest.mark.parametrize("detector", ["knn", "mahalanobis", "relative"])
def test_p_values_of_every_detector_are_uniform_on_rows_like_the_calibration(detector):
    vectors, labels = clouds(each=400)
    found = fit_atlas(vectors, labels, detector=detector)
    p = found.score(clouds(seed=7, each=400)[0]).p
    assert abs(np.mean(p <= 0.1) - 0.1) < 0.04
    assert abs(np.mean(p <= 0.5) - 0.5) < 0.07


def test_the_table_has_the_columns_that_others_read(atlas):
    table = atlas.score(clouds(seed=1, each=2)[0]).table()
    assert list(table.columns) == [
        "cluster", "probability", "p", "p_states", "p_surface", "margin", "outside",
    ]  # fmt: skip
    assert replace(atlas).version == atlas.version

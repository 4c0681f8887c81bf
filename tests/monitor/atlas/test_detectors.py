"""Which detector is used: states where they add to the words, the cheaper one where not."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import requests_of
from nucleate._core.errors import BadInput
from nucleate.monitor.atlas import fit_atlas, load_encoder
from nucleate.monitor.atlas._detectors import Trial, _decided, auroc_draws, judge_detectors

CODE = np.repeat(np.arange(requests_of.CLUSTERS), requests_of.EACH)


def shuffled_words():
    """Texts that say nothing of the cluster."""
    rng = np.random.default_rng(4)
    return [" ".join(f"w{k}" for k in rng.choice(400, 6)) for _ in CODE]


def separate(seed=0, spread=4.0):
    rng = np.random.default_rng(seed)
    return (np.random.default_rng(9).normal(size=(5, 16))[CODE] * spread
            + rng.normal(size=(len(CODE), 16))).astype(np.float32)  # fmt: skip


def noise():
    return np.random.default_rng(1).normal(size=(len(CODE), 16)).astype(np.float32)


def test_areas_are_those_of_scikit_learn_also_of_rows_drawn_anew():
    rng = np.random.default_rng(0)
    scores, outside = rng.integers(0, 20, 80).astype(float), rng.random(80) < 0.3
    weights = rng.multinomial(80, np.full(80, 1 / 80), 5).astype(float)
    found = auroc_draws([Trial({"one": scores}, outside)], weights)["one"]
    wanted = [roc_auc_score(outside, scores, sample_weight=w) for w in weights]
    assert np.allclose(found, wanted)


def test_states_that_tell_clusters_where_words_do_not_are_used():
    atlas = fit_atlas(separate(), [f"t{k}" for k in CODE], shuffled_words())
    assert atlas.in_use == "both"
    assert atlas.settings["detectors"]["state"] == "states add"


def test_states_that_say_nothing_are_not_used_and_the_atlas_says_so():
    given = requests_of.rows()
    atlas = fit_atlas(noise(), [row["task"] for row in given], [row["text"] for row in given])
    assert atlas.in_use == "surface"
    assert "need no model" in atlas.settings["detectors"]["why"]
    scores = atlas.score(noise()[:5], [row["text"] for row in given[:5]])
    assert np.array_equal(scores.p, scores.p_surface)


def test_words_that_only_disturb_are_left_out():
    rng = np.random.default_rng(0)
    outside = np.arange(400) < 150
    states = outside * 3 + rng.normal(size=400)
    words = rng.normal(size=400)
    right = np.ones(400, dtype=bool)
    found = judge_detectors(
        [Trial({"states": states, "surface": words, "both": states + 3 * words}, outside)],
        {"states": right, "surface": right}, seed=0,
    )  # fmt: skip
    assert found["in_use"] == "states"
    assert found["state"] == "surface takes away"


@pytest.mark.parametrize(
    ("over_surface", "accuracy", "state", "in_use"),
    [
        ((0.09, 0.07, 0.11), (0.08, 0.02, 0.13), "states add", "both"),
        ((0.0, -0.01, 0.02), (0.08, 0.02, 0.13), "states add", "both"),
        ((-0.045, -0.057, -0.033), (0.009, -0.042, 0.060), "states take away", "surface"),
        ((0.001, -0.002, 0.004), (0.0, -0.005, 0.005), "states add nothing", "surface"),
        ((0.001, -0.002, 0.03), (0.0, -0.005, 0.005), "undecided", "both"),
        ((0.001, -0.002, 0.004), (0.0, -0.05, 0.05), "undecided", "both"),
    ],
)
@pytest.mark.parametrize("over_states", [-0.02, 0.02])
def test_what_is_used_follows_from_the_intervals(
    over_surface, accuracy, state, in_use, over_states
):
    """Clusters that the model has learnt are no reason to leave the words out."""
    gain = {
        "both - surface": list(over_surface),
        "both - states": [over_states, over_states - 0.01, over_states + 0.01],
        "cluster accuracy, states - surface": list(accuracy),
    }
    assert _decided(gain, True, False)[:2] == (in_use, state)


def test_few_rows_decide_nothing():
    rng = np.random.default_rng(0)
    outside = np.arange(60) < 10
    score = rng.normal(size=60)
    right = np.ones(60, dtype=bool)
    found = judge_detectors(
        [Trial({"states": score, "surface": score, "both": score}, outside)],
        {"states": right, "surface": right}, seed=0,
    )  # fmt: skip
    assert found["state"] == "too few"


def test_rows_that_are_known_to_be_outside_decide_where_there_are_such():
    labels = ["oos" if k == 4 else f"t{k}" for k in CODE]
    atlas = fit_atlas(separate(), labels, shuffled_words(), outside=["oos"])
    assert "oos" not in atlas.clusters
    assert atlas.settings["detectors"]["outside_are"] == "rows labeled so"
    assert atlas.settings["detectors"]["outside"] >= 30
    with pytest.raises(BadInput, match="no row has the outside label 'off'"):
        fit_atlas(separate(), labels, shuffled_words(), outside=["off"])


def test_a_sentence_encoder_stands_beside_and_is_not_what_is_used():
    given = requests_of.rows()
    words, labels = [row["text"] for row in given], [row["task"] for row in given]
    places = dict(zip(words, separate(), strict=True))
    found = fit_atlas(
        noise(), labels, words, encoder=lambda texts: np.array([places[text] for text in texts])
    )
    areas = found.settings["detectors"]["auroc"]
    assert areas["encoder"][0] > 0.95 > areas["states"][0]
    assert found.in_use == "surface"
    with pytest.raises(BadInput, match="finite vector each"):
        fit_atlas(noise(), labels, words, encoder=lambda texts: np.zeros(3))


def test_an_encoder_that_is_nowhere_is_refused(tmp_path):
    with pytest.raises(BadInput, match="pip install nucleate"):
        load_encoder(str(tmp_path / "nothing"))


def test_an_encoder_of_model2vec_gives_vectors(tmp_path):
    model2vec = pytest.importorskip("model2vec")
    words = requests_of.tokenizer()
    vectors = np.random.default_rng(0).normal(size=(len(words), 8)).astype(np.float32)
    model2vec.StaticModel(vectors=vectors, tokenizer=words.backend_tokenizer).save_pretrained(
        tmp_path
    )
    encode = load_encoder(str(tmp_path))
    found = encode(["c0w1 c0w2", "all3"])
    assert found.shape == (2, 8)
    assert not np.allclose(found[0], found[1])

"""The words alone: the same cosines as scikit-learn, and no word in the artefact."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

import requests_of
from nucleate._core.errors import BadInput
from nucleate.monitor.atlas import fit_atlas
from nucleate.monitor.atlas._surface import Surface, surface_scores


def texts(seed=0, each=30):
    return [row["text"] for row in requests_of.rows(seed, each)]


def test_cosines_are_those_of_scikit_learns_tf_idf():
    bank, new = texts(), texts(seed=1)
    oracle = TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(2, 4)).fit(bank)
    # scikit-learn leaves out what the bank has not; of the same letters both are the same.
    new = [text for text in new if set(oracle.build_analyzer()(text)) <= set(oracle.vocabulary_)]
    assert len(new) > 20
    wanted = (oracle.transform(new) @ oracle.transform(bank).T).toarray()
    assert np.allclose(Surface.fit(bank).similarities(new), wanted, atol=1e-5)


def test_a_word_that_the_bank_lacks_makes_a_text_less_like_it():
    bank = texts()
    surface = Surface.fit(bank)
    same, longer = surface.similarities([bank[0], f"{bank[0]} unheardof"])[:, 0]
    assert same == pytest.approx(1, abs=1e-5)
    assert longer < 0.97


def test_the_most_alike_texts_are_named_nearest_first():
    bank = texts()
    unusual, squared, nearest = surface_scores(
        Surface.fit(bank), np.repeat(np.arange(5), 30), bank[:7], 3, 5
    )
    assert nearest[:, 0].tolist() == list(range(7))
    assert (squared.argmin(1) == 0).all()
    assert (unusual < 1).all()


def test_no_word_of_a_request_is_in_the_artefact_unless_it_is_asked_for(tmp_path):
    given = requests_of.rows()
    words, labels = [row["text"] for row in given], [row["task"] for row in given]
    vectors = np.random.default_rng(0).normal(size=(len(given), 8)).astype(np.float32)
    for keep in (False, True):
        fit_atlas(vectors, labels, words, keep_text=keep).save(tmp_path / str(keep))
        stored = b"".join(file.read_bytes() for file in (tmp_path / str(keep)).iterdir())
        assert (b"c0w1" in stored) == keep


def test_texts_can_be_scored_without_any_model():
    given = requests_of.rows()
    words, labels = [row["text"] for row in given], [row["task"] for row in given]
    vectors = np.random.default_rng(0).normal(size=(len(given), 8)).astype(np.float32)
    atlas = fit_atlas(vectors, labels, words)
    new = requests_of.rows(seed=5, each=20)
    scores = atlas.score(None, [row["text"] for row in new])
    named = np.array(atlas.clusters)[scores.cluster]
    assert np.mean(named == [row["task"] for row in new]) > 0.95
    assert np.isnan(scores.p_states).all()
    strange = atlas.score(None, ["nothing of this was ever said here", "nor this other thing"])
    assert strange.outside(0.05).all()


@pytest.mark.parametrize(
    ("given", "says"),
    [(["fine", " "], "row 1 is empty"), (["a" * 10_000_000], "10,000,000 characters")],
)
def test_texts_that_cannot_be_scored_are_refused_by_row(given, says):
    rows = requests_of.rows()
    vectors = np.random.default_rng(0).normal(size=(len(rows), 8)).astype(np.float32)
    atlas = fit_atlas(vectors, [r["task"] for r in rows], [r["text"] for r in rows])
    with pytest.raises(BadInput, match=says):
        atlas.score(None, given)

"""Counterfactual pairs: made with a null edit of the same size, read, and compared."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar

from nucleate._core.errors import BadInput
from nucleate.monitor.audit import Pairs, Rules, flips, read_pairs, swapped_pairs

AUDIT = Path(__file__).parents[4] / "shared" / "data" / "bias_audit" / "data.jsonl"
SWAP = {"he": "she", "she": "he", "his": "her", "him": "her", "her": "his"}
NULL = {"the": "this", "a": "one", "that": "this", "was": "were"}


def results(pairs, changed, null, both=0, matched=True):
    """Pairs of which some change with one edit only, and some with both."""
    found = []
    for number in range(pairs):
        first = number < changed or number >= pairs - both
        second = changed <= number < changed + null or number >= pairs - both
        found.append(("a", "b" if first else "a", "b" if second else "a"))
    return Pairs({"cluster": found}, matched)


def test_an_attribute_that_flips_more_than_a_null_edit_is_found():
    (one,) = flips(results(200, 40, 10, both=6))
    assert (one.pairs, one.only_attribute, one.only_null) == (200, 40, 10)
    assert (one.attribute, one.null) == (46 / 200, 16 / 200)
    assert one.difference == pytest.approx(0.15)
    assert one.low < 0.15 < one.high
    assert one.low > 0
    assert one.word == "flips beyond a null edit"


def test_flips_of_a_null_edit_alike_are_no_finding():
    (one,) = flips(results(400, 40, 40))
    assert one.word == "no more than a null edit"
    (few,) = flips(results(40, 8, 8))
    assert few.word == "undecided"


@pytest.mark.parametrize(("matched", "word"), [(False, "undecided"), (None, "undecided")])
def test_edits_of_other_or_unknown_sizes_decide_nothing(matched, word):
    (one,) = flips(results(200, 40, 10, matched=matched))
    assert one.word == word


def test_few_pairs_are_too_few():
    (one,) = flips(results(29, 20, 0))
    assert (one.word, one.p) == ("too few", None)
    (one,) = flips(results(29, 20, 0), Rules(least=20))
    assert one.word == "flips beyond a null edit"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30))
def test_p_is_that_of_mcnemars_exact_test(changed, null):
    (one,) = flips(results(100, changed, null))
    oracle = mcnemar([[0, changed], [null, 0]], exact=True).pvalue if changed + null else 1
    assert one.p == pytest.approx(float(oracle))


def test_the_interval_holds_the_truth_in_about_95_of_100_draws():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        changed, null = rng.random((2, 120)) < [[0.08], [0.03]]
        made = zip(changed, null, strict=True)
        drawn = [("a", "ab"[int(c)], "ab"[int(n)]) for c, n in made]
        (one,) = flips(Pairs({"cluster": drawn}, True))
        held += one.low <= 0.05 <= one.high
    assert 925 <= held <= 985


def test_exchanged_words_keep_their_capitals_and_number():
    text = "He said that the dog was his, and the cat was a cat."
    base, changed, null = swapped_pairs([text], SWAP, NULL)
    assert base["text"] == text
    assert changed["text"] == "She said that the dog was her, and the cat was a cat."
    assert null["text"] == "He said this this dog was his, and the cat was a cat."
    assert [row["size"] for row in (base, changed, null)] == [0, 2, 2]
    assert [row["variant"] for row in (base, changed, null)] == ["base", "attribute", "null"]


def test_texts_without_a_null_edit_of_that_size_are_left_out():
    rows = swapped_pairs(["he and his dog", "no such words", "he is the one"], SWAP, NULL)
    assert {row["pair"] for row in rows} == {2}
    with pytest.raises(BadInput, match="none of 1 texts"):
        swapped_pairs(["he and his dog"], SWAP, NULL)


@pytest.mark.parametrize(
    ("swap", "null", "sentence"),
    [(SWAP, {}, "one of them is empty"), (SWAP, {"He": "it"}, "'he' is in both")],
)
def test_words_that_cannot_serve_are_refused(swap, null, sentence):
    with pytest.raises(BadInput, match=sentence):
        swapped_pairs(["he is the one"], swap, null)


def stored(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row(pair, variant, cluster="a", **more):
    return {"pair": pair, "variant": variant, "cluster": cluster, **more}


def test_scored_pairs_are_read_with_answers_and_sizes(tmp_path):
    rows = [
        row(1, "base", answer="x", size=0), row(1, "attribute", "b", answer="x", size=2),
        row(1, "null", answer="y", size=2), row(2, "base", answer="x", size=0),
    ]  # fmt: skip
    found = read_pairs(stored(tmp_path / "pairs.jsonl", rows), answers=["answer"])
    assert found.results == {"cluster": [("a", "b", "a")], "answer": [("x", "x", "y")]}
    assert found.matched is True
    rows[2]["size"] = 1
    assert read_pairs(stored(tmp_path / "pairs.jsonl", rows)).matched is False
    bare = [row(1, name) for name in ("base", "attribute", "null")]
    assert read_pairs(stored(tmp_path / "pairs.jsonl", bare)).matched is None


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"pair": 1, "variants": "base", "cluster": "a"}], r"did you mean 'variants'\?"),
        ([row(1, "other")], "another variant"),
        ([row(1, "base"), row(1, "base")], "second base"),
        ([row(1, "base"), row(1, "null")], "no pair"),
    ],
)
def test_pairs_that_are_none_are_refused(tmp_path, rows, sentence):
    with pytest.raises(BadInput, match=sentence):
        read_pairs(stored(tmp_path / "pairs.jsonl", rows))


@pytest.mark.skipif(not AUDIT.exists(), reason="the shared data is not here")
def test_pairs_can_be_made_of_sentences_that_are_meant_for_it():
    with AUDIT.open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    texts = [each["input"]["sentence"] for each in records if each["task"] == "winogender"]
    rows = swapped_pairs(texts, SWAP, NULL)
    assert len({each["pair"] for each in rows}) > 100
    assert all(each["size"] > 0 for each in rows if each["variant"] != "base")

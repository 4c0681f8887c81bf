"""The search for badly served rows: finds what nobody named, and tests it on other rows."""

import numpy as np
import pytest

from nucleate._core.errors import BadInput
from nucleate.monitor.audit import AuditTable, Rules, search
from nucleate.monitor.audit._search import _half, can_search


def rows(seed, *, hidden_rate=0.4, count=3000, **columns):
    """Six clusters; a tenth of all rows, in no column, has a direction of its own."""
    rng = np.random.default_rng(seed)
    cluster = rng.integers(0, 6, count)
    hidden = rng.random(count) < 0.1
    means, direction = 2 * rng.normal(size=(6, 16)), rng.normal(size=16)
    vectors = means[cluster] + 2.5 * hidden[:, None] * direction + rng.normal(size=(count, 16))
    wrong = rng.random(count) < np.where(hidden, hidden_rate, 0.1)
    table = AuditTable(
        cluster.astype(str), outcomes={"wrong": wrong}, vectors=vectors.astype(np.float32),
        **columns,
    )  # fmt: skip
    return table, hidden


def test_rows_that_no_column_names_are_found_by_their_vectors():
    table, hidden = rows(0)
    found = search(table, "wrong")
    gaps = [one for one in found.slices if one.cell.gap]
    assert gaps
    worst = max(gaps, key=lambda one: one.cell.rate)
    wrong = [int(row) for row in worst.examples]
    assert hidden[wrong].mean() > 0.5
    assert worst.cell.where.rule.startswith(("within its cluster", "in part", "not", "cluster"))


def test_a_badly_served_cluster_is_found_and_described_by_its_name():
    rng = np.random.default_rng(1)
    cluster = rng.integers(0, 20, 3000)
    wrong = rng.random(3000) < np.where(cluster == 7, 0.5, 0.1)
    found = search(AuditTable(cluster.astype(str), outcomes={"wrong": wrong}), "wrong")
    (gap,) = [one for one in found.slices if one.cell.gap]
    assert gap.cell.where.rule == "cluster is 7"
    assert gap.mostly == (("7", 1.0),)


def test_an_intersection_of_two_columns_is_found():
    rng = np.random.default_rng(2)
    lang, age = rng.choice(["en", "ja"], 4000), rng.choice(["old", "young"], 4000)
    bad = (lang == "ja") & (age == "old")
    table = AuditTable(
        rng.integers(0, 4, 4000).astype(str), {"lang": lang, "age": age},
        {"wrong": rng.random(4000) < np.where(bad, 0.35, 0.1)},
    )  # fmt: skip
    found = search(table, "wrong", columns=["lang", "age"])
    assert any(
        one.cell.gap and "lang is ja" in one.cell.where.rule and "age is old" in one.cell.where.rule
        for one in found.slices
    )


def test_what_is_tested_was_not_searched():
    """Slice and others are the second half, of which nothing was chosen."""
    table, _ = rows(3, hidden_rate=0.1)
    found = search(table, "wrong", seed=5)
    half = _half(table.own_texts, 5)
    assert (found.searched, found.tested) == (half.sum(), (~half).sum())
    events = table.outcomes["wrong"][~half].sum()
    assert found.slices
    for one in found.slices:
        cell = one.cell
        assert cell.rows + cell.others == found.tested
        assert cell.events + round(cell.others_rate * cell.others) == events
        assert one.searched_rate > table.outcomes["wrong"][half].mean()


def test_rows_of_one_text_are_on_one_side():
    texts = np.repeat(np.arange(500), 3)
    half = _half(texts, 0)
    assert (half.reshape(500, 3).all(1) | ~half.reshape(500, 3).any(1)).all()
    assert half.sum() == 750


def test_in_clean_rows_the_search_seldom_finds_a_gap():
    """Twenty data sets, of which one may have a finding on average."""
    named = 0
    for seed in range(20):
        table, _ = rows(seed, hidden_rate=0.1, count=1000)
        found = search(table, "wrong", Rules(matters=0.001), seed=seed)
        named += any(one.cell.word in ("higher", "lower") for one in found.slices)
    assert named <= 4  # binomial 99.7 % point for 5 %


def test_the_same_seed_gives_the_same_search():
    table, _ = rows(4)
    assert search(table, "wrong", seed=2) == search(table, "wrong", seed=2)


def test_without_any_error_nothing_is_proposed():
    table, _ = rows(5)
    quiet = AuditTable(table.cluster, outcomes={"wrong": np.zeros(len(table), bool)})
    assert search(quiet, "wrong").slices == ()


def test_states_that_do_not_vary_are_no_question():
    table, _ = rows(6)
    flat = AuditTable(
        table.cluster, outcomes=table.outcomes, vectors=np.ones((len(table), 3), np.float32)
    )
    assert search(flat, "wrong").features == 8


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"outcome": "wrongs"}, "no outcome 'wrongs'; it has wrong"),
        ({"columns": ["lang"]}, "no group 'lang'"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_a_search_of_what_is_not_there_is_refused(arguments, sentence):
    table, _ = rows(7)
    with pytest.raises(BadInput, match=sentence):
        search(table, **{"outcome": "wrong"} | arguments)


def test_too_few_rows_and_nothing_to_search_by_are_refused():
    few = AuditTable(np.array(["a", "b"] * 119), outcomes={"wrong": np.zeros(238, bool)})
    assert not can_search(few, Rules())
    with pytest.raises(BadInput, match="238 rows are too few"):
        search(few, "wrong")
    bare = AuditTable(np.array(["a", "b"] * 120), outcomes={"wrong": np.zeros(240, bool)})
    with pytest.raises(BadInput, match="nothing to search by"):
        search(bare, "wrong", clusters=False)

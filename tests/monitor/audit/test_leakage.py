"""Leakage: what is decodable and what is clustered, beside permutations within task."""

import numpy as np
import pytest

from nucleate._core.errors import BadInput
from nucleate.monitor.audit import AuditTable, Rules, leakage

FAST = {"permutations": 39, "most": 60}


def rows(seed, *, shift=0.0, count=400, per_text=1):
    rng = np.random.default_rng(seed)
    task, lang = rng.integers(0, 4, count), rng.choice(["en", "ja"], count)
    vectors = rng.normal(size=(count, 8))
    vectors[:, 0] += shift * (lang == "ja")
    table = {"cluster": task.astype(str), "groups": {"lang": lang}, "vectors": vectors}
    return rng, table


def words(table, **options):
    return {one.question: one for one in leakage(AuditTable(**table), **FAST | options)}


def test_an_attribute_in_the_states_is_decodable_and_not_clustered():
    _, table = rows(0, shift=2.0)
    found = words(table)
    decodable = found["decodable"]
    assert decodable.word == "beyond chance"
    assert decodable.value > 0.75
    assert decodable.low < decodable.value < decodable.high
    assert decodable.null == pytest.approx(0.5, abs=0.05)
    assert found["clustered"].word == "not beyond chance"


def test_an_attribute_that_makes_clusters_is_clustered():
    rng, table = rows(1)
    table["cluster"] = np.where(rng.random(400) < 0.8, table["groups"]["lang"], "other")
    found = words(table)["clustered"]
    assert found.word == "beyond chance"
    assert found.null_high < found.low < found.value < found.high


def test_being_asked_about_other_things_is_no_leak_within_tasks():
    """Groups ask for different tasks, and clusters are the tasks: that alone says nothing."""
    rng, table = rows(2)
    task = np.where(rng.random(400) < 0.85, table["groups"]["lang"] == "ja", rng.random(400) < 0.5)
    table["cluster"] = task.astype(int).astype(str)
    table["vectors"][:, 0] += 5 * task
    overall, within = words(table), words(table | {"task": table["cluster"]})
    assert {one.word for one in overall.values()} == {"beyond chance"}
    assert {one.word for one in within.values()} == {"not beyond chance"}
    assert within["decodable"].value == pytest.approx(overall["decodable"].value, abs=0.1)
    assert within["decodable"].within_task
    assert not overall["decodable"].within_task


def test_repeated_texts_do_not_make_noise_decodable():
    """Each text stands ten times with its state and group: a probe that had seen it would know."""
    rng = np.random.default_rng(3)
    text = np.repeat(np.arange(80), 10)
    table = {
        "cluster": np.repeat(rng.integers(0, 3, 80), 10).astype(str),
        "groups": {"lang": np.repeat(rng.choice(["en", "ja"], 80), 10)},
        "vectors": np.repeat(rng.normal(size=(80, 16)), 10, axis=0), "texts": text,
    }  # fmt: skip
    found = words(table)
    assert found["decodable"].rows <= 80
    assert {one.word for one in found.values()} == {"not beyond chance"}


def test_a_rare_group_is_judged_on_as_many_rows_of_each():
    _, table = rows(4)
    table["groups"]["lang"] = np.where(np.arange(400) < 40, "ja", "en")
    found = words(table)["decodable"]
    assert (found.rows, found.groups) == (80, 2)
    assert found.null == pytest.approx(0.5, abs=0.08)


def test_groups_that_are_too_small_are_left_out_or_too_few():
    _, table = rows(5)
    table["groups"]["lang"] = np.where(np.arange(400) < 20, "fr", table["groups"]["lang"])
    assert words(table)["clustered"].groups == 2
    table["groups"]["lang"] = np.where(np.arange(400) < 20, "fr", "en")
    found = words(table)
    assert {one.word for one in found.values()} == {"too few"}
    assert {one.value for one in found.values()} == {None}


def test_without_vectors_only_clusters_are_asked():
    _, table = rows(6)
    del table["vectors"]
    assert set(words(table)) == {"clustered"}


@pytest.mark.slow
def test_noise_seldom_leaks():
    """Twenty data sets of two questions each; 5 % of them may have a finding."""
    named = 0
    for seed in range(20):
        _, table = rows(seed + 100, count=200)
        found = leakage(AuditTable(**table), Rules(), permutations=39, most=40, seed=seed)
        named += any(one.word == "beyond chance" for one in found)
    assert named <= 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"permutations": 38}, "permutations is 38: of 2 questions .* give 39 or more"),
        ({"most": 29}, "most is 29"),
    ],
)
def test_settings_that_decide_nothing_are_refused(arguments, sentence):
    _, table = rows(7)
    with pytest.raises(BadInput, match=sentence):
        leakage(AuditTable(**table), **arguments)

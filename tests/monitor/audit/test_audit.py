"""One audit: its verdict, its report, its words."""

import json

import numpy as np
import pytest

from nucleate.monitor import text_hash
from nucleate.monitor.audit import AuditTable, Pairs, Rules, audit_table


def rows(seed=0, *, count=2000, rate=0.1, bad=0.1, langs=("en", "ja"), **columns):
    rng = np.random.default_rng(seed)
    cluster, lang = rng.integers(0, 4, count).astype(str), rng.choice(langs, count)
    wrong = rng.random(count) < np.where(lang == langs[-1], bad, rate)
    return AuditTable(cluster, {"lang": lang}, {"wrong": wrong}, **columns)


def found_in(table, rules=None, **options):
    return audit_table(table, rules, permutations=39, **options)


def test_a_badly_served_group_is_a_gap():
    found = found_in(rows(bad=0.4))
    assert found.verdict == "gap"
    assert any(str(cell.where) == "lang ja" for cell in found.gaps)


def test_equal_groups_that_are_large_enough_are_no_gap():
    assert found_in(rows()).verdict == "no gap found"


def test_a_group_for_which_a_gap_could_be_missed_leaves_it_undecided():
    found = found_in(rows(count=300))
    assert found.verdict == "undecided"
    assert {cell.where.kind for cell in found.unsettled} == {"group"}
    assert any(line.startswith("undecided for 2 groups") for line in found.lines())


def test_so_does_a_group_of_too_few_rows():
    table = rows()
    lang = table.groups["lang"].copy()
    lang[:20] = "fr"
    found = found_in(AuditTable(table.cluster, {"lang": lang}, table.outcomes))
    assert found.verdict == "undecided"
    assert [cell.where.group for cell in found.unsettled] == ["fr"]


def test_rows_below_the_least_everywhere_are_too_few():
    found = found_in(rows(count=40))
    assert found.verdict == "too few"
    assert found.searches == ()


def test_pairs_have_a_say_in_the_verdict():
    flipped = {"cluster": [("a", "b" if each < 30 else "a", "a") for each in range(200)]}
    same = {"cluster": [("a", "a", "a")] * 200}
    assert found_in(rows(), pairs=Pairs(flipped, True)).verdict == "gap"
    assert found_in(rows(), pairs=Pairs(flipped, None)).verdict == "undecided"
    assert found_in(rows(), pairs=Pairs(same, True)).verdict == "no gap found"


def test_what_leaks_is_said_and_is_no_gap():
    rng = np.random.default_rng(1)
    table = rows(seed=1)
    vectors = rng.normal(size=(2000, 6)) + 2 * (table.groups["lang"] == "ja")[:, None]
    found = found_in(AuditTable(table.cluster, table.groups, table.outcomes, vectors=vectors))
    assert found.verdict == "no gap found"
    assert {one.question: one.word for one in found.leaks}["decodable"] == "beyond chance"
    assert any("told by a linear probe" in line for line in found.lines())


@pytest.mark.parametrize("bad", [0.1, 0.4])
def test_a_report_is_plain_json_that_agrees_with_its_verdict(bad):
    found = found_in(rows(bad=bad, inputs={"scored": "ab" * 32}))
    report = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (report["kind"], report["version"], report["verdict"]) == ("audit", 1, found.verdict)
    assert (report["verdict"] == "gap") == (report["gaps"] > 0)
    assert report["inputs"] == {"scored": "ab" * 32}
    assert report["settings"] == {"least": 30, "level": 0.05, "matters": 0.1, "seed": 0}
    tested = [cell for cell in report["cells"] if cell["p"] is not None]
    for cell in tested:
        assert cell["low"] <= cell["rate"] <= cell["high"]
        assert {"rows", "others", "others_rate", "p_adjusted", "detectable"} <= set(cell)


def test_every_named_gap_is_said_with_its_numbers():
    found = found_in(rows(bad=0.4))
    said = "\n".join(found.lines())
    for cell in found.gaps:
        assert str(cell.where) in said
    assert found.lines()[0] == "verdict: gap"
    assert "would have been found with power .9" in said
    assert "complies" not in said


def test_no_text_of_a_request_is_in_a_report():
    texts = [f"my secret {number}" for number in range(2000)]
    hashes = [text_hash(text) for text in texts]
    for names in (texts, hashes):
        report = json.dumps(found_in(rows(bad=0.4, texts=np.array(names))).to_dict())
        assert "secret" not in report
        assert any(name in report for name in hashes)


def test_rules_are_those_that_were_given():
    found = found_in(rows(bad=0.2), Rules(matters=0.3))
    assert found.verdict == "no gap found"
    assert found.rules.matters == 0.3

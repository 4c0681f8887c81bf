"""A page of criteria: what is refused, and how a reader is told."""

import copy
from typing import Any

import pytest
import yaml

from nucleate import BadInput
from nucleate.monitor import STAGES, page_text, read_page

GOOD: dict[str, Any] = {
    "version": 1,
    "name": "mine",
    "criteria": [
        {
            "name": "new wordings", "evidence": "run", "statistic": "accuracy",
            "where": "unseen_string", "at_least": 0.5, "fewest": 10,
        },
        {"name": "used", "evidence": "run", "statistic": "used", "at_least": 1},
    ],
}  # fmt: skip


def written(tmp_path, change=None):
    """A page, changed by a function of its mapping, or a text as it stands."""
    file = tmp_path / "mine.yaml"
    if isinstance(change, str):
        file.write_text(change, encoding="utf-8")
        return file
    page = copy.deepcopy(GOOD)
    if change is not None:
        change(page)
    file.write_text(yaml.safe_dump(page, allow_unicode=True), encoding="utf-8")
    return file


def first(**given: Any):
    def change(page):
        page["criteria"][0].update(given)

    return change


def without(*keys: str, **given: Any):
    def change(page):
        for key in keys:
            del page["criteria"][0][key]
        page["criteria"][0].update(given)

    return change


@pytest.mark.parametrize("stage", STAGES)
def test_a_shipped_page_is_read_by_name_and_as_a_file(stage, tmp_path):
    file = tmp_path / "copy.yaml"
    file.write_text(page_text(stage), encoding="utf-8")
    page = read_page(stage)
    assert page.name == stage
    assert read_page(file).digest == page.digest
    for criterion in page.criteria:
        assert criterion.title.en, criterion.name
        assert criterion.title.ja, criterion.name
        assert criterion.why.en, criterion.name
        assert criterion.why.ja, criterion.name
    for said in (page.title, page.asks, page.next, page.costs.minutes, page.costs.bytes,
                 page.costs.people, *page.not_asked):  # fmt: skip
        assert said.en
        assert said.ja


def test_the_first_stage_asks_for_no_traffic_and_each_later_one_keeps_what_the_first_asks():
    asked = {stage: read_page(stage).thresholds for stage in STAGES}
    assert {one["evidence"] for one in asked["trial"].values()} == {"run"}
    for stage in STAGES[1:]:
        assert asked["trial"].items() <= asked[stage].items(), stage
    assert {"drift", "audit"} <= {one["evidence"] for one in asked["limited"].values()}


def test_defaults_are_the_stricter_end_and_the_named_place(tmp_path):
    page = read_page(written(tmp_path))
    wordings, used = page.criteria
    assert (wordings.held_end, wordings.place, wordings.severity) == (
        "low",
        "unseen_string",
        "fail",
    )
    assert (used.held_end, used.place, used.fewest) == ("low", "", 1)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("criteria: [", "is no YAML"),
        ("- 1", "is no mapping"),
        ("", "is no mapping"),
        ("a: &x 1\nb: *x", "aliases"),
        ("name: a\nname: b", "'name' stands twice"),
        (lambda p: p.update(critera=[]), "did you mean 'criteria'"),
        (lambda p: p.pop("version"), "the page has no 'version'"),
        (lambda p: p.update(version=2), "version is 2"),
        (lambda p: p.update(criteria=[]), "criteria is \\[\\]"),
        (lambda p: p["criteria"].append({**p["criteria"][0]}), "two criteria are named 'new wor"),
        (first(atleast=0.5), "criterion 1 .*the key 'atleast' .did you mean 'at_least'"),
        (first(evidence="runs"), "evidence is 'runs'"),
        (first(statistic="acuracy"), "did you mean 'accuracy'"),
        (first(where="unseen_strings"), "did you mean 'unseen_string'"),
        (first(at_most=0.9), "give one bound"),
        (without("at_least"), "give one bound"),
        (without("evidence"), "has no 'evidence'"),
        (first(at_least=1.5), "at_least is 1.5, but accuracy goes from 0 to 1"),
        (first(at_least=-0.1), "goes from 0 to 1"),
        (first(at_least=float("nan")), "at_least"),
        (first(at_least=float("inf")), "at_least"),
        (first(at_least="0.5"), "at_least is '0.5'"),
        (first(at_least=True), "at_least is True"),
        (first(end="middle"), "end is 'middle'"),
        (first(severity="error"), "severity is 'error'"),
        (first(fewest=0), "fewest is 0"),
        (first(fewest=2.5), "fewest is 2.5"),
        (first(chance=2), "chance is 2"),
        (first(title={"en": "a", "fr": "b"}), "no use for the key 'fr'"),
        (lambda p: p["criteria"][1].update(where="last"), "no use for where"),
        (lambda p: p["criteria"][1].update(at_least="chance"), "no number by chance"),
        (lambda p: p.update(criteria=[1]), "criteri"),
        (lambda p: p.update(criteria={"a": 1}), "criteria"),
    ],
)  # fmt: skip
def test_a_malformed_page_is_refused_with_its_place_and_remedy(tmp_path, change, told):
    with pytest.raises(BadInput, match=told) as raised:
        read_page(written(tmp_path, change))
    assert "mine.yaml" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "told"),
    [("trail", "did you mean 'trial'"), ("none.yaml", "cannot be read"), ("", "cannot be read")],
)
def test_a_page_that_is_not_there_is_told(name, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=told):
        read_page(name)


def test_a_page_that_is_not_utf8_or_enormous_is_refused(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_bytes(b"name: \xff\xfe")
    with pytest.raises(BadInput, match="cannot be read"):
        read_page(file)
    file.write_bytes(b"#" * 300_000)
    with pytest.raises(BadInput, match="larger than"):
        read_page(file)


def test_the_digest_follows_every_threshold_and_no_formatting(tmp_path):
    page = read_page(written(tmp_path))
    spaced = "# a comment\n" + yaml.safe_dump(GOOD, default_flow_style=True)
    assert read_page(written(tmp_path, spaced)).digest == page.digest
    for key, value in (("at_least", 0.6), ("fewest", 11), ("severity", "warn"), ("end", "value")):
        assert read_page(written(tmp_path, first(**{key: value}))).digest != page.digest, key

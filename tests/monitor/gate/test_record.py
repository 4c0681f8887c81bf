"""The record of thresholds: a change after the fact is told, and the record cannot be mended."""

import json

import pytest

from nucleate import BadInput
from nucleate.monitor import Evidence, read_page, record_thresholds, run_gate
from nucleate.monitor.gate._record import changes, first_use, other_pages

PAGE = """
version: 1
name: mine
criteria:
  - {name: new wordings, evidence: run, statistic: accuracy, where: unseen_string, at_least: 0.5}
  - {name: used, evidence: run, statistic: used, at_least: 1}
"""


def page(tmp_path, *swaps):
    text = PAGE
    for old, new in swaps:
        assert old in text
        text = text.replace(old, new)
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return read_page(file)


def test_the_first_use_is_kept_and_the_same_page_adds_no_line(tmp_path):
    file, mine = tmp_path / "r.jsonl", page(tmp_path)
    assert first_use(mine, file) is None
    record_thresholds(mine, file, now=100.0)
    before = file.read_bytes()
    record_thresholds(mine, file, now=200.0)
    assert file.read_bytes() == before
    assert first_use(mine, file) == 100.0
    assert changes(mine, file) == []


def test_a_loosened_threshold_is_told_against_the_first_use_for_ever(tmp_path):
    file = tmp_path / "r.jsonl"
    record_thresholds(page(tmp_path), file, now=100.0)
    looser = page(tmp_path, ("0.5", "0.4"))
    record_thresholds(looser, file, now=200.0)
    record_thresholds(looser, file, now=300.0)
    assert changes(looser, file) == [
        {"criterion": "new wordings", "key": "at_least", "before": 0.5, "now": 0.4, "time": 100.0}
    ]
    assert first_use(looser, file) == 200.0
    # going back to the first thresholds is no change
    assert changes(page(tmp_path), file) == []


def test_added_and_dropped_criteria_and_other_words_are_told_apart(tmp_path):
    file = tmp_path / "r.jsonl"
    record_thresholds(page(tmp_path), file, now=100.0)
    other = page(tmp_path, ("name: used", "name: of use"))
    told = {(one["criterion"], one["before"], one["now"]) for one in changes(other, file)}
    assert told == {("used", True, False), ("of use", False, True)}
    reworded = page(tmp_path, ("name: mine", "name: mine\ntitle: Other words"))
    assert changes(reworded, file) == []


def test_pages_of_other_names_on_the_record_are_named(tmp_path):
    file = tmp_path / "r.jsonl"
    record_thresholds(page(tmp_path), file, now=100.0)
    renamed = page(tmp_path, ("name: mine", "name: yours"))
    record_thresholds(renamed, file, now=200.0)
    assert other_pages(renamed, file) == ["mine"]
    report = run_gate(renamed, Evidence(), record=file, now=300.0)
    assert report.thresholds.other_pages == ["mine"]


def test_every_output_tells_a_change(tmp_path):
    from nucleate.monitor.gate import gate_html, gate_lines, gate_markdown, junit_xml, model_card

    file = tmp_path / "r.jsonl"
    record_thresholds(page(tmp_path), file, now=100.0)
    looser = page(tmp_path, ("0.5", "0.4"))
    report = run_gate(looser, Evidence(), record=file, now=300.0)
    outputs = [
        gate_html(report), gate_html(report, "ja"), gate_markdown(report), model_card(report),
        "\n".join(gate_lines(report)), junit_xml(report).decode(), report.model_dump_json(),
    ]  # fmt: skip
    for text in outputs:
        assert "0.5" in text
        assert "0.4" in text
        assert "new wordings" in text


@pytest.mark.parametrize("damage", ["edit", "drop", "torn", "kind"])
def test_a_record_that_was_tampered_with_is_refused(tmp_path, damage):
    file = tmp_path / "r.jsonl"
    for number in range(3):
        mine = page(tmp_path, ("at_least: 1", f"at_least: {number + 1}"))
        record_thresholds(mine, file, now=float(number))
    lines = file.read_text(encoding="utf-8").splitlines()
    if damage == "edit":
        line = json.loads(lines[1])
        line["thresholds"]["used"]["at_least"] = 9
        lines[1] = json.dumps(line)
    elif damage == "drop":
        del lines[1]
    elif damage == "torn":
        lines[2] = lines[2][:-20]
    else:
        lines[2] = "[]"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(BadInput, match="is damaged"):
        record_thresholds(mine, file)
    with pytest.raises(BadInput, match="is damaged"):
        run_gate(mine, Evidence(), record=file)

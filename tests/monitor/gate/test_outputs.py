"""The files of a gate: valid, of one story, and inert whatever names come in."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest
from junitparser import JUnitXml

from gate_runs import gated_run
from nucleate import BadInput
from nucleate.monitor import (
    STAGES,
    Evidence,
    GateReport,
    gate_html,
    read_evidence,
    read_page,
    record_thresholds,
    run_gate,
    write_gate,
)
from nucleate.monitor.gate import gate_lines, gate_markdown, junit_xml, model_card
from nucleate.monitor.gate._report import Changed
from nucleate.monitor.gate._verdict import WORST_FIRST
from nucleate.monitor.gate._words import LANGUAGES, _texts
from served import browsing, watched

ROOT = Path(__file__).parents[3]
HOSTILE = "<script>alert(1)</script>\"'|`[x](javascript:1)\x1b[31m\u202e{0}{{1}}%s"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> GateReport:
    """The last stage for a run that is no more than good: every kind of verdict but error."""
    folder = tmp_path_factory.mktemp("mixed")
    run = gated_run(folder / "run", unseen_string=0.06, unseen_cell=0.1)
    record_thresholds(read_page("full"), folder / "r.jsonl", now=5.0)
    return run_gate(
        read_page("full"), read_evidence([run]), record=folder / "r.jsonl", requests_a_day=500.0
    )


def hostile(tmp_path) -> GateReport:
    file = tmp_path / "mine.yaml"
    name = json.dumps(HOSTILE)
    file.write_text(
        f"version: 1\nname: {name}\ntitle: {name}\nasks: {name}\nnext: {name}\n"
        f"not_asked: [{name}]\ncosts: {{minutes: {name}}}\ncriteria:\n"
        f"  - {{name: {name}, evidence: run, statistic: clusters, where: {name}, at_least: 0}}\n",
        encoding="utf-8",
    )
    run = gated_run(tmp_path / "a<b>&'")
    return run_gate(read_page(file), read_evidence([run]))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


def parsed(page: str) -> _Tags:
    found = _Tags()
    found.feed(page)
    return found


def test_the_json_fits_the_published_schema(mixed, tmp_path):
    published = ROOT / "docs" / "gate.schema.json"
    schema = json.loads(published.read_text(encoding="utf-8"))
    assert schema == GateReport.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    write_gate(mixed, tmp_path)
    written = json.loads((tmp_path / "gate.json").read_text(encoding="utf-8"))
    jsonschema.validate(written, schema)
    assert GateReport.model_validate(written) == mixed
    jsonschema.validate(hostile(tmp_path).model_dump(mode="json"), schema)


def test_a_report_whose_verdict_does_not_follow_cannot_be_made(mixed):
    content = mixed.model_dump(mode="json")
    assert content["verdict"] == "fail"
    with pytest.raises(ValueError, match="but the criteria say 'fail'"):
        GateReport.model_validate(content | {"verdict": "pass"})


def test_junit_says_the_same(mixed, tmp_path):
    file = tmp_path / "gate.xml"
    file.write_bytes(junit_xml(mixed))
    (suite,) = JUnitXml.fromfile(str(file))
    found = [each.verdict for each in mixed.criteria]
    counts = (suite.tests, suite.failures, suite.errors, suite.skipped)
    wanted = (len(found), found.count("fail"), found.count("error"), found.count("inconclusive"))
    assert counts == wanted
    assert {"fail", "inconclusive", "pass"} <= set(found)
    for case, judged in zip(suite, mixed.criteria, strict=True):
        kinds = [type(result).__name__ for result in case.result]
        expected = {"fail": ["Failure"], "inconclusive": ["Skipped"], "error": ["Error"]}
        assert kinds == expected.get(judged.verdict, []), judged.name
        assert judged.sentence in case.system_out


def test_hostile_names_are_inert_in_every_file(tmp_path):
    report = hostile(tmp_path)
    for language in LANGUAGES:
        page = parsed(gate_html(report, language))
        assert "script" not in page.tags
        assert "img" not in page.tags
        assert not {name for name in page.attributes if name.startswith("on")}
        assert "<script>alert(1)</script>" in page.text
        for text in (gate_markdown(report, language), "\n".join(gate_lines(report, language))):
            assert "\x1b" not in text
            assert "\u202e" not in text
        assert "<script>" not in gate_markdown(report, language)
        assert "](javascript" not in gate_markdown(report, language)
    assert "<script>" not in model_card(report)
    file = tmp_path / "gate.xml"
    file.write_bytes(junit_xml(report))
    (suite,) = JUnitXml.fromfile(str(file))
    assert "<script>alert(1)</script>" in next(iter(suite)).name


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_self_contained_and_says_the_decision_first(mixed, language):
    page = gate_html(mixed, language)
    found = parsed(page)
    assert not {"script", "img", "iframe", "object", "form"} & found.tags
    assert not {"src", "action"} & found.attributes
    assert not re.search(r"https?://", page)
    assert "default-src 'none'" in page
    assert f'<html lang="{language}">' in page
    texts = _texts(language)
    order = [page.index(f"<h1>{texts['verdict.fail']}</h1>")]
    order += [page.index(texts[f"page.{name}"], order[0]) for name in ("next", "reasons")]
    assert order == sorted(order)
    for name in ("not_asked", "alarms", "thresholds", "costs", "hashes"):
        assert texts[f"page.{name}"] in page
    marks = re.findall(r'class="mark (\w+)"', page)
    assert marks == sorted(marks, key=WORST_FIRST.index)
    assert len(marks) == len(mixed.criteria)


def test_both_languages_have_the_same_texts_with_the_same_values():
    english, japanese = _texts("en"), _texts("ja")
    for key in english:
        assert key in japanese, key
    for key in set(english) & set(japanese):
        values = [set(re.findall(r"{(\w+)}", text[key])) for text in (english, japanese)]
        assert values[0] == values[1], key
    assert len(english) > 60
    only = {key for key in set(japanese) - set(english) if not key.startswith("counted.")}
    assert only == set()


@pytest.mark.parametrize("stage", STAGES)
def test_every_statistic_reason_and_place_has_words_in_both_languages(stage):
    from nucleate.monitor.gate._catalog import STATISTICS
    from nucleate.monitor.gate._verdict import Reason

    report = run_gate(read_page(stage), Evidence())
    for language in LANGUAGES:
        assert gate_html(report, language)
        texts = _texts(language)
        for evidence, known in STATISTICS.items():
            assert {f"{evidence}.{name}" for name in known} <= set(texts)
        assert {f"reason.{reason}" for reason in Reason.__args__} <= set(texts)
    counted = {kind.counted for known in STATISTICS.values() for kind in known.values()}
    assert {f"counted.{each}" for each in counted} <= set(_texts("ja"))


def test_no_page_claims_compliance(mixed):
    texts = [gate_html(mixed), gate_html(mixed, "ja"), gate_markdown(mixed), model_card(mixed)]
    for text in texts:
        assert not re.search(r"\b(complies|compliant|is safe|guarantee|certified)\b", text)
    assert "supports evidence for" in model_card(mixed)
    assert "適合を証明するものではありません" in texts[1]


def test_the_model_card_has_every_number_with_interval_chance_and_n(mixed):
    rows = [line for line in model_card(mixed).splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(mixed.criteria)
    row = next(line for line in rows if "New wordings" in line)
    for part in ("at least 50 %", "| 6 %", "1 % to 11 %", "| 5 %", "60 instruction str", "fail"):
        assert part in row


def test_another_language_is_refused(mixed, tmp_path):
    with pytest.raises(BadInput, match="language is 'fr'"):
        write_gate(mixed, tmp_path, language="fr")
    assert not list(tmp_path.iterdir())


def longest(report: GateReport) -> GateReport:
    """The same with long sentences everywhere, and thresholds that were changed."""
    straddling = {"value": 0.5, "low": 0.41, "high": 0.59, "n": 5000, "null": 0.05,
                  "verdict": "inconclusive", "reason": "straddles", "severity": "fail"}  # fmt: skip
    changed = [Changed(criterion="new wordings", key="at_least", before=0.6, now=0.5)] * 4
    thresholds = report.thresholds.model_copy(update={"changed": changed})
    return report.model_copy(
        update={
            "verdict": "inconclusive",
            "criteria": [one.model_copy(update=straddling) for one in report.criteria],
            "thresholds": thresholds,
            "subjects": report.subjects * 3,
            "notes": ["the runs were read on different prompts"] * 4,
        }
    )


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
@pytest.mark.parametrize("long", [False, True])
def test_the_page_prints_on_one_sheet_and_fits_a_narrow_screen(mixed, tmp_path, long):
    report = longest(mixed) if long else mixed
    with browsing() as browser, watched(browser, width=380) as page:
        for language in LANGUAGES:
            file = tmp_path / f"{language}.html"
            file.write_text(gate_html(report, language), encoding="utf-8")
            page.goto(file.as_uri())
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 380, language
            printed = page.pdf(prefer_css_page_size=True)
            assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1, language

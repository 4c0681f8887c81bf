"""What is judged belongs together and is whole; and each statistic is the number that it says."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gate_runs import gated_run, summary
from nucleate import BadInput
from nucleate.monitor import Evidence, fit_atlas, read_evidence, read_page, run_gate
from nucleate.monitor.gate import Criterion, judge
from nucleate.monitor.gate._false_alarms import DAYS
from nucleate.monitor.gate._statistics import measure
from nucleate.runs import write_json


def asked(evidence, statistic, **given: Any) -> Criterion:
    bound = {} if {"at_least", "at_most"} & set(given) else {"at_most": 0}
    return Criterion.model_validate(
        {"name": "a", "evidence": evidence, "statistic": statistic, **bound, **given}
    )


def number(criterion: Criterion, evidence: Evidence):
    (found,) = measure(criterion, evidence)
    return found


def written(file, **content: Any):
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def drift(file, **given: Any):
    content = {
        "kind": "drift", "version": 1, "verdict": "no drift seen", "rate": 0.05, "requests": 900,
        "signals": [{"name": "mass", "found": False}], "inputs": {}, "looks": None,
        "detectable": [{"kind": "outside", "share": 0.1}, {"kind": "moved", "share": 0.15}],
    }  # fmt: skip
    return written(file, **(content | given))


def audit(file, **given: Any):
    content = {"kind": "audit", "version": 1, "verdict": "no gap found", "n": 4000, "gaps": 0,
               "unsettled": 0, "inputs": {}}  # fmt: skip
    return written(file, **(content | given))


def centers_of(count: int) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(count, 8)).astype(np.float32) * 4


def atlas_of(folder, names=("t0", "t1", "t2")):
    """A small atlas of made states, in a folder."""
    code = np.repeat(np.arange(len(names)), 360 // len(names))
    noise = np.random.default_rng(3).normal(size=(len(code), 8)).astype(np.float32)
    texts = [f"wording {row}" for row in range(len(code))]
    labels = [names[k] for k in code]
    atlas = fit_atlas(centers_of(len(names))[code] + noise, labels, texts)
    atlas.save(folder)
    return atlas


def test_the_numbers_of_a_run_are_those_of_its_summary(tmp_path):
    evidence = read_evidence([gated_run(tmp_path / "a", uses=("used", "undecided", "not used"))])
    right = number(asked("run", "accuracy", at_least=0.5), evidence)
    numbers = (right.value, right.low, right.high, right.n, right.null)
    assert numbers == pytest.approx((0.9, 0.85, 0.95, 60, 0.05))
    groups = number(asked("run", "clusters", at_least=0.5), evidence)
    assert (groups.value, groups.null, groups.n) == (0.9, 0.15, 30)
    used = number(asked("run", "used", at_least=1), evidence)
    assert (used.value, used.low, used.high, used.n) == (1, 1, 2, 3)


def test_what_a_run_lacks_is_missing_with_its_remedy(tmp_path):
    untested = read_evidence([gated_run(tmp_path / "a", uses=())])
    assert "nucleate intervene" in number(asked("run", "used", at_least=1), untested).missing
    split = asked("run", "accuracy", where="unseen_family", at_least=0.5)
    assert "no answers on the split unseen_family" in number(split, untested).missing
    place = asked("run", "clusters", where="first", at_least=0.5)
    assert "not measured at first" in number(place, untested).missing
    bare = gated_run(tmp_path / "b")
    (bare / "summary.json").unlink()
    without = read_evidence([bare])
    assert "nucleate report" in number(split, without).missing
    assert run_gate(read_page("trial"), without).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        ({}, "pass"),
        ({"unseen_string": 0.06}, "fail"),
        ({"unseen_string": 0.52}, "inconclusive"),
        ({"unseen_cell": 0.06}, "inconclusive"),
        ({"ari": 0.05, "found": "none"}, "inconclusive"),
        ({"ari": 0.3, "found": "undecided"}, "inconclusive"),
        ({"uses": ("not used",)}, "warn"),
        ({"uses": ("undecided",)}, "warn"),
        ({"uses": ()}, "warn"),
        ({"strings": 9}, "inconclusive"),
        ({"chance": None}, "inconclusive"),
        ({"seen": 0.05, "unseen_string": 0.05, "unseen_cell": 0.0, "uses": ("not used",)}, "fail"),
    ],
)
def test_the_first_stage_passes_only_what_is_shown(tmp_path, numbers, verdict):
    evidence = read_evidence([gated_run(tmp_path / "a", **numbers)])
    assert run_gate(read_page("trial"), evidence).verdict == verdict


def test_of_several_runs_the_weakest_decides_and_is_named(tmp_path):
    runs = [gated_run(tmp_path / f"s{seed}", seed=seed) for seed in range(2)]
    runs.append(gated_run(tmp_path / "s2", seed=2, unseen_string=0.06))
    report = run_gate(read_page("trial"), read_evidence(runs))
    weak = next(each for each in report.criteria if each.name == "new wordings")
    assert (weak.verdict, weak.source, weak.runs, weak.value) == ("fail", "s2", 3, 0.06)
    assert "the weakest of 3 runs, s2" in weak.sentence
    seeds = number(asked("run", "seeds", at_least=3), read_evidence(runs))
    assert (seeds.value, seeds.n) == (3, 3)


def test_copies_of_one_seed_are_one_seed(tmp_path):
    runs = [gated_run(tmp_path / name, seed=4) for name in "abc"]
    assert number(asked("run", "seeds", at_least=3), read_evidence(runs)).value == 1
    with pytest.raises(BadInput, match="named twice"):
        read_evidence([runs[0], runs[0] / "." / ""])


def test_controls_must_be_controls_and_show_nothing(tmp_path):
    run = gated_run(tmp_path / "run")
    silent = gated_run(
        tmp_path / "c1", null="scrambled", ari=0.05, found="none", uses=("not used",)
    )
    loud = gated_run(tmp_path / "c2", null="scrambled")
    criterion = asked("control", "found")
    quiet = number(criterion, read_evidence([run], [silent]))
    assert (quiet.value, quiet.n, quiet.null) == (0, 1, 0)
    assert number(criterion, read_evidence([run], [silent, loud])).value == 1
    assert number(criterion, read_evidence([run])).value is None
    with pytest.raises(BadInput, match="run is no control"):
        read_evidence([silent], [run])
    with pytest.raises(BadInput, match="c1 is a control"):
        read_evidence([silent], [loud])


@pytest.mark.parametrize("damage", ["torn", "nan", "story", "list"])
def test_a_damaged_summary_is_an_error_and_not_a_fail(tmp_path, damage):
    run = gated_run(tmp_path / "a")
    content = summary()
    text = json.dumps(content)
    if damage == "torn":
        text = text[:-30]
    elif damage == "nan":
        content["accuracy"]["seen"]["value"] = float("nan")
        text = json.dumps(content)
    elif damage == "story":
        content["verdict"]["clusters"] = "none"
        text = json.dumps(content)
    else:
        text = "[1]"
    (run / "summary.json").write_text(text, encoding="utf-8")
    report = run_gate(read_page("trial"), read_evidence([run]))
    assert report.verdict == "error"
    assert {each.reason for each in report.criteria} == {"broken"}
    assert all(each.value is None for each in report.criteria)


def test_a_run_that_is_none_of_another_version_or_of_other_settings_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no run folder"):
        read_evidence([tmp_path])
    run = gated_run(tmp_path / "a", content=summary() | {"schema_version": 3})
    with pytest.raises(BadInput, match="schema version 3"):
        read_evidence([run])
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    (run / "manifest.json").write_text(json.dumps(manifest | {"config_hash": "a" * 64}))
    (run / "summary.json").write_text(json.dumps(summary() | {"config_hash": "b" * 64}))
    with pytest.raises(BadInput, match="is of another run"):
        read_evidence([run])


def test_a_failed_training_decides_nothing(tmp_path):
    from nucleate.runs import Run

    run = gated_run(tmp_path / "a")
    Run(run).journal.append("snapshot", step=99)
    Run(run).journal.append("event", name="training failed", reason="a test")
    report = run_gate(read_page("trial"), read_evidence([run]))
    assert report.verdict == "inconclusive"
    assert "the training is failed" in report.criteria[0].sentence


def test_reports_give_their_numbers_and_their_own_doubts(tmp_path):
    calm = read_evidence(drift=drift(tmp_path / "d.json"), audit=audit(tmp_path / "a.json"))
    found, detectable = asked("drift", "found"), asked("drift", "detectable", at_most=0.2)
    assert (number(found, calm).value, number(found, calm).n) == (0, 900)
    assert number(detectable, calm).value == 0.15
    assert number(asked("audit", "gaps"), calm).n == 4000
    signals = [{"name": "mass", "found": True}]
    moved = read_evidence(drift=drift(tmp_path / "d.json", verdict="drift", signals=signals))
    assert number(found, moved).value == 1
    for verdict in ("undecided", "too few"):
        doubt = read_evidence(
            drift=drift(tmp_path / "d.json", verdict=verdict),
            audit=audit(tmp_path / "a.json", verdict=verdict),
        )
        assert verdict in number(found, doubt).undecided
        assert verdict in number(asked("audit", "gaps"), doubt).undecided
    blind = read_evidence(drift=drift(tmp_path / "d.json", detectable=[{"share": None}]))
    assert "not even a shift of all requests" in number(detectable, blind).missing
    pairs = read_evidence(audit=audit(tmp_path / "a.json", verdict="gap"))
    assert number(asked("audit", "gaps"), pairs).value == 1


def test_reports_that_contradict_themselves_or_lack_a_number_are_errors(tmp_path):
    found = asked("drift", "found")
    for given in ({"verdict": "drift"}, {"signals": None}, {"requests": "many"}):
        evidence = read_evidence(drift=drift(tmp_path / "d.json", **given))
        assert number(found, evidence).broken, given
    evidence = read_evidence(audit=audit(tmp_path / "a.json", gaps=2))
    assert number(asked("audit", "gaps"), evidence).broken
    (tmp_path / "d.json").write_text('{"kind": "drift", "vers', encoding="utf-8")
    evidence = read_evidence(drift=tmp_path / "d.json")
    assert "d.json is damaged" in number(found, evidence).broken


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"kind": "audit", "version": 1}, "is a report of kind 'audit'"),
        ({"name": "something"}, "is no report of nucleate"),
        ({"kind": "drift", "version": 2}, "has version 2"),
        ({"kind": "drift"}, "has version None"),
        ({"kind": "drift", "version": 1, "inputs": {"config_hash": "b" * 64}}, "of another run"),
        ({"kind": "drift", "version": 1, "inputs": {"prompts_hash": "b" * 64}}, "of another run"),
        ({"kind": "drift", "version": 1, "inputs": {"atlas": "b" * 64}}, "made with the atlas"),
    ],
)
def test_a_report_of_something_else_is_refused(tmp_path, content, told):
    run = gated_run(tmp_path / "run")
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    (run / "manifest.json").write_text(json.dumps(manifest | {"config_hash": "a" * 64}))
    atlas_of(tmp_path / "atlas")
    with pytest.raises(BadInput, match=told):
        read_evidence(
            [run], drift=written(tmp_path / "d.json", **content), atlas=tmp_path / "atlas"
        )


def test_an_atlas_of_another_model_than_the_runs_newest_checkpoint_is_refused(tmp_path):
    import requests_of
    from nucleate.monitor.atlas import weights_hash

    run = gated_run(tmp_path / "run", tokenizer="e" * 64)
    same = replace(atlas_of(tmp_path / "bare"), fingerprints={"model": "", "tokenizer": ""})

    def notes_of(**fingerprints):
        replace(same, fingerprints=fingerprints).save(tmp_path / "atlas")
        return read_evidence([run], atlas=tmp_path / "atlas").notes

    assert "does not say of which model" in read_evidence([run], atlas=tmp_path / "bare").notes[0]
    own = weights_hash(requests_of.model(1))
    assert "keeps no checkpoint" in notes_of(model=own)[0]
    for step in (3, 12):
        requests_of.model(step == 12).save_pretrained(run / "checkpoints" / str(step))
    assert notes_of(model=own) == ()
    with pytest.raises(BadInput, match=r"of other weights .* than the newest"):
        notes_of(model=weights_hash(requests_of.model(0)))
    with pytest.raises(BadInput, match="of another tokenizer"):
        notes_of(model=own, tokenizer="f" * 64)


def test_a_report_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadInput, match="there is no drift report"):
        read_evidence(drift=tmp_path / "none.json")
    with pytest.raises(BadInput, match="there is no atlas "):
        read_evidence(atlas=tmp_path)


def test_coverage_is_the_share_of_the_runs_tasks_that_the_atlas_has(tmp_path):
    run = gated_run(tmp_path / "run")
    coverage = asked("atlas", "coverage", at_least=1)
    for names, share in ((("t0", "t1", "t2", "more"), 1.0), (("t0", "t1"), 2 / 3), (("x", "y"), 0)):
        atlas_of(tmp_path / "atlas", names)
        found = number(coverage, read_evidence([run], atlas=tmp_path / "atlas"))
        assert (found.value, found.n) == (pytest.approx(share), 3)
    assert number(coverage, read_evidence(atlas=tmp_path / "atlas")).missing


def test_recognition_is_of_held_out_rows_beside_the_most_frequent_task(tmp_path):
    atlas = atlas_of(tmp_path / "atlas")
    evidence = read_evidence(atlas=tmp_path / "atlas")
    found = number(asked("atlas", "recognized", at_least="chance"), evidence)
    assert found.n == atlas.confusion.sum() >= 40
    assert found.value == atlas.confusion.trace() / found.n
    assert 0 <= found.low < found.value <= found.high <= 1
    assert found.null == pytest.approx(atlas.confusion.sum(1).max() / found.n)
    report = run_gate(read_page("full"), evidence)
    assert report.inputs["atlas"] == atlas.version


def test_an_atlas_that_was_changed_is_an_error(tmp_path):
    atlas_of(tmp_path / "atlas")
    file = tmp_path / "atlas" / "atlas.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"t0"', '"t9"'), encoding="utf-8")
    coverage = asked("atlas", "coverage", at_least=1)
    assert number(coverage, read_evidence(atlas=tmp_path / "atlas")).broken
    file.write_text("{", encoding="utf-8")
    assert number(coverage, read_evidence(atlas=tmp_path / "atlas")).broken


def test_the_reports_of_the_tools_themselves_are_read(tmp_path):
    """Not a report made by this test: what drift, audit and the atlas really write."""
    from nucleate.monitor.audit import AuditTable, audit_table
    from nucleate.monitor.drift import DriftSample
    from nucleate.monitor.drift import drift as look

    atlas = atlas_of(tmp_path / "atlas")
    rng = np.random.default_rng(5)
    fresh = centers_of(3)[rng.integers(0, 3, 400)] + rng.normal(size=(400, 8)).astype(np.float32)
    requests = DriftSample.of_scores(atlas, atlas.score(fresh), fresh)
    moved = look(DriftSample.of_reference(atlas, "states"), requests, draws=139, seed=1)
    write_json(tmp_path / "drift.json", moved.to_dict())
    table = AuditTable(
        rng.choice(["t0", "t1"], 3000), {"lang": rng.choice(["en", "ja"], 3000)},
        {"wrong": rng.random(3000) < 0.1},
    )  # fmt: skip
    judged = audit_table(table, permutations=19)
    write_json(tmp_path / "audit.json", judged.to_dict())
    evidence = read_evidence(
        atlas=tmp_path / "atlas", drift=tmp_path / "drift.json", audit=tmp_path / "audit.json"
    )
    found = number(asked("drift", "found"), evidence)
    assert (found.value, found.n) == (len(moved.found), 400)
    assert not found.broken
    gaps = number(asked("audit", "gaps"), evidence)
    assert (gaps.value, gaps.n, gaps.broken) == (len(judged.gaps), 3000, "")
    rates = {each.rule: each for each in run_gate(read_page("full"), evidence).false_alarms}
    assert rates["drift"].rate == 0.05
    assert rates["outside"].a_month is None


@pytest.mark.parametrize(
    ("requests_a_day", "looks", "a_month"),
    [(0.0, None, None), (1000.0, None, 0.05 * 1000 * DAYS / 900),
     (1000.0, {"size": 100, "horizon": 100}, 0.05 * 1000 * DAYS / 10_000)],
)  # fmt: skip
def test_false_alarms_a_month_follow_from_traffic_and_rate(
    tmp_path, requests_a_day, looks, a_month
):
    evidence = read_evidence(drift=drift(tmp_path / "d.json", looks=looks))
    report = run_gate(read_page("full"), evidence, requests_a_day=requests_a_day)
    (rate,) = report.false_alarms
    assert (rate.rule, rate.rate) == ("drift", 0.05)
    assert rate.a_month == (None if a_month is None else pytest.approx(a_month))


def test_alarms_of_a_training_are_counted_and_too_few_readings_decide_nothing(tmp_path):
    content: dict[str, Any] = {"kind": "alarms", "version": 1, "readings": 30, "rate": 0.05}
    raised = asked("alarms", "raised")
    for verdict, alarms, reason in (
        ("quiet", [], "held"), ("alarm", [{"step": 3}], "missed"), ("too few", [], "undecided"),
        ("quiet", [{"step": 3}], "broken"),
    ):  # fmt: skip
        file = written(tmp_path / "a.json", verdict=verdict, alarms=alarms, **content)
        assert judge(raised, number(raised, read_evidence(alarms=file)))[1] == reason


def test_the_check_of_a_series_counts_its_flags(tmp_path):
    flags = [{"kind": "duplicate", "steps": [1], "sentence": "x"}]
    for ok, given in ((True, []), (False, flags)):
        file = written(tmp_path / "s.json", ok=ok, flags=given, checkpoints=[{}, {}], notes=[])
        found = number(asked("series", "flags"), read_evidence(series=file))
        assert (found.value, found.n) == (len(given), 2)
    file = written(tmp_path / "s.json", ok=True, flags=flags, checkpoints=[{}, {}], notes=[])
    assert number(asked("series", "flags"), read_evidence(series=file)).broken

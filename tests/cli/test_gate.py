"""`nucleate gate`, as a user calls it: its exit codes, its files, what it refuses."""

import json

import pytest

from gate_runs import gated_run
from in_process import runner
from nucleate.monitor import read_page
from nucleate.runs import Run


@pytest.fixture
def run(capfd, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return runner(capfd, monkeypatch)


def test_a_pass_leaves_every_file_and_ends_with_0(run, tmp_path):
    gated_run(tmp_path / "good")
    done = run("gate", "trial", "--run", "good", "--out", "gate")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Trial: Go ahead.")
    names = {file.name for file in (tmp_path / "gate").iterdir()}
    assert names == {"gate.json", "gate.xml", "gate.md", "gate.html", "model-card.md",
                     "thresholds.jsonl"}  # fmt: skip
    again = run("gate", "trial", "--run", "good", "--out", "gate", "--lang", "ja", "--json")
    assert json.loads(again.stdout)["verdict"] == "pass"
    assert "先へ進めます" in (tmp_path / "gate" / "gate.html").read_text(encoding="utf-8")


def test_each_verdict_has_its_exit_code(run, tmp_path):
    gated_run(tmp_path / "good")
    gated_run(tmp_path / "bad", unseen_string=0.06)
    gated_run(tmp_path / "unsure", unseen_string=0.52)
    gated_run(tmp_path / "broken")
    (tmp_path / "broken" / "summary.json").write_text("{")
    page = run("gate", "trial", "--template").stdout
    (tmp_path / "lax.yaml").write_text(
        page.replace("where: unseen_string\n", "where: unseen_string\n    severity: warn\n")
    )
    codes = {
        ("trial", "good"): 0, ("trial", "bad"): 1, ("trial", "unsure"): 3, ("trial", "broken"): 4,
        ("lax.yaml", "bad"): 1, ("lax.yaml", "unsure"): 1,
    }  # fmt: skip
    for (criteria, folder), code in codes.items():
        assert run("gate", criteria, "--run", folder).returncode == code, (criteria, folder)
    assert run("gate", "lax.yaml", "--run", "bad", "--allow-warn").returncode == 0
    assert run("gate", "trial", "--run", "bad", "--allow-warn").returncode == 1
    assert run("gate", "trial").returncode == 3


def test_a_stages_page_can_be_printed_and_used(run, tmp_path):
    printed = run("gate", "limited", "--template")
    (tmp_path / "mine.yaml").write_text(printed.stdout, encoding="utf-8")
    assert read_page(tmp_path / "mine.yaml") == read_page("limited")
    assert run("gate", "mine.yaml", "--template").returncode == 2


def test_thresholds_put_on_record_before_the_training_are_said_to_be(run, tmp_path):
    fixed = run("gate", "trial", "--fix", "--out", "gate")
    assert fixed.returncode == 0
    assert "are on record" in fixed.stdout
    gated_run(tmp_path / "good")
    found = json.loads(run("gate", "trial", "--run", "good", "--out", "gate", "--json").stdout)
    assert found["thresholds"]["before_evidence"] is True
    late = json.loads(run("gate", "trial", "--run", "good", "--out", "other", "--json").stdout)
    assert late["thresholds"]["before_evidence"] is False
    Run(tmp_path / "good").journal.append("part", name="panel", seconds=1.0)
    later = json.loads(run("gate", "trial", "--run", "good", "--out", "other", "--json").stdout)
    assert later["thresholds"]["before_evidence"] is False  # measured later, trained before
    words = ("gate", "trial", "--run", "good", "--run", "again", "--out")
    gated_run(tmp_path / "again", seed=1)  # ends after the thresholds, but the first one did not
    assert (
        json.loads(run(*words, "other", "--json").stdout)["thresholds"]["before_evidence"] is False
    )
    assert json.loads(run(*words, "gate", "--json").stdout)["thresholds"]["before_evidence"] is True
    none = json.loads(run("gate", "trial", "--run", "good", "--json").stdout)
    assert none["thresholds"]["before_evidence"] is None
    assert none["thresholds"]["first_used"] is None


def test_each_judgment_is_a_line_of_the_journal(run, tmp_path):
    gated_run(tmp_path / "good")
    for number in (1, 2):
        words = ("gate", "trial", "--run", "good", "--out", "gate", "--journal", "j", "--json")
        done = run(*words)
        assert json.loads(done.stdout)["verdict"] == "pass"
        assert f"journal: line {number}, head " in done.stderr
    assert run("audit", "verify", "j").returncode == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["gate"], "Missing argument"),
        (["gate", "trail", "--run", "good"], "did you mean 'trial'"),
        (["gate", "trial", "--run", "none"], "none is no run folder"),
        (["gate", "trial", "--run", "good", "--run", "good"], "named twice"),
        (["gate", "trial", "--run", "good", "--drift", "none.json"], "there is no drift report"),
        (["gate", "trial", "--run", "good", "--drift", "list.json"], "is no report of nucleate"),
        (["gate", "trial", "--run", "good", "--control", "good"], "good is no control"),
        (["gate", "trial", "--run", "good", "--lang", "fr"], "'fr'"),
        (["gate", "trial", "--run", "good", "--requests-a-day", "-1"], "-1"),
        (["gate", "trial", "--run", "good", "--requests-a-day", "nan"], "nan"),
        (["gate", "trial", "--run", "good", "--journal", "j"], "give --out as well"),
        (["gate", "trial", "--fix"], "give --out or --record"),
        (["gate", "list.json", "--run", "good"], "list.json"),
        (["gate", "trial", "--run", "good", "--out", "list.json"], "list.json"),
    ],
)
def test_bad_input_ends_with_2_and_a_sentence(run, tmp_path, words, told):
    gated_run(tmp_path / "good")
    (tmp_path / "list.json").write_text('{"a": 1}')
    done = run(*words)
    assert done.returncode == 2
    assert told.lower() in (done.stderr + done.stdout).lower()
    assert "Traceback" not in done.stderr

"""`nucleate study`, as a user calls it."""

import csv
import json

import pytest

from in_process import runner
from study_pages import write_page


@pytest.fixture
def run(capfd, monkeypatch):
    return runner(capfd, monkeypatch)


def test_from_plan_to_table(run, tmp_path):
    page, out = write_page(tmp_path, seeds=[5]), tmp_path / "out"
    plan = run("study", "plan", page, "--out", out, "--json")
    assert json.loads(plan.stdout)["runs"] == 1
    assert not out.exists()
    did = run("study", "run", page, "--out", out, "--executor", "inline")
    assert did.returncode == 0, did.stderr
    assert "1 runs, 0 done, 1 to do" in did.stderr
    assert "study tiny: 1/1" in did.stderr
    again = run("study", "run", page, "--out", out, "--executor", "inline", "--quiet")
    assert again.stdout == did.stdout
    assert run("study", "status", page, "--out", out).stdout == "study tiny: 1 done\n"
    markdown = tmp_path / "results.md"
    assert run("study", "report", page, "--out", out, "-o", markdown).returncode == 0
    assert "| base |  | 1 of 1 |" in markdown.read_text(encoding="utf-8")
    file = tmp_path / "table.csv"
    told = json.loads(run("study", "table", page, "--out", out, "--csv", file, "--json").stdout)
    (row,) = told["rows"]
    assert row["setting"] == "base"
    assert 0 <= row["accuracy.seen"] <= 1
    assert row["accuracy.seen.low"] is None
    (written,) = csv.DictReader(file.read_text().splitlines())
    assert float(written["accuracy.seen"]) == row["accuracy.seen"]
    assert written["accuracy.seen.low"] == ""


def test_a_run_that_fails_leaves_with_its_own_exit_code(run, tmp_path):
    wrong = {"preset": "smoke", "outputs": ["own"], "synthetic.patterns": {"a": ["x("], "b": ["u"]}}
    page = write_page(tmp_path, base=wrong)
    done = run("study", "run", page, "--out", tmp_path / "out", "--executor", "inline", "--quiet")
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert run("study", "status", page, "--out", tmp_path / "out", "--json").returncode == 0


@pytest.mark.parametrize("verb", ["plan", "run", "status", "table"])
def test_a_page_with_an_unknown_key_is_refused_by_every_verb(run, tmp_path, verb):
    done = run("study", verb, write_page(tmp_path, sedes=[1]), "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "did you mean 'seeds'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_a_run_itself_is_refused(run, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.json").write_text("{}")
    done = run("study", "run", write_page(tmp_path), "--out", out)
    assert done.returncode == 2
    assert "is a run itself" in done.stderr

"""`nucleate report` and `nucleate compare` as a user meets them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from any_runs import make, prompts_of
from in_process import runner
from nucleate.views import line_of


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for lr in (0.1, 0.2):
        for seed in (0, 1):
            make(folder / f"lr{lr}-{seed}", prompts_of(), seed=seed, rises=10 * lr, steps=(0, 4),
                 settings={"lr": lr, "seed": seed}, measured=True)  # fmt: skip
    return folder


@pytest.fixture
def nucleate(capfd, monkeypatch):
    return runner(capfd, monkeypatch)


def test_report_says_what_was_found_what_is_absent_and_where_the_page_is(nucleate, root):
    run = root / "lr0.2-0"
    done = nucleate("report", run)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("The states group by task at")
    assert any("nucleate intervene RUN" in line for line in lines)
    assert lines[-1] == f"open  {run / 'report.html'}"
    assert (run / "report.html").exists()


def test_report_prints_the_summary_as_json(nucleate, root, tmp_path):
    done = nucleate("report", root / "lr0.2-1", "--out", tmp_path / "there", "--json", "--quiet")
    found = json.loads(done.stdout)
    assert found["report"] == str(tmp_path / "there" / "report.html")
    assert found["summary"]["name"] == "lr0.2-1"
    assert done.stderr == ""
    assert not (root / "lr0.2-1" / "report.html").exists()


def test_report_writes_the_file_that_is_named_and_nothing_beside_it(nucleate, root, tmp_path):
    page = tmp_path / "mine" / "look.html"
    asked = ("report", root / "lr0.2-1", "-o", page, "--lang", "ja", "--quiet")
    assert nucleate(*asked).returncode == 0
    assert list(tmp_path.rglob("*.*")) == [page]
    assert '<html lang="ja" data-lang="ja">' in page.read_text(encoding="utf-8")
    done = nucleate(*asked, "--max-mb", "0.2")
    assert done.returncode == 2
    assert "raise max_mb" in done.stderr


def test_compare_prints_a_table_and_writes_a_page_with_figures(nucleate, root, tmp_path):
    runs = sorted(root.glob("lr*"))
    done = nucleate("compare", *runs, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("The runs differ in lr: 0.1 (2 runs); 0.2 (2 runs).")
    assert "2 and 2 seeds are too few to decide; 4 of each would do" in done.stdout
    assert "in parentheses: the highest that chance gives" in done.stdout
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert page.count("<img") == 2
    assert 'http-equiv="Content-Security-Policy"' in page
    for ending in ("png", "svg", "pdf"):
        assert (tmp_path / "figures" / f"compare-curves.{ending}").stat().st_size > 1000
    assert (tmp_path / "tables" / "compare-differences.csv").exists()


def test_compare_takes_groups_by_label_and_prints_json(nucleate, root, tmp_path):
    done = nucleate("compare", f"a={root / 'lr0.1-0'}", f"b={root / 'lr0.2-0'}", "--json",
                    "--quiet", "--out", tmp_path)  # fmt: skip
    found = json.loads(done.stdout, parse_constant=pytest.fail)
    assert found["factor"]["labels"] == ["a", "b"]
    assert {each["verdict"] for each in found["differences"]} == {"one run a side"}


def test_measuring_anew_says_that_a_report_is_out_of_date(nucleate, root):
    run = root / "lr0.1-0"
    nucleate("report", run)
    asked = ("measure", run, "--bootstraps", "21", "--metrics", "agreement", "--quiet")
    done = nucleate(*asked)
    assert f"nucleate report {run} writes a new one" in done.stdout
    assert "writes a new one" not in nucleate(*asked).stdout


def test_measure_ends_in_a_line_a_position_with_nulls_and_since_when(nucleate, root):
    done = nucleate("measure", root / "lr0.2-0", root / "lr0.2-1", "--quiet")
    places = [line for line in done.stdout.splitlines() if line.startswith("last (")]
    assert len(places) == 2
    for line in places:
        assert "N0 " in line
        assert "N1 " in line
        assert "N2 " in line
        assert "above them" in line
    told = json.loads(nucleate("measure", *sorted(root.glob("lr0.2*")), "--quiet", "--json").stdout)
    assert [Path(each["run"]).name for each in told] == ["lr0.2-0", "lr0.2-1"]


def test_a_run_that_was_measured_is_listed_with_what_was_found(nucleate, tmp_path):
    run = make(tmp_path / "mine", steps=(0, 4), rises=2.0)
    assert line_of(run.path)["clusters"] is None
    assert nucleate("measure", run.path, "--metrics", "agreement", "--quiet").returncode == 0
    line = line_of(run.path)
    summary = json.loads((run.path / "summary.json").read_text())
    assert line["clusters"] == summary["verdict"]["clusters"]
    assert line["headline"].startswith("The states group by task")
    assert line["accuracy"] == summary["accuracy"]["all"]["value"]


def test_measure_writes_elsewhere_where_asked(nucleate, root, tmp_path):
    run = make(tmp_path / "mine", steps=(0, 2))
    before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*")}
    done = nucleate("measure", run.path, "--out", tmp_path / "there", "--quiet",
                    "--metrics", "agreement")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there" / "panel.csv").exists()
    assert {p: p.stat().st_mtime_ns for p in run.path.rglob("*")} == before


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("report {}", "holds 4 runs"),
        ("report {}/nowhere", "nowhere"),
        ("report {}/lr0.1-0 --out {}/lr0.1-0/manifest.json", "cannot be written"),
        ("compare {}/lr0.1-0", "at least two runs"),
        ("compare {}/lr0.1-0 {}/lr0.1-0", "named twice"),
        ("compare {}/lr0.1-0 {}/lr0.2-0 --by lrr", "did you mean 'lr'"),
        ("compare x={}/lr0.1-0 {}/lr0.2-0", "LABEL=RUN, or none"),
        ("measure {}/lr0.1-0 {}/lr0.1-0", "named twice"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_2(nucleate, root, line, said):
    done = nucleate(
        *(part.replace("{}", str(root)) for part in line.split()),
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_during_a_report_ends_with_130_and_says_how_to_go_on(tmp_path):
    run = make(tmp_path / "run", steps=range(60), losses=False)
    code = "from nucleate.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "report", str(run.path)], stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(run.path.glob("panel/*/*")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "run again to resume" in said
    assert "Traceback" not in said

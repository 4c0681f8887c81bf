"""Forecasts over the runs of a study: which numbers of which step enter, and what is refused."""

import csv
import json

import numpy as np
import pytest

import any_runs
from in_process import runner
from nucleate.findings import accuracy_table
from nucleate.panel import Panel
from nucleate.runs import Run
from nucleate.studies import read_study, study_forecast
from study_pages import write_page

SEEDS = [0, 1, 2, 3, 4]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Five finished runs, their states, answers and panels made without a training."""
    folder = tmp_path_factory.mktemp("forecast")
    page = write_page(folder, seeds=SEEDS, twins={"scrambled": {"null": "scrambled"}})
    for run in read_study(page).runs:
        if run.twin:
            continue
        seed = run.config.seed
        prompts = any_runs.prompts_of(split=lambda string: "seen" if string % 2 else "unseen_cell")
        any_runs.make(
            folder / "out" / run.key / run.folder_name, prompts, seed=seed, rises=1.0 + 2 * seed,
            accuracy=0.2 + 0.15 * seed, measured=True,
        )  # fmt: skip
        (folder / "out" / run.key / "done.json").write_text('{"layout": 1}')
    return page, folder / "out"


def test_numbers_of_the_chosen_step_and_the_last_accuracy_enter(done):
    page, out = done
    study = read_study(page)
    found = study_forecast(study, out, early=0.5)
    assert found.steps == (4, 4)
    assert (found.result.runs, found.result.groups) == (5, 5)
    runs = [Run(out / run.key / run.folder_name) for run in study.runs if not run.twin]
    tables = [accuracy_table(run) for run in runs]
    finals = [
        t[(t["split"] == "unseen_cell") & (t["step"] == 8)]["accuracy"].item() for t in tables
    ]
    assert found.final == (min(finals), max(finals))
    panel = Panel.of(runs[0]).table
    kept = panel[(panel["step"] == 4) & (panel["label"] == "task")]
    assert {"separation", "ari"} <= set(kept["metric"])
    assert set(found.curve["share"]) == {0.0, 0.25, 0.5, 1.0}
    at_half = found.curve[found.curve["share"] == 0.5].set_index("predictor")["r2"]
    assert at_half["separation"] == pytest.approx(found.result.skills["separation"].r2)
    assert found.result.skills["separation"].r2 > 0.5  # clusters rise with the accuracy here
    assert np.isfinite(found.result.skills["loss"].r2)


def test_five_runs_are_called_undecided_in_words(done):
    page, out = done
    found = study_forecast(read_study(page), out, early=0.5)
    told = "\n".join(found.lines())
    assert "fewer than 12 runs decide nothing" in told
    assert "separation: undecided" in told
    assert "permuted" in told


def test_the_command_writes_the_curve_and_prints_json(done, tmp_path, capfd, monkeypatch):
    page, out = done
    run = runner(capfd, monkeypatch)
    file = tmp_path / "curve.csv"
    told = run("forecast", page, "--out", out, "--early", 0.5, "--csv", file, "--json", "-q")
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert found["verdicts"] == {"separation": "undecided", "ARI": "undecided"}
    shares = {row["share"] for row in csv.DictReader(file.read_text().splitlines())}
    assert shares == {"0.0", "0.25", "0.5", "1.0"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--early", "0"], "early is 0.0"),
        (["--split", "unseen_cel"], "no rows of the split 'unseen_cel'"),
        (["--position", "first"], "no separation of tasks"),
        (["--out", "nowhere"], "0 of 5 runs"),
        (["--leave-out", "setting"], "5 runs in 1 groups"),
    ],
)
def test_bad_input_leaves_with_two(done, arguments, reason, capfd, monkeypatch):
    page, out = done
    done = runner(capfd, monkeypatch)("forecast", page, "--out", out, "-q", *arguments)
    assert done.returncode == 2
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1

"""`nucleate figures` as a user meets it."""

import json
from pathlib import Path

import pandas as pd
import pytest

from any_runs import make, prompts_of
from in_process import runner


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "mine"
    return make(folder, prompts_of(), rises=2.0, steps=(0, 4), measured=True).path


@pytest.fixture
def nucleate(capfd, monkeypatch):
    return runner(capfd, monkeypatch)


def test_each_figure_has_four_files_and_its_numbers(nucleate, run, tmp_path):
    done = nucleate("figures", run, "--out", tmp_path, "--width", "column", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)["figures"]
    assert {"curves", "heat-maps"} <= {each["name"] for each in listed}
    assert next(each["width"] for each in listed if each["name"] == "curves") == 3.35
    for each in listed:
        for ending in ("png", "svg", "pdf", "csv"):
            assert (tmp_path / f"{each['name']}.{ending}").stat().st_size > 100
    panel = pd.read_csv(run / "panel.csv")
    cells = pd.read_csv(tmp_path / "heat-maps.csv")
    asked = panel.query("metric == 'ari' and label == 'task'")
    assert len(cells)
    assert set(cells["value"].dropna()) <= set(asked["value"])


def test_one_figure_alone_gives_the_same_bytes_each_time(nucleate, run, tmp_path):
    for name in ("a", "b"):
        done = nucleate("figures", run, "--out", tmp_path / name, "--only", "heat-maps", "-q")
        assert done.returncode == 0, done.stderr
    first = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert {Path(name).stem for name in first} == {"heat-maps"}
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{} --only curvs", "did you mean 'curves'"),
        ("{} --only causal-map", "nothing to draw for causal-map"),
        ("{} --width wide", "column, text, or inches"),
        ("{} --width nan", "column, text, or inches"),
        ("{} --width 0.5", "from 2.5 to 30"),
        ("{}/nowhere", "nowhere"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence_and_exit_2(nucleate, run, tmp_path, line, said):
    words = [part.replace("{}", str(run)) for part in line.split()]
    done = nucleate("figures", *words, "--out", tmp_path / "out", "--quiet")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr

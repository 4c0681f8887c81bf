"""`nucleate export` as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from exportable import make_run
from nucleate.cli._export import Tracker
from nucleate.export._trackers import TRACKERS


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "mine").path


def nucleate(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from nucleate.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def test_it_offers_every_tracker_that_there_is():
    assert [tracker.value for tracker in Tracker] == list(TRACKERS)


def test_it_says_where_the_scalars_are_and_how_to_look_at_them(folder, tmp_path):
    done = nucleate("export", str(folder), "--to", "tensorboard", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert " scalars at 5 steps -> " in first
    assert int(first.split()[0]) <= 25
    assert list(Path(first.split(" -> ")[1]).glob("events.out.tfevents.*"))
    assert second == f"look: tensorboard --logdir {tmp_path}"


@pytest.mark.parametrize("tracker", ["wandb", "trackio"])
def test_json_is_all_that_stands_on_standard_output(folder, tmp_path, tracker):
    done = nucleate(
        "export", str(folder), "--to", tracker, "--out", str(tmp_path), "--project", "p", "--json"
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["tracker"] == tracker
    assert result["steps"] == 5
    assert str(tmp_path) in result["where"]
    assert any(tmp_path.iterdir())


def test_bad_input_gets_exit_code_2_and_one_sentence(folder, tmp_path):
    done = nucleate("export", str(tmp_path), "--to", "tensorboard")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "is no run folder" in done.stderr
    assert nucleate("export", str(folder), "--to", "comet").returncode == 2

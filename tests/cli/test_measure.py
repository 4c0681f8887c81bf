"""`nucleate measure` as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nucleate.activations import capture
from nucleate.runs import Run, States
from small import material, model

OPTIONS = ("--metrics", "agreement,separation", "--permutations", "19", "--bootstraps", "20",
           "--restarts", "2", "--quiet")  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    _, _, prompts = material()
    run = Run.create(tmp_path_factory.mktemp("runs") / "mine", prompts, {"name": "mine"})
    for step in (0, 5):
        run.save_snapshot(step, capture(model(seed=step), prompts), {})
    return run.path


def nucleate(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from nucleate.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def test_it_says_what_was_found_what_is_missing_and_where_the_time_went(folder):
    done = nucleate("measure", str(folder), *OPTIONS, "--details")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].endswith(f"-> {folder / 'panel.csv'}")
    assert any(line.startswith("instruction_end (raw, ") for line in lines)
    assert any(line.startswith("last (") for line in lines)
    assert any(line.startswith("N1 is missing: it was not asked for; it needs") for line in lines)
    assert "k-means" in lines[-1]
    assert (folder / "panel.csv").exists()


def test_json_is_all_that_stands_on_standard_output_and_has_no_nan(folder):
    done = nucleate("measure", str(folder), *OPTIONS, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(name))
    assert {place["position"] for place in found["places"]} == {"instruction_end", "last"}
    assert set(found["missing"]) == {"N1", "N3", "N4", "N5"}


def test_untrained_models_come_from_a_configuration(folder, tmp_path):
    model(seed=0).config.save_pretrained(tmp_path)
    done = nucleate("measure", str(folder), *OPTIONS, "--untrained", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "N1" not in found["missing"]
    assert all(place["nulls"]["N1"] is not None for place in found["places"])
    assert len(Run(folder).untrained()) == 5


def test_the_list_needs_no_run():
    done = nucleate("measure", "--list")
    assert done.returncode == 0
    assert "agreement" in done.stdout
    assert "N5" in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--metrics", "beauty"), "no metric is named 'beauty'"),
        (("--untrained", "no/such/model"), "no untrained model can be made of no/such/model"),
        (("--scrambled", "no/such/run"), "the panel in no/such/run cannot be read"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_2(folder, options, said):
    done = nucleate("measure", str(folder), "--quiet", *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_no_run_and_a_run_that_is_none_are_refused(tmp_path):
    for arguments, said in (((), "name the folder of a run"), ((str(tmp_path),), "no run folder")):
        done = nucleate("measure", *arguments)
        assert done.returncode == 2
        assert said in done.stderr


def test_snapshots_that_do_not_fit_lose_nothing(folder):
    run = Run(folder)
    states = run.states(0)
    before = (folder / "panel.csv").read_bytes()
    short = States(states.values[:, :1], states.streams, states.positions[:1])
    run.save_snapshot(9, short, {})
    done = nucleate("measure", str(folder), *OPTIONS)
    assert done.returncode == 2
    assert "step 9" in done.stderr
    assert (folder / "panel.csv").read_bytes() == before

"""`nucleate steer` as a user meets it."""

import json
from pathlib import Path

import pandas as pd
import pytest

from in_process import runner
from nucleate.intervene import try_steering
from nucleate.runs import Run
from small import material, model

STORIES = Path(__file__).parents[3] / "shared" / "data" / "model_stories260k"


@pytest.fixture
def nucleate(capfd, monkeypatch):
    return runner(capfd, monkeypatch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A run of a model that was not trained, with a checkpoint."""
    run = Run.create(tmp_path_factory.mktemp("runs") / "mine", material()[2], {"name": "mine"})
    model(depth=3).save_pretrained(run.path / "checkpoints" / "5")
    return run.path


def test_a_run_is_steered_with_its_newest_checkpoint_and_keeps_the_numbers(nucleate, folder):
    of, to = sorted(set(material()[2].labels["task"]))[:2]
    asked = (
        "steer",
        folder,
        "--from",
        of,
        "--to",
        to,
        "--doses",
        "0.5,2",
        "--group",
        "input",
        "-q",
    )
    # Three inputs are no groups to halve.
    assert nucleate(*asked).returncode == 2
    done = nucleate(*asked[:8], "-q")
    assert done.returncode == 0, done.stderr
    kept = pd.read_csv(folder / "steering.csv")
    expected = try_steering(
        model(depth=3).eval(), material()[2], label="task", of=of, to=to, doses=[0.5, 2.0]
    )
    assert kept["turned"].tolist() == pytest.approx(expected.table["turned"].tolist())
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"task: {of} -> {to}, at ")
    assert [line.partition(":")[0] for line in lines[3:5]] == ["dose 0.5", "dose 2"]
    assert lines[5] == "undecided"  # few strings
    assert lines[-1] == f"all numbers in {folder / 'steering.csv'}"

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    text = (folder / "steering.json").read_text(encoding="utf-8")
    about = json.loads(text, parse_constant=refuse)["about"]
    assert about["loss_without"] is None  # tokens have no loss


def test_json_is_all_that_stands_on_standard_output_and_has_no_nan(nucleate, folder):
    to = material()[2].labels["task"][0]
    done = nucleate("steer", folder, "--to", to, "--json", "-q")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(name))
    assert found["verdict"] == "undecided"
    assert {line["edit"] for line in found["doses"]} == {
        "direction", "random", "shuffled", "reverse"
    }  # fmt: skip


@pytest.mark.skipif(not STORIES.exists(), reason="needs the shared model")
def test_a_models_texts_are_checked_by_a_pattern(nucleate, tmp_path):
    names = ("Tom", "Lily", "Ben", "Mia", "Sam", "Anna", "Max", "Lucy")
    rows = [
        {"instruction": f"{name} {what}", "who": name, "mood": mood}
        for name in names
        for mood, what in (("sad", "was very sad and"), ("happy", "was very happy and"))
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = nucleate(
        "steer", STORIES, "--prompts", tmp_path / "rows.jsonl", "--out", tmp_path / "out",
        "--label", "mood", "--from", "sad", "--to", "happy", "--group", "who", "--doses", "1",
        "--template", "{instruction}", "--position", "last", "--stream", "block.2",
        "--pattern", "smile|laugh", "--tokens", "8", "-q",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kept = pd.read_csv(tmp_path / "out" / "steering.csv")
    assert kept["loss"].notna().all()
    assert json.loads((tmp_path / "out" / "steering.json").read_text())["about"]["groups"] == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--to", "task 99"), "no prompt has task 'task 99'"),
        (("--to", "x", "--label", "sort"), "no label 'sort'"),
        (("--to", "x", "--doses", "a,b"), "--doses is 'a,b'; give numbers, as in 0.5,1,2"),
        (("--to", "x", "--prompts", "rows.jsonl"), "is a run, with a prompt set of its own"),
    ],
)
def test_bad_input_is_a_sentence_and_ends_with_2(nucleate, folder, given, message):
    done = nucleate("steer", folder, *given, "-q")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr

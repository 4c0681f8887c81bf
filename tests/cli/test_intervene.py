"""`nucleate intervene` as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nucleate._core.seeds import component_seed
from nucleate.activations import capture
from nucleate.intervene import CausalMap, causal_map, map_settings_of
from nucleate.panel import measure
from nucleate.runs import Run
from small import material, model

STEP = 5
STORIES = Path(__file__).parents[3] / "shared" / "data" / "model_stories260k"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A run whose last snapshot and newest checkpoint are of one model."""
    _, _, prompts = material()
    run = Run.create(tmp_path_factory.mktemp("runs") / "mine", prompts, {"name": "mine"})
    for step in (0, STEP):
        run.save_snapshot(step, capture(model(seed=step), prompts), {})
        model(seed=step).save_pretrained(run.path / "checkpoints" / str(step))
    return run.path


def nucleate(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from nucleate.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments, "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_run_is_asked_with_its_newest_checkpoint_and_keeps_the_map(folder):
    done = nucleate("intervene", str(folder), "--rows", "24")
    assert done.returncode == 0, done.stderr
    found = CausalMap.load(folder)
    expected = causal_map(model(seed=STEP).eval(), Run(folder).prompts, rows=24)
    assert found.table["patch"].tolist() == pytest.approx(expected.table["patch"].tolist())
    lines = done.stdout.splitlines()
    assert lines[0] == f"{len(found.table)} places, 24 rows -> {folder}/causal_map.csv"
    assert sum(line.startswith("last/block.") for line in lines) == 2
    assert lines[-1].startswith("undecided:")


def test_made_again_without_settings_a_map_has_those_of_the_last_one_or_of_the_configuration(
    folder,
):
    done = nucleate("intervene", str(folder), "--rows", "16", "--seed", "3")
    assert done.returncode == 0, done.stderr
    first = CausalMap.load(folder)
    assert first.about["settings"] == {"rows": 16, "scored": "greedy", "seed": 3}
    assert nucleate("intervene", str(folder)).returncode == 0
    again = CausalMap.load(folder)
    assert again.about["settings_hash"] == first.about["settings_hash"]
    assert again.table["patch"].tolist() == first.table["patch"].tolist()
    manifest = json.loads((folder / "manifest.json").read_text())
    configured = manifest | {"config": {"seed": 5, "causal": {"rows": 20}}}
    try:
        (folder / "manifest.json").write_text(json.dumps(configured))
        own = map_settings_of(Run(folder))
    finally:
        (folder / "manifest.json").write_text(json.dumps(manifest))
    assert own == {"rows": 20, "scored": "greedy", "seed": component_seed(5, "causal")}


def test_json_is_all_that_stands_on_standard_output_and_has_no_nan(folder):
    done = nucleate("intervene", str(folder), "--rows", "24", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(name))
    assert {place["position"] for place in found["places"]} == {"instruction_end", "last"}
    assert {place["verdict"] for place in found["places"]} <= {
        "used", "present but not used", "absent", "undecided"
    }  # fmt: skip


def test_a_panel_stands_beside_only_if_it_ends_with_this_model(folder):
    measure(Run(folder), metrics=["agreement"], nulls=(), n_bootstraps=10, n_init=1)
    own = nucleate("intervene", str(folder), "--rows", "24", "--json")
    assert all("ari" in place for place in json.loads(own.stdout)["places"])
    earlier = str(folder / "checkpoints" / "0")
    other = nucleate("intervene", str(folder), "--rows", "24", "--json", "--model", earlier)
    assert not any("ari" in place for place in json.loads(other.stdout)["places"])


def test_a_model_is_asked_with_a_saved_probe(folder, tmp_path):
    source = str(folder / "checkpoints" / str(STEP))
    done = nucleate(
        "intervene", source, "--prompts", str(folder), "--out", str(tmp_path), "--rows", "24"
    )
    assert done.returncode == 0, done.stderr
    assert len(CausalMap.load(tmp_path).table) == 8


@pytest.mark.skipif(not STORIES.exists(), reason="the shared data is not here")
def test_texts_with_a_class_are_asked_and_what_they_do_not_allow_is_printed(tmp_path):
    texts = {
        "up": ("raise it", "go higher", "lift this"),
        "down": ("lower it", "sink", "drop this"),
    }
    rows = [{"task": task, "instruction": text, "input": "", "output": task, "split": "mine"}
            for task, said in texts.items() for text in said]  # fmt: skip
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = nucleate(
        "intervene", str(STORIES), "--prompts", str(file), "--out", str(tmp_path / "map"),
        "--positions", "last,mean",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("note: ")]
    assert said[0].startswith("note: position 'mean' is left out: it is a mean over tokens")
    assert said[1].startswith("note: shift and patch cannot decide: no input has different answers")
    assert said[2].startswith("note: the text alone tells the task")
    assert said[3].startswith("note: use stays undecided at every place: the 6 tested rows that")
    assert "\nuse is undecided at 7 of 7 places; " in done.stdout
    found = CausalMap.load(tmp_path / "map")
    assert found.table["not_asked"].str.startswith("shift and patch: ").all()
    assert set(found.table["position"]) == {"last"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("{run}", "--prompts", "{run}"),
            "is a run, with a prompt set of its own; leave --prompts out",
        ),
        (("nowhere",), "nowhere is no run folder; for a model give --prompts and --out"),
        (("{run}", "--model", "nowhere"), "nowhere"),
        (("{run}/checkpoints/5", "--prompts", "{run}"), "give --prompts and --out"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(folder, arguments, said):
    done = nucleate("intervene", *(each.format(run=folder) for each in arguments))
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1

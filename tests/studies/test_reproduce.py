"""The main job, end to end, on models so small that it takes seconds."""

import json
import shutil
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
import torch

from nucleate import BadInput, Run
from nucleate._core.errors import Interrupted
from nucleate._core.progress import Silent
from nucleate.findings import Summary, findings
from nucleate.panel import settings_differences
from nucleate.studies import reproduce, resolve

TINY = [
    "synthetic.tasks=4", "synthetic.families=2", "synthetic.inputs=3", "synthetic.strings=4",
    "synthetic.unseen_strings=2", "model.depth=2", "model.width=16", "model.heads=2",
    "training.steps=40", "training.batch_size=32", "training.learning_rate=1e-2",
    "training.warmup_steps=4", "training.checkpoint_every=15", "training.device=cpu",
    "recording.points=8", "recording.rows=48", "panel.n_init=4", "panel.n_permutations=99",
    "panel.n_bootstraps=40", "causal.rows=24",
]  # fmt: skip


def tiny(*more: str, **options: object):
    return resolve(settings=[*TINY, *more], **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduce")
    return folder, reproduce(tiny(), folder, threads=1)


def test_two_run_folders_and_one_report_are_left(whole):
    folder, result = whole
    for name in ("own", "shared"):
        there = {p.name for p in (folder / name).iterdir()}
        assert there >= {
            "manifest.json", "prompts.safetensors", "prompts.jsonl", "journal.jsonl", "states",
            "checkpoints", "panel.csv", "causal_map.csv", "accuracy.csv", "onsets.csv",
            "summary.json",
        }  # fmt: skip
    assert result.report == folder / "report.html"
    text = result.report.read_text(encoding="utf-8")
    for name in ("own", "shared"):
        assert f'id="data:run/{name}/"' in text
        assert list((folder / name / "view").iterdir())
    lines = result.lines()
    assert f"open  {result.report}" in lines
    assert f"app   nucleate app {folder}" in lines


def test_a_table_of_other_settings_than_the_runs_is_told_in_the_summary_and_in_words(
    whole, tmp_path
):
    run = Run(shutil.copytree(whole[0] / "own", tmp_path / "own"))
    assert settings_differences(run) == []
    assert findings(run).summary.notes == []
    for table, name, value in (("panel", "n_bootstraps", 41), ("causal_map", "rows", 25)):
        path = run.path / f"{table}.json"
        said = json.loads(path.read_text())
        (said if table == "panel" else said["about"])["settings"][name] = value
        path.write_text(json.dumps(said))
    summary = findings(run).summary
    assert summary.notes == [
        "The panel was made with other settings than the run's own: n_bootstraps is 41 in the "
        "panel and 40 in the run.",
        "The causal map was made with other settings than the run's own: rows is 25 in the causal "
        "map and 24 in the run.",
    ]
    assert set(summary.notes) <= set(summary.verdict.words)


def test_the_summary_fits_the_published_schema(whole):
    folder, _ = whole
    published = Path(__file__).parents[2] / "docs" / "summary.schema.json"
    schema = json.loads(published.read_text(encoding="utf-8"))
    assert schema == Summary.model_json_schema()
    for name in ("own", "shared"):
        summary = json.loads((folder / name / "summary.json").read_text(encoding="utf-8"))
        jsonschema.validate(summary, schema)
        assert Summary.model_validate(summary).name == name


def test_every_split_stream_and_position_is_in_the_tables(whole):
    folder, _ = whole
    accuracy = pd.read_csv(folder / "own" / "accuracy.csv")
    splits = {"seen", "unseen_string", "unseen_cell", "unseen_family"}
    assert set(accuracy["split"]) == splits
    assert sorted(set(accuracy["step"])) == Run(folder / "own").steps
    causal = pd.read_csv(folder / "own" / "causal_map.csv")
    assert len(causal) == 4 * 2
    panel = pd.read_csv(folder / "own" / "panel.csv")
    assert set(panel["stream"]) == {"embed", "block.0", "block.1", "final_norm"}


def test_both_kinds_of_outputs_have_the_same_instructions(whole):
    folder, _ = whole
    own, shared = (Run(folder / name).prompts.labels for name in ("own", "shared"))
    assert own["instruction"] == shared["instruction"]
    assert own["output"] != shared["output"]


class StopsIn(Silent):
    """Asks to stop in the middle of a part."""

    def __init__(self, part: str, after: int) -> None:
        self._part, self._after, self._left = part, after, -1

    def part(self, name, total):  # noqa: ARG002 - the form that is called
        mine = name.endswith(self._part)

        def tick(done: int, note: str) -> None:
            self._left = self._after - done if mine else self._left

        return tick

    def stopping(self) -> bool:
        return self._left == 0


@pytest.mark.parametrize(
    ("part", "after"),
    [
        ("own: training", 20),
        pytest.param("own: panel", 3, marks=pytest.mark.slow),
        pytest.param("shared: causal map", 2, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_study_goes_on_to_the_same_numbers(whole, tmp_path, part, after):
    folder, _ = whole
    with pytest.raises(Interrupted):
        reproduce(tiny(), tmp_path, threads=1, watcher=StopsIn(part, after))
    reproduce(tiny(), tmp_path, threads=1)
    for name in ("own", "shared"):
        for table in ("panel.csv", "causal_map.csv", "accuracy.csv", "onsets.csv"):
            first, again = folder / name / table, tmp_path / name / table
            assert first.read_bytes() == again.read_bytes(), (name, table)


def test_run_again_nothing_is_done_twice(whole):
    folder, first = whole
    journal = (folder / "own" / "journal.jsonl").read_bytes()
    again = reproduce(tiny(), folder, threads=1)
    assert (folder / "own" / "journal.jsonl").read_bytes() == journal
    assert again.summaries == first.summaries


def test_a_folder_of_another_configuration_is_refused_by_key_and_left_alone(whole):
    folder, _ = whole
    before = (folder / "own" / "journal.jsonl").read_bytes()
    with pytest.raises(BadInput, match=r"model\.width is 16 there and 32 now"):
        reproduce(tiny("model.width=32"), folder)
    assert (folder / "own" / "journal.jsonl").read_bytes() == before


def test_tasks_from_a_file_give_one_run_with_its_own_name(tmp_path):
    wordings = {"up": ("raise", "lift", "hoist it"), "down": ("lower", "drop", "let fall")}
    rows = [
        {"task": t, "instruction": w, "input": x, "output": f"{t} {x}", "split": s}
        for t, words in wordings.items()
        for w in words
        for x, s in (("a", "train"), ("b", "train"), ("c d", "train"), ("e", "test"))
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    config = tiny("natural.vocabulary=300", "natural.held_out_wordings=0.34", tasks=str(file))
    result = reproduce(config, tmp_path / "out", threads=1)
    assert [s.name for s in result.summaries] == ["pairs"]
    assert result.summaries[0].outputs == "natural"
    assert "unseen_input" in result.summaries[0].accuracy
    assert (tmp_path / "out" / "report.html").exists()


def test_more_clusters_than_rows_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"rows"):
        reproduce(tiny("recording.rows=3"), tmp_path)


def test_the_seed_of_torch_is_not_needed_for_the_same_numbers(whole, tmp_path):
    torch.manual_seed(123)
    reproduce(tiny(outputs=("own",)), tmp_path, threads=1)
    first, again = (folder / "own" / "panel.csv" for folder in (whole[0], tmp_path))
    assert first.read_bytes() == again.read_bytes()

"""What app and report read of a run: the numbers of its tables, of any run, and never a write."""

import json
import shutil
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest

import any_runs
from nucleate._core.errors import BadInput
from nucleate.runs import Run
from nucleate.views import RunView


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return any_runs.make(tmp_path_factory.mktemp("views") / "mine", measured=True)


def _json(view: RunView, path: str):
    def no_constants(name):
        raise AssertionError(f"{path} holds {name}, which is no JSON")

    return json.loads(view.get(path), parse_constant=no_constants)


def _bytes(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_every_part_can_be_read_and_not_a_byte_of_the_run_changes(run):
    before = _bytes(run.path)
    view = RunView(run)
    for path in view.paths():
        assert view.get(path), path
    assert _bytes(run.path) == before


def test_curves_are_the_numbers_of_the_panel(run):
    view = _json(RunView(run), "view.json")
    panel = pd.read_csv(run.path / "panel.csv")
    found = next(each for each in view["series"] if each["metric"] == "ari")
    wanted = panel[
        (panel["metric"] == "ari") & (panel["label"] == "task") & (panel["half"] == "report")
        & (panel["position"] == found["position"]) & (panel["view"] == found["view"])
    ].pivot(index="step", columns="stream", values="value")  # fmt: skip
    wanted = wanted.loc[found["steps"], found["streams"]].to_numpy()
    shown = np.array(found["value"], dtype=float)
    np.testing.assert_allclose(shown, wanted, rtol=1e-5)
    assert view["summary"]["clusters"]["last"]["last"] in wanted


def test_a_table_is_the_same_as_json_and_as_csv(run, tmp_path):
    view = RunView(run)
    as_json = _json(view, "tables/panel.json")
    (tmp_path / "panel.csv").write_bytes(view.get("tables/panel.csv"))
    as_csv = pd.read_csv(tmp_path / "panel.csv")
    assert list(as_csv.columns) == as_json["columns"]
    values = [row[as_json["columns"].index("value")] for row in as_json["rows"]]
    np.testing.assert_allclose(np.array(values, dtype=float), as_csv["value"])


def test_frames_fit_what_is_said_of_them(run):
    view = RunView(run)
    about = _json(view, "cloud/block.1/last/tasks.json")
    assert [frame["step"] for frame in about["frames"]] == run.steps
    for frame in about["frames"]:
        data = view.get(f"frames/block.1/last/tasks/{frame['step']}.i16")
        points = np.frombuffer(data, "<i2").reshape(about["rows"], about["k"]) * frame["unit"]
        assert np.sqrt((points**2).sum(1).mean()) == pytest.approx(1.0, rel=1e-3)
    first, last = about["frames"][0], about["frames"][-1]
    assert first["ari_k"] < 0.2 < 0.9 < last["ari_k"]
    assert abs(last["null_ari_k"]) < 0.4


def test_erasing_takes_the_task_out_of_the_last_frame(run):
    view = RunView(run)
    about = _json(view, "cloud/block.1/last/tasks.json")
    codes = np.array(_json(view, "rows.json")["labels"]["task"]["codes"])[about["index"]]

    def apart(data: bytes, unit: float) -> float:
        points = np.frombuffer(data, "<i2").reshape(about["rows"], about["k"]) * unit
        means = np.stack([points[codes == task].mean(0) for task in set(codes.tolist())])
        return float(((means - points.mean(0)) ** 2).sum(1).max())

    kept = apart(view.get(f"frames/block.1/last/tasks/{run.steps[-1]}.i16"),
                 about["frames"][-1]["unit"])  # fmt: skip
    erased = apart(view.get("frames/block.1/last/tasks/erased.i16"), about["erased"]["unit"])
    assert erased < 0.05 * kept


def test_the_twin_has_the_same_classes_dealt_anew_and_keeps_strings_together(run):
    rows = _json(RunView(run), "rows.json")
    task, twin = rows["labels"]["task"]["codes"], rows["null_task"]
    assert sorted(task) == sorted(twin)
    assert task != twin
    of_string: dict[str, set[int]] = {}
    for said, code in zip(rows["instruction"], twin, strict=True):
        of_string.setdefault(said, set()).add(code)
    assert all(len(codes) == 1 for codes in of_string.values())


def test_answers_of_a_step_are_those_on_record(run):
    step = run.steps[-1]
    found = _json(RunView(run), f"answers/{step}.json")
    assert found["correct"] == run.rows(step)["correct"].int().tolist()


@pytest.mark.parametrize(
    "path",
    ["", "nothing", "view.json/", "../view.json", "tables/../panel.csv", "answers/3.json",
     "answers/-1.json", "answers/²2.json", "cloud/block.9/last/tasks.json",
     "cloud/block.1/last/labels.json", "frames/block.1/last/tasks/1e1.i16",
     "tables/panel.parquet", "%2e%2e%2fmanifest.json", "tables/%2e%2e%2fpanel.csv"],
)  # fmt: skip
def test_a_path_that_is_no_part_is_refused(run, path):
    with pytest.raises(BadInput):
        RunView(run).get(path)


@pytest.mark.parametrize(
    "more",
    [{"prompts": any_runs.prompts_of(labels=())},
     {"prompts": any_runs.prompts_of(labels=("instruction",))},
     {"prompts": any_runs.prompts_of(answers=False)},
     {"losses": False}, {"broken": (8,)}, {"broken": (0, 2, 4, 8)}, {"steps": ()}, {"steps": (5,)}],
    ids=["no labels", "no task", "no answers", "no losses", "last step not finite",
         "no step finite", "nothing recorded", "one step"],
)  # fmt: skip
def test_any_run_has_a_view_that_says_what_is_missing(tmp_path, more):
    run = any_runs.make(tmp_path / "any", **more)
    view = RunView(run)
    shown = _json(view, "view.json")
    assert shown["series"] == []
    assert shown["headline"]
    assert _json(view, "rows.json")["n"] == len(run.prompts)
    for path in view.paths():
        assert view.get(path), path


def test_a_view_shows_the_run_as_it_was_when_it_was_opened(tmp_path):
    run = any_runs.make(tmp_path / "grows", steps=(0, 2))
    view = RunView(run.path)
    assert _json(view, "view.json")["steps"] == [0, 2]
    run.save_snapshot(4, any_runs.states_of(run.prompts, 3.0, 4), {})
    assert _json(view, "view.json")["steps"] == [0, 2]
    assert _json(RunView(run.path), "view.json")["steps"] == [0, 2, 4]


def test_a_run_that_was_deleted_is_named(tmp_path):
    run = any_runs.make(tmp_path / "gone")
    view = RunView(run.path)
    shutil.rmtree(run.path)
    with pytest.raises(BadInput, match="gone"):
        view.get("cloud/block.1/last/tasks.json")


def test_names_with_slashes_and_scripts_are_found_by_their_encoded_path(tmp_path):
    names = ("embed", "block.0", "<script>/../x")
    run = any_runs.make(tmp_path / "odd", streams=names)
    view = RunView(run)
    assert view.get(f"cloud/{quote(names[2], safe='')}/last/variance.json")
    with pytest.raises(BadInput):
        view.get(f"cloud/{names[2]}/last/variance.json")

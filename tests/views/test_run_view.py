"""What app and report read of a run: the numbers of its tables, of any run, and never a write."""

import json
import shutil
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
import torch

import any_runs
from nucleate._core.errors import BadInput
from nucleate.prompts import PromptSet
from nucleate.runs import Run, States
from nucleate.views import RunView
from nucleate.views._cloud import agreements


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


def test_a_number_that_is_better_the_smaller_says_so_and_the_clouds_null_is_of_its_own_rows(run):
    view = RunView(run)
    lower = {each["metric"]: each["lower"] for each in _json(view, "view.json")["series"]}
    assert (lower["cdnv"], lower["separation"], lower["ari"]) == (True, False, False)
    last = _json(view, "cloud/block.1/last/tasks.json")["frames"][-1]
    row = pd.read_csv(run.path / "panel.csv").query(
        "metric == 'ari' and label == 'task' and half == 'all' and stream == 'block.1' "
        "and position == 'last' and step == @last['step']"
    ).iloc[0]  # fmt: skip
    assert last["ari_full"] == pytest.approx(row["value"], abs=1e-5)
    assert last["null_ari_full"] == pytest.approx(
        row[["n0_q99", "n1_max", "n2"]].astype(float).max(), abs=1e-5
    )


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


def _flat_run(folder: Path, centers: np.ndarray, tasks: int, rows: int = 600) -> Run:
    """Two steps of one stream: noise, then noise around the given mean of each task."""
    records = [{"ids": [2, 10 + k, 3], "task": f"t{k % tasks}", "instruction": f"do {k}"}
               for k in range(rows)]  # fmt: skip
    run = Run.create(folder, PromptSet.from_records(records, None, positions="last"), {})
    rng = np.random.default_rng(0)
    for step in (0, 9):
        noise = rng.standard_normal((rows, centers.shape[1]))
        values = noise + (step > 0) * centers[np.arange(rows) % tasks]
        states = torch.tensor(values, dtype=torch.float32)[None, None]
        run.save_snapshot(step, States(states, ("block.0",), ("last",)), {})
    return run


def test_the_null_of_axes_that_are_chosen_by_labels_has_axes_of_its_own(tmp_path):
    noise = RunView(_flat_run(tmp_path / "noise", np.zeros((8, 256)), 8))
    chosen = _json(noise, "cloud/block.0/last/tasks.json")["frames"]
    assert abs(chosen[0]["ari_k"]) < 0.05
    assert chosen[-1]["ari_k"] > 0.12  # the labels chose the axes: it looks like clusters
    assert chosen[-1]["null_ari_k"] > 0.6 * chosen[-1]["ari_k"]
    blind = _json(noise, "cloud/block.0/last/variance.json")["frames"]
    assert abs(blind[-1]["ari_k"]) < 0.05


def test_the_twin_in_axes_of_its_own_shows_the_null_that_stands_beside_the_tasks(tmp_path):
    view = RunView(_flat_run(tmp_path / "noise", np.zeros((8, 256)), 8))
    tasks, twin = (_json(view, f"cloud/block.0/last/{name}.json") for name in ("tasks", "twin"))
    assert twin["k"] == tasks["k"]
    wanted = [frame["null_ari_k"] for frame in tasks["frames"]]
    assert [frame["ari_k"] for frame in twin["frames"]] == wanted
    assert [frame["null_ari_k"] for frame in twin["frames"]] == wanted
    # And the points are those of the number, with the labels that the app colors them by.
    dealt = np.array(_json(view, "rows.json")["null_task"])
    data = view.get("frames/block.0/last/twin/9.i16")
    points = np.frombuffer(data, "<i2").reshape(-1, twin["k"]) * twin["frames"][-1]["unit"]
    assert agreements(points[None], dealt[None])[0, 0] == pytest.approx(wanted[-1], abs=0.03)
    own = {each: _json(view, f"cloud/block.0/last/{each}.json")["frames"][-1]["between_k"]
           for each in ("twin", "variance")}  # fmt: skip
    assert own["twin"] > 3 * own["variance"]


@pytest.mark.parametrize("name", ["tasks", "variance", "twin"])
def test_clusters_that_come_at_a_step_are_not_shown_before_it(tmp_path, name):
    centers = 2 * np.random.default_rng(1).standard_normal((8, 64))
    frames = _json(RunView(_flat_run(tmp_path / "rises", centers, 8)),
                   f"cloud/block.0/last/{name}.json")["frames"]  # fmt: skip
    assert abs(frames[0]["ari_k"]) < 0.05
    assert (frames[-1]["ari_k"] > 0.9) == (name != "twin")
    chance = 7 / 599
    assert frames[0]["between_k"] < 3 * chance


def test_sixteen_axes_are_taken_where_eight_lose_what_all_dimensions_show(tmp_path):
    centers = np.zeros((20, 30))
    centers[np.arange(20), np.arange(20)] = 5.0
    about = _json(RunView(_flat_run(tmp_path / "many", centers, 20)),
                  "cloud/block.0/last/tasks.json")  # fmt: skip
    assert about["k"] == 16
    few = _json(RunView(_flat_run(tmp_path / "few", centers[:6], 6)),
                "cloud/block.0/last/tasks.json")  # fmt: skip
    assert few["k"] == 8
    assert few["frames"][-1]["ari_k"] >= 0.9 * few["frames"][-1]["ari_full"] > 0.8


def test_what_all_dimensions_show_is_the_panels_number_with_and_without_a_panel(run, tmp_path):
    measured = _json(RunView(run), "cloud/block.1/last/tasks.json")
    panel = pd.read_csv(run.path / "panel.csv")
    rows = panel[
        (panel["metric"] == "ari") & (panel["label"] == "task") & (panel["half"] == "all")
        & (panel["stream"] == "block.1") & (panel["position"] == "last")
        & (panel["view"] == ("conditioned" if measured["conditioned"] else "raw"))
    ].set_index("step")["value"]  # fmt: skip
    assert [frame["ari_full"] for frame in measured["frames"]] == pytest.approx(
        list(rows.loc[run.steps]), rel=1e-5
    )
    bare = _json(RunView(any_runs.make(tmp_path / "bare")), "cloud/block.1/last/tasks.json")
    assert bare["frames"][-1]["ari_full"] == pytest.approx(1.0)
    assert bare["frames"][0]["ari_full"] is None


def test_of_many_rows_some_are_shown_and_the_numbers_are_of_all(run):
    every, some = RunView(run), RunView(run, most_rows=11)
    whole, part = (_json(view, "cloud/block.1/last/tasks.json") for view in (every, some))
    assert part["rows"] == len(part["index"]) == 11
    assert [frame["ari_k"] for frame in part["frames"]] == [
        frame["ari_k"] for frame in whole["frames"]
    ]
    path = f"frames/block.1/last/tasks/{run.steps[-1]}.i16"
    points = [
        np.frombuffer(view.get(path), "<i2").reshape(-1, about["k"]) * about["frames"][-1]["unit"]
        for view, about in ((every, whole), (some, part))
    ]
    of_row = [whole["index"].index(row) for row in part["index"]]
    np.testing.assert_allclose(points[1], points[0][of_row], atol=1e-3)


def test_a_step_that_is_half_written_is_left_out(tmp_path):
    run = any_runs.make(tmp_path / "half")
    path = run.snapshot_path(4)
    path.write_bytes(path.read_bytes()[:100])
    about = _json(RunView(run.path), "cloud/block.1/last/tasks.json")
    assert [frame["step"] for frame in about["frames"]] == [0, 2, 8]
    with pytest.raises(BadInput, match="step 4"):
        RunView(run.path).get("frames/block.1/last/tasks/4.i16")

"""Exports are read back through each tracker's own reader and compared with panel.csv."""

import csv
import json
import math
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import pandas as pd
import pytest

from exportable import LOSSES, SCALARS, STEPS, make_run
from nucleate import BadInput, Run
from nucleate.export._export import export_run, scalars_of
from nucleate.export._trackers import TRACKERS
from nucleate.findings import accuracy_table, headline_places
from nucleate.panel import Panel

Read = dict[str, dict[int, float]]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return make_run(tmp_path_factory.mktemp("runs") / "mine")


@pytest.fixture
def other(run, tmp_path) -> Run:
    """A copy of the run, to be changed."""
    shutil.copytree(run.path, tmp_path / "copy")
    return Run(tmp_path / "copy")


def panel_rows(run: Run) -> list[dict[str, str]]:
    with (run.path / "panel.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def expected(run: Run) -> Read:
    """What a tracker must hold of the task's numbers on all strings, straight from the file."""
    beside = {"low": "low", "high": "high", "n0_mean": "n0_mean", "n0_q99": "n0", "n1_max": "n1",
              "n2": "n2"}  # fmt: skip
    found: Read = defaultdict(dict)
    for row in panel_rows(run):
        if (row["label"], row["view"], row["half"]) != ("task", "raw", "all") or not row["value"]:
            continue
        name = f"nucleate/{row['metric']}/{row['position']}/{row['stream']}"
        found[name][int(row["step"])] = float(row["value"])
        for column, ending in beside.items():
            if row[column]:
                found[f"{name}/{ending}"][int(row["step"])] = float(row[column])
    return found


def check(read: Read, run: Run) -> None:
    """All of the task's numbers, nulls included, are there; and as many others as the file has."""
    wanted = expected(run)
    assert wanted
    for name, points in wanted.items():
        assert read[name] == pytest.approx(points, rel=1e-6), name
    kinds = {name.rsplit("/", 1)[1] for name in wanted}
    assert kinds >= {"n0", "n0_mean", "n1", "n2", "low", "high", "block.0", "embed"}
    assert read["nucleate/training/loss"] == pytest.approx(
        LOSSES | {step: values["loss"] for step, values in SCALARS.items()}
    )
    columns = ("value", "low", "high", "n0_mean", "n0_q99", "n1_max", "n2")
    in_panel = sum(bool(row[c]) for row in panel_rows(run) for c in columns if row["value"])
    training = len(LOSSES) + sum(map(len, SCALARS.values()))
    answers = 3 * len(STEPS)  # accuracy, chance and loss
    assert sum(map(len, read.values())) == in_panel + training + answers


def turned(scalars: dict[int, dict[str, float]]) -> Read:
    read: Read = defaultdict(dict)
    for step, values in scalars.items():
        for name, value in values.items():
            read[name][step] = value
    return read


def test_every_number_of_the_panel_is_there_beside_its_nulls(run):
    check(turned(scalars_of(run, metrics=["all"])), run)


def test_what_is_not_usual_is_in_the_metrics_name(run):
    read = turned(scalars_of(run, metrics=["all"]))
    for row in panel_rows(run):
        if (row["label"], row["view"], row["half"], row["metric"], row["position"]) == (
            "family", "conditioned", "all", "ami", "last",
        ) and row["value"]:  # fmt: skip
            name = f"nucleate/ami.family.conditioned/last/{row['stream']}"
            assert read[name][int(row["step"])] == float(row["value"])
    names = set(read)
    assert "nucleate/ari.report/last/block.1/n2" in names
    assert "nucleate/rankme/last/block.1" in names
    assert "nucleate/ami.family.conditioned/last/block.1" in names


def test_steps_come_in_order_and_nothing_that_is_not_finite(run):
    scalars = scalars_of(run, metrics=["all"])
    assert list(scalars) == sorted({*STEPS, *LOSSES, *SCALARS})
    assert all(math.isfinite(v) for values in scalars.values() for v in values.values())


def test_without_a_table_accuracy_is_that_of_all_answered_rows(run):
    scalars = scalars_of(run, metrics=["all"])
    assert [scalars[step]["nucleate/accuracy/all"] for step in STEPS] == [0, 0.5, 0.5]
    assert scalars[2]["nucleate/loss/all"] == 4.5
    assert scalars[2]["nucleate/accuracy/all/chance"] == pytest.approx(run.prompts.chance.mean())


def test_with_a_table_accuracy_is_by_split_with_interval_and_chance(other):
    table = accuracy_table(other)
    table.to_csv(other.path / "accuracy.csv", index=False)
    read = turned(scalars_of(other, metrics=["all"]))
    assert table["split"].nunique() > 1
    for row in table.itertuples():
        name = f"nucleate/accuracy/{row.split}"
        assert read[name][row.step] == row.accuracy
        assert read[f"{name}/low"][row.step] == row.low
        assert read[f"{name}/high"][row.step] == row.high
        assert read[f"{name}/chance"][row.step] == row.chance
        assert read[f"nucleate/loss/{row.split}"][row.step] == row.loss
    assert "nucleate/accuracy/all" not in read


def test_a_missing_value_takes_its_nulls_with_it(other):
    table = pd.read_csv(other.path / "panel.csv", keep_default_na=False)
    gone = (table["stream"] == "block.0") & (table["step"] == 2)
    table.loc[gone, "value"] = ""
    table.to_csv(other.path / "panel.csv", index=False)
    scalars = scalars_of(other, metrics=["all"])
    assert not [name for name in scalars[2] if "block.0" in name]
    assert [name for name in scalars[9] if "block.0" in name]


def test_what_a_rewind_voids_is_not_exported(other):
    other.journal.append("rewind", to=2)
    assert set(turned(scalars_of(other, metrics=["all"]))["nucleate/training/loss"]) == {0}


def test_positions_with_strange_names_get_names_that_every_tracker_takes(other):
    table = pd.read_csv(other.path / "panel.csv", keep_default_na=False)
    table["position"] = table["position"].replace("last", "mean[0:3]/ä b")
    table.to_csv(other.path / "panel.csv", index=False)
    assert "nucleate/ari/mean_0_3__ä b/block.1" in scalars_of(other, metrics=["all"])[0]
    table["position"] = table["position"].replace("instruction_end", "mean[0;3]/ä b")
    table.to_csv(other.path / "panel.csv", index=False)
    with pytest.raises(BadInput, match=r"two numbers named 'nucleate/.*mean_0_3__ä b/.*at step 0"):
        scalars_of(other, metrics=["all"])


def test_by_default_some_twenty_curves_are_written_with_the_headline_beside_its_nulls(run):
    read = turned(scalars_of(run))
    assert 15 <= len(read) <= 25
    for place in headline_places(Panel.load(run.path)):
        name = f"nucleate/headline/{place.position}/ari"
        assert read[name] == dict(zip(place.report["step"], place.report["value"], strict=True))
        ends = {"low": "low", "high": "high", "n0_q99": "n0", "n1_max": "n1", "n2": "n2"}
        there = {end for column, end in ends.items() if place.report[column].notna().any()}
        assert {"n1", "n2"} <= there
        assert {key for key in read if key.startswith(f"{name}/")} == {f"{name}/{e}" for e in there}
    assert "nucleate/training/loss" in read
    assert not [name for name in read if "block" in name]


def test_metrics_streams_and_positions_are_chosen_by_name(run):
    read = turned(scalars_of(run, metrics=["separation", "ari.family"], streams=["block.1"],
                             positions=["last"]))  # fmt: skip
    kinds = {name.split("/")[1] for name in read if "block" in name}
    assert {"separation", "ari.family", "ari.family.conditioned"} <= kinds
    assert all(kind.startswith(("separation", "ari.family")) for kind in kinds)
    panel = [name for name in read if name.count("/") > 2 and "accuracy" not in name]
    assert all("/last/block.1" in name for name in panel)
    only = turned(scalars_of(run, streams=["embed"]))
    assert {name.split("/")[1].split(".")[0] for name in only if "embed" in name} == {"ari"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [({"metrics": ["seperation"]}, "no metric 'seperation' .did you mean 'separation'"),
     ({"streams": ["blok.1"]}, "no stream 'blok.1' .did you mean 'block.1'"),
     ({"positions": ["lst"]}, "no position 'lst' .did you mean 'last'")],
)  # fmt: skip
def test_a_name_that_the_panel_lacks_is_refused_with_the_nearest(run, asked, said):
    with pytest.raises(BadInput, match=said):
        scalars_of(run, **asked)


def test_several_runs_are_written_at_once_under_the_same_names(run, tmp_path):
    twin = shutil.copytree(run.path, tmp_path / "twin")
    done = export_run([run, twin], "tensorboard", out=tmp_path / "out")
    first, second = (read_tensorboard(each.where) for each in done)
    assert first == second
    assert done[0].where != done[1].where
    assert done[0].curves == len(first)


def read_tensorboard(folder: Path) -> Read:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    read: Read = {}
    for name in events.Tags()["scalars"]:
        points = events.Scalars(name)
        assert len({p.step for p in points}) == len(points), name
        read[name] = {p.step: p.value for p in points}
    return read


def test_tensorboard_reads_back_what_the_panel_holds_even_after_a_second_export(run, tmp_path):
    first = export_run(run, "tensorboard", out=tmp_path, project="study", metrics=["all"])
    assert Path(first.where).parent == tmp_path / "study"
    assert first.scalars == sum(map(len, scalars_of(run, metrics=["all"]).values()))
    check(read_tensorboard(first.where), run)
    foreign = Path(first.where) / "events.out.tfevents.1.elsewhere.1.0"
    foreign.touch()
    assert export_run(run, "tensorboard", out=tmp_path, project="study", metrics=["all"]) == first
    check(read_tensorboard(first.where), run)
    assert len(list(Path(first.where).glob("*.nucleate"))) == 1
    assert foreign.exists()


def test_by_default_exports_lie_beside_the_run(other):
    done = export_run(other, "tensorboard", metrics=["all"])
    assert Path(done.where).is_relative_to(other.path.parent / "export" / "tensorboard")


def read_mlflow(uri: str, project: str) -> Read:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name(project).experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "mine"
    read: Read = {}
    for name in run.data.metrics:
        points = client.get_metric_history(run.info.run_id, name)
        assert len({p.step for p in points}) == len(points), name
        read[name] = {p.step: p.value for p in points}
    return read


def test_mlflow_reads_back_what_the_panel_holds_even_after_a_second_export(
    run, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # must not be asked
    monkeypatch.chdir(tmp_path)
    done = export_run(run, "mlflow", out=tmp_path / "here", metrics=["all"])
    assert done.where == f"sqlite:///{tmp_path / 'here' / 'mlflow.db'}"
    assert export_run(run, "mlflow", uri=done.where, metrics=["all"]).where == done.where
    check(read_mlflow(done.where, "nucleate"), run)
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    with pytest.raises(BadInput, match=r"cannot be written .*check --uri and --project"):
        export_run(run, "mlflow", uri=done.where, project="")


@pytest.mark.parametrize("uri", ["mlruns", "file:///somewhere/mlruns"])
def test_a_folder_is_no_mlflow_store_since_a_number_would_be_a_file_and_a_folder(run, uri):
    with pytest.raises(BadInput, match=f"'{uri}' is a folder"):
        export_run(run, "mlflow", uri=uri)


def read_wandb(file: Path) -> Read:
    """Records of W&B's log: blocks of 32 KiB; pieces of records with 7 bytes of header each."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, piece = file.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    read: Read = defaultdict(dict)
    while at < len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        piece += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last piece of one
            record, piece = Record.FromString(piece), b""
            items = {(i.key or "/".join(i.nested_key)): i for i in record.history.item}
            for name, item in items.items():
                if not name.startswith("_"):
                    step = record.history.step.num
                    assert step not in read[name]
                    read[name][step] = json.loads(item.value_json)
    return read


def test_wandb_writes_offline_what_the_panel_holds_even_after_a_second_export(
    run, tmp_path, monkeypatch
):
    monkeypatch.setenv("WANDB_MODE", "online")  # must not be obeyed
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "elsewhere"))
    for _ in range(2):
        done = export_run(run, "wandb", out=tmp_path / "here", metrics=["all"])
        (folder,) = (tmp_path / "here" / "wandb").glob("*run-*-*")
        assert folder == Path(done.where)
        assert folder.name.startswith("offline-run-")
        (file,) = folder.glob("*.wandb")
        check(read_wandb(file), run)
    assert not (tmp_path / "elsewhere").exists()


def test_a_wandb_run_of_the_users_stays_open_and_current(run, tmp_path):
    import wandb

    quiet = wandb.Settings(silent=True, console="off", x_disable_stats=True)
    with wandb.init(mode="offline", dir=str(tmp_path / "own"), settings=quiet) as own:
        export_run(run, "wandb", out=tmp_path / "here", metrics=["all"])
        assert wandb.run is own
        own.log({"theirs": 1.0}, step=3)
        file = Path(own.settings.sync_file)
    wandb.teardown()  # only then is its end sure to be written
    assert read_wandb(file) == {"theirs": {3: 1.0}}


_TWICE = """
import sys, trackio
from nucleate.export._export import export_run
own = trackio.init(project="theirs", name="open", auto_log_gpu=False, auto_log_cpu=False)
for _ in range(2):
    print(export_run(sys.argv[1], "trackio", metrics=["all"]).where, file=sys.stderr)
trackio.log({"theirs": 1.0}, step=3)
trackio.finish()
"""


def test_trackio_holds_what_the_panel_holds_after_two_exports_and_the_users_run_goes_on(
    run, tmp_path
):
    # trackio fixes its folder at import: a process of its own.
    environment = os.environ | {"TRACKIO_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _TWICE, str(run.path)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.split() == [str(tmp_path)] * 2

    def logged(project: str) -> list[tuple[str, int, str]]:
        with sqlite3.connect(tmp_path / f"{project}.db") as database:
            rows = database.execute("SELECT run_name, step, metrics FROM metrics").fetchall()
        database.close()
        return rows

    rows = logged("nucleate")
    assert len({name for name, _, _ in rows}) == 1
    assert len({step for _, step, _ in rows}) == len(rows)
    check(turned({step: json.loads(values) for _, step, values in rows}), run)
    assert [(n, s, json.loads(v)) for n, s, v in logged("theirs")] == [("open", 3, {"theirs": 1.0})]


def test_trackio_sends_nothing_away_and_cannot_change_folders_once_imported(
    run, tmp_path, monkeypatch
):
    monkeypatch.setenv("TRACKIO_SPACE_ID", "someone/space")
    with pytest.raises(BadInput, match=r"TRACKIO_SPACE_ID is 'someone/space'.*unset it"):
        export_run(run, "trackio", metrics=["all"])
    monkeypatch.delenv("TRACKIO_SPACE_ID")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "first"))
    import trackio  # noqa: F401 - being imported is what matters

    with pytest.raises(BadInput, match=r"set TRACKIO_DIR before trackio is imported"):
        export_run(run, "trackio", out=tmp_path / "second", metrics=["all"])


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_tracker_that_is_not_installed_is_named_with_its_extra(
    run, tmp_path, monkeypatch, tracker
):
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, tracker, None)
    sentence = rf"needs the package '{tracker}'.*pip install 'nucleate\[{tracker}\]'$"
    with pytest.raises(BadInput, match=sentence):
        export_run(run, tracker)


def test_every_tracker_has_an_extra_and_export_brings_all():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    assert set(TRACKERS) < set(extras)
    (everything,) = extras["export"]
    assert set(everything.removeprefix("nucleate[").removesuffix("]").split(",")) == set(TRACKERS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"to": "comet"}, "the tracker 'comet' is unknown: take one of tensorboard, mlflow"),
        ({"to": "wandb", "uri": "http://x"}, "'http://x' is for MLflow alone"),
        ({"to": "mlflow", "uri": "http://x", "out": "here"}, "instead of a folder"),
        ({"to": "wandb", "project": "a/b"}, "the project name 'a/b' cannot be used"),
        ({"to": "tensorboard", "project": "../up"}, "the project name '../up' cannot be used"),
        ({"to": "tensorboard", "out": "panel.csv/sub"}, "cannot be made .*--out"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(run, monkeypatch, arguments, sentence):
    monkeypatch.chdir(run.path)
    with pytest.raises(BadInput, match=sentence):
        export_run(run, **arguments)


def test_a_run_without_a_panel_is_told_how_to_get_one(other):
    (other.path / "panel.csv").unlink()
    with pytest.raises(BadInput, match=r"copy has no panel\.csv: measure the run"):
        export_run(other.path, "tensorboard", metrics=["all"])
    assert not (other.path.parent / "export").exists()


def test_runs_of_one_name_and_configuration_do_not_replace_each_other(run, other, tmp_path):
    twin = tmp_path / "deeper" / "mine"
    shutil.copytree(run.path, twin)
    folders = {
        export_run(one, "tensorboard", out=tmp_path, metrics=["all"]).where for one in (run, twin)
    }
    assert len(folders) == 2

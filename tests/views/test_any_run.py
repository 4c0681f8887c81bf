"""A report of any run: what there is is shown, what there is not is named."""

import dataclasses
import html
import json
import re
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest

import nucleate as nc
from any_runs import make, prompts_of, quick, states_of
from nucleate import BadInput
from nucleate._core.progress import Silent
from nucleate.findings import Summary, finding


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that tells of everything but interventions."""
    run = quick(make(tmp_path_factory.mktemp("runs") / "mine", settings={"seed": 3, "lr": 1e-3}))
    return run, nc.report(run)


def page_of(done) -> str:
    """What the page says without its script; with it, the same words come from the same summary."""
    told = re.search("<noscript>(.*)</noscript>", done.path.read_text(encoding="utf-8"), re.DOTALL)
    assert told
    return html.unescape(told[1])


def carried(done) -> set[str]:
    """Folders of the parts that the page carries."""
    found = re.findall('id="data:([^"]*)"', done.path.read_text(encoding="utf-8"))
    return {folder.split("/")[2] for folder in found if folder.count("/") > 1} - {""}


def figures(run, out) -> set[str]:
    nc.figures(run, out=out)
    return {re.sub("-(run|mine)$", "", p.stem) for p in out.glob("*.png")}


EVERY = {"curves", "heat-maps", "places", "states", "labels"}


def test_a_plain_recorded_run_has_every_picture_but_a_causal_map(whole, tmp_path):
    run, done = whole
    assert done.path == run.path / "report.html"
    assert figures(run, tmp_path) == EVERY
    assert carried(done) == {"answers", "tables", "cloud", "frames"}
    assert "nucleate intervene RUN" in page_of(done)
    assert "hyperparameters" not in done.summary.unmeasured
    assert {p.name for p in run.path.iterdir()} >= {"view", "summary.json", "accuracy.csv"}


def test_words_and_summary_of_a_plain_run_are_those_of_its_panel(whole):
    run, done = whole
    summary = Summary.model_validate_json((run.path / "summary.json").read_text(encoding="utf-8"))
    assert summary == done.summary
    published = Path(__file__).parents[2] / "docs" / "summary.schema.json"
    jsonschema.validate(json.loads((run.path / "summary.json").read_text()),
                        json.loads(published.read_text()))  # fmt: skip
    assert summary.seed == 3
    assert summary.clusters["last"].verdict == "clusters"
    assert summary.clusters["last"].onset.step in (2, 4, 8)
    assert finding(summary) in page_of(done)
    places = pd.read_csv(run.path / "places.csv")
    assert {place.clusters for place in summary.places} == set(places["clusters"])
    assert 0.7 < summary.accuracy["all"].value <= 1


@pytest.mark.parametrize(
    ("kind", "said", "drawn"),
    [
        ({"prompts": {"labels": ("instruction",), "topic": lambda s: "ab"[s % 2]}},
         "the prompts have no label 'task' (they have instruction, topic)",
         {"curves", "states"}),
        ({"prompts": {"labels": ()}}, "they have none", {"curves", "states"}),
        ({"prompts": {"answers": False}}, "There is no accuracy: no prompt has an answer",
         EVERY),
        ({"prompts": {"answers": False}, "losses": False}, "There is no accuracy",
         EVERY),
        ({"steps": (5,)}, "One step was recorded (5)",
         EVERY),
        ({"steps": ()}, "nothing was recorded yet", set()),
        ({"steps": (0, 2, 4, 8), "broken": (4, 8)}, "what is said of clusters is said of step 2",
         EVERY),
        ({"steps": (0, 2, 4, 8), "broken": (2,)}, "group by task",
         EVERY),
        ({"steps": (0, 2), "broken": (0, 2)}, "no place has an ARI(task) (nan)", {"curves"}),
        ({"prompts": {"task": lambda s: "t1"}}, "has one task", {"curves", "states"}),
        ({"prompts": {"split": lambda s: "mine" if s % 2 else "yours"}}, "on the split mine",
         EVERY),
        ({"prompts": {"positions": [1, -1, "mean"]}}, "mean of the prompt",
         EVERY),
    ],
)  # fmt: skip
def test_what_a_run_does_not_have_is_named_and_the_rest_is_shown(tmp_path, kind, said, drawn):
    options = {name: it for name, it in kind.items() if name != "prompts"}
    prompts = prompts_of(**kind.get("prompts", {}))
    run = make(tmp_path / "run", prompts, **options)
    done = nc.report(run)
    assert said in page_of(done)
    if drawn != EVERY:  # what a run with everything gives is drawn once, above
        found = figures(run, tmp_path / "figures") if drawn else set()
        assert found >= drawn
        assert not {"causal-map", "causal-doses"} & found
    assert "frames" in carried(done) or "states" not in drawn
    json.loads((tmp_path / "run" / "summary.json").read_text(), parse_constant=pytest.fail)


def test_rows_without_a_task_among_others_give_a_report(tmp_path):
    labeled = prompts_of()
    tasks = tuple(t if row % 5 else "" for row, t in enumerate(labeled.labels["task"]))
    prompts = dataclasses.replace(labeled, labels={**labeled.labels, "task": tasks})
    assert "frames" in carried(nc.report(make(tmp_path / "run", prompts)))
    twice = dataclasses.replace(prompts, ids=np.repeat(prompts.ids[::2], 2, axis=0))
    assert "undefined: the task is not known" in page_of(nc.report(make(tmp_path / "two", twice)))


class Parts(Silent):
    """Remembers what is done."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def part(self, name, total):
        self.names.append(name)
        return super().part(name, total)


def test_a_run_is_measured_with_its_new_snapshots_before_it_is_shown(whole, tmp_path):
    copy = nc.Run(shutil.copytree(whole[0].path, tmp_path / "mine"))
    copy.save_snapshot(16, states_of(copy.prompts, 6.0, 5), copy.rows(8))
    watcher = Parts()
    done = nc.report(copy.path, watcher=watcher)
    assert watcher.names == ["panel", "clouds"]
    assert set(nc.Panel.of(copy.path).table["step"]) == {0, 2, 4, 8, 16}
    assert done.summary.recorded == 5
    again = Parts()
    nc.report(copy.path, watcher=again)
    assert again.names == ["clouds"]


def test_a_report_elsewhere_leaves_the_run_as_it_is(tmp_path):
    run = make(tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*")}
    done = nc.report(run, out=tmp_path / "there")
    assert {p: p.stat().st_mtime_ns for p in run.path.rglob("*")} == before
    assert done.path == tmp_path / "there" / "report.html"
    assert [p.name for p in done.path.parent.iterdir()] == ["report.html"]
    assert list(done.summary.clusters) == ["last"]
    again = Parts()
    assert nc.report(run, out=tmp_path / "once.html", watcher=again).summary == done.summary
    assert again.names == ["clouds"]


def test_a_damaged_snapshot_or_causal_map_is_named_and_spoils_nothing_else(whole, tmp_path):
    copy = nc.Run(shutil.copytree(whole[0].path, tmp_path / "mine"))
    (copy.path / "states" / "4.safetensors").write_bytes(b"torn")
    (copy.path / "causal_map.csv").write_text("a,b\n1,2\n")
    done = nc.report(copy.path)
    assert "Interventions are left out" in page_of(done)
    assert "frames" in carried(done)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no run folder"):
        nc.report(tmp_path)

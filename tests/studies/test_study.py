"""Studies over many runs: what is laid out, shared, resumed, and tabulated."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nucleate import BadInput
from nucleate._core.errors import Interrupted, RunFailed
from nucleate._core.progress import Silent
from nucleate.runs import Lock
from nucleate.studies import (
    Inline,
    Processes,
    Study,
    check_study,
    plan_study,
    read_study,
    run_study,
    study_status,
    study_table,
)
from study_pages import write_page

SCRAMBLED = {"scrambled": {"null": "scrambled"}}
RESULTS = ("panel.csv", "causal_map.csv", "accuracy.csv", "onsets.csv", "places.csv")


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[Study, Path]:
    """A study of one setting, two seeds and a twin, done by two processes."""
    folder = tmp_path_factory.mktemp("study")
    study = read_study(write_page(folder, seeds=[0, 1], twins=SCRAMBLED))
    run_study(study, folder / "out", executor=Processes(2))
    return study, folder / "out"


class Notes:
    """An executor that does nothing and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[Path] = []

    def __call__(self, folders, watcher, ended) -> None:  # noqa: ARG002 - the protocol's form
        self.asked += folders


class Stops(Silent):
    def stopping(self) -> bool:
        return True


def bytes_below(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_grid_list_seeds_twins_and_outputs_are_laid_out(tmp_path):
    page = write_page(
        tmp_path,
        base={"outputs": ["own", "shared"]},
        grid={"model.width": [8, 16], "model.depth": [1, 2]},
        list=[{"model": {"width": 32}}],
        seeds=[3, 4],
        twins=SCRAMBLED,
    )
    study = read_study(page)
    assert len(study.runs) == (2 * 2 + 1) * 2 * 2 * 2
    assert len({run.key for run in study.runs}) == len(study.runs)
    assert study.runs[0].label == "width=8, depth=1, own, seed 3"
    last = study.runs[-1]
    assert (last.config.model.width, last.config.null, last.outputs) == (32, "scrambled", "shared")
    assert last.label == "width=32, shared, scrambled, seed 4"


def test_a_run_has_the_key_of_its_settings_however_they_are_written(tmp_path):
    one = read_study(write_page(tmp_path, grid={"model.width": [16]}))
    other = read_study(write_page(tmp_path, name="b", list=[{"model": {"width": 16}}]))
    assert [run.key for run in one.runs] == [run.key for run in other.runs]
    assert one.runs[0].key != read_study(write_page(tmp_path, name="c")).runs[0].key


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ({"grd": {}}, "no use for the key 'grd' (did you mean 'grid'?)"),
        ({"grid": {"model.widht": [8]}}, "'model.widht' (did you mean 'model.width'?)"),
        ({"grid": {"model.width": [8, 10, "x"]}}, "'model.width' is 'x'"),
        ({"grid": {"model.width": 8}}, "grid.model.width is 8; give a list"),
        ({"grid": {"model.width": [8, 9]}}, "not a multiple of model.heads"),
        ({"grid": {"seed": [1]}, "seeds": [1, 1]}, "different whole numbers"),
        ({"grid": {"model.width": list(range(2, 1002, 2)), "model.depth": list(range(1, 101))}},
         "asks for 50000 runs (50000 settings, 1 runs each), and its limit is 200"),
        ({"seeds": [0, 1, 2], "limit": 2}, "asks for 3 runs"),
        ({"tables": ["acuracy.seen"]}, "(did you mean 'accuracy.seen'?)"),
        ({"twins": {"bare": {"nul": "scrambled"}}}, "did you mean 'null'"),
        ({"base": {"preset": "smoek"}}, "did you mean 'smoke'"),
    ],
)  # fmt: skip
def test_a_page_that_does_not_fit_is_refused_in_one_sentence(tmp_path, page, said):
    file = write_page(tmp_path, **page)
    with pytest.raises(BadInput) as refused:
        read_study(file)
    assert said in str(refused.value)
    assert str(file) in str(refused.value)


def test_a_finished_run_is_never_run_twice(done):
    study, out = done
    before, notes = bytes_below(out), Notes()
    status = run_study(study, out, executor=notes)
    assert notes.asked == []
    assert status.counts["done"] == 4
    assert bytes_below(out) == before


def test_two_studies_in_one_folder_share_the_runs_that_are_the_same(done, tmp_path):
    _, out = done
    other = read_study(write_page(tmp_path, name="other", seeds=[1, 2]))
    assert study_status(other, out).counts["done"] == 1
    notes = Notes()
    with pytest.raises(RunFailed, match="its worker died"):
        run_study(other, shutil.copytree(out, tmp_path / "out"), executor=notes)
    assert {folder.name for folder in notes.asked} == {other.runs[1].key}


def test_reading_a_study_changes_nothing(done):
    study, out = done
    before = bytes_below(out)
    plan_study(study, out), study_status(study, out), study_table(study, out)
    assert bytes_below(out) == before


def wait_for(what: Callable[[], int], seconds: float = 60) -> int:
    ends = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < ends, what
        time.sleep(0.02)
    return found


def worker_held(out: Path, but: int = 0) -> int:
    """The process number of a worker that trains, held still so that it does not end meanwhile."""
    for lock in out.glob("*/writer.lock"):
        try:
            pid = int(json.loads(lock.read_text())["pid"])
            if pid == but or not (lock.parent / "own" / "journal.jsonl").exists():
                continue
            os.kill(pid, signal.SIGSTOP)
            if lock.exists() and not (lock.parent / "done.json").exists():
                return pid
            os.kill(pid, signal.SIGCONT)
        except (OSError, ValueError):  # it ended between two looks
            continue
    return 0


def test_killed_workers_and_parents_cost_no_result(done, tmp_path):
    study, reference = done
    page, out = write_page(tmp_path, seeds=[0, 1], twins=SCRAMBLED), tmp_path / "out"
    words = ["study", "run", str(page), "--out", str(out), "--workers", "1", "--quiet"]
    parent = subprocess.Popen(
        [sys.executable, "-c", "from nucleate.cli import main; main()", *words],
        start_new_session=True,
    )
    try:
        first = wait_for(lambda: worker_held(out))
        os.kill(first, signal.SIGKILL)
        second = wait_for(lambda: worker_held(out, but=first))
        parent.kill()
        parent.wait()
        os.kill(second, signal.SIGKILL)
    finally:
        parent.kill()
        parent.wait()
    wait_for(lambda: not study_status(study, out).counts["running"])
    status = study_status(study, out)
    assert status.counts["lost"] >= 1
    assert status.counts["done"] < 4
    run_study(study, out, executor=Processes(2))
    assert study_table(study, out) == study_table(study, reference)
    for run in study.runs:
        for name in RESULTS:
            again, once = (folder / run.key / "own" / name for folder in (out, reference))
            assert again.read_bytes() == once.read_bytes(), (run.label, name)


def test_ctrl_c_while_processes_start_is_told_in_a_sentence(tmp_path):
    page = write_page(tmp_path)
    words = ["study", "run", str(page), "--out", str(tmp_path / "out"), "--workers", "1"]
    parent = subprocess.Popen(
        [sys.executable, "-c", "from nucleate.cli import main; main()", *words],
        start_new_session=True, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: len(list((tmp_path / "out").glob("*/run.json"))))
    os.killpg(parent.pid, signal.SIGINT)
    _, said = parent.communicate(timeout=120)
    assert parent.returncode == 130, said
    assert "nucleate: stopped with 0 of 1 runs done; run again to resume" in said
    assert "Traceback" not in said


def test_a_run_that_another_process_is_at_is_left_to_it(done, tmp_path):
    study, out = done
    there = shutil.copytree(out, tmp_path / "out")
    folder = there / study.runs[0].key
    (folder / "done.json").rename(folder / "kept")
    lock = Lock(folder)
    try:
        assert study_status(study, there).counts["running"] == 1
        Inline()([folder], Silent(), lambda _: None)
        assert not (folder / "done.json").exists()
    finally:
        lock.release()


def test_a_study_that_is_stopped_says_how_to_go_on_and_begins_nothing(tmp_path):
    study = read_study(write_page(tmp_path))
    with pytest.raises(Interrupted, match="0 of 1 runs done; run again to resume"):
        run_study(study, tmp_path / "out", watcher=Stops())
    assert study_status(study, tmp_path / "out").counts["to do"] == 1


def test_a_run_that_fails_is_told_with_its_reason_and_tried_again(tmp_path):
    wrong = {"preset": "smoke", "outputs": ["own"], "synthetic.patterns": {"a": ["x("], "b": ["u"]}}
    study = read_study(write_page(tmp_path, base=wrong))
    out = tmp_path / "out"
    for _ in range(2):
        with pytest.raises(RunFailed, match=r"1 of 1 runs of tiny failed.*x\("):
            run_study(study, out)
    assert study_status(study, out).counts["failed"] == 1
    assert any("x(" in line for line in study_status(study, out).lines())


@pytest.mark.parametrize("name", ["run.json", "done.json"])
def test_a_folder_of_a_newer_layout_is_refused_and_left_alone(tmp_path, name):
    study = read_study(write_page(tmp_path))
    folder = tmp_path / "out" / study.runs[0].key
    folder.mkdir(parents=True)
    (folder / name).write_text(json.dumps({"layout": 99}))
    before = bytes_below(folder)
    for look in (study_status, plan_study, study_table, check_study):
        with pytest.raises(BadInput, match="layout 99"):
            look(study, tmp_path / "out")
    assert bytes_below(folder) == before


def test_a_run_folder_of_a_newer_schema_is_refused(tmp_path):
    study = read_study(write_page(tmp_path))
    run = tmp_path / "out" / study.runs[0].key / "own"
    run.mkdir(parents=True)
    (run / "manifest.json").write_text(json.dumps({"schema_version": 99}))
    with pytest.raises(BadInput, match="schema version 99"):
        check_study(study, tmp_path / "out")


def test_the_table_holds_means_over_seeds_and_differences_within_pairs(done):
    study, out = done
    own, twin, less = study_table(study, out).rows
    assert [row.of for row in (own, twin, less)] == ["", "scrambled", "less scrambled"]
    values = {
        (run.twin, run.config.seed): json.loads(
            (out / run.key / "own" / "summary.json").read_text()
        )["accuracy"]["seen"]["value"]
        for run in study.runs
    }
    at = {of: [values[of, seed] for seed in (0, 1)] for of in ("", "scrambled")}
    assert own.cells["accuracy.seen"].value == pytest.approx(np.mean(at[""]))
    assert twin.cells["accuracy.seen"].value == pytest.approx(np.mean(at["scrambled"]))
    cell = less.cells["accuracy.seen"]
    assert cell.value == pytest.approx(np.mean(at[""]) - np.mean(at["scrambled"]))
    assert own.cells["accuracy.seen"].null > 0
    assert cell.seeds == own.done == 2


def test_what_is_not_done_is_counted_and_leaves_its_place_empty(done, tmp_path):
    _, out = done
    more = read_study(write_page(tmp_path, seeds=[0, 1, 2], grid={"model.width": [8, 16]}))
    small, large = study_table(more, out).rows
    assert (small.done, small.asked, large.done) == (2, 3, 0)
    assert small.cells
    assert not large.cells


def test_a_plan_counts_on_finished_runs_of_the_same_size_and_else_on_the_rule(done, tmp_path):
    _, out = done
    more = read_study(write_page(tmp_path, seeds=[0, 1, 2], grid={"model.width": [8, 16]}))
    plan = plan_study(more, out)
    assert (plan.runs, plan.done, plan.measured) == (6, 2, 1)
    alone = plan_study(read_study(write_page(tmp_path, name="b", seeds=[2])), out)
    marks = [json.loads(file.read_text()) for file in out.glob("*/done.json")]
    assert alone.bytes == pytest.approx(np.mean([mark["bytes"] for mark in marks]))
    assert alone.core_hours * 3600 == pytest.approx(np.mean([m["cpu_seconds"] for m in marks]))
    long = {"preset": "smoke", "training.steps": 9000}
    assert (
        plan_study(read_study(write_page(tmp_path, name="c", base=long)), out).core_hours
        > alone.core_hours
    )

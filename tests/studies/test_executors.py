"""Where runs are done: the same tables from every executor, whatever becomes of its workers."""

import errno
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from in_process import runner
from nucleate import BadInput
from nucleate._core.errors import Interrupted, RunFailed
from nucleate._core.progress import Silent
from nucleate.studies import (
    Inline,
    Study,
    executor_named,
    read_study,
    run_study,
    study_status,
    study_table,
)
from study_pages import write_page

RESULTS = ("panel.csv", "causal_map.csv", "accuracy.csv", "onsets.csv", "places.csv")
SUBMITIT = pytest.param(
    "submitit", marks=pytest.mark.skipif(not find_spec("submitit"), reason="needs submitit")
)
RAY = pytest.param(
    "ray", marks=[pytest.mark.slow, pytest.mark.skipif(not find_spec("ray"), reason="needs ray")]
)
LOCAL = {"submitit": {"cluster": "local"}, "ray": {}}


@pytest.fixture
def run(capfd, monkeypatch):
    return runner(capfd, monkeypatch)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[Study, Path]:
    """A study of two runs, done one after the other in this process."""
    folder = tmp_path_factory.mktemp("study")
    study = read_study(write_page(folder, seeds=[0, 1]))
    run_study(study, folder / "out")
    return study, folder / "out"


def workers_at(out: Path) -> list[int]:
    """The process numbers of the workers that train."""
    found = []
    for lock in out.glob("*/writer.lock"):
        try:
            if (lock.parent / "own" / "journal.jsonl").exists():
                found.append(int(json.loads(lock.read_text())["pid"]))
        except (OSError, ValueError):  # it ended between two looks
            continue
    return found


class Sends(Silent):
    """A watcher that sends each of some signals to another worker that trains."""

    def __init__(self, out: Path, *signals: signal.Signals) -> None:
        self.out, self.left, self.hit = out, list(signals), list[int]()
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)

    def stopping(self) -> bool:
        for pid in workers_at(self.out):
            if self.left and pid not in self.hit:
                os.kill(pid, self.left.pop(0))
                self.hit.append(pid)
        return False


class StopsOnceAtWork(Silent):
    def __init__(self, out: Path) -> None:
        self.out, self.workers = out, set[int]()

    def stopping(self) -> bool:
        self.workers |= set(workers_at(self.out))
        return bool(self.workers)


def same_tables(study: Study, out: Path, reference: Path) -> None:
    assert study_table(study, out) == study_table(study, reference)
    for one in study.runs:
        for name in RESULTS:
            again, once = (folder / one.key / "own" / name for folder in (out, reference))
            assert again.read_bytes() == once.read_bytes(), (one.label, name)


def wait_for(what: Callable[[], object], seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, what
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("name", [SUBMITIT, RAY])
def test_a_worker_killed_in_mid_run_costs_no_result(done, tmp_path, name):
    study, reference = done
    out = tmp_path / "out"
    # Slurm sends the second one where it takes a machine away.
    signals = (signal.SIGKILL, signal.SIGUSR2)[: 2 if name == "submitit" else 1]
    watcher = Sends(out, *signals)
    run_study(study, out, executor=executor_named(name, 2, LOCAL[name]), watcher=watcher)
    assert len(watcher.hit) == len(signals)
    assert [line for line in watcher.said if str(out) in line], "the loss is told"
    assert study_status(study, out).counts["done"] == 2
    same_tables(study, out, reference)
    assert not list(out.glob(".ray*"))


@pytest.mark.parametrize("name", [SUBMITIT, RAY])
def test_a_study_that_is_stopped_leaves_no_worker_and_no_file(done, tmp_path, name):
    study, _ = done
    out = tmp_path / "out"
    watcher = StopsOnceAtWork(out)
    with pytest.raises(Interrupted, match="0 of 2 runs done; run again to resume"):
        run_study(study, out, executor=executor_named(name, 1, LOCAL[name]), watcher=watcher)
    wait_for(lambda: not any(map(is_alive, watcher.workers)))
    counts = study_status(study, out).counts
    assert (counts["lost"], counts["to do"]) == (1, 1)
    assert {path.name for path in out.iterdir()} == {one.key for one in study.runs}


@pytest.mark.slow
@pytest.mark.parametrize("name", [SUBMITIT])
def test_jobs_outlive_the_study_that_submitted_them(done, tmp_path, name):
    study, reference = done
    page, out = write_page(tmp_path, seeds=[0, 1]), tmp_path / "out"
    words = ["study", "run", str(page), "--out", str(out), "--executor", name, "--workers", "1"]
    parent = subprocess.Popen(
        [sys.executable, "-c", "from nucleate.cli import main; main()", *words, "--quiet",
         "--executor-option", "cluster=local"],
        start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(lambda: workers_at(out))
    finally:
        parent.kill()
        parent.wait()
    (worker,) = workers_at(out)
    assert study_status(study, out).counts["running"] == 1
    run_study(study, out, executor=Inline())
    logs = list(out.glob(".submitit-*/*"))
    assert logs, "what the dead parent left"
    assert not is_alive(worker)
    same_tables(study, out, reference)
    marks = [json.loads(file.read_text())["whole"] for file in out.glob("*/done.json")]
    assert marks == [True, True], "the job's run was waited for, not taken over"


@pytest.mark.parametrize("name", ["submitit", "ray"])
def test_a_missing_package_is_told_with_its_extra(run, tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    out = tmp_path / "out"
    told = run("study", "run", write_page(tmp_path), "--out", out, "--executor", name)
    assert told.returncode == 2
    assert f"pip install 'nucleate[{name}]'" in told.stderr
    assert told.stderr.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("executor", "option", "said"),
    [
        pytest.param("submitit", "slurm_partitoin=a", "'slurm_partitoin'", marks=SUBMITIT.marks),
        pytest.param("submitit", "cluster=slurn", "choose from slurm, local", marks=SUBMITIT.marks),
        pytest.param("submitit", "timeout_min=long", "timeout_min", marks=SUBMITIT.marks),
        pytest.param("ray", "num_cpu=1", "num_cpu", marks=RAY.marks[1]),
        ("process", "num_cpus=1", "the executor 'process' has no option 'num_cpus'"),
        ("process", "num_cpus", "is no KEY=VALUE"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(run, tmp_path, executor, option, said):
    told = run(
        "study", "run", write_page(tmp_path), "--out", tmp_path / "out", "--executor", executor,
        "--executor-option", option,
    )  # fmt: skip
    assert told.returncode == 2, told.stderr
    assert said in told.stderr
    assert told.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_unknown_executor_is_refused_with_the_nearest_name():
    with pytest.raises(BadInput, match=r"'submitti' is unknown \(did you mean 'submitit'\?\)"):
        executor_named("submitti", 1)


def test_a_disk_that_fills_in_mid_study_costs_no_finished_run(done, tmp_path, monkeypatch):
    study, reference = done
    out, calls = tmp_path / "out", itertools.count()
    fsync = os.fsync

    def fills_up(handle: int) -> None:
        if list(out.glob("*/done.json")) and next(calls) >= 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr("nucleate.runs._files.os.fsync", fills_up)
    with pytest.raises(RunFailed, match="No space left on device") as told:
        run_study(study, out)
    monkeypatch.undo()
    assert "\n" not in str(told.value)
    assert study_status(study, out).counts["done"] == 1
    run_study(study, out)
    same_tables(study, out, reference)

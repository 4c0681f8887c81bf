"""Studies whose runs a command of the user's own does, under torchrun where it is so."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
import yaml

from nucleate import BadInput, Run
from nucleate._core.errors import Interrupted, RunFailed
from nucleate._core.progress import Silent
from nucleate.studies import (
    Processes,
    check_study,
    plan_study,
    read_study,
    run_study,
    study_status,
    study_table,
)

TRAIN = "own_training.py --lr {lr} --seed {seed} --out {run}"
TABLES = ["accuracy.seen", "ari.last"]


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a page beside the script, whose imports are found."""
    here = Path(__file__)
    shutil.copy(here.with_name("own_training.py"), tmp_path)
    source = Path(sys.modules["nucleate"].__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (source, here.parents[1]))))
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")

    def page(command: object, **others: object) -> Path:
        file = tmp_path / "page.yaml"
        file.write_text(yaml.safe_dump({"command": command, "tables": TABLES, **others}))
        return file

    return page


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_command_is_called_with_its_settings_and_its_runs_are_tabulated(write, tmp_path):
    study = read_study(write(f"{sys.executable} {TRAIN}", grid={"lr": [0.25]}, seeds=[3]))
    out = tmp_path / "out"
    plan = plan_study(study, out)
    assert (plan.runs, plan.unknown, plan.core_hours) == (1, 1, 0)
    run_study(study, out)
    run = Run(out / study.runs[0].key / "run")
    assert run.steps == [0, 4, 8]
    (row,) = study_table(study, out).rows
    summary = json.loads((run.path / "summary.json").read_text())
    assert row.setting == "lr=0.25"
    assert row.cells["accuracy.seen"].value == summary["accuracy"]["seen"]["value"]
    assert set(row.cells) == set(TABLES)
    more = read_study(write(f"{sys.executable} {TRAIN}", grid={"lr": [0.25]}, seeds=[3, 4]))
    plan = plan_study(more, out)
    assert (plan.done, plan.measured, plan.unknown) == (1, 1, 0)
    assert plan.core_hours > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    ["torch.distributed.run --standalone --nproc-per-node 2",
     # With --cpu it starts one process alone; what is on which device is the script's.
     "accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 "
     "--mixed_precision no --dynamo_backend no"],
)  # fmt: skip
def test_a_launcher_trains_on_two_ranks_and_one_of_them_records(write, tmp_path, launcher):
    command = f"{sys.executable} -m {launcher} {TRAIN}"
    study = read_study(write(command, base={"lr": 0.1}))
    run_study(study, tmp_path / "out")
    run = Run(tmp_path / "out" / study.runs[0].key / "run")
    assert run.steps == [0, 4, 8]
    assert study_status(study, tmp_path / "out").counts["done"] == 1
    assert study_table(study, tmp_path / "out").rows[0].cells["accuracy.seen"].seeds == 1
    alone = read_study(write(f"{sys.executable} {TRAIN}", base={"lr": 0.1}))
    run_study(alone, tmp_path / "out")
    first = Run(tmp_path / "out" / alone.runs[0].key / "run")
    one, two = (
        {step["step"]: step["loss"] for step in each.journal.live("step") if "loss" in step}
        for each in (first, run)
    )
    assert one[0] == two[0], "the same weights and rows, before any step"
    assert one[4] != two[4], "the second rank's rows and gradients count for nothing"


@pytest.mark.parametrize(
    ("command", "page", "said"),
    [
        ("train {run} {rl}", {"base": {"lr": 1}}, "{rl}, for which no setting is given"),
        ("train {run}", {"grid": {"lr": [1, 2]}}, "no place for 'lr'"),
        ("train {seed}", {}, "no place for 'run'"),
        ("train {run}", {"seeds": [0, 1]}, "no place for 'seed'"),
        ("train '{run}", {}, "cannot be split into words"),
        (["train", "{run}"], {}, "give the words of a command line"),
    ],
)
def test_a_command_that_does_not_fit_its_page_is_refused(write, command, page, said):
    with pytest.raises(BadInput) as refused:
        read_study(write(command, **page))
    assert said in str(refused.value)
    assert "page.yaml" in str(refused.value)


def test_a_program_that_is_not_there_is_refused_before_anything_runs(write, tmp_path):
    study = read_study(write("no-such-program {run}"))
    with pytest.raises(BadInput, match="'no-such-program', and there is no such program"):
        check_study(study, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_script_and_all_settings_decide_which_run_it_is(write, tmp_path):
    keys = {read_study(write(f"python {TRAIN}", base={"lr": lr})).runs[0].key for lr in (1, 2)}
    (tmp_path / "own_training.py").write_text("pass")
    keys.add(read_study(write(f"python {TRAIN}", base={"lr": 1})).runs[0].key)
    assert len(keys) == 3


def test_a_command_that_fails_or_leaves_no_run_is_told_in_a_sentence(write, tmp_path):
    for code, said in (
        ("raise SystemExit('no data')", r"code 1 \(no data\)"),
        ("0", "left no recorded steps"),
    ):
        study = read_study(write(f'{sys.executable} -c "{code}" {{run}}'))
        with pytest.raises(RunFailed, match=said) as told:
            run_study(study, tmp_path / "out")
        assert "\n" not in str(told.value)
        assert study_status(study, tmp_path / "out").counts["failed"] == 1


def test_a_study_that_is_stopped_ends_its_command(write, tmp_path):
    class StopsOnceCalled(Silent):
        def stopping(self) -> bool:
            return (tmp_path / "pid").exists()

    study = read_study(write("sh -c 'echo $$ > part; mv part pid; exec sleep 60' name {run}"))
    with pytest.raises(Interrupted):
        run_study(study, tmp_path / "out", watcher=StopsOnceCalled())
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_what_a_killed_worker_leaves_running_is_ended_before_the_next_try(write, tmp_path):
    class KillsTheWorker(Silent):
        killed = False

        def stopping(self) -> bool:
            if not self.killed and list(out.glob("*/command.json")):
                lock = next(out.glob("*/writer.lock"))
                os.kill(json.loads(lock.read_text())["pid"], signal.SIGKILL)
                self.killed = True
            return False

    out = tmp_path / "out"
    words = "test -e pid && exit 3; echo $$ > part; mv part pid; exec sleep 60"
    study = read_study(write(f"sh -c '{words}' name {{run}}"))
    with pytest.raises(RunFailed, match="code 3"):
        run_study(study, out, executor=Processes(1), watcher=KillsTheWorker())
    ends = time.monotonic() + 10
    while is_alive(int((tmp_path / "pid").read_text())):
        assert time.monotonic() < ends
        time.sleep(0.05)

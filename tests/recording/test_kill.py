"""A recording that is killed at any moment leaves whole snapshots and can be gone on with."""

import random
import time
from collections import Counter

import pytest
import torch

import children
from nucleate import Run

LAST = 40


def wait_for_a_commit(folder, child) -> None:
    """Until the journal grows: the child has imported, read, and begun to write."""
    journal = folder / "run" / "journal.jsonl"
    before = journal.stat().st_size if journal.exists() else 0
    while child.is_alive() and (not journal.exists() or journal.stat().st_size == before):
        time.sleep(0.002)


def check(run: Run) -> None:
    """Every step that counts is there once, and is whole."""
    live = [record["step"] for record in run.journal.live("snapshot")]
    assert live == run.steps
    scalars = Counter(record["step"] for record in run.journal.live("step"))
    assert set(scalars.values()) <= {1}
    for step in run.steps:
        assert run.states(step).values.isfinite().all()
        assert run.rows(step).keys() == {"correct", "nll", "predicted"}


def kill_and_go_on(tmp_path, kills: int) -> None:
    moment = random.Random(5)
    folder = tmp_path / "killed"
    folder.mkdir()
    killed = 0
    for _ in range(3 * kills):
        child = children.start(children.train_until_killed, folder, LAST)
        wait_for_a_commit(folder, child)
        time.sleep(moment.uniform(0, 0.3))
        child.kill()
        child.join(20)
        if (folder / "run" / "manifest.json").exists():
            check(Run(folder / "run"))
        if child.exitcode == 0:  # done before it was killed: the next one begins anew
            (folder / "weights.pt").unlink()
        killed += child.exitcode == -9
        if killed == kills:
            break
    assert killed == kills
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir(exist_ok=True)
        child = children.start(children.train_until_killed, tmp_path / name, LAST)
        child.join(120)
        assert child.exitcode == 0
    again, whole = Run(folder / "run"), Run(tmp_path / "whole" / "run")
    check(again)
    assert again.steps == list(range(LAST + 1))
    for step in whole.steps:
        assert torch.equal(again.states(step).values, whole.states(step).values)


def test_three_kills_lose_nothing_that_counts(tmp_path):
    kill_and_go_on(tmp_path, 3)


@pytest.mark.slow
def test_fifty_kills_lose_nothing_that_counts(tmp_path):
    kill_and_go_on(tmp_path, 50)

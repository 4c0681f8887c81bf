"""Routers: the better one is called so, and labels that mean nothing route nothing."""

import json

import numpy as np
import pytest

import any_runs
from in_process import runner
from nucleate import BadInput
from nucleate.findings import route


def strings(told: str, seed: int = 0) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Sixty strings of three tasks, told by states, by the text, by both or by none."""
    rng = np.random.default_rng(seed)
    task = np.repeat(np.arange(3), 20)
    states = rng.standard_normal((60, 8))
    if told in ("states", "both"):
        states += 4 * np.eye(8)[task]
    key = task if told in ("text", "both") else rng.integers(3, size=60)
    return states, [f"please word{k} number n{i}" for i, k in enumerate(key)], task


@pytest.mark.parametrize("told", ["states", "text", "both"])
def test_the_router_that_can_tell_is_called_better(told):
    found = route(*strings(told))
    assert found.better == ("undecided" if told == "both" else told)
    assert (found.states > 0.9) == (told != "text")
    assert (found.text > 0.9) == (told != "states")
    assert found.permuted < 0.6
    assert found.most_frequent == pytest.approx(1 / 3)


def test_where_nothing_tells_neither_is_above_chance():
    found = route(*strings("none"))
    assert found.better == "undecided"
    assert max(found.states, found.text) < 0.6


def test_groups_that_are_left_out_are_not_learned_by_heart():
    """States tell the group and nothing else; half of each task's groups are in another fold."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(12), 5)
    states = (6 * rng.standard_normal((12, 8)))[groups] + 0.1 * rng.standard_normal((60, 8))
    task, texts = groups % 3, [f"text {k}" for k in range(60)]
    assert route(states, texts, task).states > 0.95
    assert route(states, texts, task, groups=groups).states < 0.8


def test_arguments_that_do_not_fit_are_refused():
    states, texts, task = strings("both")
    with pytest.raises(BadInput, match="give each once"):
        route(states, ["same"] * 60, task)
    with pytest.raises(BadInput, match="1 tasks"):
        route(states, texts, task * 0)
    with pytest.raises(BadInput, match="3 groups"):
        route(states, texts, task, groups=task)


def test_the_command_on_a_run(tmp_path, capfd, monkeypatch):
    folder = any_runs.make(tmp_path / "run", rises=30.0).path
    run = runner(capfd, monkeypatch)
    told = run("router", folder, "--position", "last", "--json")
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert (found["strings"], found["tasks"]) == (24, 3)
    assert found["states"] > 0.9
    wrong = run("router", folder, "--position", "last", "--leave-out", "famly")
    assert wrong.returncode == 2
    assert "no label 'famly'" in wrong.stderr

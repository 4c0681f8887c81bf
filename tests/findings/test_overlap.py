"""Overlap of tasks, and whether it predicts mistakes: planted in runs made of numbers alone."""

import json

import numpy as np
import pytest
import torch

from in_process import runner
from nucleate import BadInput
from nucleate.findings import overlap
from nucleate.prompts import PromptSet
from nucleate.runs import Run, States

TASKS, STRINGS, WIDTH = 8, 24, 12


def prompts_of():
    """Eight tasks; of each half of the requests is trained. Its answer is a token of its own."""
    rng = np.random.default_rng(5)
    rows = [
        {"ids": [1, *(200 + rng.integers(0, 50, 4)).tolist()], "task": f"t{task}",
         "instruction": f"{task}: {string}", "input": "",
         "split": "seen" if string % 2 else "unseen_string"}
        for task in range(TASKS) for string in range(STRINGS)
    ]  # fmt: skip
    bare = PromptSet.from_records(rows, None, positions="last")
    answers = np.array([[100 + int(name[1:])] for name in bare.labels["task"]])
    return PromptSet(
        ids=np.concatenate([bare.ids, answers.astype(bare.ids.dtype)], axis=1),
        prompt_lengths=bare.prompt_lengths, lengths=bare.lengths + 1, positions=bare.positions,
        labels=bare.labels, chance=np.full(len(bare), 1 / TASKS), tokenizer_hash="",
    )  # fmt: skip


def make(folder, *, along=True, mistakes=0.5):
    """Tasks on a line: neighbors overlap. Mistakes fall on neighbors, or on any task."""
    prompts = prompts_of()
    rng = np.random.default_rng(1)
    task = np.array([int(name[1:]) for name in prompts.labels["task"]])
    noise = rng.standard_normal((3, 1, len(task), WIDTH))
    noise[1:, ..., 0] += task * np.array([1.0, 2.0])[:, None, None]
    states = States(
        torch.tensor(noise, dtype=torch.float32), ("embed", "block.0", "block.1"), ("last",)
    )
    by = rng.choice([-1, 1], len(task)) if along else rng.integers(1, TASKS, len(task))
    other = np.clip(task + by, 0, TASKS - 1) if along else (task + by) % TASKS
    said = np.where(rng.random(len(task)) < mistakes, other, task)
    run = Run.create(folder, prompts, {"name": folder.name})
    run.save_snapshot(
        3, states,
        {"correct": torch.tensor(said == task), "nll": torch.zeros(len(task)),
         "predicted": torch.tensor(100 + said)[:, None]},
    )  # fmt: skip
    fresh = States(
        torch.tensor(rng.standard_normal(noise.shape), dtype=torch.float32),
        states.streams, states.positions,
    )  # fmt: skip
    run.save_untrained([fresh, fresh])
    return Run(folder)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return make(tmp_path_factory.mktemp("runs") / "planted")


def of(found, source, measure="separation"):
    table = found.correlations
    return table[(table["source"].str.startswith(source)) & (table["measure"] == measure)].iloc[0]


def test_where_neighbors_overlap_and_are_mistaken_the_overlap_of_states_predicts_it(planted):
    found = overlap(planted, n_permutations=199, n_bootstraps=199)
    assert (found.stream, found.step) == ("block.1", 3)
    for measure in ("separation", "nearest"):
        states = of(found, "states", measure)
        assert states["low"] > 0.3
        assert states["rho"] > states["null"]
        assert states["p"] <= 0.01
        assert states["beyond_low"] > 0
        for source in ("untrained, highest of 2", "words", "embedding"):
            assert abs(of(found, source, measure)["rho"]) < 0.5
    close = found.pairs.head(TASKS - 1)
    gaps = (close["task"].str[1:].astype(int) - close["other"].str[1:].astype(int)).abs()
    assert (gaps == 1).all()


def test_where_mistakes_fall_on_any_task_no_overlap_predicts_them(tmp_path):
    found = overlap(make(tmp_path / "run", along=False), n_permutations=199, n_bootstraps=199)
    states = of(found, "states")
    assert states["p"] > 0.05
    assert states["low"] < 0 < states["high"]


@pytest.mark.parametrize("split", ["seen", "unseen_string"])
def test_mistakes_are_counted_on_rows_whose_strings_gave_no_overlap(planted, split):
    apart = overlap(planted, measured_on=split, n_permutations=99, n_bootstraps=99)
    rows = TASKS * STRINGS // (2 if split == "seen" else 4)
    assert apart.answered == rows
    assert set(apart.pairs["rows"]) == {2 * rows // TASKS}
    wrong = planted.rows(3)["predicted"].numpy()[:, 0] - 100
    task = np.array([int(name[1:]) for name in planted.prompts.labels["task"]])
    new = np.array(planted.prompts.labels["split"]) == "unseen_string"
    if split == "seen":
        assert apart.mistakes == (wrong != task)[new].sum()
        counted = (apart.pairs["confusion"] * apart.pairs["rows"]).sum()
        assert counted == pytest.approx(apart.mistakes)


def test_what_cannot_be_asked_is_refused_in_a_sentence(planted, tmp_path):
    with pytest.raises(BadInput, match=r"no stream named 'blok\.1' \(did you mean 'block\.1'"):
        overlap(planted, stream="blok.1")
    with pytest.raises(BadInput, match=r"no row .* is of the split 'unseen_cell'"):
        overlap(planted, confused_on="unseen_cell")
    with pytest.raises(BadInput, match=r"no row of unseen_string at step 3 .* another task's"):
        overlap(make(tmp_path / "right", mistakes=0.0))
    with pytest.raises(BadInput, match="n_permutations is 5"):
        overlap(planted, n_permutations=5)


def test_the_command_prints_the_pairs_and_writes_them(planted, capfd, monkeypatch, tmp_path):
    nucleate = runner(capfd, monkeypatch)
    done = nucleate("overlap", planted.path, "--top", "3", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "rho with confusion" in done.stdout
    assert len((tmp_path / "overlap.csv").read_text().splitlines()) == 1 + TASKS * (TASKS - 1) // 2
    told = json.loads((tmp_path / "overlap.json").read_text())
    assert nucleate("overlap", planted.path, "--json", "--out", tmp_path).stdout
    assert {row["measure"] for row in told["correlations"]} == {"separation", "nearest"}
    bad = nucleate("overlap", planted.path, "--step", "4")
    assert bad.returncode == 2
    assert "no step 4" in bad.stderr

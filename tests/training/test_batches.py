from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from nucleate import BadInput
from nucleate.training import Batches
from small import material


@pytest.mark.parametrize("order", ["before", "after"])
def test_every_drawn_row_is_a_training_row_encoded_as_a_prompt_and_its_answer(order):
    taskset, encoder, _ = material(order)
    known = {
        tuple(encoder.prompt(e.instruction, e.input)[0] + encoder.answer_part(e.output))
        for e in taskset.split("train")
    }
    batch = Batches(taskset, encoder, batch_size=200, seed=0).at(3)
    for ids, prompt, length in zip(batch.ids, batch.prompt_lengths, batch.lengths, strict=True):
        assert tuple(ids[:length].tolist()) in known
        assert not ids[length:].any()
        assert length - prompt == 1


def test_a_step_has_the_same_batch_whenever_it_is_asked_for():
    taskset, encoder, _ = material()
    first, again = (Batches(taskset, encoder, batch_size=8, seed=4) for _ in range(2))
    first.at(0)
    assert np.array_equal(first.at(17).ids, again.at(17).ids)
    assert not np.array_equal(first.at(17).ids, first.at(18).ids)
    other = Batches(taskset, encoder, batch_size=8, seed=5)
    assert not np.array_equal(other.at(17).ids, again.at(17).ids)


def test_tasks_are_drawn_by_their_weights():
    taskset, encoder, _ = material()
    heavy = taskset.tasks[2]
    weights = {task: 0.7 if task == heavy else 0.1 for task in taskset.tasks}
    batches = Batches(replace(taskset, weights=weights), encoder, batch_size=4000, seed=0)
    token = {encoder.answer_part(e.output)[0]: e.task for e in taskset.split("train")}
    batch = batches.at(0)
    drawn = Counter(token[int(i)] for i in batch.ids[np.arange(4000), batch.prompt_lengths])
    assert drawn[heavy] / 4000 == pytest.approx(0.7, abs=0.04)


def test_scrambled_rows_have_an_instruction_that_says_nothing_of_the_answer():
    taskset, encoder, _ = material()
    batch = Batches(taskset, encoder, batch_size=6000, seed=0, scrambled=True).at(0)
    answer = batch.ids[np.arange(6000), batch.prompt_lengths]
    task_of_answer = {encoder.answer_part(e.output)[0]: e.task for e in taskset.split("train")}
    task_of_string = {
        tuple(encoder.instruction_part(e.instruction)): e.task for e in taskset.split("train")
    }
    ends = batch.prompt_lengths - 1
    agree = np.mean(
        [
            task_of_string[tuple(ids[:end].tolist())] == task_of_answer[int(a)]
            for ids, end, a in zip(batch.ids, ends, answer, strict=True)
        ]
    )
    assert agree == pytest.approx(1 / len(taskset.tasks), abs=0.03)


def drawn(batches, steps) -> list[tuple[str, str, str, str]]:
    """Task, family, instruction and input of every row that some steps draw."""
    taskset, encoder, _ = material()
    known = {tuple(encoder.prompt(e.instruction, e.input)[0]): e for e in taskset.split("train")}
    found = []
    for step in steps:
        batch = batches.at(step)
        for ids, prompt in zip(batch.ids, batch.prompt_lengths, strict=True):
            row = known[tuple(ids[:prompt].tolist())]
            found.append((row.task, row.family, row.instruction, row.input))
    return found


def made(**settings) -> Batches:
    taskset, encoder, _ = material()
    return Batches(taskset, encoder, **{"batch_size": 64, "seed": 0} | settings)


def test_without_a_policy_batches_are_what_they_always_were():
    taskset, _, _ = material()
    rows = taskset.split("train")
    counts = Counter(row.task for row in rows)
    chances = np.array([taskset.weights[row.task] / counts[row.task] for row in rows])
    generator = np.random.Generator(np.random.Philox(key=0, counter=[0, 0, 0, 5]))
    places = np.searchsorted(np.cumsum(chances / chances.sum()), generator.random(64))
    expected = [(rows[p].task, rows[p].family, rows[p].instruction, rows[p].input) for p in places]
    assert drawn(made(), [5]) == expected


@pytest.mark.parametrize("settings", [
    {"hard_negatives": 0.5}, {"curriculum": "short", "curriculum_steps": 20},
    {"hard_negatives": 1.0, "curriculum": "families", "curriculum_steps": 20},
])  # fmt: skip
def test_a_policy_s_batches_follow_from_seed_and_step_alone(settings):
    straight = [made(**settings).at(step).ids for step in range(24)]
    jumping = made(**settings)
    for step in (19, 3, 23, 0, 11):
        assert np.array_equal(jumping.at(step).ids, straight[step])
    assert not np.array_equal(made(**settings, scrambled=True).at(3).ids, straight[3])


def test_hard_negatives_are_groups_of_one_input_and_different_tasks_and_the_rest_stays():
    batches, plain = made(hard_negatives=0.5), made()
    for step in range(20):
        rows, usual = drawn(batches, [step]), drawn(plain, [step])
        assert rows[32:] == usual[32:]
        assert rows[:32:4] == usual[:32:4]
        for start in range(0, 32, 4):
            group = rows[start : start + 4]
            assert len({task for task, *_ in group}) == 4
            assert len({name for *_, name in group}) == 1


def test_hard_negatives_leave_balanced_tasks_balanced():
    rows = drawn(made(hard_negatives=1.0, batch_size=400), range(10))
    counts = Counter(task for task, *_ in rows)
    assert set(counts.values()) == {1000}


def test_hard_negatives_without_a_shared_input_are_refused():
    taskset, encoder, _ = material()
    apart = [replace(e, input=f"{e.task}{e.input}") for e in taskset.examples]
    alone = replace(taskset, examples=tuple(apart))
    with pytest.raises(BadInput, match="no two tasks are trained on the same input"):
        Batches(alone, encoder, batch_size=8, seed=0, hard_negatives=0.5)


def test_tasks_enter_one_after_the_other_and_all_are_there_at_the_end_of_the_curriculum():
    batches = made(curriculum="tasks", curriculum_steps=40)
    seen = [len({task for task, *_ in drawn(batches, range(s, s + 2))}) for s in range(0, 44, 2)]
    assert seen == [1] * 5 + [2] * 5 + [3] * 5 + [4] * 7
    assert drawn(batches, [40]) == drawn(made(), [40])


def test_families_enter_one_after_the_other_in_every_task():
    batches = made(curriculum="families", curriculum_steps=40)
    early, late = drawn(batches, range(20)), drawn(batches, range(20, 30))
    assert {family.rpartition(".")[2] for _, family, *_ in early} == {"f0"}
    assert {family.rpartition(".")[2] for _, family, *_ in late} == {"f0", "f1"}
    assert len({task for task, *_ in drawn(batches, [0])}) == 4


def test_short_instructions_come_first_in_every_task_and_random_order_is_no_shorter():
    taskset, _, _ = material()
    shortest = {
        task: min(len(e.instruction) for e in taskset.split("train") if e.task == task)
        for task in taskset.tasks
    }
    short = drawn(made(curriculum="short", curriculum_steps=40), range(1))
    assert {task for task, *_ in short} == set(taskset.tasks)
    assert all(len(text) == shortest[task] for task, _, text, _ in short)
    control = drawn(made(curriculum="random", curriculum_steps=40), range(1))
    assert len({text for _, _, text, _ in control}) == 4  # one a task
    assert any(len(text) > shortest[task] for task, _, text, _ in control)


def test_weights_hold_among_the_tasks_that_have_entered():
    taskset, encoder, _ = material()
    weights = dict(zip(taskset.tasks, (0.6, 0.2, 0.1, 0.1), strict=True))
    batches = Batches(replace(taskset, weights=weights), encoder, batch_size=4000, seed=0,
                      curriculum="tasks", curriculum_steps=40)  # fmt: skip
    counts = Counter(task for task, *_ in drawn(batches, [15]))
    assert counts[taskset.tasks[0]] / 4000 == pytest.approx(0.75, abs=0.04)
    assert counts[taskset.tasks[1]] / 4000 == pytest.approx(0.25, abs=0.04)

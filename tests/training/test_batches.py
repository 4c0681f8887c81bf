from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

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

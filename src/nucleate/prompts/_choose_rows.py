"""Choosing prompts: crossed where the tasks share inputs, nested where they do not."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from nucleate._core.errors import BadInput
from nucleate.tasks import Example, TaskSet

_INPUTS = 5
"""Inputs per string, at most; few, since intervals are over strings."""
_FEWEST_SHARED = 2


def choose_rows(taskset: TaskSet, rows: int, rng: np.random.Generator) -> list[Example]:
    """Choose about `rows` rows and those on top, sorted by task, family, string and input."""
    trained = {(row.task, row.input) for row in taskset.split("train")}
    shared = [
        name
        for name in taskset.common_inputs
        if all((task, name) in trained for task in taskset.tasks)
    ]
    if len(shared) >= (1 if taskset.crossed else _FEWEST_SHARED):
        chosen = _crossed(taskset, shared, rows, rng)
    else:
        chosen = _nested(taskset, rows, rng)
    task_rank = {name: index for index, name in enumerate(taskset.tasks)}
    input_rank = {name: index for index, (_, name) in enumerate(taskset.answers)}
    return sorted(
        chosen,
        key=lambda row: (task_rank[row.task], row.family, row.instruction, input_rank[row.input]),
    )


def _crossed(
    taskset: TaskSet, shared: list[str], rows: int, rng: np.random.Generator
) -> list[Example]:
    tasks = _some(taskset.tasks, rows, rng)
    per_task = max(1, rows // len(tasks))
    inputs = _some(shared, min(_INPUTS, per_task), rng)
    unseen_inputs = _unseen_inputs(taskset, inputs, rng)
    chosen = []
    for task in tasks:
        strings = _strings(taskset, task, per_task // len(inputs), inputs, rng)
        new_family = _of_task(taskset.split("unseen_family"), task)
        for row in [*strings, *_one_a_family(new_family, rng)]:
            chosen += _asked(row, inputs, taskset)
        for row in [row for row in strings if row.split == "seen"][:2]:
            chosen += _asked(row, unseen_inputs, taskset)
    return chosen


def _asked(row: Example, inputs: list[str], taskset: TaskSet) -> list[Example]:
    """Rows of one string with several inputs; those that belong to no split are left out."""
    asked = [replace(row, input=i, output=taskset.answers[row.task, i]) for i in inputs]
    return [replace(one, split=split) for one in asked if (split := taskset.split_of(one))]


def _nested(taskset: TaskSet, rows: int, rng: np.random.Generator) -> list[Example]:
    """Give each task strings with rows of their own: a string may not suit another's input."""
    tasks = _some(taskset.tasks, rows, rng)
    per_task = max(1, rows // len(tasks))
    chosen: list[Example] = []
    for task in tasks:
        new = _few_inputs_each(_of_task(taskset.split("unseen_string"), task), per_task // 2, rng)
        known = [replace(row, split="seen") for row in _of_task(taskset.split("train"), task)]
        chosen += new + _few_inputs_each(known, per_task - len(new), rng)
        on_top = _of_task(taskset.split("unseen_input"), task)
        chosen += _few_inputs_each(on_top, max(1, per_task // 4), rng)
    return chosen


def _few_inputs_each(rows: list[Example], limit: int, rng: np.random.Generator) -> list[Example]:
    """Choose up to `limit` rows: five of each string, or more if strings are few."""
    strings: dict[str, dict[str, Example]] = {}
    for index in rng.permutation(len(rows)):
        row = rows[index]
        strings.setdefault(row.instruction, {}).setdefault(row.input, row)
    each = max(_INPUTS, -(-limit // max(1, len(strings))))
    return [row for inputs in strings.values() for row in list(inputs.values())[:each]][:limit]


def _strings(
    taskset: TaskSet, task: str, count: int, inputs: list[str], rng: np.random.Generator
) -> list[Example]:
    """Choose `count` strings of a task, half of them never trained, spread over its families."""
    known, new = (
        _spread(_crossing(_of_task(taskset.split(split), task), inputs, taskset), rng)
        for split in ("seen", "unseen_string")
    )
    if not known and not new:
        raise BadInput(
            f"no string of task {task!r} is trained with all of the inputs {', '.join(inputs)} "
            "but for held-out ones: set instruction_noise lower, or give more strings."
        )
    families = len({row.family for row in known})
    if 0 < families <= count:
        count -= count % families
    count = max(1, count)
    from_new = min(len(new), max(count // 2, count - len(known)))
    return known[: count - from_new] + new[:from_new]


def _crossing(rows: list[Example], inputs: list[str], taskset: TaskSet) -> list[Example]:
    """Rows whose string can be asked about every input in some split."""
    fits = {
        row.instruction: len(_asked(row, inputs, taskset)) == len(inputs)
        for row in {row.instruction: row for row in rows}.values()
    }
    return [row for row in rows if fits[row.instruction]]


def _spread(rows: Iterable[Example], rng: np.random.Generator) -> list[Example]:
    """Order the strings of rows at random, but so that the families take turns."""
    families: dict[str, dict[str, Example]] = {}
    for row in rows:
        families.setdefault(row.family, {}).setdefault(row.instruction, row)
    turns: list[tuple[int, int, Example]] = []
    for place, family in enumerate(rng.permutation(len(families)).tolist()):
        strings = list(list(families.values())[family].values())
        turns += [(turn, place, strings[i]) for turn, i in enumerate(rng.permutation(len(strings)))]
    return [row for _, _, row in sorted(turns, key=lambda turn: turn[:2])]


def _one_a_family(rows: list[Example], rng: np.random.Generator) -> list[Example]:
    return list({row.family: row for row in _spread(rows, rng)}.values())


def _unseen_inputs(taskset: TaskSet, inputs: list[str], rng: np.random.Generator) -> list[str]:
    """Choose at most half as many unseen inputs as trained ones."""
    unseen = {row.input for row in taskset.split("unseen_input")}
    unseen -= {row.input for row in taskset.split("train")}
    shared = [name for name in taskset.common_inputs if name in unseen]
    return _some(shared, (len(inputs) + 1) // 2, rng)


def _of_task(rows: Iterable[Example], task: str) -> list[Example]:
    return [row for row in rows if row.task == task]


def _some(items: Iterable[str], count: int, rng: np.random.Generator) -> list[str]:
    """Choose up to `count` items at random, in the order in which they come."""
    ordered = list(items)
    kept = sorted(rng.permutation(len(ordered))[:count].tolist())
    return [ordered[index] for index in kept]

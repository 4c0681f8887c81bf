"""Task sets of a folder of natural data, in which a request may itself be the instruction."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate._core.names import nearest
from nucleate._core.tables import read_table
from nucleate.tasks._natural import check_settings, file_taskset, natural_taskset, read_rows
from nucleate.tasks._splits import Example
from nucleate.tasks._taskset import TaskSet

ROWS, TASKS = "data.jsonl", "tasks.jsonl"


@dataclass(frozen=True)
class FolderTask:
    """A task of a folder, as its `tasks.jsonl` says.

    Attributes:
        name: of the task.
        category: what it belongs to, such as a domain; empty where the folder does not say.
    """

    name: str
    category: str


def from_folder(
    path: str | PathLike[str],
    *,
    only: Sequence[str] | None = None,
    held_out_wordings: float = 0.15,
    evaluation_rows: int = 100,
    seed: int,
) -> TaskSet:
    """Read a set from a folder of `data.jsonl` (the rows) and `tasks.jsonl` (the tasks).

    The rows are those that `from_jsonl` reads, and instructions are held out as it does.

    Where no row has an input, the rows are requests: the text of a request is the instruction, and
    the output names the task that it wants. Each task then has one answer, which is written
    `<answer>` and is one token of its own, so that no letters of the answer can be copied from the
    request. The requests that the folder does not train are the held-out wordings, beside the share
    that is held out of the others.

    Args:
        path: the folder; the tasks' file may be missing, unless `only` names a category.
        only: names of tasks, or of categories in `tasks.jsonl`, to take; None takes all.
        held_out_wordings: 0..1, the share of each task's instructions that are not trained; at
            least one always is.
        evaluation_rows: the most rows of a task in each evaluation split.
        seed: decides what is held out, and which rows evaluate.

    Returns:
        The set, named after the folder.

    Raises:
        BadInput: no such folder or file in it, no such task or category, what `from_jsonl` refuses,
            or a task of requests with several answers.
    """
    check_settings(held_out_wordings, evaluation_rows, seed)
    path = as_path("path", path)
    if not (path / ROWS).is_file():
        raise BadInput(f"{path} has no {ROWS}: name a folder with one, or a JSON Lines file.")
    rows = list(read_rows(path / ROWS))
    rows = _only(path, rows, only)
    name = f"folder {path.resolve().name}"
    rng = np.random.default_rng(seed)
    if any(row.input for row in rows):
        return file_taskset(name, path, rows, held_out_wordings, evaluation_rows, rng)
    return _requests(name, path, rows, held_out_wordings, evaluation_rows, rng)


def folder_tasks(path: str | PathLike[str]) -> tuple[FolderTask, ...]:
    """Read which tasks a folder has, from its `tasks.jsonl`.

    Args:
        path: the folder.

    Returns:
        The tasks in the order of the file; none where there is no such file.

    Raises:
        BadInput: the file cannot be read, or a line has no `task`.
    """
    file = as_path("path", path) / TASKS
    if not file.is_file():
        return ()
    found = []
    for where, record in read_table(file, ("task",), other=".jsonl"):
        task, category = record.get("task"), record.get("category", "")
        if not isinstance(task, str) or not isinstance(category, str):
            raise BadInput(f"{where} has {json.dumps(record)[:80]}: task and category are texts.")
        found.append(FolderTask(task, category))
    return tuple(found)


def _only(path: Path, rows: list[Example], only: Sequence[str] | None) -> list[Example]:
    """The rows of the named tasks and categories."""
    if only is None:
        return rows
    there = dict.fromkeys(row.task for row in rows)
    members: dict[str, set[str]] = {task: {task} for task in there}
    for task in folder_tasks(path):
        if task.category and task.name in there and task.category not in there:
            members.setdefault(task.category, set()).add(task.name)
    for name in only:
        if name not in members:
            raise BadInput(
                f"{path} has no task or category named {name!r}{nearest(name, sorted(members))}."
            )
    wanted = set().union(*(members[name] for name in only))
    return [row for row in rows if row.task in wanted]


def _requests(
    name: str,
    path: Path,
    rows: list[Example],
    held_out_wordings: float,
    evaluation_rows: int,
    rng: np.random.Generator,
) -> TaskSet:
    """A set in which every row's instruction is a request, and every task has one answer."""
    answers: dict[str, str] = {}
    for row in rows:
        known = answers.setdefault(row.task, row.output)
        if row.output != known or not row.output:
            raise BadInput(
                f"task {row.task!r} of {path} has no inputs and the answers {known!r} and "
                f"{row.output!r}: a task of requests has one answer, give its rows inputs."
            )
    rows = [replace(row, output=f"<{row.output}>") for row in rows]
    taskset = file_taskset(name, path, rows, held_out_wordings, evaluation_rows, rng)
    # A request that is trained is asked nowhere else in the folder: here it is, as `seen`.
    train = list(taskset.split("train"))
    others = [row for row in taskset.examples if row.split not in ("train", "seen")]
    whole = natural_taskset(name, train, train + others, evaluation_rows, rng)
    atoms = tuple(dict.fromkeys(row.output for row in rows))
    return replace(whole, atoms=atoms)

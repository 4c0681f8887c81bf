"""Task sets of natural text: what they share, and those that are read from a file."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import combinations
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from nucleate._core.arguments import as_path, check_number, check_whole
from nucleate._core.errors import BadInput
from nucleate._core.tables import read_table
from nucleate.tasks._splits import Example, Trained
from nucleate.tasks._taskset import TaskSet

_KEYS = ("task", "instruction", "input", "output", "split")
_ODD_INPUTS = 0.05
_TRAINED = ("train", "training")
_EVALUATED = (
    "valid", "validation", "val", "dev", "eval", "evaluation", "test", "testing", "holdout"
)  # fmt: skip
Wording = tuple[str, str]
"""A task and one of its instructions."""


def from_jsonl(
    path: str | PathLike[str],
    *,
    held_out_wordings: float = 0.15,
    evaluation_rows: int = 100,
    seed: int,
) -> TaskSet:
    """Read a set from a file, JSON Lines or another form that `PromptSet.from_records` reads.

    Each row has `task`, `instruction`, `input`, `output` and `split`: `train` or `training`; or
    `valid`, `validation`, `val`, `dev`, `eval`, `evaluation`, `test`, `testing` or `holdout`, which
    all evaluate. The input is a text or an object of named texts, which becomes one line
    `name: text` each. A `{slot}` in an instruction stays as it is and the input follows, so that
    an instruction is one string whatever its input. A line with a `prompt` has that text as its
    input and no instruction, for nothing says where an instruction would end in it.

    The file's `train` rows are the training rows, but for some instructions of each task that are
    held out: they ask about trained inputs in `unseen_string`. A task is a mapping, so each of its
    instructions goes with each of its inputs; where a file gives more than one in twenty of a
    task's inputs two outputs that is not so, and none of its instructions is held out. Neither is
    one that several tasks have.

    The file's other rows get the split that they belong to (see `TaskSet`):
    `unseen_input` where the task never trains the input, `unseen_string` where no task trains the
    instruction, `unseen_cell` where the task trains both but never together, else `seen`. A row
    with both an unseen input and an untrained instruction is left out, as is one whose instruction
    only other tasks train, and a task without any training row.

    Args:
        path: the file; a text in UTF-8.
        held_out_wordings: 0..1, the share of each task's instructions that are not trained; at
            least one always is.
        evaluation_rows: the most rows of a task in each evaluation split.
        seed: decides what is held out, and which rows evaluate.

    Returns:
        The set. Where a (task, input) has several outputs `answers` has the first; the rows keep
        what the file says.

    Raises:
        BadInput: the file cannot be read, is empty or is not JSON; a line lacks a key or has a
            value of another kind (file, line and key are named); there are fewer than two tasks, no
            training rows or no outputs; two tasks cannot be distinguished.
    """
    check_settings(held_out_wordings, evaluation_rows, seed)
    path = as_path("path", path)
    rng = np.random.default_rng(seed)
    rows = list(read_rows(path))
    return file_taskset(f"file {path.name}", path, rows, held_out_wordings, evaluation_rows, rng)


def file_taskset(
    name: str,
    path: Path,
    rows: list[Example],
    held_out_wordings: float,
    evaluation_rows: int,
    rng: np.random.Generator,
) -> TaskSet:
    """Make the set of a file's rows, whose splits are `train` or not.

    Args:
        name: what to call it.
        path: where the rows are from, for messages.
        rows: as `read_rows` gives them.
        held_out_wordings: 0..1, the share of each task's instructions that are not trained.
        evaluation_rows: the most rows of a task and evaluation split.
        rng: the source of random numbers.

    Raises:
        BadInput: fewer than two trained tasks, no outputs, or tasks that cannot be distinguished.
    """
    trained_tasks = {row.task for row in rows if row.split == "train"}
    if not trained_tasks:
        raise BadInput(f"{path} has no row with split 'train': nothing could be learned from it.")
    if len(trained_tasks) < 2:
        raise BadInput(f"{path} trains only task {min(trained_tasks)!r}: two tasks are needed.")
    if not any(row.output for row in rows):
        raise BadInput(f"{path} has an empty output in every row: there is nothing to learn.")
    rows = [row for row in rows if row.task in trained_tasks]
    undecided = _undecided_tasks(rows)
    held_out = hold_out_wordings(
        [
            (row.task, row.instruction)
            for row in rows
            if row.split == "train" and row.task not in undecided
        ],
        held_out_wordings,
        rng,
    )
    train = [
        row for row in rows if row.split == "train" and (row.task, row.instruction) not in held_out
    ]
    evaluation = list(_evaluation(rows, train, held_out, rng))
    return natural_taskset(name, train, evaluation, evaluation_rows, rng)


def natural_taskset(
    name: str,
    train: list[Example],
    evaluation: list[Example],
    evaluation_rows: int,
    rng: np.random.Generator,
) -> TaskSet:
    """Put a set together; the rows of each task and evaluation split are cut at random.

    Args:
        name: what to call it.
        train: the training rows.
        evaluation: rows to evaluate on; each gets the split that it belongs to, and is left out
            if it belongs to none.
        evaluation_rows: the most rows of a task and split to keep.
        rng: the source of random numbers.
    """
    tasks = tuple(dict.fromkeys(row.task for row in train))
    trained = Trained(train)
    splits = map(trained.split_of, evaluation)
    evaluation = [
        replace(row, split=split) for row, split in zip(evaluation, splits, strict=True) if split
    ]
    answers: dict[tuple[str, str], str] = {}
    for row in train + evaluation:
        answers.setdefault((row.task, row.input), row.output)
    wordings: dict[str, set[str]] = {task: set() for task in tasks}
    for row in train + evaluation:
        wordings[row.task].add(row.instruction)
    _refuse_twins(wordings, answers)
    return TaskSet(
        name=name,
        outputs="natural",
        tasks=tasks,
        examples=(*train, *_cut(evaluation, evaluation_rows, rng)),
        answers=answers,
        order="before",
        cue=True,
        atoms=(),
        weights={task: 1 / len(tasks) for task in tasks},
        overlaps=_shared_wordings(wordings),
    )


def hold_out_wordings(
    wordings: Iterable[Wording], share: float, rng: np.random.Generator
) -> set[Wording]:
    """Choose the share of each task's wordings that is never trained; one is always kept.

    A wording that several tasks have is never held out, for the others would train it.
    """
    by_task: dict[str, dict[str, None]] = {}
    for task, wording in wordings:
        by_task.setdefault(task, {})[wording] = None
    owners = Counter(wording for own in by_task.values() for wording in own)
    held_out = set()
    for task, own in by_task.items():
        count = min(round(share * len(own)), len(own) - 1)
        ordered = list(own)
        shuffled = [ordered[index] for index in rng.permutation(len(ordered))]
        single = [wording for wording in shuffled if owners[wording] == 1]
        held_out |= {(task, wording) for wording in single[:count]}
    return held_out


def check_settings(held_out_wordings: float, evaluation_rows: int, seed: int) -> None:
    """Raise BadInput where a setting that natural sets share is out of range."""
    check_number("held_out_wordings", held_out_wordings)
    if not 0 <= held_out_wordings < 1:
        raise BadInput(f"held_out_wordings is {held_out_wordings}: give a share from 0 to below 1.")
    check_whole("seed", seed, least=0)
    check_whole("evaluation_rows", evaluation_rows, least=1)


def _undecided_tasks(rows: list[Example]) -> set[str]:
    """The tasks in which an input alone does not decide the output, with few exceptions."""
    outputs: dict[str, dict[str, set[str]]] = {}
    for row in rows:
        outputs.setdefault(row.task, {}).setdefault(row.input, set()).add(row.output)
    return {
        task
        for task, by_input in outputs.items()
        if sum(len(found) > 1 for found in by_input.values()) > _ODD_INPUTS * len(by_input)
    }


def _evaluation(
    rows: list[Example], train: list[Example], held_out: set[Wording], rng: np.random.Generator
) -> Iterator[Example]:
    """All rows of a file, those of held-out wordings about inputs that are trained."""
    answers: dict[str, dict[str, str]] = {}
    for row in train:
        answers.setdefault(row.task, {})[row.input] = row.output
    for row in rows:
        known = answers[row.task]
        if row.split == "train" and (row.task, row.instruction) in held_out:
            # Its own input may occur nowhere else: then one that is trained takes its place.
            name = row.input if row.input in known else list(known)[rng.integers(len(known))]
            row = replace(row, input=name, output=known[name])
        yield row


def _cut(rows: list[Example], limit: int, rng: np.random.Generator) -> Iterator[Example]:
    groups: dict[tuple[str, str], list[Example]] = {}
    for row in rows:
        groups.setdefault((row.task, row.split), []).append(row)
    for group in groups.values():
        for index in sorted(rng.permutation(len(group))[:limit].tolist()):
            yield group[index]


def _shared_wordings(wordings: dict[str, set[str]]) -> tuple[tuple[str, str], ...]:
    owners: dict[str, list[str]] = {}
    for task, own in wordings.items():
        for wording in own:
            owners.setdefault(wording, []).append(task)
    pairs = {pair for tasks in owners.values() for pair in combinations(tasks, 2)}
    return tuple(sorted(pairs))


def _refuse_twins(wordings: dict[str, set[str]], answers: dict[tuple[str, str], str]) -> None:
    """Refuse two tasks with the same wordings that give one input different answers."""
    seen: dict[tuple[frozenset[str], str], tuple[str, str]] = {}
    frozen = {task: frozenset(own) for task, own in wordings.items()}
    for (task, name), answer in answers.items():
        other, other_answer = seen.setdefault((frozen[task], name), (task, answer))
        if answer != other_answer:
            raise BadInput(
                f"tasks {other!r} and {task!r} cannot be distinguished, they have the same "
                f"instructions and answer input {name!r} with {other_answer!r} and {answer!r}: "
                "give them instructions of their own or join them."
            )


def read_rows(path: Path) -> Iterator[Example]:
    """Read the rows of a file; their split is `train`, or `test` for all others.

    Raises:
        BadInput: the file cannot be read or is empty, or a line is not of the form.
    """
    rows = read_table(path, _KEYS, other=".jsonl")
    if not rows:
        raise BadInput(f"{path} is empty: give one JSON object per line.")
    for where, record in rows:
        yield _example(record, where)


def _example(record: dict[str, Any], where: str) -> Example:
    for key in _KEYS:
        if key not in record:
            raise BadInput(f"{where} has no key {key!r}: each line needs {', '.join(_KEYS)}.")
    for key in ("task", "instruction", "output", *(("prompt",) if "prompt" in record else ())):
        if not isinstance(record[key], str):
            raise BadInput(f"{where} has {key} = {record[key]!r}: it must be a text.")
    instruction, text = record["instruction"], input_text(record["input"], where)
    if "prompt" in record:
        instruction, text = "", record["prompt"]
    split = _split(record["split"], where)
    return Example(record["task"], instruction, instruction, text, record["output"], split)


def _split(word: Any, where: str) -> str:
    """Whether a row trains or evaluates, in the words of a file."""
    name = word.strip().lower() if isinstance(word, str) else ""
    if name in _TRAINED:
        return "train"
    if name not in _EVALUATED:
        known = ", ".join((*_TRAINED, *_EVALUATED))
        raise BadInput(f"{where} has split = {word!r}: use one of {known}.")
    return "test"


def input_text(value: Any, where: str) -> str:
    """Return an input as text; one of named texts becomes one line `name: text` each."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_slot_text(slot, where)}" for name, slot in value.items())
    raise BadInput(f"{where} has input = {value!r}: it must be a text or an object of texts.")


def _slot_text(value: Any, where: str) -> str:
    """A slot's text; the texts of a list stand on lines of their own."""
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(part, str) for part in parts):
        raise BadInput(f"{where} has a slot {value!r} in its input: it must be a text.")
    return "\n".join(parts)

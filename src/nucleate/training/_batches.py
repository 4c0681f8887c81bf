"""Training batches: token tables of the parts of a prompt, joined row by row at a step.

What a step trains on follows from the seed and the step alone, so a resumed run needs no state
of a generator to resume exactly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from nucleate.prompts import Encoder
from nucleate.tasks import TaskSet
from nucleate.training._config import Curriculum
from nucleate.training._pool import Pool, check_rivals, entries


@dataclass(frozen=True)
class Batch:
    """Rows of token ids, right-padded with 0.

    Attributes:
        ids: the sequences, prompt and answer.
        prompt_lengths: tokens before the answer.
        lengths: tokens of each row in total.
        instructions: index of each row's instruction among the distinct ones.
        instruction_ends: index of the last token of each row's instruction.
    """

    ids: Int[np.ndarray, "row token"]
    prompt_lengths: Int[np.ndarray, "row"]
    lengths: Int[np.ndarray, "row"]
    instructions: Int[np.ndarray, "row"]
    instruction_ends: Int[np.ndarray, "row"]


class Batches:
    """Draws the batch of any training step.

    Args:
        taskset: its `train` rows are drawn, a task as often as its weight says.
        encoder: turns them into tokens.
        batch_size: rows per batch.
        seed: two `Batches` of one seed give the same batch at the same step.
        scrambled: draw a new instruction from all training rows for each drawn row, so that
            the same tokens are seen but the instruction says nothing about the task.
        hard_negatives: the share of a batch's rows that stand in groups of four with one input and
            a task of its own each, so that only the instruction tells their answers apart. Rare
            tasks come up somewhat more often in them than their weight says.
        curriculum: rows enter by turns: tasks one after the other, of each task one family after
            the other, its short instructions first, or its instructions in random order. Of what
            has entered, tasks are drawn by their weights.
        curriculum_steps: the step at which all rows have entered.

    Raises:
        BadInput: there are to be hard negatives, and no two tasks share an input.

    Attributes:
        order: whether the instruction stands before or after the input.
        instruction_tasks: the task, by number, that each distinct instruction announces; the first
            where tasks share an instruction.
        task_count: how many tasks there are.
    """

    def __init__(
        self,
        taskset: TaskSet,
        encoder: Encoder,
        *,
        batch_size: int,
        seed: int,
        scrambled: bool = False,
        hard_negatives: float = 0.0,
        curriculum: Curriculum | None = None,
        curriculum_steps: int = 0,
    ) -> None:
        rows = taskset.split("train")
        self._instructions, self._instruction = _table(
            [r.instruction for r in rows], encoder.instruction_part
        )
        self._inputs, self._input = _table([r.input for r in rows], encoder.input_part)
        self._answers, self._answer = _table([r.output for r in rows], encoder.answer_part)
        self.order = taskset.order
        first = np.unique(self._instruction, return_index=True)[1]
        number = {task: index for index, task in enumerate(taskset.tasks)}
        self.instruction_tasks = np.array([number[rows[row].task] for row in first])
        self.task_count = len(taskset.tasks)
        self._tasks = np.array([number[row.task] for row in rows])
        self._weights = np.array([taskset.weights[task] for task in taskset.tasks])
        self._batch_size = batch_size
        self._seed = seed
        self._scrambled = scrambled
        if hard_negatives:
            check_rivals(taskset, hard_negatives)
        self._in_groups = round(hard_negatives * batch_size)
        self._entries = np.zeros(len(rows))
        if curriculum is not None:
            lengths = self._instructions.lengths[self._instruction].tolist()
            self._entries = entries(rows, lengths, curriculum, seed)
        self._all_from = curriculum_steps
        self._newest: tuple[int, Pool] | None = None

    def at(self, step: int) -> Batch:
        """The batch that the given step (0 is the first) trains on."""
        generator = np.random.Generator(np.random.Philox(key=self._seed, counter=[0, 0, 0, step]))
        pool = self._pool(step)
        rows = pool.draw(self._batch_size, generator)
        if self._in_groups:
            rows = pool.with_rivals(rows, self._in_groups, generator)
        other = pool.draw(self._batch_size, generator) if self._scrambled else rows
        instruction = self._instruction[other]
        prompt = [(self._instructions, instruction), (self._inputs, self._input[rows])]
        if self.order == "after":
            prompt.reverse()
        answer = (self._answers, self._answer[rows])
        ids, lengths = _join([*prompt, answer])
        prompt_lengths = lengths - answer[0].lengths[answer[1]]
        # After the input, the instruction's separator is followed by the cue.
        before = self._instructions.lengths[instruction] - 1
        ends = before if self.order == "before" else prompt_lengths - 2
        return Batch(ids, prompt_lengths, lengths, instruction, ends)

    def _pool(self, step: int) -> Pool:
        """The rows that have entered by a step; kept until another enters."""
        entered = self._entries <= (step / self._all_from if step < self._all_from else 1.0)
        count = int(entered.sum())  # rows only enter, so that their number says which they are
        if self._newest is None or self._newest[0] != count:
            rows = np.flatnonzero(entered)
            self._newest = count, Pool(self._tasks, self._input, self._weights, rows)
        return self._newest[1]


@dataclass(frozen=True)
class _Table:
    ids: Int[np.ndarray, "entry token"]
    lengths: Int[np.ndarray, "entry"]


def _table(
    texts: Sequence[str], encode: Callable[[str], list[int]]
) -> tuple[_Table, Int[np.ndarray, "row"]]:
    """The tokens of each distinct text, and which of them each row has."""
    distinct = {text: index for index, text in enumerate(dict.fromkeys(texts))}
    parts = [encode(text) for text in distinct]
    lengths = np.array([len(part) for part in parts])
    ids = np.zeros((len(parts), lengths.max()), dtype=np.int64)
    for row, part in enumerate(parts):
        ids[row, : len(part)] = part
    return _Table(ids, lengths), np.array([distinct[text] for text in texts])


def _join(
    parts: Sequence[tuple[_Table, Int[np.ndarray, "row"]]],
) -> tuple[Int[np.ndarray, "row token"], Int[np.ndarray, "row"]]:
    """Each row's parts one after the other, without gaps, and the rows' lengths."""
    lengths = np.stack([table.lengths[entry] for table, entry in parts])
    total = lengths.sum(0)
    tokens = np.arange(total.max())
    ids = np.zeros((len(total), len(tokens)), dtype=np.int64)
    start = np.zeros_like(total)
    for (table, entry), length in zip(parts, lengths, strict=True):
        offset = tokens - start[:, None]
        inside = (offset >= 0) & (offset < length[:, None])
        found = table.ids[entry[:, None], np.clip(offset, 0, table.ids.shape[1] - 1)]
        ids = np.where(inside, found, ids)
        start += length
    return ids, total

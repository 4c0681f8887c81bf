"""The roles that rows play: who is tested, what another task would answer, who lends states."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from nucleate._core.errors import BadInput
from nucleate.intervene._answers import AnswerTokens
from nucleate.prompts import PromptSet

# Rows of these splits announce or ask what was never trained; any other word is the user's own.
_UNTRAINED = ("unseen_family", "unseen_input")
_INPUT_FOLDS = 5
NOBODY = -1

Answer = tuple[int, ...]


@dataclass(frozen=True)
class Cast:
    """Rows of a prompt set and their roles. All are numbered by their place in the prompt set.

    Attributes:
        fitted: rows whose states means and subspaces are made of, each from other inputs than
            those it is applied to.
        tested: rows that are asked, all of them among the fitted ones.
        task: of every row of the prompt set.
        tasks: how many there are.
        fold: of every row of the prompt set; all rows of one input share one.
        string: instruction string of every row of the prompt set, the unit that is resampled; of
            a row with an empty instruction its prompt.
        input: of every row of the prompt set.
        target: for each tested row, the task B that an edit should make it do.
        donor: for each tested row, one of task B with the same input, or `NOBODY`.
        other: for each tested row, one of the same task with another input, or `NOBODY`.
        redirectable: tested rows for which B and a third task answer differently from A.
        compared: tested rows whose input has rows of another task too. In the others the task
            cannot be told from the input.
        chance: for each tested row, the share of the other tasks that answer as B does.
        wanted: `own`, `target` and `third` -> the answers, as tokens.
        task_blind: the best accuracy on the tested rows for who knows the input and not the task.
    """

    fitted: Int[np.ndarray, "fitted"]
    tested: Int[np.ndarray, "row"]
    task: Int[np.ndarray, "all"]
    tasks: int
    fold: Int[np.ndarray, "all"]
    string: Int[np.ndarray, "all"]
    input: Int[np.ndarray, "all"]
    target: Int[np.ndarray, "row"]
    donor: Int[np.ndarray, "row"]
    other: Int[np.ndarray, "row"]
    redirectable: Bool[np.ndarray, "row"]
    compared: Bool[np.ndarray, "row"]
    chance: Float[np.ndarray, "row"]
    wanted: dict[str, AnswerTokens]
    task_blind: float

    @property
    def folds(self) -> int:
        """How many parts the inputs are cut into."""
        return int(self.fold.max()) + 1

    @property
    def crossed(self) -> bool:
        """Whether every task has every input among the fitted rows."""
        pairs = {(self.task[row], self.input[row]) for row in self.fitted}
        return len(pairs) == len({t for t, _ in pairs}) * len({x for _, x in pairs})


def cast(
    prompts: PromptSet, rows: int | None, rng: np.random.Generator, *, rivals: bool = False
) -> Cast:
    """Choose the rows that are tested, and draw for each a task B, a third task and lenders.

    Args:
        prompts: with the labels `task`, `instruction`, `input`; rows with answers are used, but
            for those whose `split` is `unseen_family` or `unseen_input`.
        rows: how many are tested at most, drawn at random; all if None.
        rng: of all draws.
        rivals: test only rows whose input another task answers differently: where answers are
            scored against each other, a row without a rival answer is always right.

    Raises:
        BadInput: a label is missing; fewer than two tasks or two inputs; no row with a rival.
    """
    prompts.check_labels("task", "instruction", "input", user="the causal map")
    codes = {
        name: np.unique(np.array(prompts.labels[name], object), return_inverse=True)[1]
        for name in ("task", "input")
    }
    fitted = np.flatnonzero(_usable(prompts))
    for name in ("task", "input"):
        if len(set(codes[name][fitted])) < 2:
            raise BadInput(
                "the causal map needs at least two tasks and two inputs among the prompt set's "
                f"answered rows of trained instructions, and finds fewer of {name}s; add some"
            )
    order = rng.permutation(fitted)
    inputs = rng.permutation(np.unique(codes["input"][fitted]))
    of_input = np.zeros(codes["input"].max() + 1, dtype=np.int64)
    of_input[inputs] = np.arange(len(inputs)) % _INPUT_FOLDS
    fold = of_input[codes["input"]]
    roles = _Roles(prompts, codes["task"], codes["input"], fold, fitted, rng)
    if rivals:
        order = np.array([row for row in order if roles.rivals(int(row))], dtype=np.int64)
    if not len(order):
        raise BadInput(
            "no input has different answers of two tasks, so that there is nothing to compare by "
            'likelihood; score the answers as scored="greedy"'
        )
    tested = np.sort(order[:rows])
    return Cast(
        fitted=fitted,
        tested=tested,
        task=codes["task"],
        tasks=int(codes["task"].max()) + 1,
        fold=fold,
        string=_strings(prompts),
        input=codes["input"],
        **roles.of(tested),
        task_blind=roles.task_blind(tested),
    )


def _usable(prompts: PromptSet) -> Bool[np.ndarray, "all"]:
    answered: np.ndarray = prompts.lengths > prompts.prompt_lengths
    if "split" not in prompts.labels:
        return answered
    return answered & ~np.isin(np.array(prompts.labels["split"], object), _UNTRAINED)


def _strings(prompts: PromptSet) -> Int[np.ndarray, "all"]:
    """Instruction strings, numbered; rows with an empty one have no wording but their prompt's."""
    named = [
        (text, b"" if text.strip() else ids[:length].tobytes())
        for text, ids, length in zip(
            prompts.labels["instruction"], prompts.ids, prompts.prompt_lengths, strict=True
        )
    ]
    number = {unit: index for index, unit in enumerate(sorted(set(named)))}
    return np.array([number[unit] for unit in named])


class _Roles:
    """Who answers what, and who could lend a state."""

    def __init__(
        self,
        prompts: PromptSet,
        task: Int[np.ndarray, "all"],
        inputs: Int[np.ndarray, "all"],
        fold: Int[np.ndarray, "all"],
        fitted: Int[np.ndarray, "fitted"],
        rng: np.random.Generator,
    ) -> None:
        self._task, self._input, self._rng = task, inputs, rng
        spans = zip(prompts.prompt_lengths, prompts.lengths, strict=True)
        self._answer = [
            tuple(ids[a:b].tolist()) for ids, (a, b) in zip(prompts.ids, spans, strict=True)
        ]
        self._of_pair: dict[tuple[int, int], list[int]] = {}
        self._answers_to: dict[int, dict[int, Answer]] = {}
        for row in fitted:
            pair = int(inputs[row]), int(task[row])
            self._of_pair.setdefault(pair, []).append(int(row))
            self._answers_to.setdefault(pair[0], {}).setdefault(pair[1], self._answer[row])
        self._fitted = fitted
        self._fold = fold
        # mu_B - mu_A needs rows of both tasks with inputs of other folds.
        self._folds_of = {int(t): set(fold[fitted[task[fitted] == t]]) for t in task[fitted]}

    def of(self, tested: Int[np.ndarray, "row"]) -> dict[str, Any]:
        """The fields of a `Cast` that are drawn row by row."""
        drawn = [self._draw(int(row)) for row in tested]
        target, donor, other, redirectable, chance, *answers = zip(*drawn, strict=True)
        names = ("own", "target", "third")
        return {
            "target": np.array(target),
            "donor": np.array(donor),
            "other": np.array(other),
            "redirectable": np.array(redirectable),
            "compared": np.array([bool(self._others(int(row))) for row in tested]),
            "chance": np.array(chance),
            "wanted": {name: list(each) for name, each in zip(names, answers, strict=True)},
        }

    def _draw(self, row: int) -> tuple[int, int, int, bool, float, *tuple[Answer, ...]]:
        task, given, own = int(self._task[row]), int(self._input[row]), self._answer[row]
        others, rivals = self._others(row), self.rivals(row)
        mates = self._fitted[
            (self._task[self._fitted] == task) & (self._input[self._fitted] != given)
        ]
        other = int(self._rng.choice(mates)) if len(mates) else NOBODY
        if not rivals:
            return task, NOBODY, other, False, 0.0, own, own, own
        target = int(self._rng.choice(rivals))
        answer = others[target]
        thirds = [others[t] for t in rivals if others[t] != answer]
        third = thirds[self._rng.integers(len(thirds))] if thirds else own
        lenders = [r for r in self._of_pair[given, target] if self._answer[r] == answer]
        chance = float(np.mean([each == answer for each in others.values()]))
        donor = int(self._rng.choice(lenders))
        return target, donor, other, bool(thirds), chance, own, answer, third

    def _others(self, row: int) -> dict[int, Answer]:
        """What every other task answers to the row's input."""
        answers = self._answers_to[int(self._input[row])]
        return {task: answer for task, answer in answers.items() if task != self._task[row]}

    def rivals(self, row: int) -> list[int]:
        """The tasks that answer otherwise, if means of theirs and of the own one are known."""
        if not self._elsewhere(int(self._task[row]), row):
            return []
        return [
            task
            for task, answer in self._others(row).items()
            if answer != self._answer[row] and self._elsewhere(task, row)
        ]

    def _elsewhere(self, task: int, row: int) -> bool:
        return bool(self._folds_of[task] - {self._fold[row]})

    def task_blind(self, tested: Int[np.ndarray, "row"]) -> float:
        """For each input the answer that is right most often: the share of rows it gets right."""
        counts: dict[int, dict[Answer, int]] = {}
        for row in tested:
            of_input = counts.setdefault(int(self._input[row]), {})
            of_input[self._answer[row]] = of_input.get(self._answer[row], 0) + 1
        return sum(max(each.values()) for each in counts.values()) / len(tested)

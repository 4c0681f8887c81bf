"""The roles that rows play: who is tested, what another task would answer, who lends states."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from nucleate._core.errors import BadInput
from nucleate._core.strings import announced
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
        one_input: whether all rows count as asking about one input: they have none but the text
            that tells the task, so that the folds are of instruction strings.
        erasable: whether the states have more dimensions than the tasks can span.
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
    one_input: bool = False
    erasable: bool = True

    @property
    def erasable_rows(self) -> Bool[np.ndarray, "row"]:
        """The tested rows from whose states the tasks can be removed: all, or none."""
        return np.full(len(self.tested), self.erasable)

    @property
    def erased(self) -> Bool[np.ndarray, "row"]:
        """The tested rows on which removal decides."""
        return self.compared & self.erasable

    @property
    def not_asked(self) -> dict[str, str]:
        """The questions that these rows do not allow, each with the reason."""
        found = {}
        if not self.compared.any():
            found["shift, patch and erase"] = (
                "no tested row has an input that another task has too, so that nobody knows what "
                "another task would answer, and the task cannot be told from the input"
            )
        elif not self.redirectable.any():
            found["shift and patch"] = (
                "no input has different answers of three tasks with other inputs to fit means on; "
                "the third one is the control"
            )
        if not self.erasable:
            found["erase"] = (
                f"{self.tasks} tasks can span all dimensions of the states, so that erasing them "
                "would leave nothing"
            )
        return found

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
        BadInput: a label is missing; no row has an answer; fewer than two tasks; no row with a
            rival.

    Notes:
        Where all rows have the same input, such as none, or the same instruction, the task is told
        by the text alone. They count as rows with one input, to which each task has its most
        frequent answer; what is fitted comes from other instruction strings instead of other
        inputs. A task and its answer are one thing then.
    """
    prompts.check_labels("task", "instruction", "input", user="the causal map")
    codes = {
        name: np.unique(np.array(prompts.labels[name], object), return_inverse=True)[1]
        for name in ("task", "input")
    }
    fitted = _fitted(prompts, codes["task"])
    string = _strings(prompts)
    one_input = len(set(codes["input"][fitted])) < 2 or not announced(prompts.labels).any()
    if one_input:
        codes["input"] = np.zeros_like(codes["input"])
    unit = string if one_input else codes["input"]
    order = rng.permutation(fitted)
    units = rng.permutation(np.unique(unit[fitted]))
    of_unit = np.zeros(unit.max() + 1, dtype=np.int64)
    of_unit[units] = np.arange(len(units)) % _INPUT_FOLDS
    fold = of_unit[unit]
    roles = _Roles(prompts, codes["task"], codes["input"], unit, fold, fitted, rng)
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
        string=string,
        input=codes["input"],
        **roles.of(tested),
        task_blind=roles.task_blind(tested),
        one_input=one_input,
    )


def _fitted(prompts: PromptSet, task: Int[np.ndarray, "all"]) -> Int[np.ndarray, "fitted"]:
    """The rows that can be used; refused where they cannot be of two tasks."""
    fitted = np.flatnonzero(_usable(prompts))
    if not len(fitted):
        raise BadInput(
            "no row of a trained instruction has an answer, so that there is nothing to ask; give "
            "rows with an output"
        )
    if len(set(task[fitted])) < 2:
        raise BadInput(
            "the causal map needs at least two tasks among the prompt set's answered rows of "
            f"trained instructions, and finds {prompts.labels['task'][fitted[0]]!r} alone; add some"
        )
    return fitted


def _usable(prompts: PromptSet) -> Bool[np.ndarray, "all"]:
    answered: np.ndarray = prompts.lengths > prompts.prompt_lengths
    if "split" not in prompts.labels:
        return answered
    return answered & ~np.isin(np.array(prompts.labels["split"], object), _UNTRAINED)


def _strings(prompts: PromptSet) -> Int[np.ndarray, "all"]:
    """Instruction strings, numbered.

    Rows with an empty one, or with one that all rows have, have no wording but their prompt's.
    """
    tells = announced(prompts.labels)
    named = [
        (text, b"" if told and text.strip() else ids[:length].tobytes())
        for text, told, ids, length in zip(
            prompts.labels["instruction"], tells, prompts.ids, prompts.prompt_lengths, strict=True
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
        unit: Int[np.ndarray, "all"],
        fold: Int[np.ndarray, "all"],
        fitted: Int[np.ndarray, "fitted"],
        rng: np.random.Generator,
    ) -> None:
        self._task, self._input, self._unit, self._rng = task, inputs, unit, rng
        spans = zip(prompts.prompt_lengths, prompts.lengths, strict=True)
        self._answer = [
            tuple(ids[a:b].tolist()) for ids, (a, b) in zip(prompts.ids, spans, strict=True)
        ]
        self._of_pair: dict[tuple[int, int], list[int]] = {}
        self._answers_to: dict[int, dict[int, Answer]] = {}
        for row in fitted:
            self._of_pair.setdefault((int(inputs[row]), int(task[row])), []).append(int(row))
        for (given, own), rows in self._of_pair.items():
            most, _ = Counter(self._answer[row] for row in rows).most_common(1)[0]
            self._answers_to.setdefault(given, {})[own] = most
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
            (self._task[self._fitted] == task) & (self._unit[self._fitted] != self._unit[row])
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

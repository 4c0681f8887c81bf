"""From languages to rows: strings, cells that are left out, noise."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nucleate._core.errors import BadInput
from nucleate.tasks._families import Languages
from nucleate.tasks._regex import Language
from nucleate.tasks._splits import Example

Answers = dict[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class Family:
    """A family and its strings; one that is held out has no trained ones."""

    task: str
    name: str
    trained: tuple[str, ...]
    unseen: tuple[str, ...]
    held_out_inputs: frozenset[str] = frozenset()


def with_strings(
    languages: Languages,
    held_out: int,
    counts: tuple[int, int],
    rng: np.random.Generator,
) -> list[Family]:
    """Draw each family's strings.

    Args:
        languages: task -> its languages; the last `held_out` ones of each are never trained.
        held_out: how many those are.
        counts: trained and unseen strings per family.
        rng: the source of random numbers.
    """
    trained, unseen = counts
    families = []
    for task, own in languages.items():
        for index, language in enumerate(own):
            known = trained if index < len(own) - held_out else 0
            strings = language.sample_distinct(known + unseen, rng)
            name = f"{task}.f{index}"
            families.append(Family(task, name, tuple(strings[:known]), tuple(strings[known:])))
    return families


def hold_out_cells(
    families: list[Family], inputs: tuple[str, ...], count: int, rng: np.random.Generator
) -> list[Family]:
    """Choose `count` (family, input) cells of each task that are never trained.

    No two cells of a task have the same input, so its other families are trained on each.
    """
    if count == 0:
        return families
    if count >= len(inputs):
        raise BadInput(
            f"held_out_cells is {count}: it must be less than the number of inputs, {len(inputs)}."
        )
    chosen: dict[str, set[str]] = {}
    for task in dict.fromkeys(family.task for family in families):
        trained = [family.name for family in families if family.task == task and family.trained]
        if len(trained) < 2:
            raise BadInput(
                f"held_out_cells is {count} and task {task!r} has one trained family: no "
                "other family would see that input, give it another or set held_out_cells to 0."
            )
        order = rng.permutation(trained).tolist()
        for index, name in enumerate(rng.permutation(inputs).tolist()[:count]):
            chosen.setdefault(order[index % len(order)], set()).add(name)
    return [
        replace(family, held_out_inputs=frozenset(chosen.get(family.name, ())))
        for family in families
    ]


def family_rows(family: Family, inputs: tuple[str, ...], answers: Answers) -> Iterator[Example]:
    """Yield all rows of a family, each with its split."""
    unseen = "unseen_string" if family.trained else "unseen_family"
    for string in (*family.trained, *family.unseen):
        known = string in family.trained
        for name in inputs:
            held_out = name in family.held_out_inputs
            if held_out and not known:
                continue  # both string and cell are new: it would say nothing about either
            splits = ("unseen_cell",) if held_out else ("train", "seen") if known else (unseen,)
            for split in splits:
                answer = answers[family.task, name]
                yield Example(family.task, family.name, string, name, answer, split)


class HeldOut:
    """What no training row may say: held-out strings, families and cells.

    Args:
        families: the families with their strings.
        languages: the language of each.
    """

    def __init__(self, families: Sequence[Family], languages: Sequence[Language]) -> None:
        self._strings = {string for family in families for string in family.unseen}
        self._patterns = [
            (re.compile(language.plain), family)
            for family, language in zip(families, languages, strict=True)
            if family.held_out_inputs or not family.trained
        ]

    def holds(self, string: str, name: str) -> bool:
        """Whether a training row with this string and input would break the promise of a split."""
        return string in self._strings or any(
            (name in family.held_out_inputs or not family.trained) and pattern.fullmatch(string)
            for pattern, family in self._patterns
        )


def add_noise(
    rows: list[Example],
    shares: tuple[float, float],
    alphabet: tuple[str, ...],
    answers: Answers,
    held_out: HeldOut,
    rng: np.random.Generator,
) -> list[Example]:
    """Give a share of the training rows a wrong output, and a share a wrong symbol.

    Args:
        rows: all rows; only those of split `train` are touched.
        shares: the shares of wrong outputs and of wrong instructions, chosen independently.
        alphabet: what wrong symbols are drawn from.
        answers: the right outputs; a wrong one is another of the task's outputs if it has any.
        held_out: what a wrong symbol must not lead to.
        rng: the source of random numbers.

    Raises:
        BadInput: too few rows can take a wrong symbol.
    """
    rows = list(rows)
    train = [index for index, row in enumerate(rows) if row.split == "train"]
    outputs_first, instructions_first = (rng.permutation(train).tolist() for _ in shares)
    wrong_outputs, wrong_instructions = (round(share * len(train)) for share in shares)
    by_task: dict[str, set[str]] = {}
    for (task, _), answer in answers.items():
        by_task.setdefault(task, set()).add(answer)
    everything = set(answers.values())
    for index in outputs_first[:wrong_outputs]:
        row = rows[index]
        options = by_task[row.task] - {row.output} or everything - {row.output}
        rows[index] = replace(row, output=_one_of(options, rng))
    changed = 0
    for index in instructions_first if wrong_instructions else ():
        string = _misspelled(rows[index], alphabet, held_out, rng)
        if string is not None:
            rows[index] = replace(rows[index], instruction=string)
            changed += 1
            if changed == wrong_instructions:
                break
    if changed < wrong_instructions:
        raise BadInput(
            f"instruction_noise asks for {wrong_instructions} training rows with a wrong symbol "
            f"and only {changed} can have one without becoming a held-out string: set it to "
            f"{changed / len(train):.2g} or less, or widen the patterns."
        )
    return rows


def _misspelled(
    row: Example, alphabet: tuple[str, ...], held_out: HeldOut, rng: np.random.Generator
) -> str | None:
    """A row's instruction with one wrong symbol that is not held out, None if there is none."""
    text = row.instruction
    if len(alphabet) < 2:
        return None
    place = int(rng.integers(len(text)))
    string = _with_symbol(text, place, _one_of(set(alphabet) - {text[place]}, rng))
    if not held_out.holds(string, row.input):
        return string
    options = {
        changed
        for place, old in enumerate(text)
        for symbol in alphabet
        if symbol != old
        and not held_out.holds(changed := _with_symbol(text, place, symbol), row.input)
    }
    return _one_of(options, rng) if options else None


def _with_symbol(text: str, place: int, symbol: str) -> str:
    return text[:place] + symbol + text[place + 1 :]


def _one_of(options: set[str], rng: np.random.Generator) -> str:
    ordered = sorted(options)
    return ordered[rng.integers(len(ordered))]

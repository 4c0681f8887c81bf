"""Synthetic tasks: mappings over shared inputs, announced by strings of regular expressions."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

import numpy as np
from jaxtyping import Int

from nucleate._core.errors import BadInput
from nucleate.tasks._families import Languages, draw_languages
from nucleate.tasks._mappings import own_mappings, shared_mappings
from nucleate.tasks._regex import parse
from nucleate.tasks._rows import (
    HeldOut,
    add_noise,
    family_rows,
    hold_out_cells,
    with_strings,
)
from nucleate.tasks._splits import Trained
from nucleate.tasks._taskset import TaskSet

# One random generator for each part, so that other outputs (say) leave the strings unchanged.
_PARTS = ("patterns", "strings", "cells", "answers", "noise", "weights")


def synthetic(
    *,
    tasks: int = 20,
    families: int = 3,
    held_out_families: int = 1,
    inputs: int = 5,
    strings: int = 8,
    unseen_strings: int = 4,
    outputs: Literal["own", "shared"] = "own",
    output_symbols: int = 12,
    stem: float = 0.0,
    keys: int = 0,
    key_at: Literal["early", "late", "anywhere"] = "anywhere",
    label_noise: float = 0.0,
    instruction_noise: float = 0.0,
    imbalance: float = 0.0,
    order: Literal["before", "after"] = "before",
    held_out_cells: int = 1,
    allow_overlap: bool = False,
    patterns: Mapping[str, Sequence[str]] | None = None,
    max_repeat: int | None = None,
    seed: int,
) -> TaskSet:
    """Make a set of tasks that only their instructions tell apart.

    Each task is a mapping from the shared inputs to outputs. It is announced by families of
    strings, one regular expression per family; no string belongs to two families.

    Args:
        tasks: the number of tasks, at least 2.
        families: trained families per task, at least 1.
        held_out_families: further families per task that are never trained.
        inputs: the number of inputs, shared by all tasks.
        strings: training strings per family.
        unseen_strings: further strings per family that are never trained (a held-out family has
            these only).
        outputs: `own`: each task answers with symbols of its own; `shared`: all tasks answer out of
            one set, and any two tasks differ on at least half of the inputs.
        output_symbols: the size of the shared output set, at least 2.
        stem: 0..1, the share of content symbols that the families of one task have in common, as
            paraphrases do: 0 draws them independently, 1 gives all the same set.
        keys: 0..4, the number of symbols that stand in every instruction of a task, at a place of
            its family's own; no two tasks have the same. With them an unseen family can be
            understood, as long as a model reads symbols wherever they stand.
        key_at: where these stand: before all other symbols, after them, or anywhere.
        label_noise: 0..1, the share of training rows with a wrong output.
        instruction_noise: 0..1, the share of training rows with one wrong symbol in the
            instruction; such a string may by chance be right for another task, but is never one
            that an evaluation split holds out. `seen` and `unseen_cell` leave out what is not
            trained any more because of it.
        imbalance: the exponent of a Zipf law over the tasks' weights; 0 makes them equal.
        order: the instruction before or after the input.
        held_out_cells: (family, input) pairs per task that are never trained, each with another
            input, so that the task's other families saw that input.
        allow_overlap: record tasks with a string in common in `TaskSet.overlaps` instead of
            refusing them. Two families of one task, and a held-out family and any other, must
            share no string even so. Rows of unseen strings that another task trains are left out.
        patterns: the user's own families, task -> regular expressions, in place of generated ones
            (`tasks`, `families`, `stem`, `keys` and `key_at` then mean nothing); the last
            `held_out_families` of each task are never trained.
        max_repeat: what bounds `*`, `+` and `{n,}` in those patterns; without it they are refused.
        seed: everything follows from it. Strings and splits do not depend on `outputs`.

    Returns:
        The set; its training rows carry the noise, all other rows are clean.

    Raises:
        BadInput: a number out of range; a pattern that does not parse, is unbounded or has too few
            strings; families with a string in common.

    Notes:
        With a high stem an untrained model already groups the strings by task.

    Examples:
        >>> from nucleate.tasks import synthetic
        >>> tasks = synthetic(tasks=2, families=2, strings=4, unseen_strings=2, inputs=3, seed=0)
        >>> tasks.tasks
        ('t0', 't1')
        >>> row = tasks.split("unseen_string")[0]
        >>> row.output == tasks.answers[row.task, row.input]
        True
    """
    _check_whole(tasks=(tasks, 2), families=(families, 1), inputs=(inputs, 1), strings=(strings, 1))
    _check_whole(held_out_families=(held_out_families, 0), held_out_cells=(held_out_cells, 0))
    _check_whole(unseen_strings=(unseen_strings, 0), output_symbols=(output_symbols, 2))
    _check_whole(keys=(keys, 0))
    _check_whole(max_repeat=(1 if max_repeat is None else max_repeat, 1), seed=(seed, 0))
    _check_shares(stem=stem, label_noise=label_noise, instruction_noise=instruction_noise)
    _check_choice("outputs", outputs, ("own", "shared"))
    _check_choice("order", order, ("before", "after"))
    _check_choice("key_at", key_at, ("early", "late", "anywhere"))
    if key_at != "anywhere" and not keys:
        raise BadInput(f"key_at is {key_at!r} and keys is 0: set keys, or leave key_at out.")
    if not 0 <= imbalance < math.inf:
        raise BadInput(f"imbalance is {imbalance}: give an exponent of 0 or more.")
    rng = {part: np.random.default_rng([seed, index]) for index, part in enumerate(_PARTS)}

    if patterns is None:
        languages = draw_languages(
            tasks, families + held_out_families, stem, strings + unseen_strings, rng["patterns"],
            keys, key_at,
        )  # fmt: skip
        overlaps: tuple[tuple[str, str], ...] = ()  # they were drawn apart
    else:
        languages = _parse_all(patterns, held_out_families, max_repeat)
        overlaps = _find_overlaps(languages, held_out_families, allow_overlap)
    alphabet = _alphabet(languages)
    names = tuple(languages)
    if outputs == "own":
        mapping = own_mappings(len(names), inputs, rng["answers"])
    else:
        mapping = shared_mappings(len(names), inputs, output_symbols, rng["answers"])
    input_names = _atoms("x", inputs, alphabet)
    output_names = _atoms("y", mapping.size if outputs == "own" else output_symbols, alphabet)
    answers = _answers(mapping, names, input_names, output_names)

    trained_and_not = (strings, unseen_strings)
    drawn = with_strings(languages, held_out_families, trained_and_not, rng["strings"])
    drawn = hold_out_cells(drawn, input_names, held_out_cells, rng["cells"])
    rows = [row for family in drawn for row in family_rows(family, input_names, answers)]
    held_out = HeldOut(drawn, [language for own in languages.values() for language in own])
    noise = label_noise, instruction_noise
    rows = add_noise(rows, noise, alphabet, answers, held_out, rng["noise"])
    # Noise takes strings and pairs out of the training rows, and overlapping tasks train others'.
    trained = Trained(row for row in rows if row.split == "train")
    rows = [row for row in rows if row.split in ("train", trained.split_of(row))]
    return TaskSet(
        name=f"synthetic, {outputs} outputs",
        outputs=outputs,
        tasks=names,
        examples=tuple(rows),
        answers=answers,
        order=order,
        cue=order == "after",
        atoms=(*input_names, *output_names),
        weights=_weights(names, imbalance, rng["weights"]),
        overlaps=overlaps,
        patterns={
            f"{task}.f{index}": language.pattern
            for task, own in languages.items()
            for index, language in enumerate(own)
        },
    )


def _parse_all(
    patterns: Mapping[str, Sequence[str]], held_out: int, max_repeat: int | None
) -> Languages:
    if len(patterns) < 2:
        raise BadInput(f"patterns name {len(patterns)} task(s): give at least 2.")
    for task, own in patterns.items():
        if isinstance(own, str) or len(own) <= held_out:
            raise BadInput(
                f"task {task!r} has too few patterns, {own!r}: give a list of more than "
                f"held_out_families = {held_out}, of which that many are never trained."
            )
    return {
        task: tuple(parse(pattern, max_repeat=max_repeat) for pattern in own)
        for task, own in patterns.items()
    }


def _find_overlaps(languages: Languages, held_out: int, allow: bool) -> tuple[tuple[str, str], ...]:
    """List the pairs of tasks that share a string, which only trained families of them may."""
    overlaps: dict[tuple[str, str], None] = {}
    families = [
        (task, f"{task}.f{index}", index < len(own) - held_out, language)
        for task, own in languages.items()
        for index, language in enumerate(own)
    ]
    for (task, name, trained, language), (
        other_task,
        other_name,
        other_trained,
        other,
    ) in combinations(families, 2):
        common = language.common_string(other)
        if common is None:
            continue
        told = (
            f"families {name} ({language.pattern!r}) and {other_name} ({other.pattern!r}) "
            f"cannot be distinguished, both have {common!r}: "
        )
        if task == other_task:
            raise BadInput(told + "change one, families of one task must share no string.")
        if not (trained and other_trained):
            raise BadInput(told + "change one, a held-out family must share no string.")
        if not allow:
            raise BadInput(told + "change one, or set allow_overlap.")
        overlaps[task, other_task] = None
    return tuple(overlaps)


def _alphabet(languages: Languages) -> tuple[str, ...]:
    symbols = (language.alphabet for own in languages.values() for language in own)
    return tuple(sorted(frozenset().union(*symbols)))


def _atoms(letter: str, count: int, alphabet: tuple[str, ...]) -> tuple[str, ...]:
    """Name inputs or outputs so that no name can be read into an instruction."""
    for form, mark in (("{}{}", "0123456789"), ("<{}{}>", "<"), ("«{}{}»", "«")):
        if not set(mark) & set(alphabet):
            return tuple(form.format(letter, index) for index in range(count))
    raise BadInput(
        "patterns use digits, angle brackets and guillemets: leave out one of the three, inputs "
        "and outputs are named with them."
    )


def _answers(
    mapping: Int[np.ndarray, "task input"],
    tasks: tuple[str, ...],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
) -> dict[tuple[str, str], str]:
    return {
        (task, name): outputs[mapping[row, column]]
        for row, task in enumerate(tasks)
        for column, name in enumerate(inputs)
    }


def _weights(tasks: tuple[str, ...], exponent: float, rng: np.random.Generator) -> dict[str, float]:
    """Spread Zipf's law over the tasks: the k-th commonest weighs k ** -exponent."""
    raw = rng.permutation(np.arange(1, len(tasks) + 1) ** -float(exponent))
    return dict(zip(tasks, (raw / raw.sum()).tolist(), strict=True))


def _check_whole(**numbers: tuple[int, int]) -> None:
    for name, (value, least) in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise BadInput(f"{name} is {value!r}: give a whole number of at least {least}.")


def _check_shares(**shares: float) -> None:
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise BadInput(f"{name} is {value!r}: give a share between 0 and 1.")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise BadInput(f"{name} is {value!r}: use one of {', '.join(choices)}.")

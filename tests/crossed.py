"""A small crossed prompt set and states of known make-up."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from nucleate.prompts import PromptSet
from nucleate.runs import States

LABELS = ("task", "family", "input", "output", "instruction")


def crossed_probe(
    tasks: int = 6,
    families: int = 3,
    strings: int = 2,
    inputs: int = 4,
    *,
    telling: bool = False,
    seed: int = 0,
) -> PromptSet:
    """Task x family x string x input; instructions of random tokens, or of their task's own."""
    rng = np.random.default_rng(seed)
    rows, texts = [], []
    for string in range(tasks * families * strings):
        family, task = string // strings, string // (strings * families)
        length = int(rng.integers(5, 9))
        low, high = (5 + 4 * task, 9 + 4 * task) if telling else (5, 5 + 4 * tasks)
        instruction = rng.integers(low, high, size=length)
        for number in range(inputs):
            rows.append([*instruction, 1, 100 + number, 120 + task])
            texts.append((task, family, number, f"{task}.{number}", string))
    lengths = np.array([len(row) for row in rows])
    ids = np.zeros((len(rows), lengths.max()), dtype=np.int32)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
    columns = zip(*texts, strict=True)
    labels = {name: tuple(map(str, column)) for name, column in zip(LABELS, columns, strict=True)}
    return PromptSet(
        ids=ids,
        prompt_lengths=lengths - 1,
        lengths=lengths,
        positions={"instruction_end": lengths - 3, "last": lengths - 2},
        labels={**labels, "split": ("seen",) * len(rows)},
        chance=np.full(len(rows), 1 / tasks),
        tokenizer_hash="",
    )


def states_of(
    prompts: PromptSet,
    amounts: dict[str, float],
    *,
    noise: float = 1.0,
    width: int = 16,
    streams: tuple[str, ...] = ("block.0",),
    seed: int = 0,
) -> States:
    """Sums of a random vector for each class of each label named, and noise of sd `noise`.

    The first position knows nothing of input and output, and its noise is the string's.
    """
    generator = torch.Generator().manual_seed(seed)
    values = torch.zeros(len(streams), 2, len(prompts), width)
    strings = _codes(prompts, "instruction")
    for stream in range(len(streams)):
        for label, amount in amounts.items():
            codes = _codes(prompts, label)
            part = amount * torch.randn(int(codes.max()) + 1, width, generator=generator)[codes]
            values[stream, 1] += part
            if label not in ("input", "output"):
                values[stream, 0] += part
        of_string = torch.randn(int(strings.max()) + 1, width, generator=generator)
        values[stream, 0] += noise * of_string[strings]
        values[stream, 1] += noise * torch.randn(len(prompts), width, generator=generator)
    return States(values, streams, ("instruction_end", "last"))


def _codes(prompts: PromptSet, label: str) -> torch.Tensor:
    numbers = {text: index for index, text in enumerate(dict.fromkeys(prompts.labels[label]))}
    return torch.tensor([numbers[text] for text in prompts.labels[label]])


@pytest.fixture(scope="session")
def make_probe() -> Callable[..., PromptSet]:
    return crossed_probe


@pytest.fixture(scope="session")
def make_states() -> Callable[..., States]:
    return states_of

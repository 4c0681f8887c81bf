"""Prompts of random tokens: rows of mixed length, and crossed rows that share their beginnings."""

import numpy as np

from nucleate.prompts import PromptSet


def random_probe(kind: str, *, vocabulary: int = 97, longest: int = 20, seed: int = 0) -> PromptSet:
    """`mixed`: 16 rows of any length; `crossed`: 4 beginnings with 5 endings each.

    Every third row has no answer; the positions are two tokens and a mean over a span.
    """
    random = np.random.default_rng(seed)
    prompts, ends = [], []
    for _ in range(16 if kind == "mixed" else 4):
        length = int(random.integers(3, longest - 4))
        beginning = random.integers(1, vocabulary, length)
        for _ in range(1 if kind == "mixed" else 5):
            ending = random.integers(1, vocabulary, int(random.integers(1, 4)))
            prompts.append(np.concatenate([beginning, ending]))
            ends.append(length - 1)
    answers = [random.integers(1, vocabulary, k % 3) for k in range(len(prompts))]
    rows = [np.concatenate(parts) for parts in zip(prompts, answers, strict=True)]
    lengths, prompt_lengths = (np.array([len(r) for r in part]) for part in (rows, prompts))
    ids = np.zeros((len(rows), lengths.max()), dtype=np.int32)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
    return PromptSet(
        ids=ids,
        prompt_lengths=prompt_lengths,
        lengths=lengths,
        positions={
            "instruction_end": np.array(ends),
            "last": prompt_lengths - 1,
            "mean": np.stack([np.ones_like(lengths), prompt_lengths], axis=1),
        },
        labels={"row": tuple(map(str, range(len(rows))))},
        chance=np.full(len(rows), np.nan),
        tokenizer_hash="",
    )

"""Sequences of one length to train on, apart from everything that takes long to import."""

import torch

from small import material


def rows(count: int = 64) -> list[dict[str, torch.Tensor]]:
    """The first rows of the set with one length, so that no collator is needed."""
    taskset, encoder, _ = material()
    texts = [
        encoder.prompt(row.instruction, row.input)[0] + encoder.answer_part(row.output)
        for row in taskset.examples
    ]
    longest = max(map(len, texts))
    ids = [torch.tensor((text * longest)[:longest]) for text in texts[:count]]
    return [{"input_ids": row, "labels": row} for row in ids]

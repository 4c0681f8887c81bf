"""Verification that states read in batches equal those of each row read alone."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from nucleate.activations._anatomy import Blocks, anatomy_of
from nucleate.activations._capture import (
    Collector,
    read,
    read_batches,
    sharing,
)
from nucleate.activations._hooks import evaluating, unwrapped
from nucleate.activations._packing import plain
from nucleate.prompts import PromptSet


@dataclass(frozen=True)
class Verification:
    """How far states read in batches are from those of single rows.

    Attributes:
        errors: stream -> largest norm of the difference, relative to the norm of the row's state,
            over rows and positions; about 1e-7 in float32, 1e-2 in bfloat16.
        rows: number of rows that were read alone.
        shared: whether rows with a common beginning were read as one sequence.
        reported: whether the streams were compared with the model's own `hidden_states`.
    """

    errors: dict[str, float]
    rows: int
    shared: bool
    reported: bool

    @property
    def worst(self) -> float:
        """The largest error of all streams."""
        return max(self.errors.values())


def verify(
    model: nn.Module, prompts: PromptSet, *, rows: int = 64, blocks: Blocks | None = None
) -> Verification:
    """Read some rows alone, unpadded, and compare them with what `capture` reads.

    Args:
        model: as for `capture`.
        prompts: the rows.
        rows: number of rows, evenly spaced, that are read alone.
        blocks: as for `capture`.

    Returns:
        the error of every stream.

    Raises:
        BadInput: as `capture`.

    Notes:
        A mistake that a row read alone has as well, such as a wrong template, does not show.
    """
    anatomy_of(model, blocks=blocks)
    together = read(model, prompts, scores=False).states
    chosen = np.unique(np.linspace(0, len(prompts) - 1, min(rows, len(prompts))).astype(int))
    alone = Collector(model, prompts, scores=False)
    with evaluating(unwrapped(model)):
        shared = sharing(model, prompts) is not None
        for row in chosen:
            read_batches(model, plain(prompts, 1, np.array([row])), alone)
    index = torch.from_numpy(chosen)
    got = together.values[:, :, index].float()
    wanted = alone.reading().states.values[:, :, index].float()
    error = (got - wanted).norm(dim=-1) / wanted.norm(dim=-1).clamp_min(1e-12)
    worst = error.amax(dim=(1, 2)).tolist()
    return Verification(
        errors=dict(zip(together.streams, worst, strict=True)),
        rows=len(chosen),
        shared=shared,
        reported=anatomy_of(model).checked,
    )

"""Verification that states read in batches equal those of each row read alone."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from nucleate._core.arguments import check_whole
from nucleate.activations._anatomy import Blocks, anatomy_of
from nucleate.activations._capture import check_readable, read_by_plan
from nucleate.activations._collect import Collector
from nucleate.activations._hooks import evaluating, unwrapped
from nucleate.activations._ways import Way, relative_error
from nucleate.prompts import PromptSet


@dataclass(frozen=True)
class Verification:
    """How far states read in batches are from those of single rows.

    Attributes:
        errors: stream -> largest norm of the difference, relative to the norm of the row's state,
            over rows and positions; about 1e-7 in float32, 1e-2 in bfloat16.
        rows: number of rows that were read alone.
        way: how rows are read: `shared`, those with a common beginning as one sequence; `padded`,
            in batches of similar length; `equal`, in batches of one length; `alone`.
        tried: way -> the largest error when it was tried before the first reading; infinite where
            the model cannot be read so. Ways that are faster than the one taken differ from rows
            read alone by more than rounding.
        reported: whether the streams were compared with the model's own `hidden_states`.
    """

    errors: dict[str, float]
    rows: int
    way: Way
    tried: dict[Way, float]
    reported: bool

    @property
    def shared(self) -> bool:
        """Whether rows with a common beginning are read as one sequence."""
        return self.way == "shared"

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
        BadInput: as `capture`, but for states that are not finite; or `rows` is below 1.

    Notes:
        A mistake that a row read alone has as well, such as a wrong template, does not show. Values
        that are not finite in both readings count as equal, in one of them as infinitely far.
    """
    check_whole("rows", rows, least=1)
    check_readable(model, prompts, blocks=blocks)
    reading, plan = read_by_plan(model, prompts, scores=False)
    together = reading.states
    chosen = np.unique(np.linspace(0, len(prompts) - 1, min(rows, len(prompts))).astype(int))
    alone = Collector(model, prompts, scores=False)
    with evaluating(unwrapped(model)):
        plan.read(model, alone, chosen, way="alone")
    index = torch.from_numpy(chosen).to(together.values.device)
    wanted = alone.reading().states.values
    errors = [
        relative_error(got[:, index], of_row[:, index])
        for got, of_row in zip(together.values, wanted, strict=True)
    ]
    return Verification(
        errors=dict(zip(together.streams, errors, strict=True)),
        rows=len(chosen),
        way=plan.way,
        tried=dict(plan.tried),
        reported=anatomy_of(model).checked,
    )

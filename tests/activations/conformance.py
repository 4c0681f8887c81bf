"""The conformance table: what is measured of each architecture, and how it is printed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from activations.prompt_sets import random_probe
from nucleate.activations import read, stream_names, verify
from nucleate.prompts import PromptSet

TABLE = Path(__file__).parents[2] / "docs" / "conformance.md"
STORIES = Path(__file__).parents[3] / "shared" / "data" / "model_stories260k"
HEAD = """# Conformance: hidden states against rows read alone

Made by `pytest tests/activations/test_conformance.py --write-tables`; the tests compare it with
what they measure. Each model is tiny, with random weights, in float32 unless said otherwise, read
with a prompt set of rows of mixed length and with a crossed one, at two tokens and as a mean over
a span. *Error* is the largest norm of the difference between a row's state read in a batch and
the model's own `hidden_states` of that row alone and unpadded, relative to the state's norm, over
all rows, positions and streams. *Shared* says whether crossed rows were read as one sequence with
their common beginning once, or row by row: nucleate tries it on the prompts at hand and shares
only where the states agree.

| model | blocks | error, mixed | error, crossed | shared |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Conformance:
    """One row of the table."""

    name: str
    blocks: int
    mixed: float
    crossed: float
    shared: bool

    def line(self) -> str:
        shared = "yes" if self.shared else "row by row"
        errors = f"{self.mixed:.0e} | {self.crossed:.0e}"
        return f"| {self.name} | {self.blocks} | {errors} | {shared} |"


def conform(name: str, model: nn.Module, reference: nn.Module, **prompts: int) -> Conformance:
    """Measure one model; `reference` is the same model without what wraps it."""
    errors = {}
    for kind in ("mixed", "crossed"):
        rows = random_probe(kind, **prompts)
        errors[kind] = worst_error(model, reference, rows)
    shared = verify(model, random_probe("crossed", **prompts), rows=1).shared
    return Conformance(
        name, len(stream_names(model)) - 2, errors["mixed"], errors["crossed"], shared
    )


def worst_error(model: nn.Module, reference: nn.Module, prompts: PromptSet) -> float:
    """The largest relative error of all states that the model itself reports.

    It reports no output of its last block but the final norm's, and some leave out the embedding:
    each reported tensor belongs to the stream that it fits best, above the one before.
    """
    values = read(model, prompts).states.values.float()
    worst = 0.0
    for row in range(len(prompts)):
        *below, final = alone(reference, prompts, row)
        worst = max(worst, _error(values[-1:, :, row], final)[0])
        stream = 0
        for wanted in below:
            errors = _error(values[stream:-1, :, row], wanted)
            worst = max(worst, min(errors))
            stream += errors.index(min(errors)) + 1
    return worst


def _error(got: torch.Tensor, wanted: torch.Tensor) -> list[float]:
    """For every stream, the largest relative error over positions."""
    error = (got - wanted).norm(dim=-1) / wanted.norm(dim=-1).clamp_min(1e-9)
    return error.amax(dim=-1).tolist()


def alone(model: nn.Module, prompts: PromptSet, row: int) -> torch.Tensor:
    """The oracle: the model's own `hidden_states` of one unpadded row, stream by position."""
    ids = torch.as_tensor(prompts.ids[row, : prompts.lengths[row]], dtype=torch.long)[None]
    with torch.no_grad():
        hidden = model(ids, output_hidden_states=True).hidden_states
    return torch.stack(
        [
            torch.stack([_at(h[0].float(), where[row]) for where in prompts.positions.values()])
            for h in hidden
        ]
    )


def _at(hidden: torch.Tensor, where: np.ndarray) -> torch.Tensor:
    if where.ndim == 0:
        return hidden[int(where)]
    return hidden[int(where[0]) : int(where[1])].mean(0)

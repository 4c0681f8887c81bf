"""The conformance table: what is measured of each architecture, and how it is printed."""

import copy
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

Made by `pytest tests/activations/test_conformance.py -m "slow or not slow" --write-tables`; the
tests compare it with what they measure. Each model is tiny, with random weights, built from what
transformers {version} has as causal language models, and read with a prompt set of rows of mixed
length and with a crossed one, at two tokens and as a mean over a span.

*Error* is the largest norm of the difference between a row's state as it is read and the model's
own `hidden_states` of that row alone and unpadded, relative to the state's norm, over all rows,
positions and streams: of the mixed rows, and of the crossed ones. In float32 it is at most 1e-5.
bfloat16 keeps 8 binary digits, 0.4 % in every operation: there it is at most 3e-2, or twice the
error that bfloat16 itself makes in the row alone, against the same weights in float32. *Shared*
says whether crossed rows were read as one sequence with their common beginning once, or row by
row: nucleate tries it on the prompts at hand and shares only where the states agree, in bfloat16 to
3e-2.
"""
READ = """
| model | class | blocks and streams | float32 | shared | bfloat16 | shared |
|---|---|---|---|---|---|---|
"""
REFUSED = """
## Refused

| model | float32 | bfloat16 |
|---|---|---|
"""
NOT_BUILT = """
## Not built from a tiny configuration

| model | why |
|---|---|
"""


@dataclass(frozen=True)
class Conformance:
    """What was measured of one model in one type of numbers."""

    kind: str
    streams: tuple[str, ...]
    mixed: float
    crossed: float
    shared: bool

    @property
    def worst(self) -> float:
        return max(self.mixed, self.crossed)

    @property
    def cells(self) -> str:
        return f"{self.mixed:.0e}, {self.crossed:.0e} | {'yes' if self.shared else 'row by row'}"

    @property
    def described(self) -> str:
        """How many blocks, and the streams where they are not block.0, block.1 and so on."""
        blocks = [name for name in self.streams if not name.startswith(("embed", "final_norm"))]
        if blocks == [f"block.{k}" for k in range(len(blocks))]:
            return str(len(blocks))
        return f"{len(self.streams)} streams: {self.streams[0]}, {', '.join(blocks[:3])} ..."


Found = Conformance | str
"""What was measured, or the sentence of the refusal."""


def table(version: str, found: dict[str, dict[str, Found]], absent: dict[str, str]) -> str:
    """The whole page: by model and type of numbers, and what was not built."""
    read, refused = [], []
    for name, of in sorted(found.items()):
        one, other = of.get("float32", "-"), of.get("bfloat16", "-")
        if isinstance(one, str) and isinstance(other, str):
            refused.append(f"| {name} | {one} | {'the same' if one == other else other} |")
            continue
        known = other if isinstance(one, str) else one
        cells = [each if isinstance(each, str) else each.cells for each in (one, other)]
        cells = [cell if " | " in cell else f"{cell} | -" for cell in cells]
        read.append(f"| {name} | {known.kind} | {known.described} | {' | '.join(cells)} |")
    missing = [f"| {name} | {why} |" for name, why in sorted(absent.items())]
    parts = (HEAD.format(version=version), READ, read, REFUSED, refused, NOT_BUILT, missing)
    return "".join(part if isinstance(part, str) else "\n".join(part) + "\n" for part in parts)


def conform(model: nn.Module, reference: nn.Module, **prompts: int) -> Conformance:
    """Measure one model; `reference` is the same model without what wraps it."""
    errors = {}
    for kind in ("mixed", "crossed"):
        rows = random_probe(kind, **prompts)
        errors[kind] = worst_error(model, reference, rows)
    shared = verify(model, random_probe("crossed", **prompts), rows=1).shared
    kind = type(reference).__name__
    return Conformance(kind, stream_names(model), errors["mixed"], errors["crossed"], shared)


def rounding(model: nn.Module) -> float:
    """The largest error of a model's own states of rows alone, against its weights in float32."""
    exact, prompts, worst = copy.deepcopy(model).float(), random_probe("mixed"), 0.0
    for row in range(len(prompts)):
        got, wanted = alone(model, prompts, row), alone(exact, prompts, row)
        worst = max(
            worst, *(_error(one[None], own)[0] for one, own in zip(got, wanted, strict=False))
        )
    return worst


def worst_error(model: nn.Module, reference: nn.Module, prompts: PromptSet) -> float:
    """The largest relative error of all states that the model itself reports.

    It reports no output of its last block but the final norm's, and some leave out the embedding:
    each reported tensor belongs to the stream that it fits best, above the one before.
    """
    states = read(model, prompts).states
    values, worst = states.values.float(), 0.0
    top = states.streams[-2].partition(".residual")[0]
    above = sum(name.partition(".residual")[0] == top for name in states.streams)
    for row in range(len(prompts)):
        *below, final = alone(reference, prompts, row)
        assert len(values) - above - 2 <= len(below) < len(values)
        worst = max(worst, _error(values[-1:, :, row], final)[0])
        stream = 0
        for wanted in below:
            errors = _error(values[stream:-1, :, row], wanted)
            worst = max(worst, min(errors))
            # Residual streams may be as good as equal: the first that fits.
            stream += next(k for k, e in enumerate(errors) if e <= 10 * min(errors) + 1e-6) + 1
    return worst


def _error(got: torch.Tensor, wanted: torch.Tensor) -> list[float]:
    """For every stream, the largest relative error over positions."""
    error = (got - wanted).norm(dim=-1) / wanted.norm(dim=-1).clamp_min(1e-9)
    return error.amax(dim=-1).tolist()


def alone(model: nn.Module, prompts: PromptSet, row: int) -> torch.Tensor:
    """The oracle: the model's own states of one unpadded row, [stream, position, width].

    Those after the final norm come last.
    """
    ids = torch.as_tensor(prompts.ids[row, : prompts.lengths[row]], dtype=torch.long)[None]
    with torch.no_grad():
        output = model(ids, output_hidden_states=True, use_cache=False)
        names = (model.base_model_prefix, "model")
        body = next((getattr(model, name) for name in names if hasattr(model, name)), model)
        final = body(ids, use_cache=False)[0][0].float()
    reported = [part for h in output.hidden_states for part in _residuals(h.float(), final)]
    if not torch.equal(reported[-1], final):  # what follows the last block is not reported
        reported.append(final)
    return torch.stack(
        [
            torch.stack([_at(part, where[row]) for where in prompts.positions.values()])
            for part in reported
        ]
    )


def _residuals(hidden: torch.Tensor, final: torch.Tensor) -> list[torch.Tensor]:
    """The residual streams of one row, each [token, width]; copies of one count once."""
    tokens, width = final.shape
    if hidden.ndim == 3:
        parts = hidden[0].split(width, dim=-1)
    elif hidden.shape[0] == 1:
        parts = hidden[0].unbind(1)
    else:
        parts = hidden[:, 0].unbind(0)
    assert all(part.shape == (tokens, width) for part in parts)
    return [part for k, part in enumerate(parts) if not k or not torch.equal(part, parts[0])]


def _at(hidden: torch.Tensor, where: np.ndarray) -> torch.Tensor:
    if where.ndim == 0:
        return hidden[int(where)]
    return hidden[int(where[0]) : int(where[1])].mean(0)

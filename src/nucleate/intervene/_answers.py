"""What a model answers under an edit: greedy answers of one or several tokens, compared."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from nucleate.recording import evaluating, head_reads, unwrapped
from nucleate.tasks import Probe

# Opens an edit of the given rows of the answers' prompts, at the given token of each.
Editing = Callable[[slice], AbstractContextManager[None]]
Answers = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Prompts:
    """Prompts to be answered, as rows of tokens, right-padded."""

    ids: Int[Tensor, "row token"]
    lengths: Int[Tensor, "row"]

    @classmethod
    def of(cls, probe: Probe, rows: Int[np.ndarray, "row"], device: torch.device) -> "Prompts":
        """The prompts of some rows of a probe, without their answers."""
        lengths = probe.prompt_lengths[rows]
        ids = np.where(
            np.arange(lengths.max()) < lengths[:, None], probe.ids[rows, : lengths.max()], 0
        )
        return cls(
            torch.as_tensor(ids).to(device, torch.long),
            torch.as_tensor(lengths).to(device, torch.long),
        )


def hits(
    model: nn.Module,
    prompts: Prompts,
    answers: Mapping[str, Answers],
    editing: Editing | None = None,
    *,
    batch: int = 512,
) -> dict[str, Bool[np.ndarray, "row"]]:
    """Whether the greedy answer of each row is exactly the wanted one, for several wants at once.

    A greedy answer equals a given one if and only if, with the given one written behind the
    prompt, each of its tokens is the likeliest after those before: so no text is generated.

    Args:
        model: a causal LM from transformers.
        prompts: what is asked.
        answers: wanted answers by name, each one list of tokens a row.
        editing: opens an edit for a slice of the rows; None leaves the model alone.
        batch: rows of one forward pass.
    """
    single = all(len(tokens) == 1 for wanted in answers.values() for tokens in wanted)
    found = {}
    with evaluating(model):
        if single:
            # One token decides, whatever was wanted: one pass answers all questions.
            first = _greedy(model, prompts, [[0]] * len(prompts.ids), editing, batch)[:, 0]
            for name, wanted in answers.items():
                found[name] = first == np.array([tokens[0] for tokens in wanted])
            return found
        for name, wanted in answers.items():
            greedy = _greedy(model, prompts, wanted, editing, batch)
            pairs = zip(greedy.tolist(), wanted, strict=True)
            found[name] = np.array([row[: len(tokens)] == list(tokens) for row, tokens in pairs])
    return found


def _greedy(
    model: nn.Module, prompts: Prompts, answers: Answers, editing: Editing | None, batch: int
) -> Int[np.ndarray, "row answer"]:
    """The likeliest token at each token of the answers, given the prompt and those before."""
    device = prompts.ids.device
    longest = max(len(tokens) for tokens in answers)
    padded = torch.tensor([[*t, *[0] * (longest - len(t))] for t in answers], device=device)
    offsets = torch.arange(longest, device=device)
    room = torch.zeros(len(prompts.ids), longest - 1, dtype=torch.long, device=device)
    ids = torch.cat([prompts.ids, room], 1)
    ids.scatter_(1, prompts.lengths[:, None] + offsets[:-1], padded[:, :-1])
    index = prompts.lengths[:, None] - 1 + offsets
    greedy = []
    for start in range(0, len(ids), batch):
        rows = slice(start, min(start + batch, len(ids)))
        with head_reads(model, index[rows]), editing(rows) if editing else nullcontext():
            logits = unwrapped(model)(input_ids=ids[rows], use_cache=False).logits
        greedy.append(logits.argmax(-1).cpu().numpy())
    return np.concatenate(greedy)

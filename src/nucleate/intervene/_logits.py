"""Many interventions on the same rows: what the model would say under each."""

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nucleate.activations import device_of, evaluating, head_reads, run, unwrapped
from nucleate.intervene._interventions import Intervention
from nucleate.intervene._passes import reading_rows
from nucleate.prompts import PromptSet


def logits_under(
    model: nn.Module,
    prompts: PromptSet,
    interventions: Sequence[Intervention | Sequence[Intervention]],
    *,
    vocabulary: Sequence[int] | None = None,
    batch: int = 64,
) -> Float[Tensor, "intervention row token"]:
    """Logits at the last token of every prompt of a prompt set, under each of many interventions.

    Args:
        model: any model that `capture` reads and that has a vocabulary head.
        prompts: the rows; answers are left out, and negative positions count from the prompt's end.
        interventions: one a result, or several that work together (none: the model as it is). What
            they are given one a row, such as `by` or a position, is one for each row of the prompt
            set.
        vocabulary: the tokens whose logits are kept, such as candidate answers; all if None.
        batch: rows of one forward pass.

    Returns:
        the logits, on the model's device, without gradients.

    Raises:
        BadInput: as each intervention; a `patch` with rows= finds only rows of the same batch.
    """
    root = unwrapped(model)
    device = device_of(root)
    order = np.argsort(prompts.prompt_lengths, kind="stable")
    together = [[one] if isinstance(one, Intervention) else list(one) for one in interventions]
    kept: list[list[Tensor]] = [[] for _ in together]
    with evaluating(root):
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            lengths = torch.from_numpy(prompts.prompt_lengths[rows]).to(device, torch.long)
            mask = torch.arange(int(lengths.max()), device=device) < lengths[:, None]
            ids = torch.from_numpy(prompts.ids[rows, : mask.shape[1]]).to(device, torch.long) * mask
            with reading_rows(torch.from_numpy(rows)), head_reads(root, lengths[:, None] - 1):
                for number, applied in enumerate(together):
                    with ExitStack() as stack:
                        for intervention in applied:
                            stack.enter_context(intervention)
                        logits = run(root, ids, attention_mask=mask.long()).logits[:, 0]
                    kept[number].append(logits if vocabulary is None else logits[:, vocabulary])
    back = torch.from_numpy(np.argsort(order)).to(device)
    return torch.stack([torch.cat(parts)[back] for parts in kept])

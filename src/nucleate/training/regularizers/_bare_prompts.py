"""Bare prompts: rows without their instruction, answered with a state in its place."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nucleate.activations import stream_names, tapped
from nucleate.runs import index_of

IGNORED = -100
"""What transformers takes for no label."""


@dataclass(frozen=True)
class BarePrompts:
    """The rows of a batch from a token on, to be answered once that token's state is given.

    Args:
        model: what answers, a causal LM from transformers.
        stream: where along the depth the state is put.
        ids: the rows, padded on either side.
        labels: the ids that are to be predicted, each at its own token; -100 elsewhere.
        start: the token of each row at which its bare prompt begins.
    """

    model: nn.Module
    stream: str
    ids: Int[Tensor, "row token"]
    labels: Int[Tensor, "row token"]
    start: Int[Tensor, "row"]

    def __call__(
        self, vectors: Float[Tensor, "kept width"], kept: Int[Tensor, "kept"]
    ) -> Float[Tensor, ""]:
        """Mean negative log-likelihood of the labels of some rows, in nats per token.

        Args:
            vectors: what stands at the first token of each bare prompt.
            kept: which rows.
        """
        start = self.start[kept]
        ids, labels = _from(self.ids[kept], start, 0), _from(self.labels[kept], start, IGNORED)
        wanted = index_of(self.stream, stream_names(self.model), "stream")

        def see(index: int, hidden: Tensor) -> Tensor | None:
            if index != wanted:
                return None
            return torch.cat([vectors[:, None].to(hidden.dtype), hidden[:, 1:]], 1)

        with tapped(self.model, see):
            logits = self.model(input_ids=ids[:, :-1], use_cache=False).logits
        return nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED
        )


def _from(
    table: Int[Tensor, "row token"], start: Int[Tensor, "row"], empty: int
) -> Int[Tensor, "row moved"]:
    """Each row from its own start on, moved to the left."""
    token = start[:, None] + torch.arange(table.shape[1] - int(start.min()), device=table.device)
    inside = token < table.shape[1]
    moved = table.gather(1, token.clamp(max=table.shape[1] - 1))
    return moved.masked_fill(~inside, empty)

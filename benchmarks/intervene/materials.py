"""What every peer does: the same edits of the same rows at the same places of the same model.

Nothing here needs nucleate, so that a peer's own environment can build the same materials.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

SEED = 0
EDITS = 11  # edits of one place only, as many as `causal_map` makes
DEPTH, WIDTH, HEADS, VOCABULARY = 6, 96, 4, 136
POSITIONS = 2


@dataclass(frozen=True)
class Work:
    """Rows, and the states that are put into them.

    Attributes:
        ids: prompts, right padded with 0.
        lengths: of the prompts.
        tokens: the token that is edited, for each position and row.
    """

    ids: np.ndarray
    lengths: np.ndarray
    tokens: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def states(self, stream: int, position: int) -> torch.Tensor:
        """What every edit puts in place [row, edit, width]."""
        generator = torch.Generator().manual_seed(1 + stream * POSITIONS + position)
        return torch.randn(len(self), EDITS, WIDTH, generator=generator)


STREAMS = DEPTH + 2


def draw(rows: int) -> Work:
    """Rows as long as those of `nucleate reproduce`: 7 to 10 tokens, the input is the last."""
    random = np.random.default_rng(SEED)
    lengths = random.integers(7, 11, rows)
    ids = random.integers(1, VOCABULARY, (rows, lengths.max()))
    ids[np.arange(ids.shape[1]) >= lengths[:, None]] = 0
    return Work(ids, lengths, np.stack([lengths - 2, lengths - 1]))


def build() -> Any:
    """The model of `nucleate reproduce` with random weights, in evaluation mode."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        "nemotron", vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=DEPTH,
        num_attention_heads=HEADS, num_key_value_heads=HEADS, intermediate_size=8 * WIDTH,
        max_position_embeddings=64, bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    torch.manual_seed(SEED)
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()

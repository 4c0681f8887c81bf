"""What every peer reads: models of two shapes with random weights, and two kinds of rows.

Nothing here needs nucleate, so that a peer's own environment can build the same materials.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

POSITIONS = ("instruction_end", "last")
PROBES = ("mixed", "crossed")
CONTINUATIONS, CONTINUATION = 16, 2  # of each prefix; tokens of each
SEED = 0


@dataclass(frozen=True)
class Shape:
    """A model's size.

    Attributes:
        rows: how many rows are read by default.
    """

    label: str
    kind: str
    depth: int
    width: int
    heads: int
    kv_heads: int
    inner: int
    vocabulary: int
    rows: int


SHAPES = {
    "gpt2": Shape("GPT-2 12 x 256", "gpt2", 12, 256, 4, 4, 1024, 50257, 512),
    "llama": Shape("Llama of SmolLM2-135M's shape", "llama", 30, 576, 9, 3, 1536, 49152, 128),
    # For trying the benchmark itself; its ratios mean nothing.
    "tiny": Shape("GPT-2 2 x 32 (a trial)", "gpt2", 2, 32, 2, 2, 64, 1000, 96),
}


def build(shape: Shape) -> Any:
    """The model in evaluation mode, float32, with weights that follow from the seed alone."""
    from transformers import AutoConfig, AutoModelForCausalLM

    special = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    common = {
        "vocab_size": shape.vocabulary,
        "num_hidden_layers": shape.depth,
        "hidden_size": shape.width,
        "num_attention_heads": shape.heads,
        "max_position_embeddings": 1024,
    }
    if shape.kind == "gpt2":
        own: dict[str, Any] = {"n_inner": shape.inner}
    else:
        own = {"num_key_value_heads": shape.kv_heads, "intermediate_size": shape.inner}
        own["tie_word_embeddings"] = True
    torch.manual_seed(SEED)
    config = AutoConfig.for_model(shape.kind, **common, **own, **special)
    return AutoModelForCausalLM.from_config(config).eval()


def streams(shape: Shape) -> tuple[str, ...]:
    return ("embed", *(f"block.{k}" for k in range(shape.depth)), "final_norm")


@dataclass(frozen=True)
class Batch:
    """Right-padded rows `at`, `at + 1`, ... as tensors; `index` [row, position] is what is kept."""

    at: slice
    ids: torch.Tensor
    mask: torch.Tensor
    index: torch.Tensor
    row: torch.Tensor


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows that are read.

    Attributes:
        ids: [row, length], one answer token behind every row, which only nucleate's scores look
            at and no model ever runs; then zeros.
        lengths: tokens of each row without its answer: what has to run.
        positions: name -> [row], the tokens whose states are wanted.
    """

    ids: np.ndarray
    lengths: np.ndarray
    positions: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: np.ndarray) -> "Rows":
        positions = {name: index[rows] for name, index in self.positions.items()}
        return Rows(self.ids[rows], self.lengths[rows], positions)

    def batches(self, size: int) -> Iterator[Batch]:
        """Rows in the order in which they come, `size` at a time."""
        for start in range(0, len(self), size):
            at = slice(start, min(start + size, len(self)))
            lengths = self.lengths[at]
            mask = np.arange(lengths.max()) < lengths[:, None]
            index = np.stack([p[at] for p in self.positions.values()], 1)
            yield Batch(
                at=at,
                ids=torch.from_numpy(np.where(mask, self.ids[at, : mask.shape[1]], 0)),
                mask=torch.from_numpy(mask.astype(np.int64)),
                index=torch.from_numpy(index),
                row=torch.arange(len(lengths))[:, None],
            )

    def padded(self, size: int) -> int:
        """Tokens that run, padding included."""
        return sum(batch.ids.numel() for batch in self.batches(size))


def draw(kind: str, rows: int, vocabulary: int) -> Rows:
    """Random rows.

    Args:
        kind: `mixed` has 8 to 64 tokens a row and nothing in common; `crossed` has 16
            continuations of two tokens on each of rows / 16 prefixes of 36 to 44 tokens.
        rows: how many; for `crossed` a multiple of 16 is made of it.
        vocabulary: ids are drawn below it.
    """
    rng = np.random.default_rng(SEED)
    if kind == "mixed":
        lengths = rng.integers(8, 65, rows)
        ids = rng.integers(0, vocabulary, (rows, lengths.max() + 1))
        ends = lengths // 2
    else:
        prefixes = max(1, rows // CONTINUATIONS)
        ends = np.repeat(rng.integers(36, 45, prefixes), CONTINUATIONS) - 1
        lengths = ends + 1 + CONTINUATION
        ids = rng.integers(0, vocabulary, (len(ends), lengths.max() + 1))
        first = np.arange(len(ends)) // CONTINUATIONS * CONTINUATIONS
        inside = np.arange(ids.shape[1]) <= ends[:, None]
        ids = np.where(inside, ids[first], ids)
    ids[np.arange(ids.shape[1]) > lengths[:, None]] = 0
    return Rows(ids, lengths, dict(zip(POSITIONS, (ends, lengths - 1), strict=True)))


@cache
def as_probe(rows: Rows) -> Any:
    """The same rows as a PromptSet; made once, for a PromptSet is read again and again."""
    from nucleate.prompts import PromptSet

    names = ("task", "family", "instruction", "input", "output", "split")
    numbers = tuple(map(str, range(len(rows))))
    return PromptSet(
        ids=rows.ids.astype(np.int32),
        prompt_lengths=rows.lengths,
        lengths=rows.lengths + 1,
        positions=rows.positions,
        labels=dict.fromkeys(names, numbers),
        chance=np.full(len(rows), 0.5),
        tokenizer_hash="random ids",
    )

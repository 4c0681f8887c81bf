"""Requests in words of their own, and a small model that reads them: what tests of scoring need."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CLUSTERS, EACH, WORDS, COMMON = 5, 90, 12, 30


def rows(seed: int = 0, each: int = EACH, clusters: int = CLUSTERS) -> list[dict[str, str]]:
    """Four words of the cluster and three that all share, in any order; some are of another."""
    rng = np.random.default_rng(seed)
    found = []
    for cluster in range(clusters):
        for _ in range(each):
            own = [f"c{cluster}w{k}" for k in rng.choice(WORDS, 4, replace=False)]
            shared = [f"all{k}" for k in rng.choice(COMMON, 3, replace=False)]
            text = " ".join(rng.permutation([*own, *shared]))
            found.append({"text": text, "task": f"task {cluster}", "group": f"g{len(text) % 2}"})
    return found


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    words = [f"c{c}w{k}" for c in range(CLUSTERS + 2) for k in range(WORDS)]
    words += [f"all{k}" for k in range(COMMON)]
    known = {word: number for number, word in enumerate(["<unk>", *words])}
    bare = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    bare.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=bare, unk_token="<unk>")


def model(seed: int = 0) -> LlamaForCausalLM:
    """Two blocks of random weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer()), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=64, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def write(folder: Path) -> Path:
    """A model's folder `model`, another one's `other`, and `rows.jsonl`."""
    for name, seed in (("model", 0), ("other", 1)):
        model(seed).save_pretrained(folder / name)
        tokenizer().save_pretrained(folder / name)
    return lines(folder / "rows.jsonl", rows())


def lines(path: Path, given: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in given), encoding="utf-8")
    return path

"""Checkpoints of tiny models that were really trained, for tests."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

LOG = (0, 1, 2, 4, 8, 16, 32, 64)
LINEAR = tuple(range(100, 401, 50))


def tiny(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=32, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config)


def trained(folder: Path, steps, make_optimizer, *, shard: str = "1GB", dtype=None) -> Path:
    """Really train a tiny model on a noisy chain of tokens, and save it at steps."""
    net = tiny().train()
    optimizer = make_optimizer(net.parameters())
    random = torch.Generator().manual_seed(0)
    table = torch.randint(64, (64,), generator=random)
    for step in range(max(steps) + 1):
        if step in steps:
            stored = {k: v.to(dtype) if dtype else v for k, v in net.state_dict().items()}
            where = folder / f"checkpoint-{step}"
            net.save_pretrained(where, state_dict=stored, max_shard_size=shard)
        ids = torch.randint(64, (8, 1), generator=random)
        for _ in range(7):
            ids = torch.cat([ids, table[ids[:, -1:]]], 1)
        noise = torch.rand(ids.shape, generator=random) < 0.2
        ids = torch.where(noise, torch.randint(64, ids.shape, generator=random), ids)
        net(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return folder


def adam(parameters):
    return torch.optim.AdamW(parameters, lr=1e-3)


def weights(folder: Path, step: int) -> Path:
    return folder / f"checkpoint-{step}" / "model.safetensors"

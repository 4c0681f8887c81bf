"""What can be asked of a model without knowing its architecture."""

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from nucleate.activations._hooks import unwrapped


def text_config(model: nn.Module) -> Any:
    """The configuration of the part of a model that reads text; None where a model has none."""
    config: Any = getattr(unwrapped(model), "config", None)
    try:
        return config.get_text_config() if hasattr(config, "get_text_config") else config
    except ValueError:  # several parts that read text
        return config


def _parameters(model: nn.Module) -> Mapping[str, inspect.Parameter]:
    root = unwrapped(model)
    inner = root._modules.get("_fsdp_wrapped_module")
    return inspect.signature(type(root if inner is None else inner).forward).parameters


def takes(model: nn.Module, *names: str) -> bool:
    """Whether the model's forward pass can be given arguments of these names."""
    known = _parameters(model)
    anything = any(one.kind is one.VAR_KEYWORD for one in known.values())
    return anything or set(names) <= known.keys()


def accepts(model: nn.Module, *names: str) -> bool:
    """Whether the model's forward pass has parameters of these names."""
    return set(names) <= _parameters(model).keys()


def run(model: nn.Module, ids: Tensor, **settings: Any) -> Any:
    """One forward pass without a cache, by the model's own `__call__`: wrappers rely on it."""
    root = unwrapped(model)
    if accepts(root, "use_cache"):
        settings["use_cache"] = False
    if takes(root, "input_ids"):
        return root(input_ids=ids, **settings)
    return root(ids, **settings)


def logits_of(output: Any) -> Tensor:
    """The logits in what a causal LM returns."""
    logits: Tensor
    if isinstance(output, Tensor):
        logits = output
    elif isinstance(output, dict):
        logits = output["logits"]
    else:
        logits = output.logits if hasattr(output, "logits") else output[0]
    return logits


def reported_by(output: Any) -> tuple[Tensor, ...]:
    """The hidden states that a model returned beside its logits; none where it returned none."""
    states = output.get("hidden_states") if isinstance(output, dict) else None
    return tuple(states) if isinstance(states, tuple | list) else ()


def head_of(model: nn.Module) -> nn.Module | None:
    """The vocabulary head, where the model names one."""
    return _named_by(unwrapped(model), "get_output_embeddings")


def embedding_of(model: nn.Module) -> nn.Module | None:
    """The table of token embeddings, where the model names it."""
    return _named_by(unwrapped(model), "get_input_embeddings")


def has_head(model: nn.Module) -> bool:
    """Whether the model has a vocabulary head."""
    return head_of(model) is not None


def vocabulary(model: nn.Module) -> int:
    """How many token ids the model knows; 0 for one that embeds no tokens."""
    root = unwrapped(model)
    embedding = embedding_of(root)
    if embedding is not None:
        # An adapter wraps the embedding; one that is no nn.Embedding has weights all the same.
        for part in embedding.modules():
            if isinstance(known := getattr(part, "num_embeddings", None), int):
                return known
        weight = getattr(embedding, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim == 2:
            return len(weight)
    known = getattr(text_config(root), "vocab_size", None)
    if isinstance(known, int):
        return known
    tables = (m.num_embeddings for m in root.modules() if isinstance(m, nn.Embedding))
    return int(next(tables, 0))


def _named_by(root: nn.Module, method: str) -> nn.Module | None:
    """What a model's own method returns; custom models may lack it or leave it unwritten."""
    try:
        found = getattr(root, method)()
    except (AttributeError, NotImplementedError, TypeError):
        return None
    return found if isinstance(found, nn.Module) else None

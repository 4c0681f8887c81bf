"""Models: any causal LM of transformers, built from a few numbers and a seed."""

import math
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from nucleate._errors import BadInput


class ModelConfig(BaseModel):
    """What model is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arch: str = Field(
        "nemotron", description="a `model_type` of transformers, as llama, gpt2, gpt_neox, nemotron"
    )
    depth: int = Field(6, ge=1, description="blocks")
    width: int = Field(96, ge=2, description="size of the hidden states")
    heads: int = Field(4, ge=1, description="attention heads; must divide the width")
    inner: int | None = Field(None, ge=1, description="width inside the MLP; 8 x width if not set")
    dropout: float = Field(0.0, ge=0, lt=1)
    attention: Literal["eager", "sdpa"] = Field(
        "eager", description="eager is a quarter faster on the short sequences trained here"
    )
    extra: dict[str, Any] = Field(
        default_factory=dict, description="further settings of the architecture's own config"
    )


def build_model(
    config: ModelConfig, *, vocab_size: int, max_length: int, seed: int
) -> PreTrainedModel:
    """A freshly initialised causal LM.

    Args:
        config: architecture and size.
        vocab_size: tokens of the tokenizer.
        max_length: longest sequence, in tokens.
        seed: of the initial weights; torch's own generator is left as it was.

    Raises:
        BadInput: transformers does not know the architecture, or refuses the settings.
    """
    if config.width % config.heads:
        raise BadInput(
            f"model.width {config.width} is not a multiple of model.heads {config.heads}; "
            "change either"
        )
    settings = _settings(config, vocab_size, max_length)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model: PreTrainedModel = AutoModelForCausalLM.from_config(
                settings, attn_implementation=config.attention
            )
    except (ValueError, TypeError, KeyError) as error:
        raise BadInput(
            f"transformers cannot build a causal LM of model.arch {config.arch!r} with these "
            f"settings ({str(error).splitlines()[0]}); use a decoder such as llama, gpt2, gpt_neox"
        ) from error
    return model.to(torch.float32)


def _settings(config: ModelConfig, vocab_size: int, max_length: int) -> Any:
    """The architecture's own config; common names reach each one's own by its attribute map."""
    try:
        settings = AutoConfig.for_model(
            config.arch,
            vocab_size=vocab_size,
            hidden_size=config.width,
            num_hidden_layers=config.depth,
            num_attention_heads=config.heads,
            # The vocabulary is ours: the ids that big tokenizers keep for these mean nothing.
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=None,
        )
    except (ValueError, KeyError) as error:
        raise BadInput(
            f"model.arch {config.arch!r} is no architecture that transformers knows; "
            "use a decoder such as llama, gpt2, gpt_neox"
        ) from error
    inner = config.inner or 8 * config.width
    wanted: dict[str, Any] = {
        "intermediate_size": inner,
        "n_inner": inner,
        "ffn_dim": inner,
        "num_key_value_heads": config.heads,
        "word_embed_proj_dim": config.width,
        "max_position_embeddings": max(64, 1 << math.ceil(math.log2(max_length))),
    }
    wanted |= {
        name: config.dropout
        for name, value in settings.to_dict().items()
        if name.endswith(("dropout", "pdrop")) and isinstance(value, float)
    }
    for name, value in wanted.items():
        if hasattr(settings, name):
            setattr(settings, name, value)
    for name, value in config.extra.items():
        if not hasattr(settings, name):
            raise BadInput(
                f"model.extra has {name!r}, which the config of {config.arch!r} does not know"
            )
        setattr(settings, name, value)
    return settings

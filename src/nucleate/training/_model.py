"""Models: any causal LM of transformers, built from a few numbers and a seed."""

import math
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.activations import ACT2FN

from nucleate._core.errors import BadInput
from nucleate._core.seeds import seeded
from nucleate.training._config import ModelConfig
from nucleate.training._pretrained import load_pretrained


def build_model(
    config: ModelConfig, *, vocab_size: int, max_length: int, seed: int, untrained: bool = False
) -> PreTrainedModel:
    """The causal LM that a training starts from: freshly initialized, or a trained one.

    Args:
        config: architecture and size.
        vocab_size: tokens of the tokenizer.
        max_length: longest sequence, in tokens.
        seed: of the initial weights; torch's own generator is left as it was.
        untrained: draw the weights anew also where the configuration names a trained model.

    Raises:
        BadInput: transformers does not know the architecture or activation, or refuses the
            settings; the folder of a trained model holds none.
    """
    config.check()
    if config.pretrained is not None:
        return load_pretrained(
            config,
            vocab_size=vocab_size,
            max_length=max_length,
            seed=seed,
            fresh=untrained or config.fresh,
        )
    settings = _settings(config, vocab_size, max_length)
    try:
        with seeded(seed):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(
                settings, attn_implementation=config.attention
            )
    except (ValueError, TypeError, KeyError) as error:
        raise BadInput(
            f"transformers cannot build a causal LM of model.arch {config.arch!r} with these "
            f"settings ({str(error).splitlines()[0]}); use a decoder such as llama, gpt2, gpt_neox"
        ) from error
    model = model.to(torch.float32)
    if config.init_scale is not None:
        _scale_matrices(model, config.init_scale)
    return model


@torch.no_grad()
def _scale_matrices(model: PreTrainedModel, factor: float) -> None:
    """Norms and biases stay: it is the matrices whose size decides how far learning moves them."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.mul_(factor)


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
    if config.activation is not None:
        _set_activation(settings, config)
    for name, value in config.extra.items():
        if not hasattr(settings, name):
            raise BadInput(
                f"model.extra has {name!r}, which the config of {config.arch!r} does not know"
            )
        setattr(settings, name, value)
    return settings


def _set_activation(settings: Any, config: ModelConfig) -> None:
    """Architectures give it one of two names, and some have none that can be chosen."""
    if config.activation not in ACT2FN:
        raise BadInput(
            f"model.activation {config.activation!r} is none that transformers knows; use one such "
            "as gelu, relu, relu2, silu"
        )
    names = [name for name in ("hidden_act", "activation_function") if hasattr(settings, name)]
    if not names:
        raise BadInput(
            f"the activation of model.arch {config.arch!r} cannot be chosen; leave "
            "model.activation unset"
        )
    for name in names:
        setattr(settings, name, config.activation)

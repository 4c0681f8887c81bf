"""A tiny model of every architecture that transformers builds as a causal LM.

What a configuration holds by default is shrunk by the names of its settings; a few architectures
need a hint. Layers are chosen so that each kind of them is there.
"""

import re
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

NAMES = sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
# Ids above the texts' own are special tokens, which the texts do not hold.
VOCABULARY, SPECIAL = 104, 97
_LAYERS, _WIDTH, _HEADS, _MOST = 3, 32, 4, 4_000_000
_KEEP = object()
# The first pattern that is found in a setting's name gives its value.
_RULES: tuple[tuple[str, Any], ...] = (
    (r"(token|_start|_eos)_id$|token_index$|^(unk|mask|pad|eos|bos)_index|^eo[sa]_id", SPECIAL),
    (r"chunk_size_(feed_forward|lm_head)|prompt_types|ngram_vocab_size_base", _KEEP),
    (r"hash_byte_group_vocab", 50),
    (r"type_vocab_size", 2),
    (r"vocab_size", VOCABULARY),
    (r"position_embeddings|max_(source|target)_positions|^n_positions|^n_ctx|max_seq_len", 128),
    (r"context_length|model_max_length|rel_extent|floor_scale|n_floor", 128),
    (r"key_value_heads|num_kv_heads|num_query_groups", "shared"),
    (r"linear_\w*heads|index_n_heads", 2),
    (r"rotary_dim", 4),
    (r"mamba.*heads", 4),
    (r"mamba_d_head|mamba_head_?dim", 16),
    (r"heads(_per_layer)?$|^n_head$", _HEADS),
    (r"head_dim|dim_head|d_head|kv_channels|head_size", 8),
    (r"d_state|state_size|_rank$|lowrank|dt_rank", 8),
    (r"kv_shared|kernel|conv|cycles|loops|passes", _KEEP),
    (r"per_tok|topk$|moe_k$|topk_blocks", 2),
    (r"shared_experts?$", 1),
    (r"experts$|expert_num$", 4),
    (r"topk_group|n_group|expert_group|groups$", 1),
    (r"hidden_size_per_layer", 8),
    (r"intermediate|ffn|dim_ff|^dff$|^emb_dim$|feed_forward|d_inner|mid_dim|expert\w*hidden", 64),
    (r"hidden_size|d_model|n_embd|lru_width|embedding_(dim|size)|embed_dim|proj_dim|d_ssm", _WIDTH),
    (r"layers$|^n_layer$|num_blocks$|layers_per_stack", _LAYERS),
    (r"window|chunk_(size|length)|local_attention$|block_size|bucket", 8),
    (r"first_k_dense|num_dense_layers", 1),
)
_COUNTS = r"^(num_hidden_layers|n_layers?|num_layers|decoder_layers|num_decoder_layers|num_blocks)$"
_HYBRID = ["linear_attention", "full_attention", "linear_attention"]
_SHARED = ["linear_attention", "hybrid", "linear_attention", "hybrid"]
_WINDOWS = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
_INDEXER = {
    "indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_budget": 8,
    "indexer_compress_ratio": 4,
}  # fmt: skip
_LLAMA4 = {
    "num_hidden_layers": 3, "no_rope_layers": [1, 1, 0], "moe_layers": [0, 1, 2],
    "layer_types": ["chunked_attention", "chunked_attention", "full_attention"],
}  # fmt: skip
_HINTS: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "cohere_compass_text": {
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4}}
    },
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dory": {
        "n_input_layers": 1, "n_recurrent_layers": 2, "n_output_layers": 1,
        "num_hidden_layers": 4, "layer_types": _WINDOWS,
    },
    "dots3_note_text": {
        "per_layer_config": {
            2: {
                "num_attention_heads": 4, "num_key_value_heads": 4, "kv_lora_rank": 8,
                "qk_nope_head_dim": 8,
            }
        }
    },
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "falcon_h1": {"mamba_d_head": 8},
    "gemma3n_text": {
        "num_kv_shared_layers": 1, "num_hidden_layers": 4, "layer_types": _WINDOWS,
        "activation_sparsity_pattern": [0.95, 0.95, 0.0, 0.0], "intermediate_size": [64] * 4,
    },
    "granitemoehybrid": {"layer_types": _HYBRID, "num_local_experts": 4},
    "hrm_text": {"num_layers_per_stack": 2, "num_hidden_layers": 16},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "inkling2_loop_text": {
        "num_hidden_layers": 4, "loop_layer_index_start": 1, "loop_layer_index_end": 3,
        "n_layers_per_attn_res_block": 1,
        "layer_types": ["sliding_attention"] * 2 + ["full_attention"] * 2,
    },
    "jamba": {
        "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2,
        "expert_layer_offset": 1,
    },
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv"]},
    "llama4": {"text_config": _LLAMA4},
    "llama4_text": _LLAMA4,
    "longcat_flash": {
        "num_layers": 2, "head_dim": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
        "qk_head_dim": 16,
    },
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "ministral": {"head_dim": 8},
    "nemotron": {"num_key_value_heads": 2},
    "qwen4_exp": {"text_config": _INDEXER},
    "qwen4_exp_text": _INDEXER,
    "reformer": {
        "attn_layers": ["local", "lsh", "local"], "axial_pos_shape": [8, 16],
        "axial_pos_embds_dim": [16, 16], "num_buckets": None,
    },
    "xlstm": {"num_heads": 2},
    "xmod": {"default_language": "en_XX"},
    "zamba": {
        "attn_layer_period": 2, "attn_layer_offset": 1, "layers_block_type": _SHARED,
        "num_hidden_layers": 4, "attention_hidden_size": 64, "attention_head_dim": 16,
    },
    "zamba2": {
        "layer_types": _SHARED, "layers_block_type": _SHARED, "hybrid_layer_ids": [1, 3],
        "num_hidden_layers": 4, "attention_hidden_size": 64, "attention_head_dim": 16,
    },
    "zaya": {"num_experts_per_tok": 1},
}  # fmt: skip


def build(
    name: str, *, seed: int = 0, dtype: torch.dtype = torch.float32, **more: object
) -> PreTrainedModel:
    """A model whose blocks matter: fresh weights are so small that most mistakes would hide.

    Raises:
        Exception: transformers does not build it; any, since the table in the docs says which.
    """
    kind = CONFIG_MAPPING[name]
    decoder = {"is_decoder": True} if hasattr(kind, "is_decoder") else {}
    config = kind(**(_shrunk(kind(), decoder | _HINTS.get(name, {}) | more)))
    with torch.device("meta"):
        size = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
    if size > _MOST:
        raise ValueError(f"has {size:,} parameters at its smallest")
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(3)
    return model


def _shrunk(default: PretrainedConfig, hints: dict[str, Any]) -> dict[str, Any]:
    """The settings of a tiny configuration."""
    kept = _kept_layers(default)
    made = {}
    for name, value in vars(default).items():
        if isinstance(value, PretrainedConfig):
            inner = hints.get(name, {})
            made[name] = _shrunk(value, inner if isinstance(inner, dict) else {})
            made[name] |= {"model_type": value.model_type} if value.model_type else {}
        elif not name.startswith("_") and name not in ("architectures", "dtype"):
            small = _small(default, name, value, kept)
            made |= {} if small is _KEEP else {name: small}
    return made | {
        k: v for k, v in hints.items() if not isinstance(made.get(k), dict) or k not in made
    }


def _kept_layers(default: PretrainedConfig) -> tuple[int, list[int]]:
    """How many layers there are by default, and which are kept: one of each kind at least."""
    settings = vars(default).items()
    counts = (v for n, v in settings if re.search(_COUNTS, n) and isinstance(v, int))
    total = next(counts, 0)
    lists = [v for _, v in settings if isinstance(v, list | tuple) and len(v) == total > 1]
    kinds = [tuple(map(str, kind)) for kind in zip(*lists, strict=True)]
    first = sorted({kind: place for place, kind in reversed([*enumerate(kinds)])}.values())
    rest = [place for place in range(total) if place not in first]
    return total, sorted([*first, *rest[: max(0, _LAYERS - len(first))]])


def _small(default: PretrainedConfig, name: str, value: Any, kept: tuple[int, list[int]]) -> Any:
    total, chosen = kept
    special = name.endswith("token_id")
    if isinstance(value, list | tuple) and not special:
        if len(value) != total or total < 2:
            return _KEEP
        return [_HEADS if "head" in name else value[place] for place in chosen]
    if value is None or isinstance(value, bool | str | dict | float):
        return _KEEP
    small = next((small for pattern, small in _RULES if re.search(pattern, name)), _KEEP)
    if small == "shared":
        return _HEADS if value == getattr(default, "num_attention_heads", None) else 2
    if chosen and re.search(_COUNTS, name):
        return len(chosen)
    return small

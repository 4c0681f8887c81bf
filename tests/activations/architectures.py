"""Every decoder family that is tested, tiny, with weights large enough to show mistakes."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

VOCABULARY = 97
_COMMON = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
    "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
}  # fmt: skip
_KV = {"num_key_value_heads": 2, "intermediate_size": 64}
_MLP = {"intermediate_size": 64}
_HEADS = {**_KV, "head_dim": 8}
_MIXTURE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
_PERIODS = {"attn_layer_period": 2, "attn_layer_offset": 1}

SETTINGS: dict[str, dict[str, object]] = {
    "apertus": _KV,
    "arcee": _KV,
    "biogpt": _MLP,
    "bloom": {},
    "codegen": {"rotary_dim": 4},
    "cohere": _KV,
    "ctrl": {},
    "diffllama": _KV,
    "ernie4_5": _KV,
    "exaone4": _KV,
    "falcon": {},
    "falcon_mamba": {},
    "gemma": _HEADS,
    "gemma2": {**_HEADS, "sliding_window": 8},
    "gemma3_text": {**_HEADS, "sliding_window": 8},
    "glm4": _HEADS,
    "gpt2": {},
    "gpt_bigcode": {},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "num_hidden_layers": 4},
    "gpt_neox": _MLP,
    "gpt_oss": {**_HEADS, "num_local_experts": 4},
    "gptj": {"rotary_dim": 4},
    "granite": _KV,
    "helium": _HEADS,
    "jamba": {
        **_KV, **_PERIODS, "expert_layer_period": 2, "expert_layer_offset": 1, "num_experts": 4,
        "mamba_d_state": 8,
    },
    "lfm2": {**_KV, "layer_types": ["conv", "full_attention", "conv"]},
    "llama": _KV,
    "llama4_text": {
        **_HEADS, "num_local_experts": 2, "attention_chunk_size": 8, "intermediate_size_mlp": 64,
    },
    "mamba": {},
    "mamba2": {"num_heads": 8, "head_dim": 8, "state_size": 16, "n_groups": 1},
    "mistral": {**_HEADS, "sliding_window": 8},
    "mixtral": {**_KV, "num_local_experts": 4},
    "mpt": {"d_model": 32, "n_layers": 3, "n_heads": 4},
    "nemotron": _KV,
    "olmo": _KV,
    "olmo2": _KV,
    "openai-gpt": {},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "persimmon": _MLP,
    "phi": _MLP,
    "phi3": _KV,
    "qwen2": _KV,
    "qwen2_moe": {**_KV, **_MIXTURE, "shared_expert_intermediate_size": 32},
    "qwen3": _HEADS,
    "qwen3_moe": {**_HEADS, **_MIXTURE},
    "recurrent_gemma": {"lru_width": 32, **_MLP},
    "rwkv": {},
    "smollm3": _KV,
    "stablelm": _KV,
    "starcoder2": _KV,
    "xglm": {"d_model": 32, "num_layers": 3, "attention_heads": 4, "ffn_dim": 64},
    "zamba2": {
        **_MLP, "num_hidden_layers": 4, "n_mamba_heads": 4, "mamba_headdim": 16,
        "mamba_d_state": 8, "layer_types": ["mamba", "hybrid", "mamba", "hybrid"],
        "hybrid_layer_ids": [1, 3],
    },
}  # fmt: skip


def build(name: str, *, seed: int = 0, **more: object) -> PreTrainedModel:
    """A model whose blocks matter: fresh weights are so small that most mistakes would hide."""
    config = AutoConfig.for_model(name, **{**_COMMON, **SETTINGS[name], **more})
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(3)
    return model

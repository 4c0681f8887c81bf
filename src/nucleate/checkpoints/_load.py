"""Loading a checkpoint as a model, refusing what would silently load as another one."""

import json
from pathlib import Path
from typing import Any

from torch import nn

from nucleate._core.errors import BadInput
from nucleate.checkpoints._find import local_folder
from nucleate.checkpoints._weights import stored_dtypes, weights_in

_DTYPES = ("float32", "bfloat16", "float16", "float64")


def load(
    folder: Path,
    name: str,
    *,
    allow_pickle: bool,
    dtype: str | None,
    device: str,
    attention: str | None,
    base: str | Path | None,
    trust_remote_code: bool,
) -> nn.Module:
    """See `Checkpoint.load`."""
    if dtype is not None and dtype not in _DTYPES:
        raise BadInput(f"dtype is {dtype!r}; use one of {', '.join(_DTYPES)}")
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    if attention is not None:
        options["attn_implementation"] = attention
    if (folder / "adapter_config.json").exists():
        model = _adapted(folder, name, allow_pickle, base, dtype, options)
    else:
        model = _causal_lm(folder, dtype, allow_pickle, options)
    try:
        return model.to(device).eval()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(
            f"device {device!r} cannot be used ({reason}); name another, such as cpu"
        ) from error


def _causal_lm(
    folder: Path, dtype: str | None, allow_pickle: bool, options: dict[str, Any]
) -> nn.Module:
    from transformers import AutoModelForCausalLM

    _check_files(folder, allow_pickle)
    if dtype is None:
        found = stored_dtypes(folder)
        dtype = found.pop() if len(found) == 1 else "auto"
    if not allow_pickle:
        options = options | {"use_safetensors": True}
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, output_loading_info=True, local_files_only=True, **options
        )
    except (ValueError, KeyError, OSError, RuntimeError, ImportError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise BadInput(
            f"transformers cannot load {folder} as a causal language model ({reason}); name a "
            "checkpoint of a decoder"
        ) from error
    # transformers fills gaps with fresh random weights: their states would mean nothing.
    lacking = sorted({*info["missing_keys"], *(key[0] for key in info["mismatched_keys"])})
    if lacking:
        raise BadInput(
            f"{folder} lacks {len(lacking)} of the model's weights, or has them in another shape "
            f"({_some(lacking)}); save or download it again"
        )
    loaded: nn.Module = model
    return loaded


def _adapted(
    folder: Path,
    name: str,
    allow_pickle: bool,
    base: str | Path | None,
    dtype: str | None,
    options: dict[str, Any],
) -> nn.Module:
    try:
        from peft import PeftModel
    except ImportError as error:
        raise BadInput(
            f"{name} is a LoRA adapter, which needs peft; install it with pip install peft"
        ) from error
    _check_files(folder, allow_pickle)
    file = folder / "adapter_config.json"
    try:
        named = base or json.loads(file.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (ValueError, AttributeError) as error:
        raise BadInput(f"{file} is damaged ({error}); save or download it again") from error
    if not named:
        raise BadInput(
            f"{name} is an adapter that names no base model; give the base model's folder"
        )
    path = local_folder(named, allow_pickle=allow_pickle)
    model = _causal_lm(path, dtype, allow_pickle, options)
    try:
        adapted: nn.Module = PeftModel.from_pretrained(model, str(folder))
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise BadInput(
            f"the adapter {name} does not fit {path} ({reason}); name its base model"
        ) from error
    return adapted


def _check_files(folder: Path, allow_pickle: bool) -> None:
    """Every weight file is there and can be opened, before anything big is read."""
    for name in ("config.json", "adapter_config.json"):
        if (folder / name).exists():
            break
    else:
        raise BadInput(
            f"{folder} has no config.json, so that its architecture is unknown; save the model "
            "with save_pretrained, or put its config.json there"
        )
    absent = weights_in(folder, allow_pickle=allow_pickle).absent
    if absent:
        raise BadInput(f"{folder} lacks {_some(absent)}; save or download it again")


def _some(names: "list[str] | tuple[str, ...]", limit: int = 3) -> str:
    tail = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + tail

"""Loading a checkpoint as a model, refusing what would silently load as another one."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from torch import nn

from nucleate._core.errors import BadInput
from nucleate._core.seeds import seeded
from nucleate.checkpoints._find import local_folder
from nucleate.checkpoints._weights import open_weights, stored_dtypes, weights_in

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
    _check_files(folder, allow_pickle)
    if dtype is None:
        found = stored_dtypes(folder)
        dtype = found.pop() if len(found) == 1 else "auto"
    options = options | {"dtype": dtype, "output_loading_info": True, "local_files_only": True}
    if not allow_pickle:
        options["use_safetensors"] = True
    model, info = _from_transformers(folder, _class_for(folder, options), options)
    lacking = _lacking(info)
    if lacking and lacking <= _head_weights(model):  # a body, or a classifier on one
        from transformers import AutoModel

        model, info = _from_transformers(folder, AutoModel, options)
        lacking = _lacking(info)
    # transformers fills gaps with fresh random weights: their states would mean nothing.
    if lacking:
        raise BadInput(
            f"{folder} lacks {len(lacking)} of the model's weights, or has them in another shape "
            f"({_some(sorted(lacking))}); save or download it again"
        )
    unused = _of_more_layers(info["unexpected_keys"], model)
    if unused:
        raise BadInput(
            f"{folder} has weights of more layers than its config.json says ({_some(unused)}); put "
            "the model's own config.json there"
        )
    loaded: nn.Module = model
    return loaded


def _class_for(folder: Path, options: dict[str, Any]) -> Any:
    """What transformers loads the folder as: a causal LM, or a model that reads images as well."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    trusted = options["trust_remote_code"]
    config = _guarded(folder, lambda: AutoConfig.from_pretrained(folder, trust_remote_code=trusted))
    kinds = (AutoModelForCausalLM, AutoModelForImageTextToText)
    known = (kind for kind in kinds if type(config) in kind._model_mapping)
    return next(known, AutoModelForCausalLM)


def _from_transformers(folder: Path, kind: Any, options: dict[str, Any]) -> tuple[Any, Any]:
    loaded: tuple[Any, Any] = _guarded(folder, lambda: kind.from_pretrained(folder, **options))
    return loaded


def _guarded(folder: Path, load: Callable[[], Any]) -> Any:
    """What transformers loads; a config, or code that comes with the weights, may raise anything.

    Raises:
        BadInput: it failed.
    """
    import torch

    try:
        return load()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        reason = _reason(error)
        remedy = "name a checkpoint of a decoder"
        if "ignore_mismatched_sizes" in reason:
            reason = "its weights have other shapes than its config.json says"
            remedy = "put the model's own config.json there"
        elif "trust_remote_code" in str(error):
            reason = "it needs code that comes with it"
            remedy = "look at the code, and allow it with trust_remote_code (--trust-remote-code)"
        raise BadInput(
            f"transformers cannot load {folder} as a causal language model ({reason}); {remedy}"
        ) from error


def _lacking(info: dict[str, Any]) -> set[str]:
    return {*info["missing_keys"], *(key[0] for key in info["mismatched_keys"])}


def _head_weights(model: Any) -> set[str]:
    head = model.get_output_embeddings()
    if head is None:
        return set()
    name = next((name for name, module in model.named_modules() if module is head), None)
    return {f"{name}.{key}" for key, _ in head.named_parameters()}


def _of_more_layers(unexpected: Iterable[str], model: Any) -> list[str]:
    """Weights that nobody asked for, of layers beside those that the model has."""
    known = {re.sub(r"\d+", "#", name) for name, _ in model.named_parameters()}
    return sorted(name for name in unexpected if re.sub(r"\d+", "#", name) in known)


def _reason(error: Exception) -> str:
    """The first line of what an error says, and the next where that only announces it."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    said = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    return said.rstrip(".") or type(error).__name__


def _adapted(
    folder: Path,
    name: str,
    allow_pickle: bool,
    base: str | Path | None,
    dtype: str | None,
    options: dict[str, Any],
) -> nn.Module:
    try:
        from peft import PeftModel, get_peft_model_state_dict
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
    saved = set(weights_in(folder, allow_pickle=allow_pickle).home)
    _grow(model, folder, allow_pickle)
    try:
        adapted: nn.Module = PeftModel.from_pretrained(model, str(folder))
        taken = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    except Exception as error:  # peft raises anything about a config or weights that do not fit
        raise BadInput(
            f"the adapter {name} does not fit {path} ({_reason(error)}); name its base model"
        ) from error
    beside = sorted(taken - saved)
    if beside:  # peft leaves them as they begin, and the adapter without effect
        raise BadInput(
            f"the adapter {name} lacks {len(beside)} of the weights that its adapter_config.json "
            f"asks for on {path} ({_some(beside)}); save or download it again, or name its base "
            "model"
        )
    return adapted


def _grow(model: Any, folder: Path, allow_pickle: bool) -> None:
    """Give the base model as many token ids as an adapter has that was trained on a grown one.

    The rows that this adds are overwritten by those that were saved with the adapter.
    """
    home = weights_in(folder, allow_pickle=allow_pickle).home
    embedding = model.get_input_embeddings()
    name = next(name for name, module in model.named_modules() if module is embedding)
    for key, file in home.items():
        if key.endswith(f"{name}.weight"):
            rows = open_weights(file).shapes[key][0]
            if rows > embedding.num_embeddings:
                with seeded(0):
                    model.resize_token_embeddings(rows, mean_resizing=False)


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
    _check_settings(folder / "config.json")
    absent = weights_in(folder, allow_pickle=allow_pickle).absent
    if absent:
        raise BadInput(f"{folder} lacks {_some(absent)}; save or download it again")


def _check_settings(file: Path) -> None:
    if not file.exists():
        return
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(settings, dict):
            raise ValueError("it holds no settings by name")
    except (ValueError, OSError) as error:
        raise BadInput(f"{file} is damaged ({error}); save or download it again") from error


def _some(names: "list[str] | tuple[str, ...]", limit: int = 3) -> str:
    tail = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + tail

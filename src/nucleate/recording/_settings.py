"""What is worth knowing of a training beside its states: the settings of model and optimizer."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn


def model_settings(model: nn.Module) -> dict[str, Any]:
    """Name, class, size and configuration of a model, and of the adapters that are on it."""
    inner = _configured(model)
    config = inner.config if inner is not None else None
    kind = type(model if inner is None else inner).__name__  # a compiled model has no truth value
    found: dict[str, Any] = {
        "model": getattr(config, "name_or_path", None) or kind,
        "model_class": kind,
        "parameters": sum(each.numel() for each in model.parameters()),
        "trainable_parameters": sum(e.numel() for e in model.parameters() if e.requires_grad),
    }
    if config is not None:
        own = {name: it for name, it in config.to_diff_dict().items() if not name.startswith("_")}
        found |= _under("model", own)
    for module in model.modules():
        if isinstance(adapters := getattr(module, "peft_config", None), Mapping):
            each = {name: adapter.to_dict() for name, adapter in adapters.items()}
            found["adapter"] = next(iter(each.values())) if len(each) == 1 else each
            break
    return found


def optimizer_settings(optimizers: Iterable[Any]) -> dict[str, Any]:
    """Class and settings of the optimizers; of several, each under its number."""
    known = [getattr(each, "optimizer", each) for each in optimizers if each is not None]
    if not known:
        return {}
    names = [type(each).__name__ for each in known]
    chosen = [_chosen(each) for each in known]
    if len(known) == 1:
        return {"optimizer": names[0], **_under("optimizer", chosen[0])}
    numbered = {str(number): each for number, each in enumerate(chosen)}
    return {"optimizer": names, **_under("optimizer", numbered)}


def _chosen(optimizer: Any) -> dict[str, Any]:
    """What the groups of parameters were given: one value, or the groups' different ones."""
    found: dict[str, Any] = {}
    for name, default in getattr(optimizer, "defaults", {}).items():
        groups = getattr(optimizer, "param_groups", [])
        # A schedule of the learning rate may have begun already.
        values = [group.get(f"initial_{name}", group.get(name)) for group in groups]
        distinct = [it for place, it in enumerate(values) if it not in values[:place]]
        value = default if not distinct else distinct if len(distinct) > 1 else distinct[0]
        if value is not None:
            found[name] = value
    return found


def _under(prefix: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": it for name, it in settings.items()}


def _configured(model: nn.Module) -> Any:
    """The outermost module with a configuration of transformers: wrappers have none."""
    for module in model.modules():
        if hasattr(getattr(module, "config", None), "to_diff_dict"):
            return module
    return None

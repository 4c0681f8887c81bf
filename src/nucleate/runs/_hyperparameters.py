"""Settings of a training as one flat mapping of JSON values, without what is secret."""

import json
import math
import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

Json = str | int | float | bool | None | list[Any]

_LONGEST = 2000  # characters of a value; a longer one is cut

# Names whose values open something. `eos_token` and the like are settings of a tokenizer.
_SECRET_NAME = re.compile(
    r"secret|passw|credential|(api|private|access|secret)_?key"
    r"|(^|[.])token$"
    r"|(hub|hf|hugging_?face|auth|access|api|bearer|refresh|session|wandb|mlflow)_?token$",
    re.IGNORECASE,
)
# Values that do, whatever their name: tokens of well-known services, and passwords in addresses.
_SECRET_VALUE = re.compile(r"\b(hf_|sk-|ghp_|github_pat_|xox[abp]-|AKIA)[A-Za-z0-9_-]{12,}")
_ADDRESS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/\s@]+@", re.IGNORECASE)


def flat_settings(settings: Mapping[Any, Any]) -> dict[str, Json]:
    """Make one flat mapping of settings, with the names of nested ones joined by dots.

    Args:
        settings: anything; mappings may be nested.

    Returns:
        name -> a JSON value. Tuples and sets become lists; enums their values; paths, dtypes,
        classes and other objects a text; numbers that are not finite "nan", "inf" or "-inf". What
        looks like a password or a token is left out.
    """
    flat: dict[str, Json] = {}
    for key, value in settings.items():
        name = str(key)  # a user's mapping may have numbers for names
        if _SECRET_NAME.search(name):
            continue
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": it for inner, it in flat_settings(value).items()}
            continue
        plain = _plain(value)
        if not _SECRET_VALUE.search(json.dumps(plain)):
            flat[name] = plain
    return flat


def _plain(value: Any) -> Json:
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, str | Path):
        return _ADDRESS.sub(r"\g<scheme>", str(value))[:_LONGEST]
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, Mapping):
        return _text(flat_settings(value))
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # of numpy or torch
        return _plain(value.item())
    if isinstance(value, list | tuple | set | frozenset):
        ordered = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        items = [_plain(one) for one in ordered]
        return items if len(json.dumps(items)) <= _LONGEST else _text(items)
    if repr(value) == object.__repr__(value) or callable(value):  # an address in memory
        return str(getattr(value, "__qualname__", type(value).__qualname__))
    return _text(value)


def _text(value: object) -> str:
    return str(value)[:_LONGEST]

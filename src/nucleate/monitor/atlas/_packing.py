"""An atlas as JSON values and named arrays, and back."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import numpy as np

from nucleate.monitor.atlas._calibration import Calibration
from nucleate.monitor.atlas._geometry import Geometry
from nucleate.monitor.atlas._rows import Bank, Reference
from nucleate.monitor.atlas._surface import Surface

_PARTS: dict[str, Any] = {
    "geometry": Geometry, "calibration": Calibration, "bank": Bank, "reference": Reference,
    "surface": Surface,
}  # fmt: skip
_PLAIN = ("stream", "position", "fingerprints", "settings")
_SHARED = ("centroids", "owner")


def packed(atlas: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Everything that an atlas holds: numbers and texts, and arrays."""
    meta: dict[str, Any] = {"clusters": list(atlas.clusters), "width": atlas.width}
    meta |= {name: getattr(atlas, name) for name in _PLAIN}
    arrays = {"confusion": atlas.confusion, "texts_hashes": _numbers(sorted(atlas.texts_hashes))}
    for name in _PARTS:
        part = getattr(atlas, name)
        for each in () if part is None else fields(part):
            value = getattr(part, each.name)
            key = f"{name}.{each.name}"
            if name == "reference" and each.name in _SHARED:
                continue
            if isinstance(value, np.ndarray):
                arrays[key] = value
            elif each.name == "hashes":
                arrays[key] = _numbers(value)
            else:
                meta[key] = list(value) if isinstance(value, tuple) else value
    return meta, arrays


def unpacked(meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """What an atlas is made of, from what `packed` gave.

    Raises:
        KeyError: a part is not there.
    """
    found: dict[str, Any] = {name: meta[name] for name in _PLAIN}
    found["clusters"] = tuple(meta["clusters"])
    found["confusion"] = arrays["confusion"]
    found["texts_hashes"] = frozenset(_texts(arrays["texts_hashes"]))
    for name, kind in _PARTS.items():
        if name == "surface" and "surface.idf" not in arrays:
            found[name] = None
            continue
        values: dict[str, Any] = {}
        for each in fields(kind):
            key = f"{name}.{each.name}"
            if name == "reference" and each.name in _SHARED:
                values[each.name] = getattr(found["geometry"], each.name)
            elif each.name == "hashes":
                values[each.name] = _texts(arrays[key])
            elif key in arrays:
                values[each.name] = arrays[key]
            else:
                value = meta[key]
                values[each.name] = tuple(value) if isinstance(value, list) else value
        found[name] = kind(**values)
    return found


def _numbers(hashes: Iterable[str]) -> np.ndarray:
    return np.array([int(each, 16) for each in hashes], dtype=np.uint64)


def _texts(numbers: np.ndarray) -> tuple[str, ...]:
    return tuple(f"{int(each):016x}" for each in numbers)

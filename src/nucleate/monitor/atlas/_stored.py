"""An atlas in a folder: `atlas.json` to read, `atlas.safetensors` with every array."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from nucleate._core.errors import BadInput

SCHEMA = 1
_JSON, _ARRAYS = "atlas.json", "atlas.safetensors"


def content_hash(meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    """Hash of everything that an atlas holds."""
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}:{array.dtype}:{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def write_parts(folder: Path, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write both files, the arrays first: without the JSON file there is no atlas."""
    from safetensors.numpy import save

    from nucleate.runs import check_writable, write_json, write_whole

    check_writable(folder)
    write_whole(folder / _ARRAYS, save(arrays))
    write_json(folder / _JSON, {"kind": "atlas", "schema": SCHEMA} | meta)


def read_parts(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read both files.

    Raises:
        BadInput: one is not there or is damaged, or they are of a later schema.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        meta = json.loads((folder / _JSON).read_text(encoding="utf-8"))
        arrays = load((folder / _ARRAYS).read_bytes())
    except FileNotFoundError as error:
        raise BadInput(
            f"{folder} is no atlas, {error.filename} is not there; make one with nucleate atlas fit"
        ) from error
    except (OSError, ValueError, SafetensorError) as error:
        raise BadInput(f"the atlas {folder} cannot be read ({error}); fit it again") from error
    if not isinstance(meta, dict) or meta.get("kind") != "atlas":
        raise BadInput(f"{folder / _JSON} describes no atlas; give a folder that atlas fit wrote")
    if meta.get("schema", 0) > SCHEMA:
        raise BadInput(
            f"{folder} is an atlas of schema {meta['schema']}, and this version reads {SCHEMA}; "
            "update nucleate"
        )
    return meta, arrays

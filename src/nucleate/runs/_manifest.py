"""The manifest of a run folder: what makes it a run; read without torch."""

import json
from pathlib import Path
from typing import Any

from nucleate._core.errors import BadInput

SCHEMA_VERSION = 1


def read_manifest(folder: Path | str) -> dict[str, Any]:
    """Read the manifest of a run folder.

    Raises:
        BadInput: the folder is no run, its manifest is damaged, or it has a newer schema.
    """
    path = Path(folder) / "manifest.json"
    if not path.exists():
        raise BadInput(f"{folder} is no run folder: it has no manifest.json; name another")
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = int(manifest["schema_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} is damaged ({error}); restore it, or name another run") from error
    if version > SCHEMA_VERSION:
        raise BadInput(
            f"{folder} has schema version {version}, this nucleate reads up to {SCHEMA_VERSION}; "
            "install a newer nucleate"
        )
    return manifest

"""The schema of run folders: the version that is written, and manifests of earlier ones."""

import json
from pathlib import Path
from typing import Any

from nucleate._core.errors import BadInput

SCHEMA_VERSION = 2
_NAMED = 8
"""Runs of a parent folder that are named at most."""
# Settings of the panel: name in schema 1 -> name today.
_PANEL = {"restarts": "n_init", "permutations": "n_permutations", "bootstraps": "n_bootstraps"}


def read_manifest(folder: Path | str) -> dict[str, Any]:
    """The manifest of a run folder in the terms of this version; the file stays as it is.

    `schema_version` remains that of the folder: 1 for folders of nucleate 0.1.

    Raises:
        BadInput: there is no manifest, it is damaged, or its schema is newer than this version.
    """
    path = Path(folder) / "manifest.json"
    if not path.exists():
        raise BadInput(_no_run(Path(folder)))
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = int(manifest["schema_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} is damaged ({error!r}); restore it from a copy") from error
    if version > SCHEMA_VERSION:
        raise BadInput(
            f"{folder} has schema version {version}, this nucleate reads up to {SCHEMA_VERSION}; "
            "install a newer nucleate"
        )
    return _from_schema_1(manifest) if version == 1 else manifest


def _no_run(folder: Path) -> str:
    """Why a path is no run folder, and which runs are there."""
    if not folder.exists():
        return f"{folder} does not exist; name the folder of a run"
    if not folder.is_dir():
        return f"{folder} is a file; name the folder of a run"
    runs = sorted(each.parent.name for each in folder.glob("*/manifest.json"))
    if not runs:
        return f"{folder} is no run folder: it has no manifest.json; name another"
    named = ", ".join(str(folder / name) for name in runs[:_NAMED])
    more = f" and {len(runs) - _NAMED} more" if len(runs) > _NAMED else ""
    return f"{folder} is no run folder, but holds runs: name {named}{more}"


def _from_schema_1(manifest: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 says `probe_hash`, and its configuration has other names and British spelling."""
    manifest = _renamed(manifest, {"probe_hash": "prompts_hash"})
    config = manifest.get("config", {})
    if "panel" in config:
        config["panel"] = _renamed(config["panel"], _PANEL)
    if "training" in config:
        config["training"] = _renamed(config["training"], {"regulariser": "regularizer"})
        regularizer = config["training"].get("regularizer")
        if regularizer is not None and regularizer["kind"] == "centre":
            regularizer["kind"] = "center"
    return manifest


def _renamed(values: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in values.items()}

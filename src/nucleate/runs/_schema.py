"""The schema of run folders: the version that is written, and manifests of earlier ones."""

import json
from os import PathLike
from pathlib import Path
from typing import Any

from nucleate._core.errors import BadInput

SCHEMA_VERSION = 2
_MOST_NAMES = 8  # of runs below a folder that is none itself
# Settings of the panel: name in schema 1 -> name today.
_PANEL = {"restarts": "n_init", "permutations": "n_permutations", "bootstraps": "n_bootstraps"}


def run_path(folder: object) -> Path:
    """The path of a run's folder.

    Raises:
        BadInput: it is no path, or an empty one.
    """
    if not isinstance(folder, str | PathLike) or not str(folder) or "\0" in str(folder):
        raise BadInput(f"a run's folder cannot be {folder!r}; give its path")
    return Path(folder)


def read_manifest(folder: Path | str) -> dict[str, Any]:
    """The manifest of a run folder in the terms of this version; the file stays as it is.

    `schema_version` remains that of the folder: 1 for folders of nucleate 0.1.

    Raises:
        BadInput: there is no manifest, it is damaged, or its schema is newer than this version.
    """
    path = run_path(folder) / "manifest.json"
    try:
        if not path.exists():
            raise BadInput(_no_run(path.parent))
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = int(manifest["schema_version"])
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); name another run") from error
    except BadInput:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} is damaged ({error!r}); restore it from a copy") from error
    if version > SCHEMA_VERSION:
        raise BadInput(
            f"{folder} has schema version {version}, this nucleate reads up to {SCHEMA_VERSION}; "
            "install a newer nucleate"
        )
    return _from_schema_1(manifest) if version == 1 else manifest


def _no_run(folder: Path) -> str:
    """Why a folder without a manifest is no run, and which runs are below it."""
    if not folder.is_dir():
        why = "it is a file" if folder.exists() else "there is no such folder"
        return f"{folder} is no run folder: it has no manifest.json ({why}); name another"
    found = [path.parent for path in sorted(folder.glob("*/manifest.json"))]
    found = found or [path.parent for path in sorted(folder.glob("*/*/manifest.json"))]
    if not found:
        return f"{folder} is no run folder: it has no manifest.json; name another"
    names = [str(path.relative_to(folder)) for path in found[:_MOST_NAMES]]
    more = f" and {len(found) - len(names)} more" if len(found) > len(names) else ""
    count = f"{len(found)} runs" if len(found) > 1 else "one run"
    return f"{folder} is no run folder but holds {count}: {', '.join(names)}{more}; name one"


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

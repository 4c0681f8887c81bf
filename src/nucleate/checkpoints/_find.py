"""Where a checkpoint is, and what its files say."""

import json
import re
from os import PathLike
from pathlib import Path
from typing import Any

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput

CONFIGS = ("config.json", "adapter_config.json")
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
# In the order in which transformers and peft look for them.
SAFE = ("model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "adapter_model.bin")
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
# Weights of other frameworks and optimizer states stay on the hub.
_WANTED = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py")


def trainer_step(folder: Path) -> int | None:
    """`global_step` of the `trainer_state.json` in a folder, or None where there is none.

    Raises:
        BadInput: the file is damaged.
    """
    file = folder / "trainer_state.json"
    if not file.exists():
        return None
    try:
        state: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return int(state["global_step"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{file} is damaged ({error}); save it again or remove it") from error


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder looks like a checkpoint: it holds weights, or says of what model."""
    if any((folder / name).exists() for name in (*SAFE, *PICKLED, *CONFIGS)):
        return True
    return any(path.suffix in WEIGHTS for path in folder.iterdir())


def local_folder(source: str | PathLike[str], *, allow_pickle: bool) -> Path:
    """The folder that is named, or the one in the hub's cache for `repository[@revision]`.

    Raises:
        BadInput: there is neither, and it cannot be downloaded.
    """
    path = as_path("the checkpoint", source)
    if path.is_dir():
        return path
    repository, _, revision = str(source).partition("@")
    if not isinstance(source, str) or not _HUB_NAME.fullmatch(repository):
        raise BadInput(f"{source} is no folder, and no name on the hub; name a checkpoint's folder")
    return _from_hub(repository, revision or None, allow_pickle=allow_pickle)


def _from_hub(repository: str, revision: str | None, *, allow_pickle: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    wanted = [*_WANTED, "pytorch_model*.bin", "adapter_model.bin"] if allow_pickle else [*_WANTED]
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError, ValueError) as error:
        name = f"{repository}@{revision}" if revision else repository
        raise BadInput(
            f"{name} is no folder here, not in the local cache, and cannot be had from the hub "
            f"({type(error).__name__}); download it first, or check the name"
        ) from error

"""The files that a configuration names: whether they are there, and what is in them."""

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from nucleate._core.errors import BadInput
from nucleate.studies._config import ReproduceConfig

_BUILT_IN = ("synthetic", "geo")
_MODEL = ("config.json", "tokenizer.json")
_ROWS = ("data.jsonl", "tasks.jsonl")


def check_inputs(config: ReproduceConfig) -> None:
    """Refuse tasks and models that are not where the settings say.

    Raises:
        BadInput: a file or folder is missing, or a setting has no use beside another.
    """
    tasks, model = Path(config.tasks), config.model
    built_in = config.tasks in _BUILT_IN
    if not built_in and not tasks.is_file() and not (tasks / _ROWS[0]).is_file():
        what = "a folder without data.jsonl" if tasks.is_dir() else "no such file exists"
        raise BadInput(
            f"tasks {config.tasks!r} is neither synthetic nor geo, and {what}; give the path of a "
            "JSON Lines file, or of a folder with data.jsonl"
        )
    if config.natural.only is not None and not tasks.is_dir():
        raise BadInput(
            f"natural.only is set and tasks is {config.tasks!r}; it chooses from the tasks of a "
            "folder: leave it unset"
        )
    if model.pretrained is None:
        if model.fresh:
            raise BadInput("model.fresh is true without model.pretrained; set that or leave it out")
        return
    if config.tasks == "synthetic":
        raise BadInput(
            "model.pretrained reads natural text, and synthetic tasks have symbols of their own; "
            "set tasks to geo, a file or a folder"
        )
    folder = Path(model.pretrained)
    missing = [name for name in _MODEL if not (folder / name).is_file()]
    if missing:
        what = f"has no {missing[0]}" if folder.is_dir() else "is no folder"
        raise BadInput(
            f"model.pretrained {model.pretrained!r} {what}; name the folder of a model of "
            "transformers with its weights and tokenizer.json"
        )
    for name, value in (("init_scale", model.init_scale), ("activation", model.activation)):
        if value is not None:
            raise BadInput(
                f"model.{name} is set beside model.pretrained, whose model is what it is; leave "
                "either out"
            )


def content_of(config: ReproduceConfig) -> list[str]:
    """Hashes of the files that decide a run: the tasks, where they are files, and the model.

    Args:
        config: of the run.

    Returns:
        One hash for the tasks' file, or for each file of their folder, and for each file of the
        model's folder by name; none where all is built in.
    """
    tasks, model = Path(config.tasks), config.model.pretrained
    found = []
    if config.tasks not in _BUILT_IN:
        files = [tasks] if tasks.is_file() else [tasks / name for name in _ROWS]
        found += [_digest(file) for file in files if file.is_file()]
    if model is not None:
        found += [f"{file.name} {_digest(file)}" for file in _files_of_model(Path(model))]
    return found


def _files_of_model(folder: Path) -> Iterator[Path]:
    """What decides a model: its settings, tokenizer and weights."""
    for file in sorted(folder.iterdir()):
        if file.name in _MODEL or file.suffix == ".safetensors":
            yield file


def _digest(file: Path) -> str:
    known = file.stat()
    return _digest_of(file, known.st_mtime_ns, known.st_size)


@lru_cache(maxsize=256)
def _digest_of(file: Path, _changed: int, _size: int) -> str:
    """A page asks for the same files once a run: they are read once."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()

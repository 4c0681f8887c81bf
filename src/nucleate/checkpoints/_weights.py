"""The weights in a checkpoint folder: which files hold which tensors, read one tensor at a time."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from nucleate._core.errors import BadInput
from nucleate.checkpoints._find import PICKLED, SAFE

_POINTER = b"version https://git-lfs"
_DTYPES = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}


@dataclass(frozen=True)
class WeightFile:
    """One file of tensors.

    Attributes:
        shapes: the tensors in it, with their shapes.
        read: gives one of them; only its own bytes are read.
    """

    shapes: dict[str, tuple[int, ...]]
    read: Callable[[str], Tensor]


@dataclass(frozen=True)
class Weights:
    """Where a checkpoint's tensors are.

    Attributes:
        home: tensor name -> its file.
        absent: files that should be there and are not, and tensors that the index names and that
            their file lacks.
    """

    home: dict[str, Path]
    absent: tuple[str, ...]


def main_file(folder: Path, *, allow_pickle: bool) -> Path | None:
    """The file that a checkpoint's weights are found from; None where there is none at all.

    Raises:
        BadInput: the weights are pickled only, and that was not allowed.
    """
    for name in SAFE:
        if (folder / name).exists():
            return folder / name
    pickled = [folder / name for name in PICKLED if (folder / name).exists()]
    if pickled and not allow_pickle:
        raise BadInput(
            f"{folder} holds its weights as a pickle only ({pickled[0].name}), which can run code "
            "when it is read; convert it to safetensors, or allow it by name with allow_pickle "
            "(--allow-pickle)"
        )
    return pickled[0] if pickled else None


def weights_in(
    folder: Path, *, allow_pickle: bool, opened: Callable[[Path], WeightFile] | None = None
) -> Weights:
    """Find the tensors of a checkpoint folder without reading them.

    Args:
        folder: as transformers or peft saved it.
        allow_pickle: take `pytorch_model.bin` where there are no safetensors.
        opened: `open_weights`, or a cached form of it.

    Raises:
        BadInput: a file is damaged, an index names a file outside the folder, or weights are
            pickled and that was not allowed.
    """
    opened = opened or open_weights
    main = main_file(folder, allow_pickle=allow_pickle)
    if main is None:
        return Weights({}, (SAFE[0],))
    if main.suffix != ".json":
        return Weights(dict.fromkeys(opened(main).shapes, main), ())
    home, absent = {}, []
    index = _index(main)
    paths = {file: _within(main, file, allow_pickle) for file in dict.fromkeys(index.values())}
    for name, file in index.items():
        path = paths[file]
        if not path.exists():
            absent.append(file)
        elif name in opened(path).shapes:
            home[name] = path
        else:
            absent.append(f"{name} in {file}")
    return Weights(home, tuple(dict.fromkeys(absent)))


def open_weights(path: Path) -> WeightFile:
    """Open one file of tensors.

    Raises:
        BadInput: it is damaged.
    """
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                names = list(file.keys())
                shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
                return WeightFile(shapes, partial(_read, path))
        except (SafetensorError, OSError) as error:
            raise _damaged(path, error) from error
    try:
        # weights_only: tensors and nothing else; mmap: a tensor's bytes come when it is used.
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        if not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
            raise ValueError("it holds something else than tensors")
    except Exception as error:  # the unpickler raises anything at all
        raise _damaged(path, error) from error
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return WeightFile(shapes, tensors.__getitem__)


def stored_dtypes(folder: Path) -> set[str]:
    """The floating-point dtypes in a folder's safetensors, by torch's names; empty without any."""
    if not any((folder / name).exists() for name in SAFE):
        return set()
    found = set()
    paths = set(weights_in(folder, allow_pickle=True).home.values())
    for path in (path for path in paths if path.suffix == ".safetensors"):
        with safe_open(path, framework="pt") as file:
            found |= {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    return {_DTYPES[name] for name in found & _DTYPES.keys()}


def _read(path: Path, name: str) -> Tensor:
    # Opened again each time: an open file keeps everything read from it in memory.
    try:
        with safe_open(path, framework="pt") as file:
            tensor: Tensor = file.get_tensor(name)
            return tensor
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _index(path: Path) -> dict[str, str]:
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        if not all(isinstance(file, str) for file in names.values()):
            raise ValueError("its weight_map names something that is no file")
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise _damaged(path, error) from error
    found: dict[str, str] = names
    return found


def _within(index: Path, file: str, allow_pickle: bool) -> Path:
    """The path of a file that an index names, if it may be opened.

    In the hub's cache the files of `snapshots/<revision>` are links into `blobs`, beside
    `snapshots`; any other link out of the folder is refused.

    Raises:
        BadInput: it is outside the index's folder, or a pickle and that was not allowed.
    """
    folder, name = index.parent, Path(file)
    path, root = folder / name, folder.resolve()
    homes = [root]
    if root.parent.name == "snapshots":
        homes.append(root.parent.parent / "blobs")
    inside = any(path.resolve().is_relative_to(home) for home in homes)
    if name.is_absolute() or ".." in name.parts or not inside:
        raise BadInput(
            f"{index} names {file!r}, which is outside its folder; copy the file there and name it "
            "without a path, or download the checkpoint again"
        )
    if path.suffix != ".safetensors" and not allow_pickle:
        raise BadInput(
            f"{index} names {file!r}, a pickle, which can run code when it is read; convert it to "
            "safetensors, or allow it by name with allow_pickle (--allow-pickle)"
        )
    return path


def _damaged(path: Path, error: Exception) -> BadInput:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    if _begins(path) == _POINTER:
        reason = "it is a pointer of Git LFS, and the weights were never fetched"
    return BadInput(f"{path} is damaged and cannot be read ({reason}); save or download it again")


def _begins(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(_POINTER))
    except OSError:
        return b""

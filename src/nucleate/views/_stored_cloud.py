"""Clouds as they are handed out, and as they are kept on disk between two looks at a run."""

import io
import json
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from nucleate._core.errors import BadInput
from nucleate.runs import Run, write_whole

_VERSION = 3
"""Of what a cloud is made of; a new one leaves all older files aside."""
CLOUDS_OF_RUN = "view"
"""The folder of a run in which a report keeps the clouds that it made."""
_READ = ("manifest.json", "prompts.safetensors", "prompts.jsonl", "panel.csv")


@dataclass(frozen=True)
class StoredCloud:
    """One cloud in bytes: coordinates take a quarter of the room that they take as numbers.

    Attributes:
        about: JSON that stands beside the picture.
        frames: step -> little-endian int16 `[row k]`.
        without_task: the last step after the task was erased; empty where there is none.
    """

    about: bytes
    frames: dict[int, bytes]
    without_task: bytes

    def frame(self, step: int) -> bytes:
        """Coordinates of one step: little-endian int16 `[row k]`, times the frame's unit.

        Raises:
            BadInput: the states of this step are not finite, or cannot be read.
        """
        if step not in self.frames:
            raise BadInput(f"step {step} has no picture: its states are not finite")
        return self.frames[step]

    def erased(self) -> bytes:
        """The same of the last step after the task was erased.

        Raises:
            BadInput: there is no task that could be erased.
        """
        if not self.without_task:
            raise BadInput("no task could be erased here; the prompts need two tasks or more")
        return self.without_task

    def packed(self) -> bytes:
        """The whole cloud as one file."""
        parts = {"about": self.about, "erased": self.without_task}
        parts |= {str(step): data for step, data in self.frames.items()}
        file = io.BytesIO()
        arrays = {name: np.frombuffer(data, np.uint8) for name, data in parts.items()}
        np.savez(file, allow_pickle=False, **arrays)
        return file.getvalue()

    @classmethod
    def unpacked(cls, data: bytes) -> "StoredCloud":
        """A cloud from the file that `packed` gave; ValueError or BadZipFile if it is none."""
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            parts = {name: file[name].tobytes() for name in file.files}
        if not {"about", "erased"} <= parts.keys():
            raise ValueError("a cloud without its facts")
        about, erased = parts.pop("about"), parts.pop("erased")
        return cls(about, {int(step): frame for step, frame in parts.items()}, erased)


class CloudFolder:
    """Clouds on disk, each known by its place and by the files of the run that it was made from.

    A file that is damaged is made again, and one that cannot be written is done without: a cloud
    can always be made from the run.

    Args:
        folder: for files of any number of runs.
        run: whose clouds are kept.

    Raises:
        BadInput: the folder lies within the run and is not its folder `view`.
    """

    def __init__(self, folder: Path, run: Run) -> None:
        inside = folder.resolve().is_relative_to(run.path.resolve())
        if inside and folder.resolve() != (run.path / CLOUDS_OF_RUN).resolve():
            raise BadInput(
                f"{folder} lies within the run, which only its folder {CLOUDS_OF_RUN!r} may; keep "
                "clouds elsewhere"
            )
        # Within the run without its path: the run may be moved.
        self._folder, self._of = folder, "" if inside else str(run.path.resolve())
        states = [run.snapshot_path(step) for step in run.steps]
        # Taken once, before anything is read: what is written meanwhile makes another key.
        self._stamp = _digest(*(_stamp(path) for path in (*states, *_read_of(run))))

    def read(self, *place: str | int) -> StoredCloud | None:
        """The cloud of a place as the run now is; None where it is not kept."""
        with suppress(OSError, ValueError, EOFError, KeyError, BadZipFile):
            return StoredCloud.unpacked(self._path(*place).read_bytes())
        return None

    def keep(self, cloud: StoredCloud, *place: str | int) -> None:
        """Keep a cloud in place of those of earlier states of the run."""
        path = self._path(*place)
        with suppress(OSError):
            write_whole(path, cloud.packed())
            for older in path.parent.glob(f"{path.name.partition('-')[0]}-*.npz"):
                if older != path:
                    older.unlink()

    def _path(self, *place: str | int) -> Path:
        return self._folder / f"{_digest(self._of, *place)}-{self._stamp}.npz"


def _read_of(run: Run) -> list[Path]:
    return [run.path / name for name in _READ]


def _stamp(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return f"{path.name} is not there"
    return f"{path.name} {found.st_size} {found.st_mtime_ns}"


def _digest(*parts: str | int) -> str:
    return sha256(json.dumps([_VERSION, *parts]).encode()).hexdigest()[:24]

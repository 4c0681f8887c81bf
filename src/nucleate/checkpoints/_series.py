"""Checkpoints of one model along its training: found by folder, by list, or on the hub."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nucleate._core.errors import BadInput
from nucleate.checkpoints._find import PICKLED, SAFE, local_folder, step_in, trainer_step
from nucleate.runs import Journal

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Checkpoint:
    """A model as it was after some step of its training.

    Args:
        step: optimizer steps taken.
        path: its folder: `config.json` and safetensors, or a LoRA adapter's two files.
        name: its name in messages; the path if not given.
        allow_pickle: take weights from `pytorch_model.bin` where there are no safetensors.
    """

    step: int
    path: Path
    name: str = ""
    allow_pickle: bool = False

    @classmethod
    def find(
        cls, source: str | Path, *, step: int | None = None, allow_pickle: bool = False
    ) -> "Checkpoint":
        """One checkpoint by its folder, or by `repository@revision` on the hub.

        Args:
            source: a folder, or a name on the hub; what is in the local cache is not downloaded.
            step: optimizer steps taken; by default read from the name (`checkpoint-500`,
                `stage1-step140000-tokens588B`, `500`), else from `trainer_state.json`.
            allow_pickle: as for the class.

        Raises:
            BadInput: there is no such checkpoint, or its step is unknown.
        """
        path = local_folder(source, allow_pickle=allow_pickle)
        if step is None:
            step = _named_step(source, path)
        if step is None:
            step = trainer_step(path)
        if step is None:
            raise BadInput(
                f"the step of {source} cannot be told from its name; name the folder like "
                "checkpoint-500, or give the step"
            )
        return cls(step, path, str(source), allow_pickle)

    def load(
        self,
        *,
        dtype: str | None = None,
        device: str = "cpu",
        attention: str | None = None,
        base: str | Path | None = None,
        trust_remote_code: bool = False,
    ) -> "nn.Module":
        """The model, in evaluation mode.

        Args:
            dtype: `float32`, `bfloat16` or `float16`; by default as stored.
            device: device of the model.
            attention: `eager` or `sdpa`; by default what `config.json` asks for, else what
                transformers prefers. One that differs from training changes the last bits.
            base: for a LoRA adapter, the model that it belongs on; by default the one it names.
            trust_remote_code: run the model code that came with the checkpoint.

        Returns:
            a causal LM of transformers, or a peft model around one.

        Raises:
            BadInput: the files are not there, damaged, pickled, of no causal LM, or lack weights.
        """
        from nucleate.checkpoints._load import load

        return load(
            self.path,
            str(self),
            allow_pickle=self.allow_pickle,
            dtype=dtype,
            device=device,
            attention=attention,
            base=base,
            trust_remote_code=trust_remote_code,
        )

    def __str__(self) -> str:
        return self.name or str(self.path)


@dataclass(frozen=True)
class Series:
    """Checkpoints of one model along its training, in the order of their steps.

    Checkpoints are read lazily. `check_series` finds faults, which published series often have.

    Args:
        checkpoints: at least one, in any order.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import nucleate as nc
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for step in (500, 0, 1000):
        ...         (Path(folder) / f"checkpoint-{step}").mkdir()
        ...     series = nc.Series.find(folder)
        >>> series.steps
        (0, 500, 1000)
    """

    checkpoints: tuple[Checkpoint, ...]

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.checkpoints, key=lambda checkpoint: checkpoint.step))
        object.__setattr__(self, "checkpoints", ordered)

    @classmethod
    def find(
        cls,
        source: str | Path | Sequence[str | Path],
        *,
        revisions: Sequence[str] = (),
        allow_pickle: bool = False,
    ) -> "Series":
        """Find checkpoints.

        Args:
            source: a nucleate run, a folder with one folder a checkpoint (`checkpoint-500`,
                `step500`, `500`), or a list whose entries are folders or `repository@revision`.
            revisions: of the one repository that `source` then names.
            allow_pickle: take weights from `pytorch_model.bin` where there are no safetensors.

        Raises:
            BadInput: no checkpoint is found, or the step of one is unknown.
        """
        many = [source] if isinstance(source, str | Path) else list(source)
        if revisions:
            many = [f"{many[0]}@{revision}" for revision in revisions]
        if len(many) == 1 and (Path(many[0]).is_dir() or "@" not in str(many[0])):
            return cls(_in_folder(many[0], allow_pickle=allow_pickle))
        return cls(tuple(Checkpoint.find(one, allow_pickle=allow_pickle) for one in many))

    @classmethod
    def of_model(
        cls, source: str | Path, *, step: int | None = None, allow_pickle: bool = False
    ) -> "Series":
        """One model as a series of one checkpoint.

        Args:
            source: a folder, or `repository[@revision]` on the hub.
            step: optimizer steps taken; by default what the name says, or 0.
            allow_pickle: as for `Checkpoint`.

        Raises:
            BadInput: there is no such model.
        """
        path = local_folder(source, allow_pickle=allow_pickle)
        taken = (_named_step(source, path) or 0) if step is None else step
        return cls((Checkpoint(taken, path, str(source), allow_pickle),))

    @classmethod
    def of_run(cls, run: str | Path) -> "Series":
        """The checkpoints in a run folder, also those that the run's journal does not list.

        Raises:
            BadInput: it holds none.
        """
        folder = Path(run) / "checkpoints"
        if not folder.is_dir():
            raise BadInput(f"the run {run} holds no checkpoint; name the trained model")
        return cls.find(folder)

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps, in order."""
        return tuple(checkpoint.step for checkpoint in self.checkpoints)

    def __len__(self) -> int:
        return len(self.checkpoints)

    def __iter__(self) -> Iterator[Checkpoint]:
        return iter(self.checkpoints)


def _named_step(source: str | Path, path: Path) -> int | None:
    """The step in a folder's or a revision's name."""
    return step_in(path.absolute().name if path == Path(source) else str(source).partition("@")[2])


def _in_folder(source: str | Path, *, allow_pickle: bool) -> tuple[Checkpoint, ...]:
    folder = Path(source)
    if not folder.is_dir():
        raise BadInput(
            f"{source} is no folder of checkpoints; name one, or revisions on the hub as "
            f"{source}@step1000"
        )
    if (folder / "journal.jsonl").exists() and (folder / "manifest.json").exists():
        return _in_run(folder, allow_pickle=allow_pickle)
    found = _children(folder) or _children(folder / "checkpoints")
    if not found and any((folder / name).exists() for name in (*SAFE, *PICKLED)):
        return (Checkpoint.find(folder, allow_pickle=allow_pickle),)
    if not found:
        raise BadInput(
            f"{folder} holds no checkpoints; they are folders named like checkpoint-500, step500 "
            "or 500"
        )
    return tuple(Checkpoint(step, path, "", allow_pickle) for step, path in found)


def _in_run(folder: Path, *, allow_pickle: bool) -> tuple[Checkpoint, ...]:
    """The checkpoints that a run's journal vouches for and that are still there."""
    journal = Journal(folder / "journal.jsonl")
    steps = sorted({record["step"] for record in journal.live("checkpoint")})
    paths = {step: folder / "checkpoints" / str(step) for step in steps}
    found = tuple(
        Checkpoint(step, path, "", allow_pickle) for step, path in paths.items() if path.is_dir()
    )
    if not found:
        raise BadInput(f"the run {folder} holds no checkpoints; name another folder")
    return found


def _children(folder: Path) -> list[tuple[int, Path]]:
    """Sub-folders whose name contains a step; bare numbers count only if there are no others."""
    if not folder.is_dir():
        return []
    paths = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "tmp"))]
    steps = [(step, path) for path in sorted(paths) if (step := step_in(path.name)) is not None]
    return [one for one in steps if not one[1].name.isdecimal()] or steps

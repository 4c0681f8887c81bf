"""Checkpoints of one model along its training: found by folder, by list, or on the hub."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING
from warnings import warn

from nucleate._core.arguments import as_path, check_whole
from nucleate._core.errors import BadInput
from nucleate.checkpoints._find import (
    PICKLED,
    SAFE,
    local_folder,
    trainer_step,
)
from nucleate.checkpoints._names import Stage, epoch_in, stage_in, step_in
from nucleate.checkpoints._search import in_stages, places_in, stage_of
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
        cls,
        source: str | PathLike[str],
        *,
        step: int | None = None,
        allow_pickle: bool = False,
    ) -> "Checkpoint":
        """One checkpoint by its folder, or by `repository@revision` on the hub.

        Args:
            source: a folder, or a name on the hub; what is in the local cache is not downloaded.
            step: optimizer steps taken; by default read from the name (`checkpoint-500`,
                `stage1-step140000-tokens588B`, `step-100k`, `500`), else from
                `trainer_state.json`. Tokens count where a name has nothing else.
            allow_pickle: as for the class.

        Raises:
            BadInput: there is no such checkpoint, or its step is unknown.
        """
        path = local_folder(source, allow_pickle=allow_pickle)
        if step is not None:
            check_whole("step", step, least=0)
        else:
            step = _named_step(source, path)
        if step is None:
            step = trainer_step(path)
        if step is None:
            raise BadInput(
                f"the step of {source} cannot be told from its name; name the folder like "
                "checkpoint-500, or give its step: Checkpoint.find(name, step=...)"
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
        if not self.checkpoints:
            raise BadInput("a series needs at least one checkpoint; name some")
        for one in self.checkpoints:
            if not isinstance(one, Checkpoint):
                raise BadInput(f"{one!r} is no checkpoint; find it with Checkpoint.find")
        ordered = tuple(sorted(self.checkpoints, key=lambda checkpoint: checkpoint.step))
        object.__setattr__(self, "checkpoints", ordered)

    @classmethod
    def find(
        cls,
        source: str | PathLike[str] | Sequence[str | PathLike[str]],
        *,
        revisions: Sequence[str] = (),
        allow_pickle: bool = False,
    ) -> "Series":
        """Find checkpoints.

        Args:
            source: a nucleate run, a folder with one folder a checkpoint (`checkpoint-500`,
                `step500`, `step-10k`, `500`), or a list whose entries are folders or
                `repository@revision`.
            revisions: of the one repository that `source` then names.
            allow_pickle: take weights from `pytorch_model.bin` where there are no safetensors.

        Returns:
            The series in the order of training. Stages (`stage2-ingredient1-step1000`) follow one
            another; one that counts its steps anew is counted on from the last step of the stage
            before. Where names count epochs or tokens only, these are the steps.

        Raises:
            BadInput: no checkpoint is found, or the step of one in a list is unknown.

        Notes:
            What looks like a checkpoint in a folder but tells no step (`final`, a `.ckpt` file) is
            left out, with a warning that names it.
        """
        many = (
            list(source)
            if isinstance(source, Iterable) and not isinstance(source, str)
            else [source]
        )
        if not many:
            raise BadInput("no checkpoint is named; name folders, or revisions on the hub")
        if revisions:
            revisions = [revisions] if isinstance(revisions, str) else revisions
            many = [f"{many[0]}@{revision}" for revision in revisions]
        if len(many) == 1 and (as_path("source", many[0]).is_dir() or "@" not in str(many[0])):
            return cls(_in_folder(many[0], allow_pickle=allow_pickle))
        return cls(_in_list(many, allow_pickle))

    @classmethod
    def of_model(
        cls,
        source: str | PathLike[str],
        *,
        step: int | None = None,
        allow_pickle: bool = False,
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
        check_whole("step", taken, least=0)
        return cls((Checkpoint(taken, path, str(source), allow_pickle),))

    @classmethod
    def of_run(cls, run: str | PathLike[str]) -> "Series":
        """The checkpoints in a run folder, also those that the run's journal does not list.

        Raises:
            BadInput: it holds none.
        """
        folder = as_path("run", run) / "checkpoints"
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


def _named_step(source: str | PathLike[str], path: Path) -> int | None:
    """The step in a folder's or a revision's name."""
    return step_in(_name(source, path))


def _name(source: str | PathLike[str], path: Path) -> str:
    own = as_path("source", source) == path
    return path.absolute().name if own else str(source).partition("@")[2]


def _in_list(many: Iterable[str | PathLike[str]], allow_pickle: bool) -> tuple[Checkpoint, ...]:
    """Checkpoints named one by one; epochs are their steps if all of them tell nothing else."""
    places = [(one, local_folder(one, allow_pickle=allow_pickle)) for one in many]
    names = [_name(one, path) for one, path in places]
    epochs = [epoch_in(name) for name in names]
    known = [step_in(name) is not None or (path / "trainer_state.json").exists()
             for name, (_, path) in zip(names, places, strict=True)]  # fmt: skip
    use_epochs = not any(known) and None not in epochs
    found = [
        Checkpoint.find(one, step=epoch if use_epochs else None, allow_pickle=allow_pickle)
        for (one, _), epoch in zip(places, epochs, strict=True)
    ]
    stages = [
        stage_of(path) if as_path("source", one) == path else stage_in(name)
        for (one, path), name in zip(places, names, strict=True)
    ]
    return _staged(found, stages)


def _staged(found: Sequence[Checkpoint], stages: Sequence[Stage]) -> tuple[Checkpoint, ...]:
    steps = in_stages(zip(stages, [one.step for one in found], strict=True))
    return tuple(replace(one, step=step) for one, step in zip(found, steps, strict=True))


def _in_folder(source: str | PathLike[str], *, allow_pickle: bool) -> tuple[Checkpoint, ...]:
    folder = as_path("source", source)
    if not folder.is_dir():
        raise BadInput(
            f"{source} is no folder of checkpoints; name one, or revisions on the hub as "
            f"{source}@step1000"
        )
    if (folder / "journal.jsonl").exists() and (folder / "manifest.json").exists():
        return _in_run(folder, allow_pickle=allow_pickle)
    places, left_out = places_in(folder)
    if not places and any((folder / name).exists() for name in (*SAFE, *PICKLED)):
        return (Checkpoint.find(folder, allow_pickle=allow_pickle),)
    if not places:
        seen = f" ({'; '.join(left_out)})" if left_out else ""
        raise BadInput(
            f"{folder} holds no checkpoints{seen}; they are folders named like checkpoint-500, "
            "step500, step-10k or 500"
        )
    for sentence in left_out:
        warn(sentence, stacklevel=4)
    found = [Checkpoint(place.step, place.path, "", allow_pickle) for place in places]
    return _staged(found, [place.stage for place in places])


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

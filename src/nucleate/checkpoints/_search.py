"""Looking for checkpoints in a folder, and the order of stages of a training."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nucleate._core.errors import BadInput
from nucleate.checkpoints._find import WEIGHTS, is_checkpoint, trainer_step
from nucleate.checkpoints._names import Stage, epoch_in, stage_in, step_in

_FEW = 3


@dataclass(frozen=True)
class Place:
    """A checkpoint's folder, with the step and the stage that its name tells."""

    step: int
    path: Path
    stage: Stage


def places_in(folder: Path) -> tuple[list[Place], list[str]]:
    """Find the checkpoints in a folder, in its folder `checkpoints`, or in folders of stages.

    Returns:
        the checkpoints; and sentences about what looks like one but cannot be part of a series.

    Raises:
        BadInput: the folder cannot be read.
    """
    try:
        left_out: list[str] = []
        for parent in (folder, folder / "checkpoints"):
            found, others = _children(parent) if parent.is_dir() else ([], [])
            left_out += others
            if found:
                return found, left_out
        nested: list[Place] = []
        stages = [path for path in sorted(folder.iterdir()) if stage_in(path.name) != Stage()]
        for found, others in [_children(path) for path in stages if path.is_dir()]:
            nested += found
            left_out += others
        return nested, left_out
    except OSError as error:
        raise BadInput(f"{folder} cannot be read ({error.strerror}): name another one") from error


def _children(folder: Path) -> tuple[list[Place], list[str]]:
    """Sub-folders that are checkpoints.

    A bare number alone is a step only in a folder that looks like a checkpoint, where others have
    names that say more. Epochs are steps where nothing else is known of any.
    """
    entries = [path for path in sorted(folder.iterdir()) if not path.name.startswith((".", "tmp"))]
    folders = [path for path in entries if path.is_dir()]
    files = [path for path in entries if path.suffix in WEIGHTS and not path.is_dir()]
    likely = {path for path in folders if is_checkpoint(path)}
    steps = {path: step for path in folders if (step := step_in(path.name)) is not None}
    if any(not path.name.isdecimal() for path in steps):
        steps = {p: s for p, s in steps.items() if not p.name.isdecimal() or p in likely}
    for path in sorted(likely - steps.keys()):
        if (step := _state(path)) is not None:
            steps[path] = step
    if not steps:
        steps = {path: epoch for path in folders if (epoch := epoch_in(path.name)) is not None}
    unnamed = [path.name for path in sorted(likely - steps.keys())]
    single = [path.name for path in files if _numbered(path.stem)]
    left_out = [
        f"{_some(names)} in {folder} left out of the series, since {why}"
        for names, why in (
            (unnamed, "no step can be told: name the folder like checkpoint-500"),
            (single, "a checkpoint is a folder that save_pretrained has written: save it so"),
        )
        if names
    ]
    return [Place(step, path, stage_of(path)) for path, step in steps.items()], left_out


def stage_of(path: Path) -> Stage:
    """The stage in the name of a checkpoint's folder or of the one above."""
    own = stage_in(path.name)
    return own if own != Stage() else stage_in(path.absolute().parent.name)


def in_stages(steps: Iterable[tuple[Stage, int]]) -> list[int]:
    """Steps counted on where a stage of the training counts them anew.

    Args:
        steps: stage and step of each checkpoint.

    Returns:
        the step of each in the whole training: a stage that does not begin after the last step of
        the stage before is counted on from there.
    """
    given = list(steps)
    shift: dict[Stage, int] = {}
    last = -1
    for stage in sorted({stage for stage, _ in given}):
        own = [step for other, step in given if other == stage]
        shift[stage] = 0 if min(own) > last else last
        last = max(own) + shift[stage]
    return [step + shift[stage] for stage, step in given]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more


def _state(path: Path) -> int | None:
    """The step that a trainer has left; None where there is none that can be read."""
    try:
        return trainer_step(path)
    except BadInput:
        return None


def _numbered(stem: str) -> bool:
    return step_in(stem) is not None or epoch_in(stem) is not None

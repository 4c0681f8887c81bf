"""Recording a series of checkpoints into the run that a live recorder would have written."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from nucleate._core.errors import BadInput, RunFailed
from nucleate.activations import check_readable
from nucleate.checkpoints._check import SeriesReport
from nucleate.checkpoints._rules import repeated
from nucleate.checkpoints._series import Checkpoint, Series
from nucleate.prompts import PromptSet
from nucleate.recording import Recorder, Schedule, open_run, prompts_of, refusal_to_void
from nucleate.runs import Run, check_unlocked, check_writable

_SOURCE = "source"


@dataclass(frozen=True)
class Recorded:
    """The result of `record_series`.

    Attributes:
        run: the folder.
        steps: steps read now.
        present: steps recorded before.
        not_finite: step -> where its states are NaN or infinite, such as `from block.1 on`; the
            journal has it, too.
    """

    run: Path
    steps: tuple[int, ...]
    present: tuple[int, ...]
    not_finite: dict[int, str]


def record_series(
    where: str | Path,
    prompts: PromptSet,
    series: Series,
    *,
    load: Callable[[Checkpoint], nn.Module] = Checkpoint.load,
    report: SeriesReport | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Recorded:
    """Read a prompt set out of every checkpoint of a series into a run, one checkpoint at a time.

    Steps that the run has are not read again, nor are their checkpoints loaded, so that an
    interrupted call can be repeated to resume. The journal names the checkpoint of each step. A
    checkpoint whose states are not finite is recorded like any other and marked in the journal.

    Args:
        where: the run's folder; a run of the same prompt set is continued.
        prompts: the rows.
        series: the checkpoints; no step twice.
        load: loads the model of a checkpoint.
        report: of `check_series`; its hashes show whether a recorded step came from these weights.
        overwrite: let an earlier step void later ones that the series does not have, and those of
            a finished training.
        progress: called with the checkpoints done and their total.

    Returns:
        the steps that were read now, and those that were recorded before.

    Raises:
        BadInput: a step occurs twice; a checkpoint cannot be loaded or read; the folder holds a run
            of another prompt set, of other checkpoints, or of later steps that would be lost and
            `overwrite` does not allow it.
        RunFailed: reading or writing failed after the start; what is on record is kept.
    """
    if twice := repeated(series.steps):
        raise BadInput(f"step {twice[0]} occurs twice in the series; leave one of the two out")
    hashes = {} if report is None else {one.step: one.sha256 for one in report.checkpoints}
    run = Run(where) if (Path(where) / "manifest.json").exists() else None
    prompts_of(run, prompts)
    pending = [one for one in series if not _has(run, one, hashes.get(one.step))]
    if run is not None and pending and not overwrite:
        _check_order(run, series, pending[0].step)
    done: list[int] = []
    if pending:
        check_writable(where)
        check_unlocked(where)
        with _quick_collection():
            done = _read(where, prompts, series, pending[0], load, hashes, progress)
    progress(len(series), len(series))
    return Recorded(
        Path(where),
        tuple(done),
        tuple(step for step in series.steps if step not in done),
        {
            one["step"]: one["not_finite_at"]
            for one in Run(where).journal.live("snapshot")
            if one["step"] in series.steps and "not_finite_at" in one
        },
    )


def _read(
    where: str | Path,
    prompts: PromptSet,
    series: Series,
    first: Checkpoint,
    load: Callable[[Checkpoint], nn.Module],
    hashes: dict[int, str | None],
    progress: Callable[[int, int], None],
) -> list[int]:
    # Before the folder is there: a model that cannot be read leaves nothing behind.
    loaded = load(first)
    check_readable(loaded, prompts)
    model: nn.Module | None = loaded
    del loaded  # one checkpoint in memory at a time
    done: list[int] = []
    run = open_run(where, prompts)
    # What may be void was checked before; what is void here is read again below.
    with Recorder(run, prompts, Schedule.at(series.steps), overwrite=True) as recorder:
        for place, checkpoint in enumerate(series):
            progress(place, len(series))
            if _has(run, checkpoint, hashes.get(checkpoint.step)):
                continue
            model = load(checkpoint) if model is None else model
            run.journal.append(
                _SOURCE,
                step=checkpoint.step,
                checkpoint=str(checkpoint),
                sha256=hashes.get(checkpoint.step),
            )
            recorder.step(model, checkpoint.step)
            recorder.flush()
            if recorder.error is not None:
                raise RunFailed(
                    f"{where}: step {checkpoint.step} ({checkpoint}) could not be recorded "
                    f"({recorder.error!r}); what is on record is kept"
                ) from recorder.error
            done.append(checkpoint.step)
            model = None
            gc.collect()  # models hold reference cycles: the next one must not meet this one
        recorder.close(end=max(run.steps))
    return done


@contextmanager
def _quick_collection() -> Iterator[None]:
    """Let the garbage collector look at new objects only: all of transformers takes it 0.2 s."""
    ours = gc.get_freeze_count() == 0
    if ours:
        gc.freeze()
    try:
        yield
    finally:
        if ours:
            gc.unfreeze()


def _has(run: Run | None, checkpoint: Checkpoint, sha256: str | None) -> bool:
    """Whether a run has a checkpoint's states.

    Raises:
        BadInput: it has that step of another checkpoint.
    """
    if run is None or checkpoint.step not in run.steps:
        return False
    source = run.journal.last(_SOURCE, step=checkpoint.step)
    if source is None:
        return True
    if sha256 is not None and source["sha256"] is not None:
        same = sha256 == source["sha256"]
    else:
        same = str(checkpoint) == source["checkpoint"]
    if not same:
        raise BadInput(
            f"{run.path} has step {checkpoint.step} of {source['checkpoint']}, not of "
            f"{checkpoint}; name another folder"
        )
    return True


def _check_order(run: Run, series: Series, first: int) -> None:
    """Recording an earlier step voids later ones: refuse that where they would not come again."""
    lost = [step for step in run.steps if step > first and step not in series.steps]
    if lost:
        raise BadInput(
            f"{run.path} has step {lost[0]}, which recording step {first} would void; record steps "
            "in order, name another folder, or ask for it with overwrite=True (--overwrite)"
        )
    # Of a series the run has nothing but snapshots; a training has losses that would be lost.
    recorded = {record["step"] for record in run.journal.live(_SOURCE)}
    refusal = None if recorded.issuperset(run.steps) else refusal_to_void(run, first, None)
    if refusal is not None:
        raise BadInput(refusal)

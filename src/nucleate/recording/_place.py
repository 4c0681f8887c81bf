"""The run that a recorder writes into: opening it, and what of it a training may void."""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from nucleate._core.errors import BadInput
from nucleate.prompts import PromptSet
from nucleate.runs import PackedSnapshot, Run, run_path

Likeness = Literal["same", "rounding", "other", "unreadable"]
"""A new snapshot against the recorded one of its step: the same bits, equal up to rounding, of
another model, or not to be compared since the recorded one is damaged."""

# Relative difference of two readings of one model: bfloat16 on other hardware stays below it.
_ROUNDING = 0.03


def open_run(where: str | Path | Run, prompts: PromptSet | None) -> Run:
    """The run in a folder, which is created if there is none."""
    if isinstance(where, Run):
        return where
    if prompts is None:
        raise BadInput(
            f"{where} needs a prompt set; give one, or an existing run instead of a path"
        )
    folder = run_path(where)
    try:
        if (folder / "manifest.json").exists():
            return Run(folder)
        positions = list(prompts.positions)
        return Run.create(folder, prompts, {"name": folder.resolve().name, "positions": positions})
    except OSError as error:
        raise BadInput(f"{folder} cannot hold a run ({error}); name another folder") from error


def prompts_of(run: Run | None, prompts: PromptSet | None) -> PromptSet:
    """The prompt set of a run, checked against the given one."""
    if prompts is None:
        assert run is not None
        return run.prompts
    if run is not None and run.manifest["prompts_hash"] != prompts.content_hash():
        raise BadInput(
            f"{run.path} holds a run of other prompts ({run.manifest['prompts_hash'][:12]}, given "
            f"is {prompts.content_hash()[:12]}); name another folder, or give that run's prompt set"
        )
    return prompts


def likeness_of(run: Run, step: int, snapshot: PackedSnapshot) -> Likeness:
    """Compare a snapshot with the one that the run has of a step."""
    from safetensors.torch import load

    try:
        there = run.states(step).values
    except BadInput:
        return "unreadable"
    here = load(snapshot.data)["states"]
    if there.shape != here.shape:
        return "other"
    if there.dtype == here.dtype and torch.equal(there.view(torch.int16), here.view(torch.int16)):
        return "same"
    return "rounding" if _difference(there.float(), here.float()) <= _ROUNDING else "other"


def _difference(there: Tensor, here: Tensor) -> float:
    """The largest relative distance over places; infinite where only one of them is finite."""
    finite = there.isfinite()
    if not torch.equal(finite, here.isfinite()):
        return float("inf")
    there, here = (torch.where(finite, each, 0).flatten(2) for each in (there, here))
    return float(((here - there).norm(dim=2) / there.norm(dim=2).clamp_min(1e-12)).max())


def refusal_to_void(run: Run, step: int, likeness: Likeness | None) -> str | None:
    """Why a training that is at `step` may not void what a run holds; None where it may.

    A training that resumes from a checkpoint has the states that the run recorded at that step.
    At step 0 they tell nothing, since trainings of other settings start from the same weights; and
    a step that the run lacks tells nothing either. There an unfinished run is taken to be the
    same training that starts over, and a finished one is kept.

    Args:
        run: with everything written.
        step: what it has of later steps would be void.
        likeness: of the model as it is to the run's snapshot of `step`; None if it has none.
    """
    other = likeness == "other"
    void = [held for held in run.steps if held > step or (held == step and other)]
    lost = (
        f"{len(void)} recorded {'step' if len(void) == 1 else 'steps'} up to {max(void, default=0)}"
    )
    remedy = "name another folder, or ask for it with overwrite=True (--overwrite)"
    if other:
        return (
            f"{run.path} has the states of another model at step {step}, and recording this one "
            f"would void {lost}; {remedy}"
        )
    resumed = step > 0 and likeness in ("same", "rounding")
    if resumed or run.status != "finished":
        return None
    if any(r.get("step", -1) > step for r in run.journal.live()):
        return (
            f"{run.path} holds a finished training, and recording from step {step} would void "
            f"{lost}; {remedy}"
        )
    return None

"""A run folder with known numbers in its journal and real ones in its panel."""

from pathlib import Path

import torch

from nucleate.activations import capture
from nucleate.panel import (
    Permuted,
    SurfaceText,
    Untrained,
    measure,
)
from nucleate.runs import Run
from small import material, model

STEPS = (0, 2, 9)
LOSSES = {1: 3.5, 2: 3.25, 3: 3.0}
"""By step, as a training loop journals them."""
SCALARS = {0: {"loss": 4.0, "lr": 0.5}, 9: {"loss": 2.5, "lr": 0.25}}
"""By step, as a recorder journals what it is given."""


def make_run(folder: Path) -> Run:
    """Three snapshots of different models, losses, and the panel."""
    _, _, prompts = material()
    run = Run.create(folder, prompts, {"name": folder.name})
    half = (torch.arange(len(prompts)) % 2).bool()
    for step in STEPS:
        states = capture(model(seed=step), prompts)
        nll = torch.full((len(prompts),), 5.0 - step / 4)
        run.save_snapshot(step, states, {"correct": half & (step > 0), "nll": nll})
    run.journal.append("step", step=3, first=1, losses=list(LOSSES.values()))
    for step, values in SCALARS.items():
        run.journal.append("step", step=step, **values)
    run.save_untrained([capture(model(seed=77), prompts)])
    nulls = (Permuted(19), Untrained(tuple(run.untrained())), SurfaceText())
    measure(run, nulls=nulls, n_bootstraps=20, n_init=2)
    return run

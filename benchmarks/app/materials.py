"""The runs that are looked at: states of groups that move apart, written as by any recorder."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from nucleate.prompts import PromptSet
from nucleate.runs import Run, States

WIDTH, TASKS, STRINGS = 64, 20, 100
POSITION = "last"


def streams_of(count: int) -> tuple[str, ...]:
    return tuple(f"block.{at}" for at in range(count))


def prompts_of(rows: int) -> PromptSet:
    """Twenty tasks in a hundred instruction strings, with as many inputs as the rows need."""
    records = [
        {
            "ids": [2, 10 + row % STRINGS, 200 + row // STRINGS],
            "task": f"t{row % STRINGS % TASKS}",
            "instruction": f"do {row % STRINGS}",
            "input": f"x{row // STRINGS}",
        }
        for row in range(rows)
    ]
    return PromptSet.from_records(records, None, positions=POSITION)


def states_of(rows: int, steps: int, streams: int) -> Iterator[States]:
    """Noise in which the means of the tasks move apart."""
    task = torch.arange(rows) % STRINGS % TASKS
    drawn = torch.Generator().manual_seed(0)
    means = torch.randn(TASKS, WIDTH, generator=drawn)
    for step in range(steps):
        noise = torch.randn(streams, 1, rows, WIDTH, generator=drawn)
        noise += (step / max(1, steps - 1)) * means[task]
        yield States(noise, streams_of(streams), (POSITION,))


def write_run(folder: Path, rows: int, steps: int, streams: int) -> Run:
    """A whole run, with losses and with answers that get better."""
    prompts = prompts_of(rows)
    run = Run.create(folder, prompts, {"name": folder.name})
    rng = np.random.default_rng(0)
    for step, states in enumerate(states_of(rows, steps, streams)):
        right = torch.tensor(rng.random(rows) < step / steps)
        run.save_snapshot(step, states, {"correct": right, "nll": torch.full((rows,), 2.0)})
        run.journal.append("step", step=step, loss=3.0 - step / steps, learning_rate=1e-3)
    run.journal.append("run_end", step=steps - 1)
    return run


def many_runs(one: Run, folder: Path, count: int) -> Path:
    """A folder of as many runs: links to the files of one, so that the disk holds them once."""
    for at in range(count):
        shutil.copytree(one.path, folder / f"run{at:04}", copy_function=os.link)
    return folder


def coordinates(run: Run, stream: str) -> tuple[np.ndarray, np.ndarray]:
    """What the app draws of a place: coordinates [step row k], and the task of each row."""
    import json

    from nucleate.views import RunView

    view = RunView(run)
    place = f"{stream}/{POSITION}/tasks"
    about = json.loads(view.get(f"cloud/{place}.json"))
    frames = [
        one["unit"]
        * np.frombuffer(view.get(f"frames/{place}/{one['step']}.i16"), "<i2").reshape(
            -1, about["k"]
        )
        for one in about["frames"]
    ]
    task = np.unique(run.prompts.labels["task"], return_inverse=True)[1][about["index"]]
    return np.stack(frames).astype(np.float32), task


def small_run(folder: Path) -> Run:
    """A run that was measured, as most in a list are."""
    from nucleate.panel import measure

    run = write_run(folder, rows=4 * STRINGS, steps=6, streams=3)
    measure(run, metrics=["agreement"], n_bootstraps=50, n_init=2)
    return run

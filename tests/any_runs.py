"""Run folders as any recorder may leave them, made of numbers alone: no model, no training."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nucleate.panel import Permuted, SurfaceText, measure
from nucleate.prompts import PromptSet
from nucleate.runs import Run, States

STREAMS = ("embed", "block.0", "block.1", "final_norm")
TASKS = 3
STRINGS = 8


def prompts_of(
    *, labels: Iterable[str] = ("task", "instruction", "input"), answers: bool = True,
    positions: Any = "last", **more: Any,
) -> PromptSet:  # fmt: skip
    """Three tasks of eight instruction strings, each with two inputs."""
    rows = []
    for string in range(TASKS * STRINGS):
        for number in range(2):
            task = string % TASKS
            row = {"ids": [2, 10 + string, 40 + number]}
            known = {"task": f"t{task}", "instruction": f"do {string}", "input": f"x{number}"}
            row |= {name: known[name] for name in labels}
            row |= {name: give(string) for name, give in more.items()}
            rows.append(row)
    prompts = PromptSet.from_records(rows, None, positions=positions)
    return with_answers(prompts) if answers else prompts


def with_answers(prompts: PromptSet) -> PromptSet:
    """The same with a token more in each row, which answers it."""
    ids = np.concatenate([prompts.ids, np.full((len(prompts), 1), 9, prompts.ids.dtype)], axis=1)
    return PromptSet(
        ids=ids, prompt_lengths=prompts.prompt_lengths, lengths=prompts.lengths + 1,
        positions=prompts.positions, labels=prompts.labels,
        chance=np.full(len(prompts), 1 / TASKS), tokenizer_hash="",
    )  # fmt: skip


def states_of(
    prompts: PromptSet, apart: float, seed: int, streams: tuple[str, ...] = STREAMS
) -> States:
    """Noise, with the tasks' means `apart` from each other in every block."""
    task = np.array([int(name[1:] or 0) for name in prompts.labels.get("task", ["t0"])])
    task = np.resize(task, len(prompts))
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((len(streams), len(prompts.positions), len(prompts), 6))
    noise[1:] += apart * np.eye(6)[task]
    return States(torch.tensor(noise, dtype=torch.float32), streams, tuple(prompts.positions))


def make(
    folder: Path, prompts: PromptSet | None = None, *, seed: int = 0,
    steps: Iterable[int] = (0, 2, 4, 8), rises: float = 6.0, settings: Mapping[str, Any] = {},
    streams: tuple[str, ...] = STREAMS, losses: bool = True, broken: Iterable[int] = (),
    accuracy: float = 0.9, measured: bool = False,
) -> Run:  # fmt: skip
    """A run whose tasks move apart by `rises` until its last step."""
    prompts = prompts_of() if prompts is None else prompts
    given = {"hyperparameters": dict(settings)} if settings else {}
    run = Run.create(folder, prompts, {"name": folder.name, **given})
    steps = list(steps)
    rng = np.random.default_rng(seed + 1000)
    for step in steps:
        done = step / max(1, steps[-1])
        states = states_of(prompts, rises * done, 100 * seed + step, streams)
        if step in broken:
            states.values[1:] = torch.nan
        right = rng.random(len(prompts)) < accuracy * done
        rows = {"correct": torch.tensor(right), "nll": torch.full((len(prompts),), 2.0 - done)}
        answered = (prompts.lengths > prompts.prompt_lengths).any()
        run.save_snapshot(step, states, rows if answered else {})
        if losses:
            run.journal.append("step", step=step, loss=3.0 - done, learning_rate=1e-3)
    if steps:
        run.journal.append("run_end", step=steps[-1])
    if measured:
        quick(run)
    return run


def quick(run: Run) -> Run:
    """Measure with few draws, and with three models of noise as untrained ones."""
    run.save_untrained([states_of(run.prompts, 0.0, 7 + k, run.shape(run.steps[0])[0])
                        for k in range(5)])  # fmt: skip
    measure(run, nulls=(Permuted(99), SurfaceText(), *_untrained(run)), n_bootstraps=50, n_init=2,
            metrics=["agreement", "separation"])  # fmt: skip
    return run


def _untrained(run: Run) -> tuple[Any, ...]:
    from nucleate.panel import Untrained

    return (Untrained(tuple(run.untrained())),)

"""Trainings made of numbers alone, healthy or with a fault, as a watch over them reads them."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

import any_runs
from nucleate.monitor.alarms import Gauge, Series
from nucleate.prompts import PromptSet
from nucleate.runs import Run, States

STEPS = tuple(range(0, 200, 10))
AT = 100
PLACES = (("block.0", "last"), ("block.1", "last"))
FAULTS = ("merged", "forgotten", "collapsed", "blown up", "nan")


@cache
def prompts() -> PromptSet:
    """Three tasks of eight strings, two rows each."""
    return any_runs.prompts_of()


def readings(seed: int, fault: str | None = None) -> Iterator[tuple[int, States, dict]]:
    """Tasks that move apart and are learned until step 100; then the fault, if any."""
    known = prompts()
    rng = np.random.default_rng([seed, 3])
    task = np.array([int(name[1:]) for name in known.labels["task"]])
    strings = rng.standard_normal((24, 6))  # of a string in all readings
    string = np.array([int(name[3:]) for name in known.labels["instruction"]])
    for step in STEPS:
        bad = fault if step > AT else None
        done = min(1.0, step / AT)
        centers = 5 * done * np.eye(6)[:3]
        if bad == "merged":
            centers[1] = centers[0]
        if bad == "collapsed":
            centers *= 0.03
        noise = 0.3 * rng.standard_normal((4, 1, len(known), 6))
        values = 0.5 * strings[string] + noise + centers[task]
        if bad == "nan":
            values[2] = np.nan
        likely = np.full(3, 0.95 * done)
        if bad == "forgotten":
            likely[2] = 0.1
        right = rng.random(len(known)) < likely[task]
        nll = np.full(len(known), np.exp(1 - 2 * done + 0.05 * rng.standard_normal()))
        if bad == "blown up":
            nll *= 30
        states = States(torch.tensor(values, dtype=torch.float32), any_runs.STREAMS, ("last",))
        yield step, states, {"correct": torch.tensor(right), "nll": torch.tensor(nll)}


def series(seed: int, fault: str | None = None) -> Series:
    """The numbers of such a training."""
    gauge = Gauge(prompts(), PLACES)
    found = Series(
        f"made {seed}", gauge.tasks, gauge.columns(any_runs.STREAMS), gauge.prompts_hash, []
    )
    for step, states, scores in readings(seed, fault):
        loss = float(scores["nll"].mean())
        found.numbers.append(gauge.read(step, states, scores, loss))
    return found


@cache
def healthy(count: int = 30) -> tuple[Series, ...]:
    """Reference runs."""
    return tuple(series(seed) for seed in range(count))


def fresh(made: Series) -> Series:
    """The same without its numbers."""
    return replace(made, numbers=[])


def run(folder: Path, seed: int = 100, fault: str | None = None, *, ends: bool = True) -> Run:
    """The same as a run folder."""
    made = Run.create(folder, prompts(), {"name": folder.name})
    for step, states, scores in readings(seed, fault):
        made.save_snapshot(step, states, scores)
        made.journal.append("step", step=step, loss=float(scores["nll"].mean()))
    if ends:
        made.journal.append("run_end", step=STEPS[-1])
    return made

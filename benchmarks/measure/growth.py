"""How the time of the clustering grows with rows, K, width and steps."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from materials import Training

from nucleate.metrics import kmeans

_BASE = Training(steps=4, streams=4, rows=2000, width=128, tasks=20)
AXES: dict[str, tuple[int, ...]] = {
    "rows": (500, 1000, 2000, 4000, 8000, 16000),
    "K": (5, 10, 20, 40, 80, 160),
    "width": (32, 64, 128, 256, 512),
    "steps": (5, 10, 20, 40),
}
_NAMES = {"rows": "rows", "K": "tasks", "width": "width", "steps": "steps"}

Curve = list[tuple[int, float]]


def curves(restarts: int, repeats: int, say: Callable[[str], None]) -> dict[str, Curve]:
    """Seconds on one thread for each value of each axis, the others as in the base."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    result: dict[str, Curve] = {}
    for axis, values in AXES.items():
        result[axis] = []
        for value in values:
            seconds = _seconds(replace(_BASE, **{_NAMES[axis]: value}), restarts, repeats)
            result[axis].append((value, seconds))
        power = exponent(result[axis])
        shown = ", ".join(f"{value}: {seconds:.2f}" for value, seconds in result[axis])
        say(f"| {axis} | {shown} | {power:.2f} | {exponent(result[axis][-3:]):.2f} |")
    torch.set_num_threads(before)
    return result


def exponent(curve: Curve) -> float:
    """The slope of log(seconds) over log(value)."""
    values, seconds = np.log(np.array(curve)).T
    return float(np.polyfit(values, seconds, 1)[0])


def plot(found: dict[str, Curve], path: Path) -> None:
    """Four panels; the dotted lines are linear growth."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(found), figsize=(12, 3), layout="constrained", sharey=True)
    for panel, (axis, curve) in zip(panels, found.items(), strict=True):
        values, seconds = np.array(curve).T
        panel.loglog(values, seconds, "o-")
        middle = len(values) // 2
        panel.loglog(values, seconds[middle] * values / values[middle], ":", color="gray")
        panel.set_xticks(values, [f"{value:g}" for value in values])
        panel.minorticks_off()
        panel.set_xlabel(axis)
        panel.set_title(f"seconds ~ {axis}^{exponent(curve):.2f}", fontsize=10)
    panels[0].set_ylabel("seconds, one thread")
    base = f"{_BASE.steps} steps x {_BASE.streams} streams x {_BASE.rows} rows x {_BASE.width}"
    figure.suptitle(
        f"k-means, {base}, K = {_BASE.tasks} unless varied; dotted: linear", fontsize=10
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _seconds(training: Training, restarts: int, repeats: int) -> float:
    """The least of some repeats: a chain of steps on one position."""
    states = [training.states(step, 0) for step in range(training.steps)]
    found = []
    for _ in range(repeats):
        warm, start = None, time.perf_counter()
        for x in states:
            warm = kmeans(x, training.tasks, n_init=restarts, warm=warm).centroids
        found.append(time.perf_counter() - start)
    return min(found)

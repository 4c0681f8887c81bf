"""Where the time of a run's panel goes."""

import time
from pathlib import Path

import torch

from nucleate.panel import default_nulls, measure
from nucleate.runs import Run


def breakdown(folder: Path, threads: int) -> tuple[float, dict[str, float], int]:
    """Measure a run as if for the first time, and leave its folder alone.

    Returns:
        Seconds in all, seconds by part summed over workers, and the number of rows of the table.
    """
    run = Run(folder)
    torch.set_num_threads(threads)
    start = time.perf_counter()
    # Snapshots in memory have no folder, so that nothing is found there and nothing is kept.
    panel = measure(list(run.snapshots()), run.prompts, nulls=default_nulls(run))
    return time.perf_counter() - start, dict(panel.seconds), len(panel.table)

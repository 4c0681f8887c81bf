"""The panel of any run: the one in its folder, or measured now; or why there is none."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate.findings._headline import choosable
from nucleate.panel import Panel, measure
from nucleate.runs import Run


def panel_of(
    run: Run,
    folder: Path | str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Panel | None, str]:
    """The panel of a run with all its snapshots, measured where it is not there yet.

    Args:
        run: any run.
        folder: where tables are written, and looked for first; the run's own by default.
        progress: of `measure`.

    Returns:
        The panel, and why there is none: an empty text, or a sentence.
    """
    folder = None if folder is None else as_path("folder", folder)
    if not run.steps:
        return None, "nothing was recorded yet"
    if "task" not in run.prompts.labels:
        return None, _no_task(run)
    for place in dict.fromkeys((folder or run.path, run.path)):
        found = _in_folder(place)
        if found is not None and sorted(set(found.table["step"])) == run.steps:
            return found, ""
    try:
        return measure(run, out=folder, progress=progress), ""
    except BadInput as error:
        return None, str(error).rstrip(".")


def _no_task(run: Run) -> str:
    names = ", ".join(run.prompts.labels)
    have = f"they have {names}" if names else "they have none"
    return (
        f"the prompts have no label 'task' ({have}); clusters are measured of prompts that are "
        "made from rows with a column task"
    )


def _in_folder(folder: Path) -> Panel | None:
    """The panel in a folder, where there is one that can be read."""
    try:
        return Panel.load(folder)
    except BadInput:
        return None


def up_to_last_finite(panel: Panel) -> tuple[Panel | None, list[int]]:
    """The panel without the last steps at which no place has an ARI(task), such as after a NaN.

    Returns:
        The panel, as it is where the last step has one, None where no step has; and the steps that
        were left out.
    """
    steps = sorted(int(step) for step in set(panel.table["step"]))
    known = choosable(panel.table)["step"]
    if known.empty:
        return None, steps
    last = int(known.max())
    dropped = [step for step in steps if step > last]
    if not dropped:
        return panel, []
    kept = np.array([step <= last for step in steps])
    draws = {
        place: values[kept] if len(values) == len(steps) else values
        for place, values in panel.draws.items()
    }
    return replace(panel, table=panel.table[panel.table["step"] <= last], draws=draws), dropped


def dropped_words(dropped: list[int], last: int) -> str:
    """A sentence on the steps that `up_to_last_finite` left out; empty where there are none."""
    if not dropped:
        return ""
    which = f"step {dropped[0]}" if len(dropped) == 1 else f"steps {dropped[0]} to {dropped[-1]}"
    return (
        f"The states of {which} give no number (they are not finite, or all the same); what is "
        f"said of clusters is said of step {last}."
    )

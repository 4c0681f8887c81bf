"""The panels of several runs as one."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nucleate._core.errors import BadInput
from nucleate._core.names import shortest_names
from nucleate.panel._panel import Panel
from nucleate.runs import Run


def runs_in(source: Any) -> list[Run]:
    """The runs of a list of runs or folders; empty where the source is anything else.

    Raises:
        BadInput: a list holds runs and other things, or a run twice.
    """
    if not isinstance(source, list | tuple):
        return []
    known = [isinstance(each, Run | str | Path) for each in source]
    if not any(known):
        return []
    if not all(known):
        raise BadInput("a list of runs holds something else too; give runs or folders alone")
    runs = [each if isinstance(each, Run) else Run(each) for each in source]
    again = [path for path, n in Counter(run.path.resolve() for run in runs).items() if n > 1]
    if again:
        raise BadInput(f"{again[0]} is named twice; name each run once")
    return runs


def join_panels(runs: Sequence[Run], panels: Sequence[Panel]) -> Panel:
    """One panel with the column `run` in front: the shortest ends of the folders that differ.

    What is missing in any of them is missing; draws stay with each run's own panel.
    """
    names = shortest_names([run.path for run in runs])
    tables, classes = [], []
    for name, panel in zip(names, panels, strict=True):
        tables.append(panel.table.assign(run=name))
        classes.append(panel.by_class.assign(run=name))
    missing: dict[str, str] = {}
    seconds: Counter[str] = Counter()
    for panel in panels:
        missing |= panel.missing
        seconds.update(panel.seconds)
    return Panel(_joined(tables), {}, _joined(classes), missing, dict(seconds))


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    whole = pd.concat(tables, ignore_index=True)
    return whole[["run", *(name for name in whole if name != "run")]]

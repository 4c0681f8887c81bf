"""Plots of a run by one call each: from its folder to a figure."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from nucleate._core.errors import BadInput
from nucleate._core.names import nearest
from nucleate.findings import findings
from nucleate.runs import Run
from nucleate.views._curves import accuracy_curves, cluster_curves
from nucleate.views._maps import causal_map_figure, heat_map
from nucleate.views._run_report import RunReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Source = Run | RunReport | Path | str


def plot_accuracy(run: Source, *, ax: "Axes | None" = None) -> "Figure":
    """Plot accuracy by split over training steps, with intervals, chance and onset.

    Args:
        run: a measured run, its folder, or its report.
        ax: axes to draw on; a new figure if None.

    Raises:
        BadInput: it is no run or has no panel.
    """
    return accuracy_curves(_report(run), ax=ax)


def plot_clusters(
    run: Source, position: str | None = None, *, ax: "Axes | None" = None
) -> "Figure":
    """Plot ARI of clusters against tasks over training steps, one curve per stream, with nulls.

    Args:
        run: as for `plot_accuracy`.
        position: token position; the last one of the prompt set if None.
        ax: as for `plot_accuracy`.

    Raises:
        BadInput: as for `plot_accuracy`; or no such position.
    """
    report = _report(run)
    return cluster_curves(report, _position(report, position), ax=ax)


def plot_heat_map(
    run: Source, position: str | None = None, *, ax: "Axes | None" = None
) -> "Figure":
    """Plot ARI of clusters against tasks as a heat map over streams and training steps.

    Args:
        run: as for `plot_accuracy`.
        position: as for `plot_clusters`.
        ax: as for `plot_accuracy`.

    Raises:
        BadInput: as for `plot_clusters`.
    """
    report = _report(run)
    return heat_map(report, _position(report, position), ax=ax)


def plot_causal_map(run: Source) -> "Figure":
    """Plot the cluster map and the causal map: streams by position, with verdicts.

    Args:
        run: as for `plot_accuracy`.

    Raises:
        BadInput: as for `plot_accuracy`.
    """
    return causal_map_figure(_report(run))


def _report(run: Source) -> RunReport:
    if isinstance(run, RunReport):
        return run
    opened = run if isinstance(run, Run) else Run(run)
    found = findings(opened)
    return RunReport(
        summary=found.summary,
        panel=found.panel,
        accuracy=found.accuracy,
        onsets=found.onsets,
        places=found.places,
        picture=pd.DataFrame(),
    )


def _position(report: RunReport, name: str | None) -> str:
    if name is None:
        return report.positions[-1]
    if name not in report.positions:
        raise BadInput(
            f"no position named {name!r}{nearest(name, report.positions)}; choose one of "
            f"{', '.join(report.positions)}"
        )
    return name

"""Plots of a run by one call each: from its folder to a figure."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate._core.names import nearest
from nucleate.findings import findings
from nucleate.runs import Run
from nucleate.views._curves import accuracy_curves, cluster_curves
from nucleate.views._figures import Plate, check_kind, write_figures
from nucleate.views._maps import causal_map_figure, heat_map
from nucleate.views._of_run import measured, report_of
from nucleate.views._run_report import RunReport
from nucleate.views._widths import width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Source = Run | RunReport | Path | str


def figures(
    run: Run | Path | str,
    *,
    out: Path | str | None = None,
    width: float | str = "text",
    only: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Plate]:
    """Write the figures of a run for a paper: PNG, SVG and PDF, with the numbers drawn as CSV.

    Args:
        run: a run, or its folder; what is not measured yet is measured first.
        out: where to write; by default `figures` in the run.
        width: `column` (3.35 inches), `text` (7 inches), or inches; what cannot be read in it is as
            narrow as it can be.
        only: one kind of figures, such as `curves` or `causal-map`; all by default.
        progress: of `measure`.

    Returns:
        What was written.

    Raises:
        BadInput: the folder is no run, the width cannot be drawn, there is no such figure, or the
            run has nothing to draw it from.
        OSError: the disk is full or the folder cannot be written.
    """
    check_kind(only)
    inches = width_of(width)
    opened = run if isinstance(run, Run) else Run(run)
    folder = opened.path / "figures" if out is None else as_path("out", out)
    found, why = measured(opened, out, progress)
    plates = write_figures([report_of(opened, found)], folder, only=only, width=inches)
    if not plates:
        raise BadInput(f"{opened.path} has nothing to draw{f' for {only}' if only else ''}: "
                       f"{why or 'it was not measured, or not intervened on'}")  # fmt: skip
    return plates


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


def plot_causal_map(run: Source, *, ax: "Axes | None" = None) -> "Figure":
    """Plot the cluster map and the causal map: streams by position, with verdicts.

    Args:
        run: as for `plot_accuracy`.
        ax: axes whose room is taken, 7 inches wide or more; a new figure if None.

    Raises:
        BadInput: as for `plot_accuracy`; or the axes have too little room.
    """
    return causal_map_figure(_report(run), ax=ax)


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

"""One place looked at closely: how far states must be shifted, and which task becomes which."""

from typing import TYPE_CHECKING

import numpy as np

from nucleate.findings import plain, position_name
from nucleate.views._run_report import RunReport
from nucleate.views._style import (
    COLORS,
    GRAY,
    RAMP,
    SMALL,
    Margins,
    axes_grid,
    figure_style,
    headline,
    is_narrow,
    key_below,
    size_of,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_EDITS = {
    "shift": ("shift towards the other task", COLORS[0]),
    "shuffled": ("means under permuted tasks", COLORS[1]),
    "random_direction": ("random direction", COLORS[2]),
}
_LINE = 0.1
"""What a name takes in inches; where there is less room, only every second or third is written."""


@figure_style()
def doses_figure(run: RunReport, *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Dose-response curves with their controls, beside the task x task redirection matrix.

    Args:
        run: the run; `doses` and `redirections` must not be empty.
        title: what stands over the figure; nothing without it.
        ax: axes whose room is taken; a new figure without it.

    Raises:
        BadInput: `ax` is too small.
    """
    top = 0.75 if title else 0.45
    if narrow := is_narrow(ax):  # one above the other
        margins = Margins(left=0.95, right=0.75, top=top, bottom=0.95, down=1.5, least=0.5)
        figure, grid = axes_grid([3.0], [2.0, 1.8], margins, ax)
    else:
        margins = Margins(left=0.6, right=0.9, top=top, bottom=1.1, across=0.95, least=0.65)
        figure, grid = axes_grid([3.4, 3.0], [3.0], margins, ax)
    curves, matrix = (axes for line in grid for axes in line)
    first = run.doses.iloc[0]
    where = f"{first['stream']}, {position_name(str(first['position']))}"
    _curves(curves, run.doses, where, columns=1 if narrow else 2)
    _matrix(figure, matrix, run.redirections)
    headline(figure, title, ax)
    return figure


def _curves(ax: "Axes", doses: "pd.DataFrame", where: str, *, columns: int) -> None:
    for edit, (name, color) in _EDITS.items():
        rows = doses[doses["edit"] == edit].sort_values("dose")
        ax.plot(rows["dose"], rows["redirected"], "o-", ms=3, color=color, label=name)
        ax.fill_between(
            rows["dose"], rows["redirected_low"], rows["redirected_high"], color=color, alpha=0.2,
            lw=0,
        )  # fmt: skip
    far = doses[(doses["edit"] == "shift") & (doses["beyond"] > 0.5)]["dose"]
    if len(far):
        ax.axvspan(float(far.min()), float(doses["dose"].max()), color=GRAY, alpha=0.15, lw=0,
                   label="further than states lie")  # fmt: skip
    ax.axhline(float(doses["chance"].iloc[0]), color=GRAY, ls=":", lw=1, label="chance")
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlabel("dose (1: difference of the means)" if columns == 1 else
                  "dose (1 = the difference of the tasks' means)")  # fmt: skip
    ax.set_ylabel("answers of the other task")
    ax.set_title(where)
    # under the axes: no corner is free in every run
    key_below(ax, ax.get_legend_handles_labels()[0], inches=0.42, columns=columns)


def _matrix(figure: "Figure", ax: "Axes", table: "pd.DataFrame") -> None:
    tasks = sorted({*table["task"], *table["target"]})
    wide = table.pivot(index="task", columns="target", values="redirected")
    values = wide.reindex(index=tasks, columns=tasks).to_numpy(float)
    image = ax.imshow(values, cmap=RAMP, vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    names = [plain(task, 14) for task in tasks]
    across, up = size_of(ax)
    for axis, room in ((ax.xaxis, across), (ax.yaxis, up)):
        each = max(int(np.ceil(len(names) * _LINE / room)), 1)
        axis.set_ticks(np.arange(0, len(names), each), names[::each], fontsize=SMALL)
    ax.tick_params(axis="x", rotation=90)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title("from task (rows) to task")
    box = ax.get_position()
    width = figure.get_figwidth()
    bar = figure.add_axes((box.x1 + 0.12 / width, box.y0, 0.12 / width, box.height))
    figure.colorbar(image, cax=bar).set_label("answers redirected")

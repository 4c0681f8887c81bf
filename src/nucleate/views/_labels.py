"""Agreement with every label at the last step: dots beside nulls."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nucleate.findings import highest_null, position_name
from nucleate.views._run_report import RunReport
from nucleate.views._style import (
    COLORS,
    GRAY,
    SMALL,
    Margins,
    axes_grid,
    figure_of,
    figure_style,
    headline,
    is_narrow,
    key_below,
    own_axes,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LABELS = ("task", "family", "input", "output")
_MOST_LABELS = 6
_ABREAST = 4
"""As many labels find room side by side in a column."""


@figure_style()
def labels_figure(run: RunReport, *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """ARI of clusters against task, family, input and output at the last step, beside nulls.

    Dots are the view of the summary at the position, rings the other view where there is one;
    the gray bar ends at the highest of the nulls of the dot, the stroke marks that of the ring.

    Args:
        run: the run.
        title: what stands over the figure; nothing without it.
        ax: axes whose room is taken; a new figure without it.

    Raises:
        BadInput: `ax` is too small.
    """
    labels, narrow = _shown_labels(run), is_narrow(ax)
    across = min(len(labels), _ABREAST) if narrow else len(labels)
    lines = -(-len(labels) // max(across, 1))
    tall = 0.2 * len(run.streams) + 0.1
    figure, grid = axes_grid(
        [1.12] * across,
        [tall] * len(run.positions) * lines,
        Margins(left=0.75 if narrow else 0.85, right=0.1 if narrow else 1.3,
                top=0.82 if title else 0.55, bottom=0.85 if narrow else 0.42,
                across=0.12, down=0.95, least=0.45, lowest=0.7),
        ax,
    )  # fmt: skip
    for place, position in enumerate(run.positions):
        panels = [p for line in grid[place * lines : (place + 1) * lines] for p in line]
        _labels_at(panels, run, position, labels, across)
    if narrow:
        key_below(grid[-1][0], _dots_key(), inches=0.42, columns=2)
    else:
        grid[0][-1].legend(handles=_dots_key(), loc="upper left", bbox_to_anchor=(1.03, 1.02),
                           borderaxespad=0)  # fmt: skip
    headline(figure, title, ax)
    return figure


def _labels_at(
    panels: "Sequence[Axes]", run: RunReport, position: str, labels: Sequence[str], across: int
) -> None:
    """All labels at one position, so many side by side."""
    for panel in panels:
        panel.set_axis_off()
    for index, (label, panel) in enumerate(zip(labels, panels, strict=False)):
        panel.set_title(label, fontsize=8.5, fontweight="normal", pad=4)
        if not len(drawn_labels(run, position, label)):
            panel.text(0.1, 0.5, "not\nmeasured", transform=panel.transAxes, fontsize=SMALL)
            continue
        panel.set_axis_on()
        label_dots(run, position, label, ax=panel)
        if index % across:
            panel.set_yticklabels([])
    first = panels[0]
    first.annotate(position_name(position), (0, 1), (0, 20), xycoords="axes fraction",
                   textcoords="offset points", weight="bold")  # fmt: skip


@figure_style()
def label_dots(run: RunReport, position: str, label: str, *, ax: "Axes | None" = None) -> "Figure":
    """ARI against one label at the last step by stream, beside the highest null.

    Args:
        run: the run.
        position: the token position.
        label: such as `task` or `family`.
        ax: where to draw; a new figure without it.
    """
    ax = own_axes(ax, 2.0, 1.8)
    streams = run.streams
    levels = np.arange(len(streams))
    main = run.headline_view(position)
    color = COLORS[_LABELS.index(label) if label in _LABELS else 4]
    for view in ("raw", "conditioned"):
        rows = run.last_numbers(position, view, label=label)
        rows = rows[~rows.index.duplicated()].reindex(streams)
        if rows["value"].isna().all():
            continue
        if view == main:
            ax.barh(levels, highest_null(rows), height=0.72, color="#d5d9de", zorder=1)
            ax.scatter(rows["value"], levels, s=22, color=color, zorder=3, lw=0, clip_on=False)
        else:
            ax.scatter(
                rows["value"],
                levels,
                s=20,
                facecolor="none",
                edgecolor=color,
                lw=0.9,
                zorder=2,
                clip_on=False,
            )
            ax.scatter(highest_null(rows), levels, s=60, marker="|", color=color, lw=1.1, zorder=2)
    ax.set_xlim(-0.08, 1.05)
    ax.set_ylim(-0.6, len(streams) - 0.4)
    ax.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    ax.set_yticks(levels, streams)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="#eceff2", lw=0.6)
    ax.set_axisbelow(True)
    ax.set_xlabel("ARI")
    return figure_of(ax)


def _is_known(run: RunReport, label: str) -> bool:
    """Whether there is a number for the label at the last step, at any place."""
    rows = run.panel[(run.panel["label"] == label) & (run.panel["metric"] == "ari")]
    return bool(rows.loc[rows["step"] == rows["step"].max(), "value"].notna().any())


def _shown_labels(run: RunReport) -> list[str]:
    measured = set(run.panel["label"].unique())
    labels = [name for name in _LABELS if name in measured]
    others = measured - {*_LABELS, "", "length", "task x family"}
    shown = [name for name in (*labels, *sorted(others)) if _is_known(run, name)]
    return shown[:_MOST_LABELS] or labels[:1]


def drawn_labels(run: RunReport, position: str = "", label: str = "") -> pd.DataFrame:
    """The dots, rings and nulls of `labels_figure`; of one position and label if they are given."""
    names = ["position", "label", "view", "stream", "value", "null", "mark"]
    parts = []
    for at in [position] if position else run.positions:
        for name in [label] if label else _shown_labels(run):
            for view in ("raw", "conditioned"):
                rows = run.last_numbers(at, view, label=name)
                rows = rows[~rows.index.duplicated()].dropna(subset="value")
                mark = "dot" if view == run.headline_view(at) else "ring"
                rows = rows.assign(null=highest_null(rows), mark=mark)
                parts.append(rows.reset_index().reindex(columns=names))
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=names)


def _dots_key() -> "list[Artist]":
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Line2D([], [], color=GRAY, marker="o", ls="", ms=5, label="as in the text"),
        Line2D([], [], color=GRAY, marker="o", ls="", ms=5, mfc="none", label="other view"),
        Patch(color="#d5d9de", label="highest null"),
        Line2D([], [], color=GRAY, marker="|", ls="", ms=8, label="null of ring"),
    ]

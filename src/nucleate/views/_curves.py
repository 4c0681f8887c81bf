"""Curves over training: accuracy by split, and agreement of clusters with tasks by stream."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nucleate.findings import OnsetSummary, highest_null, plain, position_name, short_names
from nucleate.views._run_report import RunReport
from nucleate.views._style import (
    COLORS,
    GRAY,
    INK,
    STEPS,
    STEPS_NARROW,
    Margins,
    axes_grid,
    figure_of,
    figure_style,
    is_narrow,
    is_small,
    own_axes,
    step_axis,
    stream_colors,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SPLITS = ("train", "seen", "unseen_string", "unseen_cell", "unseen_family", "unseen_input")
_ONSET = "#B3123B"
_ASIDE: dict[str, Any] = {"loc": "right", "fontsize": 8, "fontweight": "normal"}
_DOT: dict[str, Any] = {"marker": "o", "ms": 4}
_KEYS = 3
"""Names beside each other in a key below the axes."""
_FEW = 60
"""Fewer numbers than this are marked one by one."""
_NULL_LINES = {"n0_q99": (":", "N0 (99 %)"), "n1_max": ("--", "N1 (max)"), "n2": ("-.", "N2")}


@figure_style()
def accuracy_curves(run: RunReport, *, ax: "Axes | None" = None, legend: bool = True) -> "Figure":
    """Accuracy by split over steps with its interval, chance, and the onset with its interval.

    Args:
        run: the run.
        ax: where to draw; a new figure without it.
        legend: name the splits to the right of the axes.
    """
    ax = own_axes(ax)
    splits = sorted(run.accuracy["split"].unique(), key=_split_place)
    for split in splits:
        rows = run.accuracy[run.accuracy["split"] == split].sort_values("step")
        color = COLORS[_split_place(split) % len(COLORS)]
        alone = _DOT if len(rows) == 1 else {}
        ax.plot(rows["step"], rows["accuracy"], color=color, label=split.replace("_", " "), **alone)
        ax.fill_between(rows["step"], rows["low"], rows["high"], color=color, alpha=0.13, lw=0)
    chance = run.accuracy["chance"].mean()
    if np.isfinite(chance):
        ax.axhline(chance, color=INK, lw=0.9, ls=(0, (1, 2)), label="chance")
    _finish(ax, run, "accuracy")
    if run.summary.accuracy_onset is not None:
        _mark_onset(ax, run.summary.accuracy_onset)
    if legend:
        _legend_right(ax)
    return figure_of(ax)


@figure_style()
def cluster_curves(
    run: RunReport, position: str, *, ax: "Axes | None" = None, legend: bool = True
) -> "Figure":
    """ARI of clusters against tasks by stream over steps, the nulls of the chosen stream shaded.

    The onset is marked only where the verdict is that there are clusters.

    Args:
        run: the run.
        position: the token position; measured in the view of the summary there.
        ax: where to draw; a new figure without it.
        legend: name streams and nulls to the right of the axes.
    """
    ax = own_axes(ax)
    view, chosen = run.headline_view(position), run.chosen_stream(position)
    rows = run.numbers(position, view)
    if rows["value"].isna().all():
        why = "; ".join(dict.fromkeys(str(note) for note in rows["note"] if note == note))
        ax.text(0.5, 0.5, plain(why or "no numbers", 110), ha="center", transform=ax.transAxes)
        _finish(ax, run, "ARI (task)")
        return figure_of(ax)
    alone = _DOT if rows["step"].nunique() == 1 else {}
    colors = stream_colors(run.streams)
    for stream in reversed(run.streams):  # the deepest first in the legend, as in the maps
        line = rows[rows["stream"] == stream]
        ax.plot(
            line["step"],
            line["value"],
            color=colors[stream],
            lw=2.4 if stream == chosen else 1.0,
            ls="--" if stream == "embed" else "-",
            label=stream,
            zorder=3 if stream == chosen else 2,
            **alone,
        )
    _shade_nulls(ax, rows[rows["stream"] == chosen])
    _finish(ax, run, "ARI (task)")
    found = run.summary.clusters.get(position)
    if found and found.verdict == "clusters":
        _mark_onset(ax, found.onset)
    if legend:
        _legend_right(ax)
    return figure_of(ax)


@figure_style()
def loss_curves(run: RunReport, *, ax: "Axes | None" = None, legend: bool = True) -> "Figure":
    """Loss of the training as it was logged, and of the prompt set's answers by split.

    Args:
        run: the run.
        ax: where to draw; a new figure without it.
        legend: name the curves to the right of the axes.
    """
    ax = own_axes(ax)
    logged = run.training[run.training["name"] == "loss"] if len(run.training) else run.training
    if len(logged):
        style: dict[str, Any] = {"marker": ".", "ms": 3} if len(logged) < _FEW else {}
        ax.plot(logged["step"], logged["value"], color=GRAY, lw=0.9, label="training", **style)
    for split in sorted(run.accuracy["split"].unique(), key=_split_place):
        rows = run.accuracy[run.accuracy["split"] == split]
        color = COLORS[_split_place(split) % len(COLORS)]
        alone = _DOT if len(rows) == 1 else {}
        ax.plot(rows["step"], rows["loss"], color=color, label=split.replace("_", " "), **alone)
    ax.set_ylabel("loss (nats)")
    ax.set_ylim(bottom=0)
    ax.grid(axis="y", color="#eceff2", lw=0.6)
    step_axis(ax, sorted({*run.steps, *(int(step) for step in logged.get("step", ()))}))
    if legend:
        _legend_right(ax)
    return figure_of(ax)


def curve_rows(runs: Sequence[RunReport]) -> list[str]:
    """What `curves_figure` has rows of: `accuracy`, `loss`, and the positions."""
    losses = any("loss" in set(run.training.get("name", ())) for run in runs)
    answers = any(len(run.accuracy) for run in runs)
    positions = dict.fromkeys(p for run in runs for p in run.positions)
    return ["accuracy"] * answers + ["loss"] * (losses or answers) + list(positions)


@figure_style()
def curves_figure(runs: Sequence[RunReport], *, ax: "Axes | None" = None) -> "Figure":
    """Accuracy, loss, and clusters at every position, as far as there are any; a column a run.

    Args:
        runs: one or more.
        ax: axes whose room is taken; a new figure without it.
    """
    rows = curve_rows(runs) or [""]
    wide = 4.3 if len(runs) > 1 else 6.4
    narrow = is_narrow(ax)
    margins = Margins(left=0.62, right=1.35, top=0.66, bottom=0.5, down=0.56, lowest=0.85)
    if narrow:  # names of curves go below the axes, so that these keep the width
        keys = 0.14 * max(-(-_entries(run, what) // _KEYS) for run in runs for what in rows)
        margins = Margins(left=0.55, right=0.1, top=0.66, bottom=0.5 + keys, down=0.75 + keys)
    figure, grid = axes_grid([wide] * len(runs), [1.75] * len(rows), margins, ax)
    for column, (run, name) in enumerate(
        zip(runs, short_names([r.summary for r in runs]), strict=True)
    ):
        last = column == len(runs) - 1
        top = grid[0][column]
        top.text(0, 1.2, name, transform=top.transAxes, fontsize=11.5, fontweight="bold")
        for row, what in enumerate(rows):
            cell = grid[row][column]
            _curves_in(cell, run, what, legend=last and not narrow)
            if narrow and last:
                _legend_below(cell)
            if column and what != "loss":
                cell.set_ylabel("")
                cell.set_yticklabels([])
        if not narrow:
            grid[-1][column].set_xlabel(STEPS)
    return figure


def _entries(run: RunReport, what: str) -> int:
    """How many names the key of a row has."""
    splits = run.accuracy["split"].nunique() + 1
    return splits if what in ("accuracy", "loss") else len(run.streams) + 1 + len(_NULL_LINES)


def _curves_in(ax: "Axes", run: RunReport, what: str, *, legend: bool) -> None:
    """One row of the figure; empty axes where the run has nothing of the kind."""
    if what == "accuracy" and len(run.accuracy):
        accuracy_curves(run, ax=ax, legend=legend)
        ax.set_title("accuracy by split")
    elif what == "loss" and curve_rows([run])[:2].count("loss"):
        loss_curves(run, ax=ax, legend=legend)
        ax.set_title("loss")
    elif what in run.positions:
        cluster_curves(run, what, ax=ax, legend=legend)
        how = ", inputs' means removed" if run.headline_view(what) != "raw" else ""
        thick = f"thick: {run.chosen_stream(what)}"
        if is_small(ax):
            ax.set_title(f"{position_name(what)}\n{thick}{how}", fontsize=7, linespacing=1.1)
            return
        ax.set_title(f"{position_name(what)}{how}")
        ax.set_title(thick, **_ASIDE)
    else:
        ax.set_axis_off()


def _split_place(split: str) -> int:
    return _SPLITS.index(split) if split in _SPLITS else len(_SPLITS)


def _shade_nulls(ax: "Axes", rows: pd.DataFrame) -> None:
    if rows.empty:
        return
    top = highest_null(rows)
    if len(rows) == 1:
        if np.isfinite(top[0]):
            ax.axhspan(0, top[0], color=GRAY, alpha=0.22, lw=0, label="by chance", zorder=0)
        return
    ax.fill_between(rows["step"], 0, top, color=GRAY, alpha=0.22, lw=0, label="by chance", zorder=0)
    for column, (style, name) in _NULL_LINES.items():
        if rows[column].notna().any():
            ax.plot(rows["step"], rows[column], color=INK, lw=0.7, ls=style, label=name, zorder=1)


def _mark_onset(ax: "Axes", onset: OnsetSummary) -> None:
    """A line at the onset, its interval as a strip on the axis; nothing where none was found.

    Where the interval begins at the first step, the line is at its end and an arrow points to
    earlier steps: it is not later than that.
    """
    if onset.step is None:
        return
    step, label, open_ = onset.step, f"onset {onset.step}", False
    if onset.low is not None and onset.high is not None:
        open_ = onset.low <= onset.first_step
        step = onset.high if open_ else step
        before = "by" if is_small(ax) else "no later than"
        label = f"{before} {onset.high}" if open_ else label
        ax.axvspan(onset.low, onset.high, 0, 0.03, color=_ONSET, alpha=0.55, lw=0, zorder=4)
    ax.axvline(step, color=_ONSET, lw=0.9, zorder=4)
    # on the left, where curves are still low
    at = ax.transData.transform((step, 0.0))[0]
    left = at > ax.bbox.x0 + 0.3 * ax.bbox.width
    side: dict[str, Any] = {"xytext": (-4 if left else 4, 0), "ha": "right" if left else "left"}
    shared: dict[str, Any] = {"textcoords": "offset points", "color": _ONSET}
    ax.annotate(label, (step, 1.0), fontsize=7.5, va="top", **shared, **side)
    if open_:
        # ends before the axis; where there is no room for it, the words say the same
        room = (at - ax.bbox.x0) / figure_of(ax).dpi * 72 - 6
        if room > 8:
            arrow = {"arrowstyle": "<-", "color": _ONSET, "lw": 0.9, "shrinkA": 0, "shrinkB": 0}
            ax.annotate("", (step, 0.8), xytext=(-min(room, 26), 0), arrowprops=arrow, **shared)


def _finish(ax: "Axes", run: RunReport, ylabel: str) -> None:
    ax.set_ylim(-0.06, 1.04)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    ax.set_ylabel(ylabel)
    ax.grid(axis="y", color="#eceff2", lw=0.6)
    ax.set_axisbelow(True)
    step_axis(ax, run.steps)


def _legend_right(ax: "Axes") -> None:
    _legend(ax, bbox_to_anchor=(1.01, 1.06), labelspacing=0.22, handlelength=1.7)


def _legend_below(ax: "Axes") -> None:
    """Names of curves below the axes and what they are drawn over."""
    if not ax.get_legend_handles_labels()[0]:
        return
    ax.set_xlabel(STEPS_NARROW, labelpad=1)
    _legend(ax, bbox_to_anchor=(-0.14, -0.28), ncols=_KEYS, fontsize=7, columnspacing=1.0,
            labelspacing=0.15, handlelength=1.5)  # fmt: skip


def _legend(ax: "Axes", **style: Any) -> None:
    handles, labels = ax.get_legend_handles_labels()
    legend = ax.legend(handles, labels, loc="upper left", borderaxespad=0, **style)
    for line in legend.get_lines():
        line.set_linewidth(1.4)  # which stream is thick differs between columns

"""Pictures of states in the plane, and the agreement with every label at the last step."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nucleate.findings import highest_null, in_order, number, plain, position_name
from nucleate.views._run_report import RunReport
from nucleate.views._style import (
    COLORS,
    GRAY,
    INK,
    SMALL,
    Margins,
    axes_grid,
    figure_of,
    figure_style,
    headline,
    own_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LABELS = ("task", "family", "input", "output")
_REST = "#c3c9d0"
_MOST_LABELS = 6


@figure_style()
def picture(
    frame: pd.DataFrame, tasks: Sequence[str], *, reach: float = 3.0, ax: "Axes | None" = None
) -> "Figure":
    """The states of one step at one place as points.

    Args:
        frame: rows of the picture table with columns `x`, `y`, `task`, `correct` (NaN: no answer).
        tasks: the tasks that get a color, at most as many as there are colors; the rest is gray.
        reach: what the axes span on each side of 0; the same for frames that are to be compared.
        ax: where to draw; a new figure without it.
    """
    ax = own_axes(ax, 2.4, 2.4)
    color_of = dict(zip(tasks, COLORS, strict=False))
    # gray first, so that colors lie on top; correctness by shape, not by color
    ranked = frame.assign(color=[color_of.get(task, _REST) for task in frame["task"]])
    for rest in (True, False):
        for correct, marker, size in ((False, "x", 9), (True, "o", 11)):
            # a row without an answer is neither right nor wrong: a dot like the others
            right = ranked["correct"].astype(float).fillna(1.0).astype(bool)
            rows = ranked[((ranked["color"] == _REST) == rest) & (right == correct)]
            ax.scatter(
                rows["x"],
                rows["y"],
                c=rows["color"],
                marker=marker,
                s=size,
                lw=0 if correct else 0.7,
                alpha=0.55 if rest else 0.85,
                rasterized=True,
            )
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-reach, reach)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(True)
    ax.spines[:].set_color("#d9dde2")
    return figure_of(ax)


@figure_style()
def pictures_figure(
    run: RunReport, *, title: str = "", columns: int = 4, ax: "Axes | None" = None
) -> "Figure":
    """States at a few steps (columns) and every position (rows), one fixed basis a row.

    Args:
        run: the run; at each position the stream that the summary speaks of is shown, if it is
            in the picture table.
        title: what stands over the figure.
        columns: at most how many steps are shown of those in the table.
        ax: axes whose room is taken; a new figure without it.
    """
    table = run.picture
    places = _places(run)
    named = [task for task in dict.fromkeys(table.get("task", ())) if task]
    tasks = named[: len(COLORS)]
    frames = [_frames(run, stream, position, columns) for stream, position in places]
    figure, grid = axes_grid(
        [2.35] * max(map(len, frames), default=1),
        [2.35] * max(len(places), 1),
        Margins(
            left=0.4,
            right=1.7,
            top=0.72 if title else 0.4,
            bottom=0.12,
            across=0.14,
            down=0.42,
            least=0.4,
            square=True,
        ),
        ax,
    )
    for line, shown, (stream, position) in zip(grid, frames, places, strict=False):
        furthest = max(float(frame[["x", "y"]].abs().max().max()) for frame in shown.values())
        for cell, (step, frame) in zip(line, shown.items(), strict=False):
            picture(frame, tasks, reach=1.05 * furthest or 1.0, ax=cell)
            said = f"step {step}{_fidelity(frame)}"
            cell.set_title(said, fontsize=7.8, fontweight="normal", pad=3)
        for cell in line[len(shown) :]:
            cell.set_axis_off()
        line[0].set_ylabel(f"{stream}, {position_name(position)}", fontweight="bold")
    if places:
        label = str(table["label"].iloc[0]) if "label" in table else "task"
        answered = bool(table["correct"].notna().any())
        _key(grid[0][-1], tasks, label, _rest_name(table, named), answered)
    else:
        grid[0][0].set_axis_off()
        grid[0][0].text(0, 0.5, "no states were kept for pictures")
    headline(figure, title, ax)
    return figure


@figure_style()
def labels_figure(run: RunReport, *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """ARI of clusters against task, family, input and output at the last step, beside nulls.

    Dots are the view of the summary at the position, rings the other view where there is one;
    the gray bar ends at the highest of the nulls of the dot, the stroke marks that of the ring.

    Args:
        run: the run.
        title: what stands over the figure.
        ax: axes whose room is taken; a new figure without it.
    """
    labels = _shown_labels(run)
    tall = 0.2 * len(run.streams) + 0.1
    figure, grid = axes_grid(
        [1.12] * len(labels),
        [tall] * len(run.positions),
        Margins(
            left=0.85,
            right=1.3,
            top=0.82 if title else 0.55,
            bottom=0.42,
            across=0.12,
            down=0.95,
            least=0.45,
        ),
        ax,
    )
    for cell in (cell for line in grid for cell in line):
        cell.set_axis_off()
    for place, position in enumerate(run.positions):
        line = grid[place]
        for label, cell in zip(labels, line, strict=True):
            cell.set_title(label, fontsize=8.5, fontweight="normal", pad=4)
            if not len(drawn_labels(run, position, label)):
                cell.text(0.1, 0.5, "not\nmeasured", transform=cell.transAxes, fontsize=SMALL)
                continue
            cell.set_axis_on()
            label_dots(run, position, label, ax=cell)
            if cell is not line[0]:
                cell.set_yticklabels([])
        where = (0, 1 + 0.28 / tall)
        line[0].text(*where, position_name(position), transform=line[0].transAxes, weight="bold")
    _dots_key(grid[0][-1])
    headline(figure, title, ax)
    return figure


@figure_style()
def label_dots(run: RunReport, position: str, label: str, *, ax: "Axes | None" = None) -> "Figure":
    """ARI against one label at the last step by stream, beside the highest null."""
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
            ax.scatter(rows["value"], levels, s=22, color=color, zorder=3, lw=0)
        else:
            ax.scatter(
                rows["value"], levels, s=20, facecolor="none", edgecolor=color, lw=0.9, zorder=2
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


def drawn_points(run: RunReport, columns: int = 4) -> pd.DataFrame:
    """The rows of the picture table that `pictures_figure` draws."""
    frames = [
        frame
        for stream, position in _places(run)
        for frame in _frames(run, stream, position, columns).values()
    ]
    return pd.concat(frames, ignore_index=True) if frames else run.picture


def _places(run: RunReport) -> list[tuple[str, str]]:
    """(stream, position) to be shown: the chosen stream, else the first that is in the table."""
    places = []
    for position in in_order(run.picture.get("position", ())):
        streams = list(run.picture.loc[run.picture["position"] == position, "stream"].unique())
        if streams:
            chosen = run.chosen_stream(position)
            places.append((chosen if chosen in streams else str(streams[0]), position))
    return places


def _frames(run: RunReport, stream: str, position: str, wanted: int) -> dict[int, pd.DataFrame]:
    """The rows of a few steps of one place, spread over the rise of its clusters."""
    table = run.picture
    here = table[(table["stream"] == stream) & (table["position"] == position)]
    rows = run.numbers(position, run.headline_view(position))
    rows = rows[rows["stream"] == stream]
    steps = _along_the_rise(sorted(int(step) for step in here["step"].unique()), wanted, rows)
    return {step: here[here["step"] == step] for step in steps}


def _along_the_rise(steps: Sequence[int], wanted: int, curve: pd.DataFrame) -> list[int]:
    """First and last step, and between them those at equal parts of the curve's rise."""
    if len(steps) <= wanted or curve.empty:
        return list(steps[:wanted])
    highest_yet = np.maximum.accumulate(curve["value"].fillna(0).to_numpy(float))
    height = np.interp(steps, curve["step"], highest_yet)
    rise = (height - height[0]) / max(float(height[-1] - height[0]), 1e-9)
    chosen = [0]
    for place in range(1, wanted - 1):
        reached = int(np.searchsorted(rise, place / (wanted - 1)))
        room = len(steps) - wanted + place  # leaves a step for each frame that is still to come
        chosen.append(min(max(reached, chosen[-1] + 1), room))
    return [steps[index] for index in [*chosen, len(steps) - 1]]


def _fidelity(frame: pd.DataFrame) -> str:
    """What the picture keeps, where the table says so."""
    if frame.empty or "variance_share" not in frame:
        return ""
    first = frame.iloc[0]
    return (
        f" · keeps {number(first['variance_share'])}\n{first.get('label') or 'task'} share "
        f"{number(first['between_plane'])} of {number(first['between_full'])}"
    )


def _rest_name(table: pd.DataFrame, named: Sequence[str]) -> str:
    """What the gray dots are; empty where there are none."""
    if len(named) > len(COLORS):
        return "others"
    return "no label" if (table["task"] == "").any() else ""


def _key(beside: "Axes", tasks: Sequence[str], label: str, rest: str, answered: bool) -> None:
    from matplotlib.lines import Line2D

    def dot(color: str, marker: str = "o") -> Line2D:
        return Line2D([], [], color=color, marker=marker, ls="", ms=4)

    keys = [dot(color) for color, _ in zip(COLORS, tasks, strict=False)]
    names = [plain(task, 18) for task in tasks]
    if rest:
        keys.append(dot(_REST))
        names.append(rest)
    if answered:
        keys += [dot(INK), dot(INK, "x")]
        names += ["answer right", "answer wrong"]
    beside.legend(
        keys,
        names,
        title=label,
        alignment="left",
        loc="upper left",
        bbox_to_anchor=(1.03, 1.03),
        borderaxespad=0,
    )


def _dots_key(beside: "Axes") -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    keys = [
        Line2D([], [], color=GRAY, marker="o", ls="", ms=5),
        Line2D([], [], color=GRAY, marker="o", ls="", ms=5, mfc="none"),
        Patch(color="#d5d9de"),
        Line2D([], [], color=GRAY, marker="|", ls="", ms=8),
    ]
    names = ["as in the text", "other view", "highest null", "null of ring"]
    beside.legend(keys, names, loc="upper left", bbox_to_anchor=(1.03, 1.02), borderaxespad=0)

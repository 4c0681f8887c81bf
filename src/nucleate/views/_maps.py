"""Maps: agreement with tasks over streams and steps, and what interventions do at each place."""

from collections.abc import Sequence
from itertools import pairwise
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nucleate.findings import (
    cluster_verdict,
    depth_order,
    interval,
    number,
    plain,
    position_name,
    short_names,
)
from nucleate.views._run_report import RunReport
from nucleate.views._style import (
    FAINT,
    GRAY,
    INK,
    RAMP,
    SMALL,
    STEPS,
    STEPS_NARROW,
    Margins,
    axes_grid,
    figure_of,
    figure_style,
    headline,
    is_narrow,
    own_axes,
    step_axis,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_VERDICT_COLORS = {
    "used": "#009E73",
    "present but not used": "#E69F00",
    "used without clusters": "#56B4E9",
    "absent": "#e4e7eb",
    "undecided": "#ffffff",
}
# The shift has two controls to name and takes more room.
_EDGES = (0.0, 0.95, 2.5, 3.4, 4.35)
_VERDICT_AT = (4.4, 5.75)
_MAP_COLUMNS = ("present?\nARI (task)", "used?\nshift", "used?\npatch", "used?\nerase")
_NULLS = ["n0", "n1", "n2"]
_CELLS = ["ari", "shift", "patch", "erase"]
_LIMITS = [f"{cell}_{end}" for cell in _CELLS for end in ("low", "high")]


@figure_style()
def heat_map(run: RunReport, position: str, *, ax: "Axes | None" = None) -> "Figure":
    """ARI against task over streams (embedding at the bottom) and recorded steps.

    Colors run from 0 to 1. A dot marks a cell that is not called clusters, hatching one that
    was not measured.

    Args:
        run: the run.
        position: the token position; measured in the view of the summary there.
        ax: where to draw; a new figure without it.
    """
    ax = own_axes(ax)
    streams, steps = run.streams, run.steps
    rows = run.numbers(position, run.headline_view(position))
    values = _table(rows, "value", streams, steps)
    called = [cluster_verdict(row) == "clusters" for _, row in rows.iterrows()]
    beyond = _table(rows.assign(beyond=np.array(called, dtype=float)), "beyond", streams, steps)
    # as one image: a mesh of vectors shows seams between its cells
    step_axis(ax, steps)
    edges = _step_edges(ax, steps)
    ax.pcolormesh(
        edges, np.arange(len(streams) + 1), values, cmap=RAMP, vmin=0, vmax=1, rasterized=True
    )
    _hatch(ax, np.isnan(values), edges)
    row, column = np.nonzero((beyond == 0) & ~np.isnan(values))
    light = values[row, column] < 0.45
    ax.scatter(np.array(steps)[column], row + 0.5, s=1.6, c=np.where(light, "#ffffff", INK), lw=0)
    ax.set_yticks(np.arange(len(streams)) + 0.5, streams)
    ax.set_xlim(edges[0], edges[-1])
    ax.tick_params(axis="y", length=0)
    ax.spines[:].set_visible(False)
    return figure_of(ax)


def _step_edges(ax: "Axes", steps: Sequence[int]) -> list[float]:
    """Where the cells of steps meet: halfway between them as the axis shows it."""
    scale = ax.xaxis.get_transform()
    at = scale.transform(np.asarray(steps, dtype=float))
    if len(at) == 1:
        return [steps[0] - 0.5, steps[0] + 0.5]
    between = (at[1:] + at[:-1]) / 2
    ends = np.concatenate([[2 * at[0] - between[0]], between, [2 * at[-1] - between[-1]]])
    return [float(edge) for edge in scale.inverted().transform(ends)]


@figure_style()
def heat_maps_figure(runs: Sequence[RunReport], *, ax: "Axes | None" = None) -> "Figure":
    """One heat map a position (rows) and run (columns), with one color bar.

    Args:
        runs: one or more.
        ax: axes whose room is taken; a new figure without it.
    """
    positions = list(dict.fromkeys(p for run in runs for p in run.positions))
    wide = 4.3 if len(runs) > 1 else 6.4
    tall = 0.21 * max(len(run.streams) for run in runs) + 0.1
    figure, grid = axes_grid(
        [wide] * len(runs),
        [tall] * len(positions),
        Margins(left=0.85, right=1.0, top=0.7, bottom=0.5, across=0.3, down=0.55),
        ax,
    )
    narrow = is_narrow(ax)
    for column, (run, name) in enumerate(
        zip(runs, short_names([r.summary for r in runs]), strict=True)
    ):
        top = grid[0][column]
        top.annotate(
            name, (0, 1), (0, 30), xycoords="axes fraction", textcoords="offset points",
            fontsize=11.5, fontweight="bold",
        )  # fmt: skip
        for row, position in enumerate(positions):
            cell = grid[row][column]
            if position not in run.positions:
                cell.set_axis_off()
                continue
            heat_map(run, position, ax=cell)
            how = "inputs' means removed" if run.headline_view(position) != "raw" else ""
            words = [position_name(position), *[how] * bool(how)]
            # on two lines: on one it would reach into the color bar
            cell.set_title(("\n" if narrow else ", ").join(words), fontsize=7.5 if narrow else None)
            if column:
                cell.set_yticklabels([])
        grid[-1][column].set_xlabel(STEPS_NARROW if narrow else STEPS)
    _color_bar(figure, grid[0][-1], "ARI (task)")
    return figure


@figure_style()
def places_figure(run: RunReport, *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """ARI against task over streams (rows) and positions (columns) at the last measured step.

    Each cell gives its number and, below it, the highest of its nulls. A dot marks a cell that is
    not called clusters.

    Args:
        run: the run.
        title: what stands over the figure; nothing without it.
        ax: axes whose room is taken; a new figure without it.
    """
    streams, positions, narrow = run.streams, run.positions, is_narrow(ax)
    table = run.places.reindex(columns=["stream", "position", "ari", "n0", "n1", "n2", "clusters"])
    table = table.assign(null=table[["n0", "n1", "n2"]].astype(float).max(axis=1))
    figure, grid = axes_grid(
        [1.25 * len(positions)],
        [0.32 * len(streams)],
        Margins(left=0.85, right=0.08 if narrow else 1.0, top=0.8 if title else 0.4, bottom=0.55,
                least=0.6, lowest=0.9),
        ax,
    )  # fmt: skip
    cells = grid[0][0]
    values = _wide(table, "ari", streams, positions)
    nulls = _wide(table, "null", streams, positions)
    cells.pcolormesh(np.clip(values, 0, 1), cmap=RAMP, vmin=0, vmax=1, edgecolor="white", lw=1.5)
    _hatch(cells, np.isnan(values))
    called = _wide(table.assign(is_=table["clusters"] == "clusters"), "is_", streams, positions)
    for level, column in np.argwhere(~np.isnan(values)):
        value = values[level, column]
        below = f"by chance {number(nulls[level, column])}"
        _cell_text(cells, column + 0.5, level + 0.5, value, below)
        if not called[level, column]:
            color = "#ffffff" if value < 0.45 else INK
            cells.scatter([column + 0.92], [level + 0.8], s=5, color=color, lw=0)
    cells.set_xlim(0, len(positions))
    cells.set_ylim(0, len(streams))
    cells.set_yticks(np.arange(len(streams)) + 0.5, streams)
    names = [fill(plain(position_name(each), 22), 14) for each in positions]
    cells.set_xticks(np.arange(len(positions)) + 0.5, names, fontsize=7)
    cells.tick_params(length=0)
    cells.spines[:].set_visible(False)
    if narrow:  # each cell has its number: a bar can be spared
        cells.set_title("ARI (task), colors from 0 to 1", fontsize=7.5, fontweight="normal")
    else:
        _color_bar(figure, cells, "ARI (task)")
    headline(figure, title, ax)
    return figure


def _wide(
    table: pd.DataFrame, column: str, streams: Sequence[str], positions: Sequence[str]
) -> "np.ndarray":
    """Values as [stream, position], NaN where there is none."""
    wide = table.drop_duplicates(["stream", "position"]).pivot(
        index="stream", columns="position", values=column
    )
    return wide.reindex(index=list(streams), columns=list(positions)).to_numpy(float)


@figure_style()
def causal_map_figure(run: RunReport, *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """The cluster map beside the causal map: streams by position, with the verdict in words.

    Each cell gives its number with its 95 % interval and, below, what the controls give; colors
    run from 0 to 1. `patch` puts the whole state of a row of another task in place.

    Args:
        run: the run.
        title: what stands over the figure; nothing without it.
        ax: axes whose room is taken; a new figure without it.
    """
    table = run.places if "use" in run.places else run.places.iloc[:0]
    streams = depth_order(table["stream"].unique())
    positions = [p for p in run.positions if p in set(table["position"])]
    figure, grid = axes_grid(
        [5.3],
        [0.47 * max(len(streams), 1)] * max(1, len(positions)),
        Margins(
            left=0.85,
            right=0.8,
            top=1.0 if title else 0.75,
            bottom=0.12,
            down=0.9,
            least=1.0,
            lowest=0.9,
        ),
        ax,
    )
    blocks = [block for line in grid for block in line]
    for block, position in zip(blocks, positions, strict=False):
        _causal_block(block, table[table["position"] == position], streams)
        block.set_title(f"at the {position_name(position)}", pad=32)
    headline(figure, title, ax)
    if not positions:
        grid[0][0].set_axis_off()
        grid[0][0].text(0.02, 0.5, "no place was tested")
    else:
        _color_bar(figure, grid[0][0], "ARI, or share of answers")
    return figure


def _causal_block(ax: "Axes", rows: pd.DataFrame, streams: Sequence[str]) -> None:
    """One position: three colored columns with numbers and controls, and a column of verdicts."""
    rows = rows.drop_duplicates("stream").set_index("stream").reindex(list(streams))
    rows = rows.reindex(columns=[*dict.fromkeys((*rows.columns, *_CELLS, *_LIMITS, *_NULLS))])
    values = rows[_CELLS].to_numpy(float)
    ax.pcolormesh(
        _EDGES,
        np.arange(len(rows) + 1),
        np.clip(values, 0, 1),
        cmap=RAMP,
        vmin=0,
        vmax=1,
        edgecolor="white",
        lw=1.5,
    )
    _hatch(ax, np.isnan(values), _EDGES)
    for level, (_, place) in enumerate(rows.iterrows()):
        below = (
            f"null {number(place[_NULLS].astype(float).max())}",
            f"chance {number(place['chance'])}, random {number(place['random_direction'])}",
            f"chance {number(place['chance'])}",
            f"random {number(place['random_erase'])}",
        )
        for column, small in enumerate(below):
            value = values[level, column]
            _cell_text(
                ax,
                sum(_EDGES[column : column + 2]) / 2,
                level + 0.5,
                value,
                small if np.isfinite(value) else "",
                interval(*place[[f"{_CELLS[column]}_low", f"{_CELLS[column]}_high"]]),
            )
        _verdict(ax, level, str(place["verdict"]))
    ax.set_xlim(0, _VERDICT_AT[1] + 0.02)
    ax.set_ylim(0, len(streams))
    middles = [(a + b) / 2 for a, b in pairwise((*_EDGES, _VERDICT_AT[1]))]
    ax.set_xticks(middles, [*_MAP_COLUMNS, "verdict"])
    ax.xaxis.tick_top()
    ax.set_yticks(np.arange(len(streams)) + 0.5, list(streams))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _cell_text(ax: "Axes", x: float, y: float, value: float, small: str, limits: str = "") -> None:
    color = INK if not np.isfinite(value) or value > 0.45 else "white"
    up = 0.27 if limits and small else 0.14 if limits or small else 0
    ax.text(x, y + up, number(value), ha="center", va="center", color=color)
    if limits:
        down = -0.05 if small else -0.2
        ax.text(x, y + down, limits, ha="center", va="center", color=color, fontsize=SMALL)
    if small:
        ax.text(x, y - (0.32 if limits else 0.26), small, ha="center", va="center", color=color,
                fontsize=SMALL)  # fmt: skip


def _verdict(ax: "Axes", level: int, verdict: str) -> None:
    from matplotlib.patches import Rectangle

    color = _VERDICT_COLORS.get(verdict, "#ffffff")
    left, right = _VERDICT_AT
    box = Rectangle(
        (left, level + 0.1), right - left, 0.8, facecolor=color, edgecolor=FAINT, lw=0.8
    )
    ax.add_patch(box)
    text = verdict if verdict in _VERDICT_COLORS else "not tested"
    ax.text(
        (left + right) / 2,
        level + 0.5,
        text,
        ha="center",
        va="center",
        fontsize=7.2,
        color="#111417",
    )


def _table(
    rows: pd.DataFrame, column: str, streams: Sequence[str], steps: Sequence[int]
) -> "np.ndarray":
    """Values as [stream, step], NaN where there is none."""
    wide = rows.drop_duplicates(["stream", "step"]).pivot(
        index="stream", columns="step", values=column
    )
    return wide.reindex(index=list(streams), columns=list(steps)).to_numpy(float)


def _hatch(ax: "Axes", missing: "np.ndarray", edges: Sequence[float] | None = None) -> None:
    from matplotlib.collections import PolyCollection

    left = edges or range(missing.shape[1] + 1)
    cells = [
        [(left[x], y), (left[x + 1], y), (left[x + 1], y + 1), (left[x], y + 1)]
        for y, x in zip(*np.nonzero(missing), strict=True)
    ]
    if cells:
        ax.add_collection(
            PolyCollection(cells, facecolor="#f3f4f6", edgecolor=GRAY, lw=0, hatch="////"),
            autolim=False,
        )


def _color_bar(figure: "Figure", beside: "Axes", label: str) -> None:
    """A narrow bar with the ramp to the right of some axes, numbers at 0, 0.5 and 1."""
    box = beside.get_position()
    width, height = figure.get_size_inches()
    tall = min(1.5 / height, box.height)
    ax = figure.add_axes((box.x1 + 0.18 / width, box.y1 - tall, 0.13 / width, tall))
    ax.pcolormesh(np.linspace(0, 1, 65)[:, None][:-1], cmap=RAMP, vmin=0, vmax=1, rasterized=True)
    ax.set_xticks([])
    ax.set_yticks([0, 32, 64], ["0", "0.5", "1"])
    ax.yaxis.tick_right()
    ax.yaxis.set_label_position("right")
    ax.set_ylabel(label)
    ax.spines[:].set_visible(False)

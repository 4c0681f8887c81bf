"""Pictures of states in the plane, at a few steps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nucleate.findings import in_order, number, plain, position_name
from nucleate.views._run_report import RunReport
from nucleate.views._style import (
    COLORS,
    INK,
    Margins,
    axes_grid,
    figure_of,
    figure_style,
    headline,
    is_narrow,
    key_below,
    own_axes,
    size_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_REST = "#c3c9d0"
_KEY_BESIDE = 9.0
"""Inches of a page from which on the key stands beside the frames, which need the room."""


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
        columns: at most how many steps are shown of those in the table; in a column of a page
            they stand in two rows.
        ax: axes whose room is taken; a new figure without it.

    Raises:
        BadInput: `ax` is too small.
    """
    table = run.picture
    places = _places(run)
    named = [task for task in dict.fromkeys(table.get("task", ())) if task]
    tasks = named[: len(COLORS)]
    frames = [_frames(run, stream, position, columns) for stream, position in places]
    label = str(table["label"].iloc[0]) if len(table) and "label" in table else "task"
    answered = bool(len(table) and table["correct"].notna().any())
    keys = _key(tasks, _rest_name(table, named), answered)
    most = max(map(len, frames), default=1)
    across = min(most, 2) if is_narrow(ax) else most
    lines = -(-most // across)
    below = is_narrow(ax, _KEY_BESIDE)
    abreast = 3 if is_narrow(ax) else 6
    figure, grid = axes_grid(
        [2.35] * across,
        [2.35] * max(len(places), 1) * lines,
        Margins(left=0.5, right=0.08 if below else 1.7, top=0.72 if title else 0.4,
                bottom=0.2 + 0.15 * -(-len(keys) // abreast) if below else 0.12,
                across=0.14, down=0.42, least=0.4, lowest=0.4, square=True),
        ax,
    )  # fmt: skip
    for row, (shown, (stream, position)) in enumerate(zip(frames, places, strict=True)):
        panels = [panel for line in grid[row * lines : (row + 1) * lines] for panel in line]
        _row_of_frames(panels, shown, tasks)
        panels[0].set_ylabel(f"{stream}\n{position_name(position)}", weight="bold", fontsize=7.8)
    if not places:
        grid[0][0].set_axis_off()
        grid[0][0].text(0, 0.5, "no states were kept for pictures")
    elif below:
        key_below(grid[-1][0], keys, inches=0.1, columns=abreast)
    else:
        grid[0][-1].legend(handles=keys, title=label, alignment="left", loc="upper left",
                           bbox_to_anchor=(1.03, 1.03), borderaxespad=0)  # fmt: skip
    headline(figure, title, ax)
    return figure


def _row_of_frames(
    panels: "Sequence[Axes]", shown: dict[int, pd.DataFrame], tasks: Sequence[str]
) -> None:
    """The frames of one place on one scale; axes that are left over stay empty."""
    furthest = max(float(frame[["x", "y"]].abs().max().max()) for frame in shown.values())
    small = size_of(panels[0])[0] < 1.7
    for panel in panels:
        panel.set_axis_off()
    for panel, (step, frame) in zip(panels, shown.items(), strict=False):
        panel.set_axis_on()
        picture(frame, tasks, reach=1.05 * furthest or 1.0, ax=panel)
        panel.set_title(f"step {step}{_fidelity(frame)}", fontsize=7 if small else 7.8,
                        fontweight="normal", pad=3)  # fmt: skip


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
        f"{number(first['between_plane'])} (full {number(first['between_full'])})"
    )


def _rest_name(table: pd.DataFrame, named: Sequence[str]) -> str:
    """What the gray dots are; empty where there are none."""
    if len(named) > len(COLORS):
        return "others"
    return "no label" if (table["task"] == "").any() else ""


def _key(tasks: Sequence[str], rest: str, answered: bool) -> "list[Line2D]":
    """The entries of the legend: colors of tasks, what is gray, and the two marks."""
    from matplotlib.lines import Line2D

    def dot(name: str, color: str, marker: str = "o") -> Line2D:
        return Line2D([], [], color=color, marker=marker, ls="", ms=4, label=name)

    keys = [dot(plain(task, 18), color) for color, task in zip(COLORS, tasks, strict=False)]
    keys += [dot(rest, _REST)] * bool(rest)
    return keys + [dot("answer right", INK), dot("answer wrong", INK, "x")] * answered

"""The look of all figures: colors, fonts, and axes laid out in inches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate._core.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

# Okabe and Ito's colors, safe for color-blind readers; the yellow is darkened to show on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D00", "#5B4B8A")
INK = "#20252b"
GRAY = "#8b949e"
FAINT = "#d9dde2"
RAMP = "viridis"
SMALL = 6.5
"""No text is smaller than this, in points at print size."""

_NARROW = 5.0
_PAGE: ContextVar[float | None] = ContextVar("page width", default=None)

RC: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.edgecolor": GRAY,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": INK,
    "text.parse_math": False,  # names of tasks may hold dollar signs
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "hatch.linewidth": 0.6,
    "hatch.color": GRAY,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "nucleate",  # the same figure gives the same bytes
    "pdf.fonttype": 42,  # text that can be searched and edited
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw and save in the look of this project, whatever the caller's own settings are.

    A context, or a decorator of functions that draw. Saving needs it too: fonts in SVG and PDF are
    settings of that moment.
    """
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)
        yield


@contextmanager
def page_width(inches: float | None) -> Iterator[None]:
    """Make figures of one width: the axes give way, text keeps its size.

    What cannot be read in so little room is drawn as narrow as it can be.
    """
    before = _PAGE.set(inches)
    try:
        yield
    finally:
        _PAGE.reset(before)


@dataclass(frozen=True)
class Margins:
    """Space around and between axes, in inches.

    `least` and `lowest` are the shares of their width and height below which the axes cannot be
    read; `square` axes give way in height as well.
    """

    left: float = 0.7
    right: float = 0.2
    top: float = 0.45
    bottom: float = 0.5
    across: float = 0.35
    down: float = 0.5
    least: float = 0.2
    lowest: float = 0.6
    square: bool = False


def axes_grid(
    widths: Sequence[float],
    heights: Sequence[float],
    margins: Margins,
    ax: "Axes | None" = None,
) -> "tuple[Figure, list[list[Axes]]]":
    """Axes of the given sizes in inches, rows from the top, in a new figure or in place of `ax`.

    In place of `ax`, widths and heights give way until labels and margins fit into its area.

    Layout by arithmetic: matplotlib's own layout engines draw everything once more to find out
    how large it is, which takes longer than the drawing.

    Raises:
        BadInput: the area of `ax` is too small to read anything in.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across = margins.left + margins.across * (len(widths) - 1) + margins.right
    down = margins.top + margins.down * (len(heights) - 1) + margins.bottom
    if ax is None:
        share = 1.0
        if (wanted := _PAGE.get()) is not None:
            share = max((wanted - across) / sum(widths), margins.least)
        lower = share if margins.square else 1.0
        size = (across + share * sum(widths), down + lower * sum(heights))
        figure = Figure(figsize=size)
        FigureCanvasAgg(figure)
        left, top = 0.0, size[1]
    else:
        figure = figure_of(ax)
        left, bottom, wide, tall = area(ax)
        top = bottom + tall
        share, lower = (wide - across) / sum(widths), (tall - down) / sum(heights)
        if share < margins.least or lower < margins.lowest:
            raise BadInput(
                f"ax is {wide:.1f} x {tall:.1f} inches and this figure needs at least "
                f"{across + margins.least * sum(widths):.1f} x "
                f"{down + margins.lowest * sum(heights):.1f}; make the figure larger"
            )
        share, lower = (min(share, lower),) * 2 if margins.square else (share, lower)
        ax.set_axis_off()
    corner = (left + margins.left, top - margins.top)
    sizes = ([wide * share for wide in widths], [tall * lower for tall in heights])
    return figure, _placed(figure, corner, sizes, margins)


def _placed(
    figure: "Figure",
    corner: tuple[float, float],
    sizes: tuple[Sequence[float], Sequence[float]],
    margins: Margins,
) -> "list[list[Axes]]":
    """Rows of axes from the upper left corner, in inches."""
    width, height = figure.get_size_inches()
    grid = []
    top = corner[1]
    for tall in sizes[1]:
        left, row = corner[0], []
        for wide in sizes[0]:
            box = (left / width, (top - tall) / height, wide / width, tall / height)
            row.append(figure.add_axes(box))
            left += wide + margins.across
        grid.append(row)
        top -= tall + margins.down
    return grid


def area(ax: "Axes") -> tuple[float, float, float, float]:
    """Left, bottom, width and height of axes in inches from the corner of the whole figure."""
    left, bottom, width, height = np.array(ax.bbox.bounds) / figure_of(ax).dpi
    return float(left), float(bottom), float(width), float(height)


def is_narrow(ax: "Axes | None" = None, than: float = _NARROW) -> bool:
    """Whether there is about a column's width, so that keys must stand below the axes."""
    width = _PAGE.get() if ax is None else area(ax)[2]
    return width is not None and width < than


def key_below(ax: "Axes", handles: Sequence[Any], *, inches: float, columns: int) -> "Legend":
    """A legend that begins so many inches below the axes.

    Args:
        ax: what it stands below.
        handles: the artists, each with its label.
        inches: from the axes to the legend: room for ticks and label.
        columns: how many entries stand side by side.
    """
    _, _, width, height = area(ax)
    return ax.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(-0.4 / width, -inches / height),
        borderaxespad=0, ncols=columns, fontsize=7, labelspacing=0.22, handlelength=1.5,
        columnspacing=1.0,
    )  # fmt: skip


def headline(figure: "Figure", title: str, ax: "Axes | None" = None) -> None:
    """A title over the whole figure, or over the area of `ax`; nothing where it is empty."""
    if title:
        width, height = figure.get_size_inches()
        left, bottom, _, tall = area(ax) if ax is not None else (0.0, 0.0, width, height)
        at = (left / width, (bottom + tall - 0.08) / height)
        figure.text(*at, f" {title}", va="top", fontsize=11.5, fontweight="bold")


def figure_of(ax: "Axes") -> "Figure":
    """The figure that holds the axes."""
    figure = ax.get_figure(root=True)
    assert figure is not None, "axes stand in a figure"
    return figure


def own_axes(ax: "Axes | None", width: float = 4.6, height: float = 2.4) -> "Axes":
    """The caller's axes, or those of a new figure in the width of a column."""
    return ax if ax is not None else axes_grid([width], [height], Margins(right=1.3))[1][0][0]


def stream_colors(streams: Sequence[str]) -> dict[str, str]:
    """A color a stream along the ramp by depth; the embedding is gray."""
    import matplotlib as mpl
    from matplotlib.colors import to_hex

    places = np.linspace(0.0, 0.88, max(len(streams), 2))
    colors = {s: to_hex(mpl.colormaps[RAMP](p)) for s, p in zip(streams, places, strict=False)}
    return {s: GRAY if s == "embed" else color for s, color in colors.items()}


def step_label(ax: "Axes") -> str:
    """What stands below an axis of steps, as long as there is room."""
    return "training step (logarithmic after the first)" if area(ax)[2] > 2.7 else "training step"


def step_axis(ax: "Axes", steps: Sequence[int]) -> None:
    """Steps on an axis that is linear up to the first step after 0 and logarithmic from there."""
    from matplotlib.ticker import FixedLocator, NullLocator

    after_zero = [step for step in steps if step > 0]
    if not after_zero:
        return
    first, last = after_zero[0], after_zero[-1]
    ax.set_xscale("symlog", linthresh=first, linscale=0.4)
    ax.set_xlim(steps[0] - 0.06 * first, last * 1.06)
    # in a narrow plot a decade needs more distance from the last step
    room = 1.6 if area(ax)[2] > 2 else 4
    decades = [10**power for power in range(9) if first <= 10**power < last / room]
    ticks = [0] * (steps[0] == 0) + decades + [last]
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticklabels([f"{tick:,}".replace(",", " ") for tick in ticks])

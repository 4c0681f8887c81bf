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

# Okabe and Ito's colors, safe for color-blind readers; the yellow is darkened to show on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D00", "#5B4B8A")
INK = "#20252b"
GRAY = "#8b949e"
FAINT = "#d9dde2"
RAMP = "viridis"
STEPS = "training step (logarithmic after the first)"
STEPS_NARROW = "training step (log)"
SMALL = 6.5
"""No text is smaller than this, in points at print size."""

_NARROW = 4.0
"""Inches: a column of a page has less, a page more."""
_SMALL_PLOT = 3.0
"""Inches."""
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
    """Axes of the given sizes in inches, rows from the top: in a new figure, or in place of `ax`.

    Layout by arithmetic: matplotlib's own layout engines draw everything once more to find out
    how large it is, which takes longer than the drawing.

    Args:
        widths: of the columns.
        heights: of the rows.
        margins: around and between.
        ax: axes of the caller; it is emptied, and its room is shared out among the new ones.

    Raises:
        BadInput: the room of `ax` is too small.
    """
    around = margins.left + margins.across * (len(widths) - 1) + margins.right
    above = margins.top + margins.down * (len(heights) - 1) + margins.bottom
    room = None if ax is None else _room(ax)
    wanted = _PAGE.get() if room is None else room.width
    if wanted is not None:
        share = max((wanted - around) / sum(widths), margins.least)
        widths = [wide * share for wide in widths]
        heights = [tall * share for tall in heights] if margins.square else heights
    width = around + sum(widths)
    if room is None:
        height = above + sum(heights)
        room = _Room(_new_figure(width, height), 0.0, 0.0, width, height)
    height = above + margins.lowest * sum(heights)
    if width > room.width + 0.01 or height > room.height + 0.01:
        raise BadInput(
            f"this figure needs {width:.1f} x {height:.1f} inches or more and the axes have "
            f"{room.width:.1f} x {room.height:.1f}; make the figure larger"
        )
    tall_share = (room.height - above) / sum(heights)
    grid = []
    top = room.height - margins.top
    for tall in (tall * tall_share for tall in heights):
        left, row = margins.left, []
        for wide in widths:
            row.append(room.axes(left, top - tall, wide, tall))
            left += wide + margins.across
        grid.append(row)
        top -= tall + margins.down
    if ax is not None:
        ax.set_axis_off()
    return room.figure, grid


@dataclass(frozen=True)
class _Room:
    """A part of a figure, in inches from its lower left corner."""

    figure: "Figure"
    left: float
    bottom: float
    width: float
    height: float

    def axes(self, left: float, bottom: float, wide: float, tall: float) -> "Axes":
        whole, high = self.figure.get_size_inches()
        at = ((self.left + left) / whole, (self.bottom + bottom) / high, wide / whole, tall / high)
        return self.figure.add_axes(at)


def _new_figure(width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def _room(ax: "Axes") -> _Room:
    """Where axes stand, also those of a part of a figure or under a layout engine."""
    from matplotlib.transforms import TransformedBbox

    figure = figure_of(ax)
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
    assert ax.figure is not None, "axes stand in a figure"
    box = TransformedBbox(ax.get_position(original=False), ax.figure.transSubfigure)
    inches = box.transformed(figure.dpi_scale_trans.inverted())
    sides = (inches.x0, inches.y0, inches.width, inches.height)
    return _Room(figure, *map(float, sides))


def headline(figure: "Figure", title: str, ax: "Axes | None" = None) -> None:
    """A title over the whole figure, or over the room of `ax`; nothing where it is empty."""
    if title:
        wide, tall = map(float, figure.get_size_inches())
        room = _Room(figure, 0.0, 0.0, wide, tall) if ax is None else _room(ax)
        at = (room.left / wide, (room.bottom + room.height - 0.08) / tall)
        figure.text(*at, f" {title}", va="top", fontsize=11.5, fontweight="bold")


def is_narrow(ax: "Axes | None" = None, than: float = _NARROW) -> bool:
    """Whether a figure has the width of a column, or the room of `ax`: names then go below."""
    wanted = _PAGE.get() if ax is None else _room(ax).width
    return wanted is not None and wanted < than


def size_of(ax: "Axes") -> tuple[float, float]:
    """Width and height of axes in inches."""
    room = _room(ax)
    return room.width, room.height


def key_below(ax: "Axes", handles: Sequence[Any], *, inches: float, columns: int) -> None:
    """A legend that begins so many inches below the axes.

    Args:
        ax: what it stands below.
        handles: the artists, each with its label.
        inches: from the axes to the legend: room for ticks and label.
        columns: how many entries stand side by side.
    """
    width, height = size_of(ax)
    ax.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(-0.4 / width, -inches / height),
        borderaxespad=0, ncols=columns, fontsize=7, labelspacing=0.22, handlelength=1.5,
        columnspacing=1.0,
    )  # fmt: skip


def is_small(ax: "Axes") -> bool:
    """Whether a single plot has no room for long words."""
    return _room(ax).width < _SMALL_PLOT


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
    room = 1.6 if _room(ax).width > 2 else 4
    decades = [10**power for power in range(9) if first <= 10**power < last / room]
    ticks = [0] * (steps[0] == 0) + decades + [last]
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticklabels([f"{tick:,}".replace(",", " ") for tick in ticks])

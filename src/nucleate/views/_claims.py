"""The claims in one picture: the main number of each, seed by seed, beside its null study."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nucleate.findings import ClaimResult
from nucleate.views._style import COLORS, GRAY, INK, Margins, axes_grid, figure_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACROSS = 5
_VERDICTS = {"supported": COLORS[2], "not supported": COLORS[1], "undecided": INK}


@figure_style()
def claims_figure(results: Sequence[ClaimResult], *, title: str = "") -> "Figure":
    """Draw the main number of every claim, one dot a seed, beside runs without task information.

    Args:
        results: the claims as judged.
        title: what stands over the figure; nothing without it.

    Returns:
        One panel a claim: its first condition, mean and 95 % interval over seeds as a bar, and the
        same of the null study in gray; dashed, the threshold. What else a claim rests on stands in
        its page.
    """
    down = -(-len(results) // _ACROSS)
    top = 1.15 if title else 0.85
    margins = Margins(left=0.45, right=0.15, top=top, bottom=0.4, across=0.55, down=1.1)
    figure, grid = axes_grid([1.15] * _ACROSS, [1.3] * down, margins)
    axes = [one for line in grid for one in line]
    for ax, result in zip(axes, results, strict=False):
        _panel(ax, result)
    for ax in axes[len(results) :]:
        ax.set_visible(False)
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontsize=10, fontweight="bold")
    return figure


def _panel(ax: "Axes", result: ClaimResult) -> None:
    both = [("runs", result, COLORS[0]), ("without\ntask", result.null, GRAY)]
    for place, (_, one, color) in enumerate(both):
        if one is None or not one.conditions:
            continue
        main = one.conditions[0]
        values = np.array(main.values or [main.value], float)
        values = values[np.isfinite(values)]
        offsets = np.linspace(-0.16, 0.16, len(values)) if len(values) > 1 else np.zeros(1)
        ax.plot(place + offsets[: len(values)], values, "o", color=color, ms=3.2, alpha=0.8)
        if np.isfinite([main.low, main.high]).all():
            ax.plot([place + 0.3] * 2, [main.low, main.high], color=color, lw=2)
        if np.isfinite(main.value):
            ax.plot([place + 0.22, place + 0.38], [main.value] * 2, color=color, lw=2)
    if result.conditions and np.isfinite(result.conditions[0].threshold):
        ax.axhline(result.conditions[0].threshold, color=GRAY, lw=0.8, ls="--", zorder=0)
    ax.margins(y=0.15)
    ax.set_xlim(-0.5, 1.6)
    ax.set_xticks([0, 1], [name for name, _, _ in both])
    ax.set_title(f"{result.name} {result.verdict}", color=_VERDICTS[result.verdict], fontsize=8)
    if result.conditions:
        ax.annotate(
            _wrapped(result.conditions[0].says, 26), (0, 1), (0, 14), "axes fraction",
            textcoords="offset points", fontsize=6.5, color=INK, va="bottom",
        )  # fmt: skip
        ax.title.set_position((0, 1))


def _wrapped(text: str, width: int) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, width, max_lines=3, placeholder=" …"))

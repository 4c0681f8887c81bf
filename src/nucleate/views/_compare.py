"""Several runs in one figure, and a comparison as one page."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nucleate._core.arguments import as_path
from nucleate.findings import (
    Comparison,
    Difference,
    by_number,
    interval,
    number,
    where_words,
)
from nucleate.views._figures import save
from nucleate.views._html import (
    Markup,
    bullets,
    join,
    page,
    paragraphs,
    picture,
    section,
    table,
    tag,
)
from nucleate.views._style import (
    COLORS,
    GRAY,
    INK,
    Margins,
    axes_grid,
    figure_style,
    step_axis,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOSS = "loss"
_READ = (
    "A run is one seed. A setting's number is the mean over its seeds with Student's 95 % "
    "interval; with one run it is that run's own, with its interval over instruction strings.",
    "“Higher”, “lower”, “earlier”, “later”: exchanging the labels of runs in every possible way "
    "gives as large a difference in any number of the table in at most 4 % of cases. Four seeds a "
    "side are the fewest that can be decided.",
    "“By chance” is the highest null of any run: permuted tasks (N0), untrained models (N1) and "
    "the bag of tokens (N2) for ARI, a random task's answer for accuracy.",
    "A comparison says that settings differ, not why; settings that change together cannot be told "
    "apart.",
)


@figure_style()
def comparison_figure(found: Comparison) -> "Figure":
    """Curves of all runs: a row a number, a color a setting, thin lines runs, thick ones means."""
    kinds = sorted(by_number(found.curves), key=lambda kind: kind[0].startswith(_LOSS))
    figure, grid = axes_grid(
        [6.4], [1.9] * max(len(kinds), 1), Margins(left=0.62, right=2.2, top=0.4, bottom=0.5)
    )
    colors = _colors(found)
    for place, (metric, where, rows) in enumerate(kinds):
        ax = grid[place][0]
        _curves(ax, rows, colors, bounded=not metric.startswith(_LOSS))
        ax.set_title(where_words(metric, where))
        if place == 0:
            ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.06), borderaxespad=0)
    grid[-1][0].set_xlabel("training step (logarithmic after the first)")
    return figure


def _colors(found: Comparison) -> dict[str, str]:
    settings = found.factor.settings
    return {label: COLORS[index % len(COLORS)] for index, label in enumerate(settings)}


def _curves(ax: "Axes", rows: pd.DataFrame, colors: dict[str, str], *, bounded: bool) -> None:
    """The runs' curves of one number over a band up to the highest null of any of them."""
    if rows["null"].notna().any():
        top = rows.groupby("step")["null"].max().dropna()
        ax.fill_between(
            top.index, 0, top, color=GRAY, alpha=0.22, lw=0, label="by chance (highest)"
        )
    for label, of_setting in rows.groupby("setting", sort=False):
        color = colors[str(label)]
        runs = list(of_setting.groupby("run", sort=False))
        for _, run in runs:
            alone = len(runs) == 1
            ax.plot(run["step"], run["value"], color=color, lw=2.2 if alone else 0.7,
                    alpha=1.0 if alone else 0.55, label=str(label) if alone else None,
                    marker="o" if len(run) == 1 else None, ms=4)  # fmt: skip
        if len(runs) > 1:
            wide = of_setting.pivot_table(index="step", columns="run", values="value")
            mean = wide.dropna().mean(axis=1)
            name = f"{label}: mean of {len(runs)}"
            ax.plot(mean.index, mean, color=color, lw=2.4, label=name, zorder=3)
    if bounded:
        ax.set_ylim(-0.06, 1.04)
        ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    ax.grid(axis="y", color="#eceff2", lw=0.6)
    ax.set_axisbelow(True)
    step_axis(ax, sorted({int(step) for step in rows["step"]}))


@figure_style()
def differences_figure(found: Comparison) -> "Figure":
    """Each number's difference from the first setting with its interval; onsets are left out."""
    shown = [each for each in found.differences if _drawable(each)]
    figure, grid = axes_grid(
        [5.2], [0.27 * max(len(shown), 1) + 0.15], Margins(left=2.9, right=0.4, top=0.4)
    )
    ax = grid[0][0]
    colors = _colors(found)
    for level, each in enumerate(reversed(shown)):
        color = colors[each.second]
        if np.isfinite(each.low):
            ax.plot([each.low, each.high], [level, level], color=color, lw=1.6)
        decided = each.verdict in ("higher", "lower")
        ax.plot(each.difference, level, "o", ms=6, color=color, mfc=color if decided else "white")
    several = len(found.factor.settings) > 2
    names = [
        where_words(each.metric, each.where) + (f" · {each.second}" if several else "")
        for each in reversed(shown)
    ]
    ax.axvline(0, color=INK, lw=0.8)
    ax.set_yticks(np.arange(len(shown)), names)
    ax.set_ylim(-0.6, len(shown) - 0.4)
    ax.set_title(f"difference from {found.factor.settings[0]}")
    ax.set_xlabel("95 % interval; filled: decided")
    return figure


def _drawable(each: Difference) -> bool:
    return bool(np.isfinite(each.difference)) and not each.metric.startswith("onset")


def write_comparison(found: Comparison, folder: Path | str) -> Path:
    """Write compare.html, figures/*.{png,svg,pdf} and tables/*.csv of a comparison.

    Args:
        found: of `compare`.
        folder: is made if it does not exist; files of the same names are replaced.

    Returns:
        The path of compare.html.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    folder = as_path("folder", folder)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    pictures = []
    if len(found.curves):
        alt = "Curves of all runs by setting, over training steps, with nulls shaded."
        pictures.append(_plate(comparison_figure(found), folder, "curves", alt))
    if any(map(_drawable, found.differences)):
        alt = "Differences from the first setting with intervals; the table has the numbers."
        pictures.append(_plate(differences_figure(found), folder, "differences", alt))
    for name, rows in _tables(found).items():
        rows.to_csv(folder / "tables" / f"{name}.csv", index=False, float_format="%.6g")
    path = folder / "compare.html"
    body = join([
        tag("header", tag("h1", "nucleate compare"), paragraphs(found.words()[:1])),
        tag("section", tag("h2", "Numbers"), _settings_table(found), class_="key"),
        section("words", "In words", bullets(found.words()[1:])),
        section("curves", "Curves", *pictures),
        section("runs", "The runs", _runs_table(found)),
        section("reading", "How to read this", bullets(_READ)),
    ], "\n")  # fmt: skip
    path.write_bytes(page("nucleate compare", body).encode("utf-8"))
    return path


def _plate(figure: "Figure", folder: Path, name: str, alt: str) -> Markup:
    stem = folder / "figures" / f"compare-{name}"
    with figure_style():
        save(figure, stem)
    return picture(stem.with_suffix(".svg"), alt, "", float(figure.get_figwidth()))


def _tables(found: Comparison) -> dict[str, pd.DataFrame]:
    return {
        "compare-runs": found.runs,
        "compare-numbers": found.numbers,
        "compare-settings": found.settings,
        "compare-differences": pd.DataFrame([vars(each) for each in found.differences]),
        "compare-curves": found.curves,
    }


def _settings_table(found: Comparison) -> Markup:
    labels = list(found.factor.settings)
    rows = []
    if found.settings.empty:
        return tag("p", "There is no number that all runs have.")
    for metric, where, here in by_number(found.settings):
        by_label = {str(row["setting"]): row for row in here.to_dict("records")}
        line: list[object] = [where_words(metric, where)]
        for label in labels:
            row = by_label[label]
            ends = tag("small", " ", interval(row["low"], row["high"]))
            value = "never" if np.isinf(row["value"]) else number(row["value"])
            line += [join([tag("strong", value), ends]), number(row["null"])]
        line += _gaps(found, metric, where)
        rows.append(line)
    head = ["", *(word for _ in labels for word in ("value", "by chance"))]
    head += [word for _ in labels[1:] for word in ("difference", "verdict")]
    groups = [("", 1), *((label, 2) for label in labels)]
    groups += [(f"{label} − {labels[0]}", 2) for label in labels[1:]]
    return table("Means over seeds, with 95 % intervals", head, rows, groups=groups)


def _gaps(found: Comparison, metric: str, where: str) -> list[object]:
    cells: list[object] = []
    for each in found.differences:
        if (each.metric, each.where) == (metric, where):
            ends = tag("small", " ", interval(each.low, each.high))
            cells += [join([number(each.difference, sign=True), ends]), each.verdict]
    return cells


def _runs_table(found: Comparison) -> Markup:
    """A line a run: setting, seed, and each of its numbers with the interval within the run."""
    names = list(dict.fromkeys(zip(found.numbers["metric"], found.numbers["where"], strict=True)))
    head = ["run", "setting", "seed", "step", *(where_words(*name) for name in names)]
    rows = []
    for run in found.runs.to_dict("records"):
        here = {
            (row["metric"], row["where"]): row
            for row in found.numbers[found.numbers["run"] == run["run"]].to_dict("records")
        }
        cells: list[object] = []
        for name in names:
            if name not in here:
                cells.append("–")
                continue
            row = here[name]
            value = "never" if np.isinf(row["value"]) else number(row["value"])
            small = f" {interval(row['low'], row['high'])} {row['stream']}"
            cells.append(join([value, tag("small", small)]))
        rows.append([run["run"], run["setting"], run["seed"] or "–", run["step"], *cells])
    return table("Runs, with 95 % intervals over instruction strings", head, rows)

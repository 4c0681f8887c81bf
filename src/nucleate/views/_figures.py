"""All figures of a report, written as PNG, SVG and PDF."""

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate._core.names import nearest
from nucleate.findings import short_names
from nucleate.views._curves import curve_rows, curves_figure
from nucleate.views._doses import doses_figure
from nucleate.views._drawn import KINDS, drawn
from nucleate.views._labels import labels_figure
from nucleate.views._maps import causal_map_figure, heat_maps_figure, places_figure
from nucleate.views._pictures import pictures_figure
from nucleate.views._run_report import RunReport
from nucleate.views._style import figure_style, page_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_Job = tuple[str, str, str, "Callable[[], Figure]"]
"""File name, section of the report, what it shows in words, and how it is drawn."""

# Nothing of the day or the machine: the same numbers give the same bytes.
_METADATA = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@dataclass(frozen=True)
class Plate:
    """A figure as it stands in a report.

    Attributes:
        name: its file name without the ending.
        section: the part of the report that it belongs to.
        alt: what it shows, for those who cannot see it.
        width: in inches.
    """

    name: str
    section: str
    alt: str
    width: float


def write_figures(
    runs: Sequence[RunReport],
    folder: Path | str,
    *,
    only: str | None = None,
    width: float | None = None,
) -> list[Plate]:
    """Draw every figure and write it to `folder/<name>.{png,svg,pdf}`, its numbers to `.csv`.

    Args:
        runs: one or more, shown side by side.
        folder: is made if it does not exist.
        only: one kind of figures, such as `curves` or `causal-map`.
        width: of each figure in inches; what cannot be read in it is as narrow as it can be.

    Returns:
        What was written, in the order of the report.

    Raises:
        BadInput: there is no such kind.
        OSError: the disk is full or the folder cannot be written.
    """
    check_kind(only)
    folder = as_path("folder", folder)
    folder.mkdir(parents=True, exist_ok=True)
    jobs = _plates_of_all(runs)
    summaries = [run.summary for run in runs]
    for run, slug, name in zip(runs, slugs(runs), short_names(summaries), strict=True):
        jobs += _plates_of_run(run, slug, name)
    plates = []
    with figure_style(), page_width(width):
        for stem, section, alt, draw in jobs:
            kind = next(name for name in KINDS if stem.startswith(name))
            if only not in (None, kind):
                continue
            figure = draw()
            save(figure, folder / stem)
            shown = [run for run, slug in zip(runs, slugs(runs), strict=True)
                     if stem in (kind, f"{kind}-{slug}")]  # fmt: skip
            drawn(kind, shown).to_csv(folder / f"{stem}.csv", index=False, lineterminator="\n")
            plates.append(Plate(stem, section, alt, float(figure.get_figwidth())))
    return plates


def check_kind(only: str | None) -> None:
    """Refuse a kind of figures that there is not."""
    if only not in (None, *KINDS):
        raise BadInput(
            f"no figure named {only!r}{nearest(str(only), KINDS)}; choose one of {', '.join(KINDS)}"
        )


def _plates_of_all(runs: Sequence[RunReport]) -> "list[_Job]":
    """What is shown of all runs together, as far as there is something to show."""
    several = f" of {len(runs)} runs side by side" if len(runs) > 1 else ""
    curves = (
        "curves",
        "curves",
        f"Curves{several}: accuracy by split, loss, and ARI of clusters with tasks by stream at "
        "each position, over training steps, with nulls shaded and onsets marked.",
        lambda: curves_figure(runs),
    )
    heat_maps = (
        "heat-maps",
        "where",
        f"Heat maps{several}: ARI with tasks by stream, embedding at the bottom, and recorded "
        "step.",
        lambda: heat_maps_figure(runs),
    )
    measured = any(len(run.panel) for run in runs)
    return [curves] * bool(curve_rows(runs)) + [heat_maps] * measured


def _plates_of_run(run: RunReport, slug: str, name: str) -> "list[_Job]":
    places = (
        f"places-{slug}",
        "where",
        f"ARI with tasks of {name} at the last step by stream and position, beside the highest "
        "null.",
        lambda: places_figure(run, title=name),
    )
    closely = (
        f"causal-doses-{slug}",
        "closely",
        f"One place of {name} looked at closely: the share of answers that become another task's "
        "as the states are shifted further, beside two controls, and which task can be turned into "
        "which.",
        lambda: doses_figure(run, title=name),
    )
    causal_map = (
        f"causal-map-{slug}",
        "used",
        f"Cluster map beside causal map of {name}: at each stream and position the ARI, the "
        "shares of answers that a shift and a patch of the whole state redirect, the accuracy "
        "that erasing costs, each with its interval and controls, and the verdict. "
        "The same numbers stand in the table below.",
        lambda: causal_map_figure(run, title=name),
    )
    states = (
        f"states-{slug}",
        "pictures",
        f"States of {name} as points in the plane, colored by task, at a few steps.",
        lambda: pictures_figure(run, title=name),
    )
    labels = (
        f"labels-{slug}",
        "labels",
        f"ARI of clusters of {name} at the last step with task, family, input and output, by "
        "stream, beside the highest null.",
        lambda: labels_figure(run, title=name),
    )
    return [
        *[places] * bool(len(run.places)),
        *[causal_map] * ("use" in run.places),
        *[closely] * (not run.doses.empty),
        *[states] * (not run.picture.empty),
        *[labels] * bool(len(run.panel)),
    ]


def save(figure: "Figure", stem: Path) -> None:
    """Write `stem` as .png, .svg and .pdf, the same bytes for the same figure.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    with warnings.catch_warnings():
        # Names of tasks may be in any script: what our font lacks is a box in the PNG and PDF and
        # itself in the SVG, and nothing to stop for.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        for ending, metadata in _METADATA.items():
            figure.savefig(stem.with_name(f"{stem.name}.{ending}"), dpi=150, metadata=metadata)


def slugs(runs: Sequence[RunReport]) -> list[str]:
    """A file name part a run: distinct, lower case, letters, digits and hyphens."""
    names = [re.sub(r"[^a-z0-9]+", "-", run.summary.name.lower()).strip("-")[:40] for run in runs]
    return [
        name if name and names.count(name) == 1 else f"{name or 'run'}-{index}"
        for index, name in enumerate(names, 1)
    ]

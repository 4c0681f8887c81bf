"""The report: one HTML file that needs nothing else, with figures and tables as files beside it."""

import re
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate.findings import RULES, contrast_words, finding, kind_of, short_names, words
from nucleate.views import _tables as tables
from nucleate.views._explain import (
    FOOLS,
    METRICS,
    NULLS,
    WORDS,
)
from nucleate.views._figures import Plate, slugs, write_figures
from nucleate.views._html import (
    Markup,
    bullets,
    definitions,
    fold,
    join,
    paragraphs,
    picture,
    section,
    tag,
    text,
)
from nucleate.views._run_report import RunReport

_TABLES = (
    "panel", "accuracy", "onsets", "places", "doses", "redirections", "picture", "training",
)  # fmt: skip
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_NAV = {
    "words": "in words",
    "where": "when and where",
    "used": "used or not",
    "pictures": "pictures",
    "numbers": "numbers",
    "run": "what was run",
    "reading": "how to read this",
}
_CAPTIONS = {
    "curves": "The thick line is the stream that the text speaks of; gray is what its nulls "
    "reach. The red line is the onset, its band the 95 % interval. Bands around accuracy are "
    "95 % intervals over instruction strings.",
    "where": "Embedding at the bottom, training from left to right, color from 0 to 1. A dot "
    "marks a cell that is not called clusters; hatching, one that was not measured.",
    "used": "Left, whether tasks can be told apart at a place (ARI); right, whether answers depend "
    "on it. Under each effect stands what its control gives.",
    "closely": "Left, the share of rows that give another task's answer when their states are "
    "shifted by so many times the difference of the two tasks' means, with 95 % intervals over "
    "instruction strings; dotted, chance; gray, where most shifted states are longer than 99 % of "
    "those that occur. Right, from which task (rows) to which (columns), at a dose of 1.",
    "pictures": "First two principal axes of the standardized states of the last step, the same "
    "plane at all steps, each step centered and divided by its radius. “Keeps” is the share of the "
    "variance that the plane keeps; “task share”, the variance between tasks (or "
    "the values of the label that colors the dots) in the plane and in all dimensions. Positions "
    "in pictures are no evidence.",
    "labels": "Do clusters follow the task, or family, input or output? Dots are the view that the "
    "text speaks of, rings the other view; gray reaches to the highest null of the dots.",
}


def write_report(
    runs: Sequence[RunReport], folder: Path | str, *, title: str, seconds: Mapping[str, float]
) -> Path:
    """Write report.html, figures/*.{png,svg,pdf} and tables/*.csv.

    The page holds its figures and asks for nothing over a network; it may be mailed as it is. The
    same runs give the same bytes.

    Args:
        runs: one or more, set side by side.
        folder: is made if it does not exist; files of the same names are replaced.
        title: the heading.
        seconds: part -> seconds over all runs, in the order in which they are shown.

    Returns:
        The path of report.html.

    Raises:
        BadInput: no runs.
        OSError: the disk is full or the folder cannot be written.
    """
    folder = as_path("folder", folder)
    if not runs:
        raise BadInput("a report of 0 runs has nothing to show; name at least one run")
    plates = write_figures(runs, folder / "figures")
    files_written = _write_tables(runs, folder / "tables")
    shown = {
        part: _plates([p for p in plates if p.section == part], folder / "figures", caption)
        for part, caption in _CAPTIONS.items()
    }
    parts = join(
        [
            _summary(runs),
            shown["curves"],
            _findings(runs, shown),
            _background(runs, seconds),
            _files(plates, files_written),
        ],
        "\n",
    )
    body = join([_head(runs, title, set(re.findall(r'<section id="(\w+)"', parts))), parts], "\n")
    path = folder / "report.html"
    path.write_bytes(page(title, body).encode("utf-8"))
    return path


def _plates(plates: Sequence[Plate], folder: Path, caption: str) -> Markup:
    """The figures of one section; what holds for all of them is said below the last."""
    captions = [*[""] * (len(plates) - 1), caption][: len(plates)]
    return join(
        picture(folder / f"{plate.name}.svg", plate.alt, words, plate.width)
        for plate, words in zip(plates, captions, strict=True)
    )


def _head(runs: Sequence[RunReport], title: str, anchors: Collection[str]) -> Markup:
    names = short_names([run.summary for run in runs])
    claims = (
        tag(
            "p",
            tag("strong", name),
            tag("span", f" {kind_of(run.summary)}; {run.summary.model} "),
            tag("b", finding(run.summary)),
        )
        for run, name in zip(runs, names, strict=True)
    )
    links = (
        Markup(f'<a href="#{anchor}">{text(name)}</a>')
        for anchor, name in _NAV.items()
        if anchor in anchors
    )
    return tag(
        "header",
        tag("h1", title),
        tag("div", join(claims, "\n"), class_="claims"),
        tag("nav", join(links, " "), aria_label="parts of the report"),
    )


def _summary(runs: Sequence[RunReport]) -> Markup:
    """The key numbers, then what they say in words."""
    summaries = [run.summary for run in runs]
    told = [
        tag("div", tag("h3", name), paragraphs(words(summary)[1:]))
        for summary, name in zip(summaries, short_names(summaries), strict=True)
    ]
    keys = tables.key_table(summaries)
    contrast = contrast_words(summaries)
    beside = join([tag("h3", "Side by side"), bullets(contrast)]) if contrast else ""
    return join(
        [
            tag("section", tag("h2", "Key numbers"), keys, class_="key") if keys else "",
            section("words", "In words", beside, tag("div", *told, class_="columns")),
        ],
        "\n",
    )


def _findings(runs: Sequence[RunReport], shown: Mapping[str, Markup]) -> Markup:
    names = short_names([run.summary for run in runs])
    pairs = list(zip(runs, names, strict=True))
    rules = fold("the rules behind these words", definitions(WORDS), bullets(RULES))
    measured = any(len(run.panel) for run in runs)
    used = section(
        "used",
        "Used or not",
        shown["used"],
        shown["closely"],
        rules,
        *(
            fold(f"numbers of {name}", tables.causal_table(run, name))
            for run, name in pairs
            if "use" in run.places
        ),
    )
    where = section(
        "where", "When and where clusters form", shown["where"], "" if shown["used"] else rules
    )
    pictures = section("pictures", "Pictures of states", shown["pictures"])
    numbers = section(
        "numbers",
        "All numbers of the last step",
        shown["labels"],
        *(tables.last_step_tables(run, name) for run, name in pairs),
    )
    there = [(where, measured), (used, shown["used"]), (pictures, shown["pictures"]),
             (numbers, measured)]  # fmt: skip
    return join((part for part, wanted in there if wanted), "\n")


def _background(runs: Sequence[RunReport], seconds: Mapping[str, float]) -> Markup:
    names = short_names([run.summary for run in runs])
    tasks = [tables.task_tables(run, name) for run, name in zip(runs, names, strict=True)]
    timed = seconds or any(run.summary.seconds for run in runs)
    return join(
        [
            section(
                "run",
                "What was run",
                tables.settings_tables(runs),
                tag("h3", "What the prompts look like") if any(tasks) else "",
                tag("div", *(tag("div", shown) for shown in tasks), class_="columns"),
                tag("h3", "How long it took") if timed else "",
                tables.seconds_table(runs, seconds) if timed else "",
            ),
            section(
                "reading",
                "How to read this",
                tag("h3", "Numbers"),
                definitions(METRICS),
                tag("h3", "What chance gives"),
                definitions(NULLS),
                tag("h3", "What can mislead"),
                bullets(FOOLS),
            ),
        ],
        "\n",
    )


def _files(plates: Sequence[Plate], written: Sequence[str]) -> Markup:
    def link(path: str, name: str) -> Markup:
        return Markup(f'<a href="{text(path)}">{text(name)}</a>')

    figures = [
        join(
            [
                f"{p.name} ",
                *(join([link(f"figures/{p.name}.{e}", e), " "]) for e in ("png", "svg", "pdf")),
            ]
        )
        for p in plates
    ]
    lists = [*figures, *(link(f"tables/{name}", name) for name in written)]
    return section("files", "Files beside this page", tag("div", bullets(lists), class_="files"))


def _write_tables(runs: Sequence[RunReport], folder: Path) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for run, slug in zip(runs, slugs(runs), strict=True):
        for table in _TABLES:
            if getattr(run, table).empty:
                continue
            name = f"{slug}-{table.replace('_', '-')}.csv"
            getattr(run, table).to_csv(folder / name, index=False, float_format="%.6g")
            written.append(name)
    return written


def page(title: str, body: Markup) -> str:
    """The whole file around what stands on the page."""
    style = (files("nucleate.views") / "report.css").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{text(title)}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""

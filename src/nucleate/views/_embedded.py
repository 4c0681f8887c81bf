"""The report: app and data in one HTML file that asks nothing of a network."""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate.findings import finding, key_table, short_names, words
from nucleate.runs import write_whole
from nucleate.views._carried import carried, fitting, left_out, written
from nucleate.views._html import Markup, head, join, paragraphs, tag
from nucleate.views._line import line_of
from nucleate.views._run_view import RunView
from nucleate.views._view_values import plain_json

MOST_MB = 25.0
"""What most mail servers take."""
_POLICY = (
    "default-src 'none'; script-src '{script}'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)


def write_report(
    views: Sequence[RunView],
    path: Path | str,
    *,
    title: str = "nucleate report",
    max_mb: float = MOST_MB,
    lang: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write one HTML file that shows runs as the app does: it may be moved, mailed and printed.

    The file holds the app and all numbers, and forbids itself every network. What is too large is
    thinned, and the page says what: first axes other than those through the tasks, then places that
    the summary does not speak of, then points, then steps. The same runs give the same bytes.

    Args:
        views: of one or more runs.
        path: of the file; it is replaced.
        title: of the page.
        max_mb: size of the file at most, in 1,000,000 bytes.
        lang: "en" or "ja"; by default the browser's own.
        progress: is told of the clouds that are made, and of how many.

    Returns:
        The path.

    Raises:
        BadInput: no runs, or the size is too small for the numbers alone.
        OSError: the disk is full or the file cannot be written.
    """
    path = as_path("path", path)
    if not views:
        raise BadInput("a report of 0 runs has nothing to show; name at least one run")
    before, after = _frame(views, title, lang)
    room = int(max_mb * 1e6) - len(before) - len(after) - 20_000
    extent = fitting(views, room, progress)
    ids = _ids(views)
    listed = {
        "runs": [_line(view, name) for view, name in zip(views, ids, strict=True)],
        "left_out": left_out(views, extent),
    }
    parts = [("runs.json", plain_json(listed))]
    for view, name in zip(views, ids, strict=True):
        parts += [(f"run/{name}/{at}", data) for at, data in carried(view, extent)]
    write_whole(path, before + _packed(parts) + after)
    return path


def _ids(views: Sequence[RunView]) -> list[str]:
    """A name a run for addresses: without the folder, so that a report tells nothing of a disk."""
    slugs = [
        re.sub(r"[^a-z0-9]+", "-", view.summary.name.lower()).strip("-")[:30] for view in views
    ]
    return [slug if slug and slugs.count(slug) == 1 else f"{slug or 'run'}-{at}"
            for at, slug in enumerate(slugs, 1)]  # fmt: skip


def _line(view: RunView, name: str) -> dict[str, Any]:
    """The run's line in the list of runs. Whether it goes on training, a file cannot tell."""
    summary = view.summary
    return line_of(view.run.path) | {
        "id": name, "folder": "", "stale": False, "headline": finding(summary),
        "clusters": summary.verdict.clusters, "used": summary.verdict.used,
        "places": [{"clusters": place.clusters, "verdict": place.verdict}
                   for place in summary.places],
    }  # fmt: skip


def _packed(parts: Iterable[tuple[str, bytes]]) -> bytes:
    """Data elements, one a folder, with a line a part: its name and its text."""
    folders: dict[str, list[str]] = {}
    for path, data in parts:
        folder, _, name = path.rpartition("/")
        place = f"{folder}/" if folder else ""
        folders.setdefault(place, []).append(f"{name} {written(name, data)}")
    elements = (
        tag("script", Markup("\n".join(lines)), type="text/plain", id=f"data:{folder}")
        for folder, lines in folders.items()
    )
    return "".join(f"{element}\n" for element in elements).encode("ascii")


def _frame(views: Sequence[RunView], title: str, lang: str) -> tuple[bytes, bytes]:
    """What stands before and after the data."""
    script, style = front_end()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = _POLICY.format(script=f"sha256-{digest}")
    root = f'lang="{lang or "en"}" data-lang="{lang}"'
    before = f"""{head(title, policy, style, root)}<body>
<div id="nucleate"></div>
<noscript>{_told(views, title)}</noscript>
"""
    after = f'<script type="module">{script}</script>\n</body>\n</html>\n'
    return before.encode(), after.encode()


def front_end() -> tuple[str, str]:
    """Script and style of the app, as they can stand within a page.

    Raises:
        BadInput: it was not built.
    """
    script, style = (_asset(name) for name in ("app.js", "app.css"))
    # What would end the element; it occurs within texts of the code only, where this is the same.
    script = re.sub(r"<(?=/?script|!--)", r"\\x3c", f"\n{script}\n", flags=re.IGNORECASE)
    return script, style


def _told(views: Sequence[RunView], title: str) -> Markup:
    """What was found, for a reader whose mail or browser runs no scripts."""
    summaries = [view.summary for view in views]
    found = [
        tag("section", tag("h2", name), paragraphs(words(summary)))
        for summary, name in zip(summaries, short_names(summaries), strict=True)
    ]
    numbers = tag("pre", "\n".join(key_table(summaries)))
    hint = tag("p", "The page shows more in a browser that runs its script.")
    return join([tag("h1", title), *found, numbers, hint], "\n")


def _asset(name: str) -> str:
    try:
        return (files("nucleate.views") / "web" / name).read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(
            f"the front end has no {name}: it is not built. In a checkout run `make web`; an "
            "installed nucleate always has it"
        ) from error

"""The report of any run, from its folder to one file."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from nucleate._core.cache import cache_folder
from nucleate._core.progress import Silent, Watcher, stoppable
from nucleate.findings import Summary
from nucleate.runs import Run
from nucleate.views._embedded import MOST_MB, write_report
from nucleate.views._of_run import measured, write_findings
from nucleate.views._page_path import page_of
from nucleate.views._run_view import RunView
from nucleate.views._stored_cloud import CLOUDS_OF_RUN


@dataclass(frozen=True)
class Reported:
    """What `report` leaves.

    Attributes:
        path: the page.
        summary: what the run found.
    """

    path: Path
    summary: Summary


def report(
    run: Run | Path | str,
    *,
    out: Path | str | None = None,
    max_mb: float = MOST_MB,
    lang: str = "",
    watcher: Watcher | None = None,
) -> Reported:
    """Write the report of any run: one HTML file that shows the run as the app does.

    What of the run is not measured yet is measured first, with its own settings. What cannot be
    shown is named on the page: a run without the label `task` has no clusters to be told of, one
    without answers no accuracy, one without interventions no causal map.

    Args:
        run: a run, or its folder; whatever recorded it.
        out: the file, or a folder for `report.html`; by default the run's own folder, where panel,
            tables and clouds are kept as well. With `out` nothing is written into the run: what was
            measured is kept in the user's cache.
        max_mb: size of the file at most, in 1,000,000 bytes; the page says what is left out.
        lang: "en" or "ja"; by default that of the browser.
        watcher: is told of the progress and may ask to stop; None: nobody watches.

    Returns:
        Where the page is, and the summary that its words come from.

    Raises:
        BadInput: the folder is no run, or the size is too small.
        OSError: the disk is full or the file cannot be written.
        Interrupted: the watcher asked to stop; what was measured is kept.
    """
    run = run if isinstance(run, Run) else Run(run)
    watcher = watcher or Silent()
    page = page_of(run.path if out is None else out)
    apart = None if out is None else cache_folder("panels") / _name_of(run)
    found, _ = measured(run, apart, stoppable(watcher, "panel"))
    clouds = run.path / CLOUDS_OF_RUN if out is None else cache_folder("clouds")
    view = RunView(run, cache=clouds, found=found)
    if out is None:
        write_findings(found, run.path)
    write_report(
        [view], page, title=f"nucleate report: {view.summary.name}", max_mb=max_mb, lang=lang,
        progress=stoppable(watcher, "clouds"),
    )  # fmt: skip
    return Reported(page, view.summary)


def _name_of(run: Run) -> str:
    """Tells runs apart, also one that has taken the place of another."""
    made = (run.path / "manifest.json").stat().st_mtime_ns
    return hashlib.sha256(f"{run.path.resolve()} {made}".encode()).hexdigest()[:24]

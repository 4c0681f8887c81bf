"""`nucleate report`: one page of any run, whatever recorded it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from nucleate.cli import _options as options
from nucleate.cli._text import say


def report(
    run: Annotated[Path, typer.Argument(help="A run folder, whatever recorded it.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the page, figures and tables; by default the run's own."),
    ] = None,
    threads: options.Threads = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write report.html: curves, maps and pictures of a run, and what they say in words.

    What is not measured yet is measured first, with the run's own settings. What the run does not
    have - answers, tasks, interventions - is named on the page.
    """
    from nucleate._core.progress import stoppable
    from nucleate.cli._watch import watching
    from nucleate.runs import check_writable, read_manifest

    read_manifest(run)
    check_writable(out or run)
    with watching(quiet=quiet) as watcher:
        watcher.say(f"nucleate report {run} -> {(out or run) / 'report.html'}")
        options.prepare_torch(threads)
        from nucleate.views import report as write

        done = write(run, out=out, progress=stoppable(watcher, "panel"))
    if as_json:
        found = {"report": str(done.path), "summary": done.summary.model_dump(mode="json")}
        typer.echo(json.dumps(found))
        return
    from nucleate.findings import key_table

    for line in (*done.summary.verdict.words[:1], *done.summary.notes, ""):
        say(line)
    for line in key_table([done.summary]):
        typer.echo(line)
    say(f"open  {done.path}")

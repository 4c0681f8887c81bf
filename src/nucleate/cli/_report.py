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
        typer.Option(
            "--out",
            "-o",
            help="The file, or a folder for report.html; by default the run's own folder. With it "
            "nothing is written into the run.",
        ),
    ] = None,
    max_mb: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="Size of the file at most, 25 by default; the page says what is left out."
        ),
    ] = None,
    lang: options.LanguageOption = options.Language.auto,
    threads: options.Threads = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write report.html: the view of a run that the app has, in one file that needs no network.

    What is not measured yet is measured first, with the run's own settings. What the run does not
    have - answers, tasks, interventions - is named on the page.
    """
    from nucleate.cli._watch import watching
    from nucleate.runs import check_writable, read_manifest
    from nucleate.views import page_of

    read_manifest(run)
    page = page_of(out or run)
    check_writable(page.parent)
    with watching(quiet=quiet) as watcher:
        watcher.say(f"nucleate report {run} -> {page}")
        options.prepare_torch(threads)
        from nucleate.views import MOST_MB
        from nucleate.views import report as write

        done = write(run, out=out, max_mb=max_mb or MOST_MB, lang=lang.code, watcher=watcher)
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

"""`nucleate compare`: several runs side by side."""

from pathlib import Path
from typing import Annotated

import typer

from nucleate.cli import _options as options
from nucleate.cli._text import say


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(help="Run folders; or LABEL=RUN for groups of your own.", metavar="RUN..."),
    ],
    by: Annotated[
        str | None,
        typer.Option(
            help="Setting to group by, as learning_rate; run takes each run for itself. By default "
            "all settings that differ, seeds aside."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the page; by default compare/ beside the first run."),
    ] = None,
    threads: options.Threads = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare runs: seeds are the unit, the setting that differs is the factor.

    Prints a table of each setting's numbers beside chance, and their differences with intervals;
    writes compare.html with curves of all runs in one figure. Runs that differ in their seed alone
    are replicates. What is not measured yet is measured first.
    """
    from nucleate._core.errors import BadInput
    from nucleate._core.progress import stoppable
    from nucleate.cli._watch import watching
    from nucleate.runs import check_writable, read_manifest

    groups = _groups(runs)
    paths = [path for group in groups.values() for path in group]
    if len(paths) < 2:
        raise BadInput(f"{paths[0]} alone has nothing to be compared with; name at least two runs")
    options.check_distinct(paths)
    for path in paths:
        read_manifest(path)
    if by is not None and "" not in groups:
        raise BadInput(f"--by {by} and groups as LABEL=RUN exclude each other; leave one out")
    folder = out or paths[0].resolve().parent / "compare"
    check_writable(folder)
    with watching(quiet=quiet) as watcher:
        watcher.say(f"nucleate compare {len(paths)} runs -> {folder / 'compare.html'}")
        options.prepare_torch(threads)
        from nucleate.findings import compare as compare_runs
        from nucleate.views import write_comparison

        found = compare_runs(
            paths if "" in groups else groups, by=by, progress=stoppable(watcher, "panels")
        )
        page = write_comparison(found, folder)
    if as_json:
        typer.echo(found.to_json())
        return
    for line in found.lines():
        typer.echo(line)
    say(f"open  {page}")


def _groups(runs: list[str]) -> dict[str, list[Path]]:
    """Label -> runs; all runs under an empty label where none is given."""
    from nucleate._core.errors import BadInput

    found: dict[str, list[Path]] = {}
    for run in runs:
        label, equals, path = run.partition("=")
        if Path(run).exists() or not equals:
            label, path = "", run
        elif not label or not path:
            raise BadInput(f"{run!r} is not of the form LABEL=RUN, as small=runs/one")
        found.setdefault(label, []).append(Path(path))
    if "" in found and len(found) > 1:
        raise BadInput(
            f"{found[''][0]} has no label, but others have; give all runs as LABEL=RUN, or none"
        )
    return found

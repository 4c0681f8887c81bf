"""`nucleate figures`: the figures of a run for a paper, with the numbers drawn beside them."""

import json
from pathlib import Path
from typing import Annotated

import typer

from nucleate.cli import _options as options
from nucleate.cli._text import say


def figures(
    run: Annotated[Path, typer.Argument(help="A run folder, whatever recorded it.")],
    out: Annotated[
        Path | None, typer.Option(help="Where to write; by default figures/ in the run.")
    ] = None,
    width: Annotated[
        str,
        typer.Option(
            help="column (3.35 inches), text (7 inches), or inches.", metavar="column|text|INCHES"
        ),
    ] = "text",
    only: Annotated[
        str | None,
        typer.Option(help="One kind, such as curves or causal-map.", metavar="NAME"),
    ] = None,
    threads: options.Threads = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write every figure as PNG, SVG and PDF, with the numbers drawn as CSV beside it."""
    from nucleate._core.progress import stoppable
    from nucleate.cli._watch import watching
    from nucleate.runs import check_writable, read_manifest
    from nucleate.views import width_of

    inches = width_of(width)
    read_manifest(run)
    folder = out or run / "figures"
    check_writable(out or run)
    with watching(quiet=quiet) as watcher:
        watcher.say(f"nucleate figures {run} -> {folder}")
        options.prepare_torch(threads)
        from nucleate.views import figures as write

        plates = write(run, out=out, width=inches, only=only, progress=stoppable(watcher, "panel"))
    if as_json:
        listed = [
            {"name": plate.name, "width": round(plate.width, 3), "alt": plate.alt}
            for plate in plates
        ]
        typer.echo(json.dumps({"folder": str(folder), "figures": listed}))
        return
    for plate in plates:
        wide = plate.width > inches + 0.01
        note = f"  {plate.width:.2f} inches, as narrow as can be read" if wide else ""
        say(f"{plate.name}{note}")
    say(f"each as .png, .svg, .pdf and .csv in {folder}")

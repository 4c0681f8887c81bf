"""`nucleate series`: can a series of checkpoints be trusted?"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nucleate._core.progress import Watcher
    from nucleate.checkpoints import Series, SeriesReport

app = typer.Typer(help="Look at checkpoints along a training.", no_args_is_help=True)
_FLAGGED = 1


@app.callback()
def _root() -> None:
    pass


@app.command()
def check(
    source: Annotated[
        list[str],
        typer.Argument(
            help="A run, a folder of checkpoint folders, or several checkpoints: folders or "
            "REPOSITORY@REVISION."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Write the report there, as JSON.")] = None,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Read pytorch_model.bin where it is all.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON on standard output.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Hash and compare all weights; tell what is duplicated, missing, out of order or misplaced.

    Leaves with 0 where nothing is wrong, with 1 where something is.
    """
    from nucleate.checkpoints import Series
    from nucleate.cli._watch import watching
    from nucleate.runs import write_json

    with watching(quiet=quiet) as watcher:
        report = checked(Series.find(source, allow_pickle=allow_pickle), watcher)
    if out is not None:
        write_json(out, report.to_dict())
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        _show(report)
    if not report.ok:
        raise typer.Exit(_FLAGGED)


def checked(series: "Series", watcher: "Watcher") -> "SeriesReport":
    """Check a series while a watcher shows how much is read; it stops when the user wants to."""
    from nucleate._core.errors import Interrupted
    from nucleate.checkpoints import check_series

    tick = None
    mebibyte = 2**20

    def progress(done: int, total: int) -> None:
        nonlocal tick
        if tick is None:
            tick = watcher.part("weights read, MiB", max(1, total // mebibyte))
        tick(max(1, total // mebibyte) if done == total else done // mebibyte, "")
        if watcher.stopping():
            raise Interrupted("stopped while weights were read; run again to begin anew")

    return check_series(series, progress=progress)


def _show(report: "SeriesReport") -> None:
    """A table, and a sentence for each flag."""
    from rich.console import Console
    from rich.table import Table

    header = ("step", "weights", "norm", "moved", "flags")
    rows = [
        (
            str(one.step),
            one.sha256[:12] if one.sha256 else "-",
            _number(one.norm),
            _number(one.moved),
            ", ".join(dict.fromkeys(flag.kind for flag in report.flags_of(one.step))),
        )
        for one in report.checkpoints
    ]
    console = Console()
    if console.is_terminal:
        table = Table(*header)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    else:
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        for row in (header, *rows):
            line = "  ".join(
                text.rjust(width) for text, width in zip(row[:4], widths, strict=False)
            )
            typer.echo(f"{line}  {row[4]}".rstrip())
    for flag in report.flags:
        typer.echo(f"{flag.kind}: {flag.sentence}")
    if report.ok:
        typer.echo(f"{len(rows)} checkpoints, nothing wrong")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"

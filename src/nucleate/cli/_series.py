"""`nucleate series`: can a series of checkpoints be trusted?"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nucleate.cli import _options as options
from nucleate.cli._spoken import spoken
from nucleate.cli._text import Command, Group, say

if TYPE_CHECKING:
    from nucleate.checkpoints import SeriesReport

app = typer.Typer(
    cls=Group, help="Inspect the checkpoints of a training run.", no_args_is_help=True
)
_FLAGGED = 1


@app.callback()
def _root() -> None:
    pass


@app.command(cls=Command)
def check(
    source: Annotated[
        list[str],
        typer.Argument(
            help="A run, a folder of checkpoint folders, or several checkpoints: folders or "
            "REPOSITORY@REVISION."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Write the report there, as JSON.")] = None,
    allow_pickle: options.AllowPickle = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Hash and compare all weights; report what is duplicated, missing, swapped or misplaced.

    The exit code is 0 where nothing is wrong, and 1 where something is.
    """
    from nucleate.checkpoints import Series
    from nucleate.cli._watch import checked, watching
    from nucleate.runs import write_json

    with spoken():
        series = Series.find(source, allow_pickle=allow_pickle)
    with watching(quiet=quiet) as watcher:
        watcher.say(f"nucleate series check: {len(series)} checkpoints, {_span(series.steps)}")
        report = checked(series, watcher)
    if out is not None:
        write_json(out, report.to_dict())
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        _show(report)
    if not report.ok:
        raise typer.Exit(_FLAGGED)


def _span(steps: tuple[int, ...]) -> str:
    return f"step {steps[0]}" if len(steps) == 1 else f"steps {steps[0]} to {steps[-1]}"


def _show(report: "SeriesReport") -> None:
    """A table, and a sentence for each flag; names where they do not tell the step."""
    from nucleate.checkpoints import step_in

    names = [one.name.rpartition("/")[2].rpartition("@")[2] for one in report.checkpoints]
    told = all(
        step_in(name) == one.step for name, one in zip(names, report.checkpoints, strict=True)
    )
    header = ("step", *(() if told else ("name",)), "weights", "norm", "moved", "flags")
    rows = [
        (
            str(one.step),
            *(() if told else (name,)),
            one.sha256[:12] if one.sha256 else "-",
            _number(one.norm),
            _number(one.moved),
            ", ".join(dict.fromkeys(flag.kind for flag in report.flags_of(one.step))),
        )
        for one, name in zip(report.checkpoints, names, strict=True)
    ]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = (text.rjust(width) for text, width in zip(row[:-1], widths, strict=False))
        typer.echo(f"{'  '.join(cells)}  {row[-1]}".rstrip())
    for flag in report.flags:
        say(f"{flag.kind}: {flag.sentence}")
    for note in report.notes:
        say(f"note: {note}")
    if report.ok:
        say(f"{len(rows)} checkpoints, nothing wrong")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"

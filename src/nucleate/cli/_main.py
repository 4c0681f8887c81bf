"""`nucleate`: the verbs, and what each kind of ending means for the exit code.

0 all well, 1 checked and found wanting, 2 bad input, 4 a run that failed, 130 stopped by the user.
Nothing heavy is imported before a verb needs it, so that `--help` answers at once.
"""

import sys
from typing import Annotated

import typer

from nucleate import __version__
from nucleate._core.errors import BadInput, Interrupted, RunFailed
from nucleate.cli import _config, _export, _intervene, _measure, _record, _reproduce, _series

app = typer.Typer(
    name="nucleate",
    help="See when, where and why a language model groups its inner states by task - and whether "
    "it uses the groups.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("reproduce")(_reproduce.reproduce)
app.command("record")(_record.record)
app.add_typer(_series.app, name="series")
app.command("measure")(_measure.measure)
app.command("intervene")(_intervene.intervene)
app.command("export")(_export.export)
app.add_typer(_config.app, name="config")


def _show_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"nucleate {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        app()
    except (BadInput, RunFailed, Interrupted) as error:
        typer.echo(f"nucleate: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("nucleate: stopped at once; run again to go on", err=True)
        sys.exit(Interrupted.exit_code)

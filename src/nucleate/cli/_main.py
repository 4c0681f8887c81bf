"""`nucleate`: the verbs, and what each kind of ending means for the exit code.

0 all well, 1 checked and found wanting, 2 bad input, 4 a run that failed, 130 stopped by the user.
Nothing heavy is imported before a verb needs it, so that `--help` answers at once.
"""

import sys
from typing import Annotated, Any

import typer

from nucleate import __version__
from nucleate._core.errors import BadInput, Interrupted, RunFailed
from nucleate._core.platforms import check_platform
from nucleate.cli import (
    _alarms,
    _app,
    _atlas,
    _audit,
    _changes,
    _compare,
    _config,
    _drift,
    _export,
    _figures,
    _forecast,
    _gate,
    _intervene,
    _measure,
    _overlap,
    _record,
    _report,
    _reproduce,
    _router,
    _score,
    _series,
    _serve,
    _steer,
    _study,
)
from nucleate.cli._text import Command, Group, say

# Click's errors of the command line, of which typer makes only this one public.
_UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    name="nucleate",
    cls=Group,
    help="See when, where and why a language model groups its inner states by task - and whether "
    "it uses the groups.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("reproduce", cls=Command)(_reproduce.reproduce)
app.command("record", cls=Command)(_record.record)
app.add_typer(_series.app, name="series")
app.command("measure", cls=Command)(_measure.measure)
app.command("intervene", cls=Command)(_intervene.intervene)
app.command("steer", cls=Command)(_steer.steer)
app.command("report", cls=Command)(_report.report)
app.command("figures", cls=Command)(_figures.figures)
app.add_typer(_study.app, name="study")
app.command("compare", cls=Command)(_compare.compare)
app.command("overlap", cls=Command)(_overlap.overlap)
app.command("changes", cls=Command)(_changes.changes)
app.command("gate", cls=Command)(_gate.gate)
app.command("forecast", cls=Command)(_forecast.forecast)
app.command("router", cls=Command)(_router.router)
app.add_typer(_atlas.app, name="atlas")
app.command("score", cls=Command)(_score.score)
app.command("watch", cls=Command)(_alarms.watch)
app.command("drift", cls=Command)(_drift.drift)
app.add_typer(_audit.app, name="audit")
app.command("app", cls=Command)(_app.app)
app.command("serve", cls=Command)(_serve.serve)
app.command("export", cls=Command)(_export.export)
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
        check_platform()
        sys.exit(app(standalone_mode=False, prog_name="nucleate") or 0)
    except (BadInput, RunFailed, Interrupted) as error:
        say(f"nucleate: {error}", err=True)
        sys.exit(error.exit_code)
    except _UsageError as error:
        _show_usage_error(error)
        sys.exit(BadInput.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        say("nucleate: stopped at once; run again to resume", err=True)
        sys.exit(Interrupted.exit_code)


def _show_usage_error(error: Any) -> None:
    """What is wrong with the command line, in a sentence; the help where there is nothing on it."""
    message = error.format_message()
    if message.startswith("Usage:"):
        typer.echo(message, err=True)
        return
    message = " ".join(message.split()).replace("Value error, ", "").rstrip(".")
    value = _given(getattr(error, "param", None))
    if value and repr(value) not in message:
        message += f", got {value!r}"
    command = error.ctx.command_path if error.ctx is not None else "nucleate"
    say(f"nucleate: {message[:1].lower()}{message[1:]} (see {command} --help)", err=True)


def _given(param: Any) -> str | None:
    """The value that the command line has for an option."""
    words = [part for word in sys.argv[1:] for part in word.split("=", 1)]
    places = [words.index(name) for name in getattr(param, "opts", ()) if name in words]
    return words[places[0] + 1] if places and places[0] + 1 < len(words) else None

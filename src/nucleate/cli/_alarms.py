"""`nucleate watch`: alarms of a training, finished or still running."""

import json as json_module
import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from nucleate.cli import _options as options
from nucleate.cli._text import say

if TYPE_CHECKING:
    from nucleate.monitor.alarms import Alarm


def watch(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    reference: Annotated[
        list[Path] | None,
        typer.Option(
            help="A healthy run of the same kind, of another seed; name 19 or more, each with "
            "the option, or a folder that holds them."
        ),
    ] = None,
    rate: Annotated[
        float, typer.Option(help="Share of healthy trainings that may alarm at all.")
    ] = 0.05,
    place: Annotated[
        list[str] | None,
        typer.Option(
            help="STREAM@POSITION of the states that count; by default the middle and the last "
            "block at the end of the instruction."
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until the training is over.")
    ] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks, with --follow.")] = 10.0,
    webhook: Annotated[
        str | None, typer.Option(help="Address to which each alarm is sent as JSON.")
    ] = None,
    trainings_a_month: Annotated[
        float | None, typer.Option(help="To show how many false alarms a month are expected.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for the report, as alarms.json.")] = None,
    json: options.Json = False,
) -> int:
    """Say what goes wrong in a training, and how rare that is in healthy ones; 1: an alarm stands.

    The run is read and not changed.
    """
    from nucleate.monitor import alarms
    from nucleate.runs import write_json

    places = None if place is None else [_place(text) for text in place]
    known = [alarms.series_of(each, places) for each in _runs(reference or [])]
    watched = alarms.RunWatch(run, alarms.standard(known, rate=rate), places)
    hook = None if webhook is None else alarms.Webhook(webhook, run=run.resolve().name)

    def tell(alarm: "Alarm") -> None:
        if not json:
            say(alarm.words(), err=True)
        if hook is not None:
            hook(alarm)

    if follow:
        stop = _Stop()
        with stop:
            alarms.follow(watched, tell, every=every, stopping=lambda: stop.wanted)
    else:
        for alarm in watched.look():
            if hook is not None:
                hook(alarm)
    report = watched.report(trainings_a_month=trainings_a_month)
    if out is not None:
        write_json(out, report)
    if hook is not None:
        hook.close()
    if json:
        typer.echo(json_module.dumps(report, indent=2, ensure_ascii=False))
    else:
        for line in alarms.words(report):
            say(line)
    return 1 if report["alarms"] else 0


def _place(text: str) -> tuple[str, str]:
    from nucleate._core.errors import BadInput

    stream, found, position = text.partition("@")
    if not found or not stream.strip() or not position.strip():
        raise BadInput(f"the place {text!r} is none; write it as block.1@last")
    return stream.strip(), position.strip()


def _runs(given: list[Path]) -> list[Path]:
    """The runs that are named, and those in the folders that are."""
    from nucleate._core.errors import BadInput

    found: list[Path] = []
    for path in given:
        if path.is_file() or (path / "manifest.json").exists():
            found.append(path)
            continue
        inside = sorted(p.parent for p in path.glob("*/manifest.json")) if path.is_dir() else []
        inside += sorted(path.glob("*.json")) if path.is_dir() else []
        if not inside:
            raise BadInput(f"{path} holds no reference run; name run folders, or a folder of them")
        found += inside
    options.check_distinct(found)
    return found


class _Stop:
    """Ctrl-C ends following at the next look, and the report is made of what was seen."""

    def __init__(self) -> None:
        self.wanted = False

    def __enter__(self) -> "_Stop":
        self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True

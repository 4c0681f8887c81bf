"""`nucleate study`: a question asked over many runs."""

import csv
import io
import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nucleate.cli import _options as options
from nucleate.cli._text import Command, Group, say

if TYPE_CHECKING:
    from nucleate.studies import Plan, StudyRanking, StudyStatus, StudyTable

app = typer.Typer(
    cls=Group,
    help="Ask one question over many runs: settings, seeds and twins from one page.",
    no_args_is_help=True,
)


class ExecutorName(StrEnum):
    """Where runs are done."""

    process = "process"
    inline = "inline"


File = Annotated[Path, typer.Argument(help="The study's page, in YAML.")]
Out = Annotated[Path, typer.Option(help="Folder of the runs; studies may share one.")]
_OUT = Path("runs") / "studies"


@app.command(cls=Command)
def plan(file: File, out: Out = _OUT, as_json: options.Json = False) -> None:
    """Say how many runs, core-hours and bytes a study takes, before anything runs."""
    from nucleate.studies import plan_study, read_study

    _show(plan_study(read_study(file), out), as_json)


@app.command(cls=Command)
def run(
    file: File,
    out: Out = _OUT,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time, a thread each; one per core.")
    ] = None,
    executor: Annotated[
        ExecutorName, typer.Option(help="A process for each run, or all in this one.")
    ] = ExecutorName.process,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Do the runs of a study that are not done yet, and print its table.

    Run again after Ctrl-C or a crash to resume; what is done is never done twice.
    """
    from nucleate._core.errors import BadInput
    from nucleate.cli._watch import watching
    from nucleate.studies import check_study, plan_study, read_study, usable_threads

    if executor is ExecutorName.inline and workers is not None:
        raise BadInput(f"--workers {workers} is for the executor `process`; leave one of both out")
    study = read_study(file)
    check_study(study, out)
    with watching(quiet=quiet) as watcher:
        for line in plan_study(study, out).lines():
            watcher.say(line)
        watcher.say(f"nucleate study run {file} -> {out}")
        from nucleate.studies import executor_named, run_study, study_table

        run_study(
            study,
            out,
            executor=executor_named(executor.value, usable_threads(workers)),
            watcher=watcher,
        )
    _show(study_table(study, out), as_json, typer.echo)


@app.command(cls=Command)
def status(file: File, out: Out = _OUT, as_json: options.Json = False) -> None:
    """Say which runs of a study are done, running, lost, failed or to do. Nothing is changed."""
    from nucleate.studies import read_study, study_status

    _show(study_status(read_study(file), out), as_json)


@app.command(cls=Command)
def table(
    file: File,
    out: Out = _OUT,
    to_csv: Annotated[
        Path | None, typer.Option("--csv", help="Write the table there as well.")
    ] = None,
    rank: Annotated[
        str | None,
        typer.Option(help="Instead, the settings by when they get there: tokens_to_90.unseen_cell"),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Print one line a setting: means over seeds with intervals, beside what chance gives.

    Of runs that are done; the column of seeds says of how many. Nothing of a run is changed.
    """
    from nucleate.studies import read_study

    study = read_study(file)
    from nucleate.studies import rank_study, study_table

    found = study_table(study, out) if rank is None else rank_study(study, out, rank)
    if to_csv is not None:
        _write_csv(found, to_csv)
    _show(found, as_json, typer.echo)


def _show(
    found: "Plan | StudyStatus | StudyTable | StudyRanking",
    as_json: bool,
    tell: Callable[[str], None] = say,
) -> None:
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
        return
    for line in found.lines():
        tell(line)


def _write_csv(found: "StudyTable | StudyRanking", path: Path) -> None:
    from nucleate.runs import check_writable, write_whole

    check_writable(path.parent, "name another file")
    text = io.StringIO()
    records = found.records()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    write_whole(path, text.getvalue().encode())

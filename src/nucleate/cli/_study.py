"""`nucleate study`: a question asked over many runs."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nucleate.cli import _options as options
from nucleate.cli._text import Command, Group, say

if TYPE_CHECKING:
    from nucleate.studies import (
        Claims,
        ClaimsTable,
        Plan,
        Study,
        StudyRanking,
        StudyStatus,
        StudyTable,
    )

app = typer.Typer(
    cls=Group,
    help="Ask one question over many runs: settings, seeds and twins from one page.",
    no_args_is_help=True,
)


class ExecutorName(StrEnum):
    """Where runs are done."""

    process = "process"
    inline = "inline"
    submitit = "submitit"
    ray = "ray"


File = Annotated[
    Path,
    typer.Argument(
        help="The study's page, in YAML; or claims, claims-smoke, claims-default: the ten claims."
    ),
]
Out = Annotated[Path, typer.Option(help="Folder of the runs; studies may share one.")]
_OUT = Path("runs") / "studies"


@app.command(cls=Command)
def plan(file: File, out: Out = _OUT, as_json: options.Json = False) -> None:
    """Say how many runs, core-hours and bytes a study takes, before anything runs."""
    from nucleate.studies import plan_study

    study = _read(file, out)[0]
    _show(plan_study(study, out), as_json)
    if study.trials and not as_json:
        say(_further(study))


@app.command(cls=Command)
def run(
    file: File,
    out: Out = _OUT,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time, a thread each; one per core.")
    ] = None,
    executor: Annotated[
        ExecutorName,
        typer.Option(
            help="A process for each run, all in this one, jobs of Slurm (submitit), or tasks of "
            "Ray."
        ),
    ] = ExecutorName.process,
    executor_option: Annotated[
        list[str] | None,
        typer.Option(
            help="Of submitit or Ray, as in slurm_partition=short or num_gpus=1.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Do the runs of a study that are not done yet, and print its table.

    Run again after Ctrl-C or a crash to resume; what is done is never done twice.
    """
    from nucleate._core.errors import BadInput
    from nucleate.cli._watch import watching
    from nucleate.studies import (
        check_study,
        executor_named,
        plan_study,
        record_thresholds,
        usable_threads,
    )

    if executor is ExecutorName.inline and workers is not None:
        raise BadInput(
            f"--workers {workers} is not for the executor `inline`; leave one of both out"
        )
    study, claims = _read(file, out)
    check_study(study, out)
    where = executor_named(executor.value, usable_threads(workers), _options(executor_option or ()))
    if claims is not None:
        record_thresholds(claims, out)
    with watching(quiet=quiet) as watcher:
        for line in plan_study(study, out).lines():
            watcher.say(line)
        watcher.say(f"nucleate study run {file} -> {out}")
        from nucleate.studies import run_study, search_study

        if study.trials:
            watcher.say(_further(study))
            study = search_study(file, out, executor=where, watcher=watcher)
        else:
            run_study(study, out, executor=where, watcher=watcher)
    _show(_table_of(study, claims, out, quiet=quiet), as_json, typer.echo)


@app.command(cls=Command)
def status(file: File, out: Out = _OUT, as_json: options.Json = False) -> None:
    """Say which runs of a study are done, running, lost, failed or to do. Nothing is changed."""
    from nucleate.studies import study_status

    study = _read(file, out)[0]
    _show(study_status(study, out), as_json)
    if study.trials and not as_json:
        say(_further(study))


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
    found = _table_of(*_read(file, out), out, rank)
    if to_csv is not None:
        _write_csv(found, to_csv)
    _show(found, as_json, typer.echo)


@app.command(cls=Command)
def report(
    file: File,
    out: Out = _OUT,
    page: Annotated[
        Path, typer.Option("--page", "-o", help="The page to write, in Markdown.")
    ] = Path("results.md"),
) -> None:
    """Write a page of results from the runs that are done; of the claims with a figure."""
    from nucleate.studies import write_claims_page, write_study_page

    study, claims = _read(file, out)
    if claims is None:
        from nucleate.studies import study_table

        written = write_study_page(study_table(study, out), page)
    else:
        written = write_claims_page(claims, _judged(claims, out), page)
    for path in written:
        say(f"wrote {path}")


def _read(file: Path, out: Path) -> "tuple[Study, Claims | None]":
    """The study of a page, or of the claims, where one of their forms is named."""
    from nucleate.studies import CLAIM_FORMS, open_study, read_claims

    if str(file) not in CLAIM_FORMS:
        return open_study(file, out), None
    claims = read_claims(str(file))
    return claims.study, claims


def _further(study: "Study") -> str:
    return f"{study.further} of {study.trials} trials follow from what these runs find"


def _table_of(
    study: "Study",
    claims: "Claims | None",
    out: Path,
    rank: str | None = None,
    *,
    quiet: bool = False,
) -> "StudyTable | ClaimsTable | StudyRanking":
    if rank is not None:
        from nucleate.studies import rank_study

        return rank_study(study, out, rank)
    if claims is not None:
        return _judged(claims, out, quiet=quiet)
    from nucleate.studies import study_table

    return study_table(study, out)


def _judged(claims: "Claims", out: Path, *, quiet: bool = False) -> "ClaimsTable":
    from nucleate._core.progress import stoppable
    from nucleate.cli._watch import watching
    from nucleate.studies import judge_claims

    with watching(quiet=quiet) as watcher:
        return judge_claims(claims, out, progress=stoppable(watcher, "reading runs"))


def _options(given: Sequence[str]) -> dict[str, Any]:
    """`key=value` pairs, values as in YAML: numbers, true, lists."""
    import yaml

    from nucleate._core.errors import BadInput

    found = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        try:
            found[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            found[key.strip()] = value
        if not equals or not key.strip():
            raise BadInput(f"--executor-option {pair!r} is no KEY=VALUE; write num_gpus=1")
    return found


def _show(
    found: "Plan | StudyStatus | StudyTable | ClaimsTable | StudyRanking",
    as_json: bool,
    tell: Callable[[str], None] = say,
) -> None:
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
        return
    for line in found.lines():
        tell(line)


def _write_csv(found: "StudyTable | ClaimsTable | StudyRanking", path: Path) -> None:
    from nucleate.runs import check_writable, write_whole

    check_writable(path.parent, "name another file")
    text = io.StringIO()
    records = found.records()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    write_whole(path, text.getvalue().encode())

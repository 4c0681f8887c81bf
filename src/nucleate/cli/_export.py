"""`nucleate export`: the scalars of a run, into an experiment tracker."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nucleate.cli import _options as options
from nucleate.cli._text import say


class Tracker(StrEnum):
    """Where scalars can go; each needs the extra of its name."""

    tensorboard = "tensorboard"
    mlflow = "mlflow"
    wandb = "wandb"
    trackio = "trackio"


def export(
    runs: Annotated[list[Path], typer.Argument(help="One or several run folders with a panel.")],
    to: Annotated[Tracker, typer.Option(help="The tracker.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder; by default export/TRACKER beside the run, for trackio its own folder."
        ),
    ] = None,
    uri: Annotated[
        str | None, typer.Option(help="MLflow only: a database or server instead of a folder.")
    ] = None,
    project: Annotated[str, typer.Option(help="Project or experiment.")] = "nucleate",
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated, such as ari,separation, or all; by default the report's "
            "headline numbers, some 20 curves."
        ),
    ] = None,
    streams: Annotated[
        str | None, typer.Option(help="Comma-separated, such as embed,block.3; by default all.")
    ] = None,
    positions: Annotated[
        str | None, typer.Option(help="Comma-separated, such as last; by default all.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Write runs' scalars over training steps, each with its nulls, to an experiment tracker.

    Of the panel those numbers are written that the report speaks of, unless metrics or streams are
    named. W&B runs are written offline. Exporting again replaces the earlier export.
    """
    from nucleate.export import check_export

    options.check_distinct(runs)
    for run in runs:
        check_export(run, to.value, out=out, uri=uri)
    say(f"nucleate export {' '.join(map(str, runs))} --to {to.value}", err=True)
    from nucleate.export import export_run

    done = export_run(
        runs, to.value, out=out, uri=uri, project=project, metrics=options.names_in(metrics),
        streams=options.names_in(streams), positions=options.names_in(positions),
    )  # fmt: skip
    if as_json:
        found = [vars(each) for each in done]
        typer.echo(json.dumps(found[0] if len(found) == 1 else found))
        return
    for each in done:
        curves = f"{each.curves} curves, {each.scalars} scalars at {each.steps} steps"
        say(f"{curves} -> {each.where}")
    for look in dict.fromkeys(each.look for each in done):
        say(f"look: {look}")

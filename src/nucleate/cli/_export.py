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
    run: Annotated[Path, typer.Argument(help="A run folder with a panel.")],
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
    as_json: options.Json = False,
) -> None:
    """Write a run's scalars over training steps, each with its nulls, to an experiment tracker.

    W&B runs are written offline. Exporting again replaces the earlier export.
    """
    from nucleate.export import check_export

    check_export(run, to.value, out=out, uri=uri)
    say(f"nucleate export {run} --to {to.value}", err=True)
    from nucleate.export import export_run

    done = export_run(run, to.value, out=out, uri=uri, project=project)
    if as_json:
        typer.echo(json.dumps(vars(done)))
        return
    say(f"{done.scalars} scalars at {done.steps} steps -> {done.where}")
    say(f"look: {done.look}")

"""`nucleate export`: the scalars of a run, into an experiment tracker."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


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
        typer.Option(help="Folder; by default export/TRACKER beside the run, trackio: its own."),
    ] = None,
    uri: Annotated[
        str | None, typer.Option(help="MLflow only: a database or server instead of a folder.")
    ] = None,
    project: Annotated[str, typer.Option(help="Project or experiment.")] = "nucleate",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print where it went as JSON on standard output.")
    ] = False,
) -> None:
    """Write a run's numbers over training steps, each beside its nulls, into a tracker.

    W&B runs are written offline. Exporting again replaces what was exported before.
    """
    from nucleate.export import export_run

    done = export_run(run, to.value, out=out, uri=uri, project=project)
    if as_json:
        typer.echo(json.dumps(vars(done)))
        return
    typer.echo(f"{done.scalars} scalars at {done.steps} steps -> {done.where}")
    typer.echo(f"look: {done.look}")

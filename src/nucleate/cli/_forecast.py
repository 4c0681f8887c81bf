"""`nucleate forecast`: whether early clusters say how runs end."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nucleate.cli import _options as options


class _LeftOut(StrEnum):
    run = "run"
    seed = "seed"
    setting = "setting"


def forecast(
    study: Annotated[Path, typer.Argument(help="The study's page, in YAML; its runs are done.")],
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs") / "studies",
    early: Annotated[
        float, typer.Option(help="Share of the training at which is forecast; choose it first.")
    ] = 0.2,
    split: Annotated[
        str, typer.Option(help="Rows whose final accuracy is forecast.")
    ] = "unseen_cell",
    loss: Annotated[str, typer.Option(help="Rows whose early loss is the rival.")] = "seen",
    position: Annotated[str, typer.Option(help="Where clusters are measured.")] = "last",
    left_out: Annotated[
        _LeftOut, typer.Option("--leave-out", help="What is forecast from all others at a time.")
    ] = _LeftOut.run,
    to_csv: Annotated[
        Path | None, typer.Option("--csv", help="Write the curve over all recorded steps there.")
    ] = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Ask whether separation early in training forecasts final accuracy better than loss does.

    Over the finished runs of a study, each forecast from the others: the early loss, the early
    separation, the early ARI, and loss with either of them; each beside permuted outcomes, the
    differences with intervals over runs. Fewer than 12 runs decide nothing.
    """
    from nucleate.cli._watch import watching
    from nucleate.runs import check_writable
    from nucleate.studies import read_study

    page = read_study(study)
    if to_csv is not None:
        check_writable(to_csv.parent, "name another file")
    from nucleate._core.progress import stoppable
    from nucleate.runs import write_whole
    from nucleate.studies import study_forecast

    with watching(quiet=quiet) as watcher:
        found = study_forecast(
            page, out, early=early, split=split, loss=loss, position=position,
            left_out=left_out.value, seed=seed, progress=stoppable(watcher, "runs"),
        )  # fmt: skip
    if to_csv is not None:
        write_whole(to_csv, found.curve.to_csv(index=False).encode())
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
        return
    for line in found.lines():
        typer.echo(line)

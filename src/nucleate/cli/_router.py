"""`nucleate router`: tasks told from states, against tasks told from the text."""

import json
from pathlib import Path
from typing import Annotated

import typer

from nucleate.cli import _options as options


def router(
    run: Annotated[Path, typer.Argument(help="A run folder with snapshots.")],
    step: Annotated[int | None, typer.Option(help="By default the last recorded one.")] = None,
    stream: Annotated[str | None, typer.Option(help="By default the last block.")] = None,
    position: Annotated[
        str, typer.Option(help="Of a state that has seen the instruction.")
    ] = "instruction_end",
    label: Annotated[str, typer.Option(help="Column of the prompts to route to.")] = "task",
    left_out: Annotated[
        str,
        typer.Option("--leave-out", help="Column whose values no router is fitted to, as family."),
    ] = "instruction",
    seed: options.Seed = 0,
    threads: options.Threads = None,
    as_json: options.Json = False,
) -> None:
    """Ask whether a router that reads states finds the task more often than one that reads text.

    Both are fitted to other instructions than they are tried on; the difference has an interval
    over instructions. Nothing is written.
    """
    from nucleate.runs import read_manifest

    read_manifest(run)
    options.prepare_torch(threads)
    from nucleate.findings import route_run
    from nucleate.runs import Run

    where, found = route_run(
        Run(run), step=step, stream=stream, position=position, label=label, left_out=left_out,
        seed=seed,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps({"place": where} | found.to_dict()))
        return
    for line in (where, *found.lines()):
        typer.echo(line)

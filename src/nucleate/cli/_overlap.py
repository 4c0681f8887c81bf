"""`nucleate overlap`: which tasks overlap, and whether the model confuses those."""

import json
from pathlib import Path
from typing import Annotated

import typer

from nucleate.cli import _options as options
from nucleate.cli._text import say


def overlap(
    run: Annotated[Path, typer.Argument(help="A run folder with tasks and answers.")],
    stream: Annotated[str | None, typer.Option(help="By default the last block.")] = None,
    position: Annotated[str, typer.Option(help="Token position.")] = "last",
    step: Annotated[int | None, typer.Option(help="By default the last.")] = None,
    measured_on: Annotated[
        str, typer.Option(help="Split whose rows give the overlap.", metavar="SPLIT")
    ] = "seen",
    confused_on: Annotated[
        str, typer.Option(help="Split whose rows give the mistakes.", metavar="SPLIT")
    ] = "unseen_string",
    top: Annotated[int, typer.Option(min=1, help="Pairs that are printed.")] = 10,
    out: Annotated[
        Path | None, typer.Option(help="Where to write; by default the run's folder.")
    ] = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    """Say which tasks overlap in the states of a place, and whether the model confuses those.

    Overlap and mistakes are of different rows. The correlation stands beside that of permuted
    tasks, of the embedding, of untrained models, and of the words alone. Writes overlap.csv (a pair
    a row) and overlap.json.
    """
    from nucleate.runs import check_writable, read_manifest

    read_manifest(run)
    folder = out or run
    check_writable(folder)
    from nucleate.findings import overlap as find
    from nucleate.runs import Run

    found = find(
        Run(run),
        stream=stream,
        position=position,
        step=step,
        measured_on=measured_on,
        confused_on=confused_on,
        seed=seed,
    )
    folder.mkdir(parents=True, exist_ok=True)
    found.save(folder)
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
        return
    for line in found.lines(top):
        typer.echo(line)
    say(f"all pairs in {folder / 'overlap.csv'}")

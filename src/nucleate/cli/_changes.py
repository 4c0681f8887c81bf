"""`nucleate changes`: which clusters another version of a model has."""

import json
from pathlib import Path
from typing import Annotated

import typer

from nucleate.cli import _options as options


def changes(
    before: Annotated[str, typer.Argument(help="A run folder; RUN@STEP for one of its steps.")],
    after: Annotated[
        str | None,
        typer.Argument(help="The other version, likewise; by default the same run's last step."),
    ] = None,
    stream: Annotated[
        str | None, typer.Option(help="As block.3; by default the last block that both have.")
    ] = None,
    position: Annotated[
        str | None, typer.Option(help="By default instruction_end, else the last one recorded.")
    ] = None,
    label: Annotated[str, typer.Option(help="Column of the prompts that names clusters.")] = "task",
    common_basis: Annotated[
        bool | None,
        typer.Option(
            "--common-basis/--no-common-basis",
            help="Whether one was trained on from the other; by default only within a run.",
        ),
    ] = None,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    as_json: options.Json = False,
) -> None:
    """Say which clusters moved, merged, parted, split or vanished between two versions of a model.

    Two steps of a run, such as a base model and what fine-tuning made of it, or two runs. Each word
    is judged against what two samples of instruction strings of one version differ by. Nothing is
    written.
    """
    from nucleate.runs import read_manifest

    first, first_step = _version(before)
    last, last_step = _version(after) if after is not None else (first, None)
    for path in (first, last):
        read_manifest(path)
    options.prepare_torch(threads)
    from nucleate.findings import run_changes
    from nucleate.runs import Run

    found = run_changes(
        Run(first), Run(last), first_step, last_step, stream=stream, position=position,
        label=label, common_basis=common_basis, seed=seed,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
        return
    for line in found.lines():
        typer.echo(line)


def _version(text: str) -> tuple[Path, int | None]:
    """Run folder and step of `RUN@STEP`; a folder may have such a name itself."""
    from nucleate._core.errors import BadInput

    path, at, step = text.rpartition("@")
    if not at or Path(text).exists():
        return Path(text), None
    if not step.isdecimal():
        raise BadInput(f"{text!r} ends in no step; write RUN@STEP, as runs/mine@100")
    return Path(path), int(step)

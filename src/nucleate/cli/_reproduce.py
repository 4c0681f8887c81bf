"""`nucleate reproduce`: the main job, from nothing to a report."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Preset(StrEnum):
    """How much is trained."""

    smoke = "smoke"
    default = "default"
    large = "large"


class Outputs(StrEnum):
    """Which kinds of outputs synthetic tasks have."""

    own = "own"
    shared = "shared"
    both = "both"


class Null(StrEnum):
    """What takes the task out of the training."""

    scrambled = "scrambled"


def reproduce(
    preset: Annotated[Preset, typer.Option(help="How much is trained.")] = Preset.default,
    tasks: Annotated[
        str | None,
        typer.Option(help="synthetic, geo, or a JSON Lines file.", metavar="NAME|FILE"),
    ] = None,
    outputs: Annotated[
        Outputs | None,
        typer.Option(help="Synthetic tasks: outputs of each task's own, shared by all, or both."),
    ] = None,
    null: Annotated[
        Null | None,
        typer.Option(help="Train without task information: the report must then claim nothing."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything random.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder; by default one below runs/, named by the options.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="In all; by default one a core.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting, as in model.width=64.", metavar="KEY=VALUE"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the findings as JSON on standard output.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Train small models, watch task clusters form, ask whether they are used, write a report.

    Run again after Ctrl-C, it goes on where it stood.
    """
    from nucleate._core.workers import context

    # The processes' server imports the heavy libraries while this process does.
    context("nucleate.studies")
    from nucleate.cli._watch import watching
    from nucleate.studies import default_folder, resolve

    resolved = resolve(
        preset.value,
        file=config,
        settings=settings or (),
        tasks=tasks,
        outputs=None if outputs is None else _kinds(outputs),
        null=null and null.value,
        seed=seed,
    )
    folder = out or default_folder(preset.value, resolved)
    with watching(quiet=quiet) as watcher:
        watcher.say(f"nucleate reproduce --preset {preset.value}, seed {resolved.seed} -> {folder}")
        from nucleate.studies import reproduce as run_reproduce

        result = run_reproduce(resolved, folder, threads=threads, watcher=watcher)
    if as_json:
        typer.echo(result.to_json())
        return
    for line in result.lines():
        typer.echo(line)


def _kinds(outputs: Outputs) -> tuple[str, ...]:
    return ("own", "shared") if outputs is Outputs.both else (outputs.value,)

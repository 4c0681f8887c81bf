"""`nucleate reproduce`: the main job, from nothing to a report."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nucleate.cli import _options as options
from nucleate.cli._text import say


class Outputs(StrEnum):
    """Which kinds of outputs synthetic tasks have."""

    own = "own"
    shared = "shared"
    both = "both"


class Null(StrEnum):
    """What takes the task out of the training."""

    scrambled = "scrambled"


def reproduce(
    preset: options.PresetOption = options.Preset.default,
    tasks: options.Tasks = None,
    outputs: Annotated[
        Outputs | None,
        typer.Option(help="Synthetic tasks: outputs of each task's own, shared by all, or both."),
    ] = None,
    null: Annotated[
        Null | None,
        typer.Option(help="Train without task information: the report must then claim nothing."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of all random draws; 0 if not set.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder; by default one below runs/, named after the options."),
    ] = None,
    threads: options.Threads = None,
    config: options.Config = None,
    settings: options.Settings = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train small models, watch task clusters form, ask whether they are used, write a report.

    Run again after Ctrl-C or a crash to resume.
    """
    from nucleate.cli._watch import watching
    from nucleate.studies import (
        check_settings,
        check_tasks,
        default_folder,
        resolve,
        start_workers,
    )

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
    check_settings(resolved, folder)
    with watching(quiet=quiet) as watcher:
        watcher.say(f"nucleate reproduce --preset {preset.value}, seed {resolved.seed} -> {folder}")
        check_tasks(resolved)
        start_workers()
        from nucleate.studies import reproduce as run_reproduce

        result = run_reproduce(resolved, folder, threads=threads, watcher=watcher)
    if as_json:
        typer.echo(result.to_json())
        return
    for line in result.lines():
        say(line)


def _kinds(outputs: Outputs) -> tuple[str, ...]:
    return ("own", "shared") if outputs is Outputs.both else (outputs.value,)

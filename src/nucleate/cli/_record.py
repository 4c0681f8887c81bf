"""`nucleate record`: hidden states of one model, or of every checkpoint of a series, into a run."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nucleate.cli import _options as options
from nucleate.cli._spoken import spoken
from nucleate.cli._text import say

if TYPE_CHECKING:
    from nucleate.checkpoints import Series


def record(
    prompts: Annotated[
        str,
        typer.Option(
            help="Rows to read: a file (.jsonl, .csv, .parquet ...), a saved prompt set, or a run."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="The run's folder; one with the same prompt set is continued.")
    ],
    model: Annotated[
        str | None, typer.Argument(help="One model: a folder, REPOSITORY, or REPOSITORY@REVISION.")
    ] = None,
    series: Annotated[
        list[str] | None,
        typer.Option(
            help="Instead: a run, a folder of checkpoint folders, or (repeated) checkpoints."
        ),
    ] = None,
    step: Annotated[
        int | None,
        typer.Option(min=0, help="Step of one model; by default what its name says, or 0."),
    ] = None,
    positions: options.Positions = None,
    template: options.Template = None,
    tokenizer: options.Tokenizer = None,
    base: Annotated[
        str | None,
        typer.Option(help="Base model of LoRA adapters; by default the one that they name."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Check a series before it is read.")
    ] = True,
    keep_flagged: Annotated[
        bool, typer.Option("--keep-flagged", help="Record a series even if the check flags it.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let an earlier step void later recorded ones.")
    ] = False,
    device: options.Device = "auto",
    dtype: options.Dtype = None,
    attention: options.Attention = None,
    threads: options.Threads = None,
    allow_pickle: options.AllowPickle = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that comes with the weights.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Record hidden states of a prompt set, as a recorder would have done during training.

    A series is checked first. Run again after Ctrl-C or a crash to resume.
    """
    from nucleate._core.devices import check_device_name
    from nucleate._core.progress import stoppable
    from nucleate.checkpoints import load_prompts
    from nucleate.cli._watch import checked, watching

    check_device_name(device)
    with spoken():
        found = _series(model, series, step, allow_pickle=allow_pickle)
        rows = load_prompts(
            prompts, found, positions=options.names_in(positions), template=template,
            tokenizer=tokenizer,
        )  # fmt: skip
    with watching(quiet=quiet) as watcher:
        watcher.say(f"nucleate record: {len(found)} checkpoints -> {out}")
        options.prepare_torch(threads)
        from nucleate.checkpoints import record_series

        loading = options.loading(device, dtype, attention)
        report = checked(found, watcher) if check and len(found) > 1 else None
        if report is not None and not keep_flagged:
            report.require_ok()
        recorded = record_series(
            out,
            rows,
            found,
            load=lambda checkpoint: checkpoint.load(
                **loading, base=base, trust_remote_code=trust_remote_code
            ),
            report=report,
            overwrite=overwrite,
            progress=stoppable(watcher, "checkpoints"),
        )
    if as_json:
        shown = {"run": str(recorded.run), "steps": recorded.steps, "present": recorded.present,
                 "not_finite": recorded.not_finite, "rows": len(rows),
                 "positions": list(rows.positions)}  # fmt: skip
        typer.echo(json.dumps(shown))
        return
    there = f", {len(recorded.present)} were there" if recorded.present else ""
    noun = "checkpoint" if len(recorded.steps) == 1 else "checkpoints"
    say(f"{len(recorded.steps)} {noun} recorded{there} -> {recorded.run}")
    for number, where in recorded.not_finite.items():
        say(f"step {number}: states are not finite {where}")


def _series(
    model: str | None, series: list[str] | None, step: int | None, *, allow_pickle: bool
) -> "Series":
    from nucleate._core.errors import BadInput
    from nucleate.checkpoints import Series

    if series is not None and model is None:
        if step is not None:
            raise BadInput(f"--step {step} is for one model; a series tells its steps by names")
        return Series.find(series, allow_pickle=allow_pickle)
    if model is None or series is not None:
        raise BadInput("name one model, or a series with --series, and not both")
    return Series.of_model(model, step=step, allow_pickle=allow_pickle)

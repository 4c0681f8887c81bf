"""`nucleate record`: hidden states of one model, or of every checkpoint of a series, into a run."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from nucleate.checkpoints import Series, SeriesReport
    from nucleate.prompts import PromptSet


_POSITIONS = "instruction_end,last"


class Dtype(StrEnum):
    """What models compute in."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class Attention(StrEnum):
    """How attention is computed."""

    eager = "eager"
    sdpa = "sdpa"


def record(
    prompts: Annotated[
        str, typer.Option(help="Rows to read: a .jsonl or .csv file, a saved prompt set, or a run.")
    ],
    out: Annotated[
        Path, typer.Option(help="The run's folder; one of the same prompt set is continued.")
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
        int | None, typer.Option(min=0, help="Of one model; by default what its name says, or 0.")
    ] = None,
    positions: Annotated[
        str,
        typer.Option(help="For a file, comma-separated: instruction_end, last, mean, 3, -2 ..."),
    ] = _POSITIONS,
    template: Annotated[
        str | None, typer.Option(help="For a file: a format string, or chat.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Folder or name; by default the one beside the weights.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Of LoRA adapters: the model; by default the one they name.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Check a series before it is read.")
    ] = True,
    keep_flagged: Annotated[
        bool, typer.Option("--keep-flagged", help="Record a series in which something is wrong.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let an earlier step void later recorded ones.")
    ] = False,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, mps ...; auto takes an accelerator.")
    ] = "auto",
    dtype: Annotated[Dtype | None, typer.Option(help="By default as stored.")] = None,
    attention: Annotated[
        Attention | None, typer.Option(help="By default what the checkpoint asks for.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="By default one a core.")] = None,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Load pytorch_model.bin where it is all.")
    ] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that comes with the weights.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was done as JSON on standard output.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Read hidden states of a prompt set's rows, as a recorder would have done during the training.

    A series is checked first. Run again after Ctrl-C or a crash, it goes on where it stood.
    """
    from nucleate.checkpoints import record_series
    from nucleate.cli._series import checked
    from nucleate.cli._watch import watching

    _prepare(threads)
    found = _series(model, series, step, allow_pickle=allow_pickle)
    rows = _probe(prompts, positions, template, tokenizer, found)
    options: dict[str, Any] = {
        "dtype": dtype and dtype.value,
        "device": _device(device),
        "attention": attention and attention.value,
        "base": base,
        "trust_remote_code": trust_remote_code,
    }
    with watching(quiet=quiet) as watcher:
        report = checked(found, watcher) if check and len(found) > 1 else None
        if report is not None and not keep_flagged:
            _refuse_flagged(report)
        tick = watcher.part("checkpoints", len(found))

        def progress(done: int, total: int) -> None:
            tick(done, "")
            if watcher.stopping() and done < total:
                raise _stopped(out)

        recorded = record_series(
            out,
            rows,
            found,
            load=lambda checkpoint: checkpoint.load(**options),
            report=report,
            overwrite=overwrite,
            progress=progress,
        )
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "run": str(recorded.run),
                    "steps": recorded.steps,
                    "present": recorded.present,
                    "rows": len(rows),
                    "positions": list(rows.positions),
                }
            )
        )
        return
    there = f", {len(recorded.present)} were there" if recorded.present else ""
    count = len(recorded.steps)
    noun = "checkpoint" if count == 1 else "checkpoints"
    typer.echo(f"{count} {noun} recorded{there} -> {recorded.run}")


def _prepare(threads: int | None) -> None:
    import torch
    from transformers.utils import logging

    # What matters of its warnings is refused here, in a sentence.
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if threads is not None:
        torch.set_num_threads(threads)


def _device(name: str) -> str:
    import torch

    if name != "auto":
        return name
    return str(torch.accelerator.current_accelerator(check_available=True) or "cpu")


def _stopped(out: Path) -> Exception:
    from nucleate._core.errors import Interrupted

    return Interrupted(f"{out} stopped between two checkpoints; run again to go on")


def _series(
    model: str | None, series: list[str] | None, step: int | None, *, allow_pickle: bool
) -> "Series":
    from nucleate._core.errors import BadInput
    from nucleate.checkpoints import (
        Checkpoint,
        Series,
        local_folder,
        step_in,
    )

    if (model is None) == (series is None):
        raise BadInput("name one model, or a series with --series, and not both")
    if series is not None:
        if step is not None:
            raise BadInput(f"--step {step} is for one model; a series tells its steps by names")
        return Series.find(series, allow_pickle=allow_pickle)
    assert model is not None
    if step is None:
        path = local_folder(model, allow_pickle=allow_pickle)
        name = path.absolute().name if path == Path(model) else model.partition("@")[2]
        step = step_in(name) or 0
    return Series((Checkpoint.find(model, step=step, allow_pickle=allow_pickle),))


def _refuse_flagged(report: "SeriesReport") -> None:
    from nucleate._core.errors import BadInput

    if report.flags:
        more = f" (and {len(report.flags) - 1} more)" if len(report.flags) > 1 else ""
        raise BadInput(
            f"the series is not sound: {report.flags[0].sentence}{more}; see nucleate series "
            "check, and leave checkpoints out or give --keep-flagged"
        )


def _probe(
    source: str,
    positions: str,
    template: str | None,
    tokenizer: str | None,
    series: "Series",
) -> "PromptSet":
    """The prompt set, its tokenizer checked against the model's."""
    from nucleate._core.errors import BadInput
    from nucleate.prompts import PromptSet

    folder = Path(source)
    if not folder.is_dir():
        found = _tokenizer(tokenizer, series)
        return PromptSet.from_records(folder, found, positions=_names(positions), template=template)
    for option, value in (("positions", positions), ("template", template)):
        if value not in (None, _POSITIONS):
            raise BadInput(
                f"--{option} {value} is for rows of a file; {folder} is a saved prompt set"
            )
    prompts = PromptSet.load(folder)
    home = (folder / "checkpoints").resolve()
    own = all(checkpoint.path.resolve().parent == home for checkpoint in series)
    # A run's own checkpoints and its own prompt set belong together; they need no tokenizer beside.
    if prompts.tokenizer_hash and not (own and tokenizer is None):
        found = _tokenizer(tokenizer, series)
        if found is None:
            raise BadInput(
                f"no tokenizer beside {series.checkpoints[0]}, so that nobody can tell whether the "
                f"prompt set {folder} is for it; name its tokenizer with --tokenizer"
            )
        prompts.check_tokenizer(found)
    return prompts


def _names(positions: str) -> list[str | int]:
    names = [name.strip() for name in positions.split(",")]
    return [int(name) if name.lstrip("-").isdecimal() else name for name in names]


def _tokenizer(named: str | None, series: "Series") -> Any:
    """The named tokenizer, else the one beside the weights or above them, else None."""
    from transformers import AutoTokenizer

    from nucleate._core.errors import BadInput
    from nucleate.checkpoints import local_folder

    path = series.checkpoints[-1].path
    files = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
    places = [path, path.absolute().parent]
    folder = next((p for p in places if any((p / file).exists() for file in files)), None)
    if named is not None:
        folder = local_folder(named, allow_pickle=False)
    if folder is None:
        return None
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadInput(
            f"no tokenizer can be loaded from {folder} ({reason}); name one with --tokenizer"
        ) from error

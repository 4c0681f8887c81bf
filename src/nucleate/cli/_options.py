"""Options that several verbs share, each declared once."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from nucleate._core.errors import BadInput


class Preset(StrEnum):
    """How much is trained."""

    smoke = "smoke"
    default = "default"
    large = "large"


class Language(StrEnum):
    """Languages of app and report."""

    auto = "auto"
    en = "en"
    ja = "ja"

    @property
    def code(self) -> str:
        """As a page is told; empty: the browser's own."""
        return "" if self is Language.auto else self.value


class _DtypeName(StrEnum):
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class _AttentionName(StrEnum):
    eager = "eager"
    sdpa = "sdpa"


PresetOption = Annotated[Preset, typer.Option(help="How much is trained.")]
LanguageOption = Annotated[
    Language, typer.Option("--lang", help="Language of the page; auto: that of the browser.")
]
Tasks = Annotated[
    str | None,
    typer.Option(
        help="synthetic, geo, a JSON Lines file, or a folder with data.jsonl.",
        metavar="NAME|PATH",
    ),
]
Config = Annotated[Path | None, typer.Option(help="YAML file of settings.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting, as in model.width=64.", metavar="KEY=VALUE"),
]
Source = Annotated[
    str, typer.Argument(help="A run folder; or a model: a folder, or REPOSITORY[@REVISION].")
]
Model = Annotated[
    str | None,
    typer.Option(help="For a run: the trained model; by default its newest checkpoint."),
]
Prompts = Annotated[
    str | None,
    typer.Option(help="For a model: a .jsonl or .csv file, a saved prompt set, or a run."),
]
TablesFolder = Annotated[
    Path | None,
    typer.Option(help="Folder of the tables; needed for a model, the run's folder by default."),
]
Positions = Annotated[
    str | None,
    typer.Option(
        help="For a file of rows, comma-separated: instruction_end, last, first, mean, "
        "mean:instruction, 3, -2 ... By default instruction_end,last."
    ),
]
Template = Annotated[
    str | None,
    typer.Option(
        help="For a file of rows: a format string such as '{instruction} {input}', or chat."
    ),
]
Tokenizer = Annotated[
    str | None, typer.Option(help="Folder or name; by default the one beside the weights.")
]
Device = Annotated[
    str, typer.Option(help="cpu, cuda, mps ...; auto takes an accelerator if there is one.")
]
Dtype = Annotated[
    _DtypeName | None, typer.Option(help="Precision of the weights; by default as stored.")
]
Attention = Annotated[
    _AttentionName | None,
    typer.Option(help="Implementation; by default the one that the checkpoint names."),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads in all; by default one per core.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all random draws.")]
AllowPickle = Annotated[
    bool,
    typer.Option(
        "--allow-pickle", help="Read pytorch_model.bin where there are no safetensors files."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


def names_in(text: str | None) -> list[str] | None:
    """Comma-separated names; None where none are given."""
    return None if text is None else [name.strip() for name in text.split(",")]


def check_distinct(runs: Sequence[Path]) -> None:
    """Refuse a run that is named twice."""
    seen: dict[Path, Path] = {}
    for run in runs:
        place = run.resolve()
        if place in seen:
            raise BadInput(f"{run} is named twice (also as {seen[place]}); name each run once")
        seen[place] = run


def loading(device: str, dtype: StrEnum | None, attention: StrEnum | None) -> dict[str, Any]:
    """The options as `Checkpoint.load` takes them."""
    from nucleate._core.devices import device_named

    return {
        "device": str(device_named(device)),
        "dtype": dtype and dtype.value,
        "attention": attention and attention.value,
    }


def prepare_torch(threads: int | None) -> None:
    """Set the number of threads, and silence the messages of transformers."""
    import torch
    from transformers.utils import logging

    # What matters of its warnings is refused here, in a sentence.
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if threads is not None:
        torch.set_num_threads(threads)

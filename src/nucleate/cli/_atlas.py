"""`nucleate atlas`: the clusters that a model has, kept as what requests are held against."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nucleate.cli import _options as options
from nucleate.cli._text import Command, Group, say

if TYPE_CHECKING:
    from nucleate.checkpoints import Series

app = typer.Typer(
    cls=Group, help="Keep a model's clusters, to hold requests against.", no_args_is_help=True
)


class DetectorName(StrEnum):
    """How unusual a state is."""

    knn = "knn"
    mahalanobis = "mahalanobis"
    relative = "relative"


Rate = Annotated[
    float, typer.Option(help="Share of requests of known clusters that may be called outside.")
]


@app.callback()
def _root() -> None:
    pass


@app.command(cls=Command)
def fit(
    source: options.Source,
    out: Annotated[Path, typer.Option(help="The atlas's folder.")],
    prompts: Annotated[
        str | None,
        typer.Argument(
            help="Rows whose cluster is known: a file, a saved prompt set, or a run; for a run by "
            "default its own."
        ),
    ] = None,
    label: Annotated[str, typer.Option(help="Column of the prompts that names clusters.")] = "task",
    trained: Annotated[
        Path | None,
        typer.Option(
            help="File of rows that the model was trained on: they never calibrate. Rows whose "
            "column split says seen or train count as such."
        ),
    ] = None,
    outside: Annotated[
        str | None,
        typer.Option(help="Comma-separated labels of rows that belong to no cluster, as oos."),
    ] = None,
    detector: Annotated[
        DetectorName, typer.Option(help="What a state is unusual by: neighbors, or centroids.")
    ] = DetectorName.knn,
    neighbors: Annotated[int, typer.Option(min=1, help="Nearest rows that count.")] = 5,
    bank_rows: Annotated[int, typer.Option(min=1, help="Rows that are kept for that.")] = 4000,
    keep_text: Annotated[
        bool, typer.Option("--keep-text", help="Keep the texts of these rows, not only hashes.")
    ] = False,
    encoder: Annotated[
        str | None,
        typer.Option(help="Sentence encoder that is tried beside the others (nucleate[encoder])."),
    ] = None,
    positions: options.Positions = None,
    template: options.Template = None,
    tokenizer: options.Tokenizer = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    dtype: options.Dtype = None,
    attention: options.Attention = None,
    threads: options.Threads = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fit an atlas: where the model's clusters are, and how far from them is outside.

    Texts are split by their hash: one part chooses the place, one gives the clusters, one says
    which detector is worth its price, one calibrates it, and one is kept as the reference.
    """
    from nucleate._core.devices import check_device_name
    from nucleate._core.progress import stoppable
    from nucleate.cli._watch import watching
    from nucleate.runs import check_writable

    check_device_name(device)
    check_writable(out)
    known = _texts_of(trained) if trained is not None else []
    series = _series(source, prompts)
    rows = load_rows(prompts or source, series, positions, template, tokenizer)
    checkpoint = series.checkpoints[-1]
    with watching(quiet=quiet) as watcher:
        watcher.say(f"nucleate atlas fit {source}: {len(rows)} rows -> {out}")
        options.prepare_torch(threads)
        from nucleate.findings import json_value
        from nucleate.monitor.atlas import (
            atlas_report,
            fit_model_atlas,
            load_encoder,
            report_lines,
        )  # fmt: skip

        network = checkpoint.load(**options.loading(device, dtype, attention)).eval()
        found = fit_model_atlas(
            network, rows, label=label, trained_texts=known,
            outside=options.names_in(outside) or (), template=template or "",
            detector=detector.value,
            neighbors=neighbors, bank_rows=bank_rows, keep_text=keep_text,
            encoder=None if encoder is None else load_encoder(encoder), seed=seed,
            progress=stoppable(watcher, "rows read"),
        )  # fmt: skip
    found.save(out)
    report = atlas_report(found)
    if as_json:
        typer.echo(json.dumps(json_value(report)))
        return
    for line in report_lines(report):
        say(line)


@app.command(cls=Command)
def show(
    atlas: Annotated[Path, typer.Argument(help="An atlas's folder.")],
    rate: Rate = 0.05,
    top: Annotated[int, typer.Option(min=1, help="Confusions and names that are shown.")] = 5,
    as_json: options.Json = False,
) -> None:
    """Say what an atlas knows: place, clusters, confusions, false alarms, detectors."""
    from nucleate.findings import json_value
    from nucleate.monitor.atlas import Atlas, atlas_report, report_lines

    report = atlas_report(Atlas.load(atlas), rate)
    if as_json:
        typer.echo(json.dumps(json_value(report)))
        return
    for line in report_lines(report, top):
        say(line)


@app.command(cls=Command)
def diff(
    before: Annotated[Path, typer.Argument(help="An atlas's folder.")],
    after: Annotated[Path, typer.Argument(help="Another one, of the other version.")],
    common_basis: Annotated[
        bool,
        typer.Option(
            "--common-basis/--no-common-basis",
            help="Whether one model was trained on from the other.",
        ),
    ] = False,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    as_json: options.Json = False,
) -> None:
    """Say which clusters moved, merged, parted, split or vanished between two atlases."""
    options.prepare_torch(threads)
    from nucleate.monitor.atlas import Atlas, diff_atlases

    found = diff_atlases(
        Atlas.load(before), Atlas.load(after), common_basis=common_basis, seed=seed
    )
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
        return
    for line in found.lines():
        typer.echo(line)


def load_rows(
    source: str,
    series: "Series",
    positions: str | None,
    template: str | None,
    tokenizer: str | None,
) -> Any:
    """Rows as a prompt set; texts of a file are looked at before they are cut into tokens."""
    from nucleate.checkpoints import load_prompts
    from nucleate.monitor.atlas import read_requests

    names = options.names_in(positions)
    if Path(source).expanduser().is_file():
        _, columns = read_requests(Path(source))
        if names is None and not {"instruction", "messages", "conversations"} & columns.keys():
            names = ["last"]
    return load_prompts(source, series, positions=names, template=template, tokenizer=tokenizer)


def series_of(source: str) -> "Series":
    """The checkpoints of a run, or one model."""
    from nucleate.checkpoints import Series
    from nucleate.runs import read_manifest

    if (Path(source) / "manifest.json").exists():
        read_manifest(Path(source))
        return Series.of_run(source)
    return Series.of_model(source)


def _series(source: str, prompts: str | None) -> "Series":
    from nucleate._core.errors import BadInput

    if prompts is None and not (Path(source) / "manifest.json").exists():
        raise BadInput(f"{source} is no run folder with prompts of its own; name prompts as well")
    return series_of(source)


def _texts_of(path: Path) -> list[str]:
    from nucleate._core.errors import BadInput
    from nucleate.monitor.atlas import read_requests

    texts, columns = read_requests(path)
    if texts is None:
        raise BadInput(
            f"{path} has no column text, prompt or instruction ({', '.join(columns)}); name one so"
        )
    return texts

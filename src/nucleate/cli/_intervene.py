"""`nucleate intervene`: at every place, is the task information that is there used?"""

import json
import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nucleate.cli._record import _POSITIONS, Attention, Dtype

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from nucleate.checkpoints import Series
    from nucleate.panel import Panel

_SHOWN = ("shift", "chance", "random_direction", "patch", "erase", "random_erase", "displaced",
          "erase_onward")  # fmt: skip


class Scored(StrEnum):
    """How answers are scored."""

    greedy = "greedy"
    likelihood = "likelihood"


def intervene(
    source: Annotated[
        str, typer.Argument(help="A run folder; or a model: a folder, or REPOSITORY[@REVISION].")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="Of a run: the trained model; by default its newest checkpoint."),
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(help="Of a model: a .jsonl or .csv file, a saved prompt set, or a run."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Of a model: where the tables go. Of a run: its folder.")
    ] = None,
    positions: Annotated[
        str, typer.Option(help="For a file, comma-separated: instruction_end, last, 3, -2 ...")
    ] = _POSITIONS,
    template: Annotated[
        str | None, typer.Option(help="For a file: a format string, or chat.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Folder or name; by default the one beside the weights.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=8, help="Rows tested at most; all by default.")
    ] = None,
    scored: Annotated[
        Scored, typer.Option(help="What the model would say, or the likeliest of three answers.")
    ] = Scored.greedy,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, mps ...; auto takes an accelerator.")
    ] = "auto",
    dtype: Annotated[Dtype | None, typer.Option(help="By default as stored.")] = None,
    attention: Annotated[
        Attention | None, typer.Option(help="By default what the checkpoint asks for.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="By default one a core.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the map as JSON on standard output.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Change states at every place of a prompt set, beside controls, and see what the answers do.

    Writes causal_map.csv (a place a row), causal_edits.csv (an edit a row) and causal_map.json; of
    the place where a shift does most causal_doses.csv and causal_redirections.csv.
    """
    from nucleate._core.errors import BadInput
    from nucleate._core.progress import stoppable
    from nucleate.cli import _record as recording
    from nucleate.cli._watch import watching
    from nucleate.findings import judge_places
    from nucleate.intervene import causal_map, look_closely
    from nucleate.runs import Run

    recording._prepare(threads)
    run = Run(Path(source)) if (Path(source) / "manifest.json").exists() else None
    if run is not None and prompts is not None:
        raise BadInput(f"{source} is a run, with a prompt set of its own; leave --prompts out")
    if run is None and (prompts is None or out is None or model is not None):
        raise BadInput(
            f"{source} is no run folder; for a model give --prompts and --out, and no --model"
        )
    series = _newest(run, model) if run is not None else recording._series(
        source, None, None, allow_pickle=False
    )  # fmt: skip
    read = recording._probe(prompts or source, positions, template, tokenizer, series)
    checkpoint = series.checkpoints[-1]
    options: dict[str, Any] = {
        "dtype": dtype and dtype.value,
        "device": recording._device(device),
        "attention": attention and attention.value,
    }
    network = checkpoint.load(**options).eval()
    with watching(quiet=quiet) as watcher:
        found = causal_map(
            network,
            read,
            rows=rows,
            scored=scored.value,
            seed=seed,
            progress=stoppable(watcher, "causal map"),
        )
    folder = out or Path(source)
    found.save(folder)
    if found.strongest is not None:
        look_closely(network, read, *found.strongest, folder=folder, rows=rows, seed=seed)
    places = judge_places(found, None if run is None else _panel(run, checkpoint.step))
    typer.echo(_as_json(places, found.about) if as_json else "\n".join(_lines(places, folder)))


def _newest(run: Any, model: str | None) -> "Series":
    """The model that a run trained: as named, or its newest checkpoint."""
    from nucleate._core.errors import BadInput
    from nucleate.checkpoints import Series
    from nucleate.cli import _record as recording

    if model is not None:
        return recording._series(model, None, None, allow_pickle=False)
    checkpoints = run.path / "checkpoints"
    if not checkpoints.is_dir():
        raise BadInput(
            f"the run {run.path} holds no checkpoint; name the trained model with --model"
        )
    return Series.find([str(checkpoints)])


def _panel(run: Any, step: int) -> "Panel | None":
    """The run's panel, where it has one that ends with the states of this model."""
    from nucleate.panel import Panel

    if not (run.path / "panel.csv").exists():
        return None
    panel = Panel.load(run.path)
    return panel if int(panel.table["step"].max()) == step else None


def _lines(table: "pd.DataFrame", folder: Path) -> list[str]:
    """For a terminal: places grouped by what they are called, and the numbers of each."""
    from nucleate.findings import RULES

    lines = [f"{len(table)} places, {int(table['rows'].iloc[0])} rows -> {folder}/causal_map.csv"]
    head = ("place", *_SHOWN, "verdict")
    body = [
        (f"{row['position']}/{row['stream']}", *(_number(row[name]) for name in _SHOWN),
         str(row["verdict"]))
        for row in table.to_dict("records")
    ]  # fmt: skip
    widths = [max(len(line[k]) for line in (head, *body)) for k in range(len(head))]
    for line in (head, *body):
        cells = [cell.ljust(width) if k in (0, len(head) - 1) else cell.rjust(width)
                 for k, (cell, width) in enumerate(zip(line, widths, strict=True))]  # fmt: skip
        lines.append("  ".join(cells).rstrip())
    return [*lines, *RULES]


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _as_json(table: "pd.DataFrame", about: "Mapping[str, object]") -> str:
    from nucleate.findings import RULES

    places = json.loads(table.to_json(orient="records"))
    return json.dumps({"places": places, "rules": list(RULES), "about": dict(about)})

"""`nucleate intervene`: is task information used at the places where it is present?"""

import json
import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nucleate.cli import _options as options
from nucleate.cli._text import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from torch import nn

    from nucleate.checkpoints import Series
    from nucleate.intervene import CausalMap
    from nucleate.panel import Panel
    from nucleate.prompts import PromptSet

_SHOWN = ("shift", "chance", "random_direction", "patch", "erase", "random_erase", "displaced",
          "erase_onward")  # fmt: skip
_SOURCES_SHOWN = ("lost", "lost_control", "regained", "regained_control", "separation_lost",
                  "separation_regained")  # fmt: skip


class Scored(StrEnum):
    """How answers are scored."""

    greedy = "greedy"
    likelihood = "likelihood"


def intervene(
    source: options.Source,
    model: options.Model = None,
    prompts: options.Prompts = None,
    out: options.TablesFolder = None,
    positions: options.Positions = None,
    template: options.Template = None,
    tokenizer: options.Tokenizer = None,
    rows: Annotated[
        int | None,
        typer.Option(min=8, help="Rows tested at most; by default the run's own setting, or all."),
    ] = None,
    scored: Annotated[
        Scored | None,
        typer.Option(
            help="What the model would say, or the likeliest of three answers; by default the "
            "run's own setting, or greedy."
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Seed of all random draws; by default the run's own, or 0."),
    ] = None,
    sources: Annotated[
        bool,
        typer.Option("--sources", help="Also say from which tokens and blocks that place reads."),
    ] = False,
    device: options.Device = "auto",
    dtype: options.Dtype = None,
    attention: options.Attention = None,
    threads: options.Threads = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Edit hidden states at every place of a prompt set, with controls, and score the answers.

    Writes causal_map.csv (one row per place), causal_edits.csv (one row per edit) and
    causal_map.json; and causal_doses.csv and causal_redirections.csv for the place where a shift
    changes most answers, with --sources causal_sources.csv as well.
    """
    from nucleate._core.devices import check_device_name
    from nucleate._core.progress import stoppable
    from nucleate.checkpoints import load_prompts
    from nucleate.cli._watch import watching

    check_device_name(device)
    is_run, series = source_of(source, model, prompts, out)
    read = load_prompts(
        prompts or source, series, positions=options.names_in(positions), template=template,
        tokenizer=tokenizer,
    )  # fmt: skip
    checkpoint = series.checkpoints[-1]
    with watching(quiet=quiet) as watcher:
        watcher.say(f"nucleate intervene {source}: {checkpoint}")
        options.prepare_torch(threads)
        from nucleate.findings import judge_places
        from nucleate.intervene import causal_map, look_closely, map_settings_of

        own = map_settings_of(source if is_run else None)
        rows = own["rows"] if rows is None else rows
        seed = int(own["seed"] if seed is None else seed)
        network = checkpoint.load(**options.loading(device, dtype, attention)).eval()
        found = causal_map(
            network,
            read,
            rows=rows,
            scored=own["scored"] if scored is None else scored.value,
            seed=seed,
            progress=stoppable(watcher, "causal map"),
            say=watcher.say,
        )
    folder = out or Path(source)
    found.save(folder)
    if found.strongest is not None:
        look_closely(network, read, *found.strongest, folder=folder, rows=rows, seed=seed)
    taken = _sources(network, read, found, folder, rows, seed) if sources else None
    places = judge_places(found, _panel(Path(source), checkpoint.step) if is_run else None)
    if as_json:
        typer.echo(_as_json(places, found.about, taken))
        return
    _show(places, found.about, folder)
    if sources:
        _show_sources(taken, folder)


def _sources(
    network: "nn.Module",
    prompts: "PromptSet",
    found: "CausalMap",
    folder: Path,
    rows: int | None,
    seed: int,
) -> "pd.DataFrame | None":
    """What the place of the largest shift reads, written into the folder; None without one."""
    from nucleate.findings import source_verdict
    from nucleate.intervene import attention_sources
    from nucleate.runs import write_whole

    # At `embed` a largest shift is one that moves nothing: no attention has been read there.
    if found.strongest is None or found.strongest[0] == "embed":
        (folder / "causal_sources.csv").unlink(missing_ok=True)  # of an earlier map
        return None
    stream, position = found.strongest
    table = attention_sources(
        network, prompts, stream=stream, position=position, rows=rows, seed=seed
    )
    table["verdict"] = [source_verdict(row) for _, row in table.iterrows()]
    write_whole(folder / "causal_sources.csv", table.to_csv(index=False).encode())
    return table


def source_of(
    source: str, model: str | None, prompts: str | None, out: Path | None
) -> tuple[bool, "Series"]:
    """Whether the source is a run, and the checkpoint that is edited."""
    from nucleate._core.errors import BadInput
    from nucleate.checkpoints import Series
    from nucleate.runs import read_manifest

    if (Path(source) / "manifest.json").exists():
        read_manifest(Path(source))
        if prompts is not None:
            raise BadInput(f"{source} is a run, with a prompt set of its own; leave --prompts out")
        return True, Series.of_run(source) if model is None else Series.of_model(model)
    if prompts is None or out is None or model is not None:
        raise BadInput(
            f"{source} is no run folder; for a model give --prompts and --out, and no --model"
        )
    return False, Series.of_model(source)


def _panel(run: Path, step: int) -> "Panel | None":
    """The run's panel, where it has one that ends with the states of this model."""
    from nucleate.panel import Panel

    if not (run / "panel.csv").exists():
        return None
    panel = Panel.load(run)
    return panel if int(panel.table["step"].max()) == step else None


def _show(table: "pd.DataFrame", about: "Mapping[str, object]", folder: Path) -> None:
    """Places with the numbers of each, what could not be asked, and the rules."""
    from nucleate.findings import RULES, rows_to_decide

    say(f"{len(table)} places, {int(table['rows'].iloc[0])} rows -> {folder}/causal_map.csv")
    remarks = about.get("remarks")
    for remark in remarks if isinstance(remarks, list) else ():
        say(f"note: {remark}")
    _print_table(
        ("place", *_SHOWN, "verdict"),
        [
            (f"{row['position']}/{row['stream']}", *(_number(row[name]) for name in _SHOWN),
             str(row["verdict"]))
            for row in table.to_dict("records")
        ],
    )  # fmt: skip
    more = rows_to_decide(table)
    if more:
        say(more)
    for rule in RULES:
        say(rule)


def _show_sources(table: "pd.DataFrame | None", folder: Path) -> None:
    """What is lost without each span, and regained with it alone, where several blocks are cut."""
    from nucleate.findings import SOURCE_RULES

    if table is None:
        say("no sources: a shift changes no answers at any place that attention has reached")
        return
    place = f"{table['position'].iloc[0]}/{table['stream'].iloc[0]}"
    say(f"what {place} reads, {len(table)} spans and blocks -> {folder}/causal_sources.csv")
    _print_table(
        ("blocks: span", *_SOURCES_SHOWN, "verdict"),
        [
            (f"{row['blocks']}: {row['span']}", *(_number(row[name]) for name in _SOURCES_SHOWN),
             str(row["verdict"]))
            for row in table[table["regained"].notna()].to_dict("records")
        ],
    )  # fmt: skip
    for rule in SOURCE_RULES:
        say(rule)


def _print_table(head: "Sequence[str]", body: "Sequence[Sequence[str]]") -> None:
    """Names to the left, numbers to the right, the verdict behind them."""
    widths = [max(len(line[k]) for line in (head, *body)) for k in range(len(head))]
    for line in (head, *body):
        cells = [cell.ljust(width) if k in (0, len(head) - 1) else cell.rjust(width)
                 for k, (cell, width) in enumerate(zip(line, widths, strict=True))]  # fmt: skip
        typer.echo("  ".join(cells).rstrip())


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _as_json(
    table: "pd.DataFrame", about: "Mapping[str, object]", sources: "pd.DataFrame | None"
) -> str:
    from nucleate.findings import RULES, SOURCE_RULES

    found = {"places": json.loads(table.to_json(orient="records")), "rules": list(RULES)}
    if sources is not None:
        found["sources"] = json.loads(sources.to_json(orient="records"))
        found["source_rules"] = list(SOURCE_RULES)
    return json.dumps(found | {"about": dict(about)})

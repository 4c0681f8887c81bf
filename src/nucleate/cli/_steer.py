"""`nucleate steer`: a direction between two classes of prompts, found and used."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from nucleate._core.errors import BadInput
from nucleate.cli import _options as options
from nucleate.cli._intervene import source_of
from nucleate.cli._text import say


def steer(
    source: options.Source,
    to: Annotated[str, typer.Option(help="The class whose behavior is wanted.")],
    of: Annotated[
        str | None,
        typer.Option("--from", help="The class that is steered; by default all others."),
    ] = None,
    label: Annotated[str, typer.Option(help="Column of the prompts that names classes.")] = "task",
    pattern: Annotated[
        str | None,
        typer.Option(
            help="Regular expression that the wanted text shows; by default the behavior is to "
            "answer with a token that the class's fitted prompts have as their answer."
        ),
    ] = None,
    tokens: Annotated[
        int, typer.Option(min=1, help="With --pattern: tokens generated at most.")
    ] = 48,
    group: Annotated[
        str, typer.Option(help="Column whose values are fitted on or tried on as a whole.")
    ] = "instruction",
    stream: Annotated[
        str | None, typer.Option(help="As block.3; by default chosen on the fitted half.")
    ] = None,
    position: Annotated[
        str | None, typer.Option(help="Token position; by default chosen likewise.")
    ] = None,
    doses: Annotated[
        str | None,
        typer.Option(help="Comma-separated, times mu_B - mu_A; by default 0.5,1,1.5,2,3."),
    ] = None,
    model: options.Model = None,
    prompts: options.Prompts = None,
    out: options.TablesFolder = None,
    positions: options.Positions = None,
    template: options.Template = None,
    tokenizer: options.Tokenizer = None,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Prompts of each class tried at most.")
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    dtype: options.Dtype = None,
    attention: options.Attention = None,
    threads: options.Threads = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Steer prompts of one class towards another's behavior, beside three controls.

    The direction is the difference of the two classes' mean states at one place; both are found on
    one half of the prompts and tried on the other. Writes steering.csv and steering.json.
    """
    from nucleate._core.devices import check_device_name
    from nucleate.checkpoints import load_prompts, load_tokenizer
    from nucleate.cli._watch import watching

    check_device_name(device)
    wanted = _numbers(doses)
    _, series = source_of(source, model, prompts, out)
    read = load_prompts(
        prompts or source, series, positions=options.names_in(positions), template=template,
        tokenizer=tokenizer,
    )  # fmt: skip
    checkpoint = series.checkpoints[-1]
    with watching(quiet=quiet) as watcher:
        watcher.say(f"nucleate steer {source}: {checkpoint}")
        options.prepare_torch(threads)
        from nucleate.intervene import STEERING_DOSES, try_steering

        network = checkpoint.load(**options.loading(device, dtype, attention)).eval()
        found = try_steering(
            network, read, label=label, to=to, of=of, pattern=pattern,
            tokenizer=load_tokenizer(series, tokenizer) if pattern is not None else None,
            tokens=tokens, group=group, stream=stream, position=position,
            doses=wanted or STEERING_DOSES, rows=rows, seed=seed, say=watcher.say,
        )  # fmt: skip
    folder = out or Path(source)
    found.save(folder)
    _show(found, folder, as_json=as_json)


def _show(found: Any, folder: Path, *, as_json: bool) -> None:
    from nucleate.findings import STEERING_RULES, json_value, steering_verdict, steering_words

    if as_json:
        said = {"verdict": steering_verdict(found), "rules": STEERING_RULES}
        doses = found.table.to_dict("records")
        typer.echo(json.dumps(json_value({"doses": doses, "about": found.about} | said)))
        return
    for line in steering_words(found):
        typer.echo(line)
    for rule in STEERING_RULES:
        say(rule)
    say(f"all numbers in {folder / 'steering.csv'}")


def _numbers(text: str | None) -> list[float]:
    """Comma-separated numbers; none where none are given."""
    if text is None:
        return []
    try:
        return [float(each) for each in text.split(",")]
    except ValueError as error:
        raise BadInput(f"--doses is {text!r}; give numbers, as in 0.5,1,2") from error

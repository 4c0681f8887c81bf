"""`nucleate config`: what can be set, and what a preset sets."""

import json
from pathlib import Path
from typing import Annotated

import typer

from nucleate.cli._reproduce import Preset

app = typer.Typer(help="Show what can be set.", no_args_is_help=True)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration."""
    from nucleate.studies import ReproduceConfig

    typer.echo(json.dumps(ReproduceConfig.model_json_schema(), indent=2))


@app.command()
def show(
    preset: Annotated[Preset, typer.Option(help="How much is trained.")] = Preset.default,
    tasks: Annotated[str | None, typer.Option(help="synthetic, geo, or a file.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE")] = None,
) -> None:
    """Print the resolved configuration as YAML, ready to be edited and given to --config."""
    import yaml

    from nucleate.studies import resolve

    resolved = resolve(preset.value, file=config, settings=settings or (), tasks=tasks)
    typer.echo(yaml.safe_dump(resolved.model_dump(mode="json"), sort_keys=False), nl=False)

"""`nucleate config`: what can be set, and what a preset sets."""

import json

import typer

from nucleate.cli import _options as options
from nucleate.cli._text import Command, Group

app = typer.Typer(cls=Group, help="Show what can be set.", no_args_is_help=True)


@app.command(cls=Command)
def schema() -> None:
    """Print the JSON Schema of the configuration."""
    from nucleate.studies import ReproduceConfig

    typer.echo(json.dumps(ReproduceConfig.model_json_schema(), indent=2))


@app.command(cls=Command)
def show(
    preset: options.PresetOption = options.Preset.default,
    tasks: options.Tasks = None,
    config: options.Config = None,
    settings: options.Settings = None,
) -> None:
    """Print the resolved configuration as YAML, ready to be edited and given to --config."""
    import yaml

    from nucleate.studies import resolve

    resolved = resolve(preset.value, file=config, settings=settings or (), tasks=tasks)
    typer.echo(yaml.safe_dump(resolved.model_dump(mode="json"), sort_keys=False), nl=False)

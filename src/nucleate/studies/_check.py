"""What can be refused before anything is trained, and before torch is imported."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from warnings import catch_warnings

from nucleate._core.errors import BadInput
from nucleate.panel import check_metric_names
from nucleate.recording import Schedule
from nucleate.runs import read_manifest
from nucleate.studies._config import Outputs, PanelConfig, Preset, ReproduceConfig


def check_settings(config: ReproduceConfig, folder: Path) -> None:
    """Refuse settings that do not fit together, or do not fit the runs that a folder holds.

    Raises:
        BadInput: they do not.
    """
    config.model.check()
    schedule_of(config)
    check_metric_names(config.panel.metrics or ())
    if config.tasks not in ("synthetic", "geo") and not Path(config.tasks).is_file():
        raise BadInput(
            f"tasks {config.tasks!r} is neither synthetic nor geo, and no such file exists; give "
            "the path of a JSON Lines file"
        )
    for name, outputs in runs_of(config):
        if (folder / name / "manifest.json").exists():
            check_same(folder / name, read_manifest(folder / name), config.resolved(outputs))


def check_tasks(config: ReproduceConfig) -> None:
    """Make the tasks of the first run once; takes a fraction of a second.

    Raises:
        BadInput: they cannot be made as the settings ask for.
    """
    from nucleate.studies._material import taskset_of

    _, outputs = runs_of(config)[0]
    taskset_of(config, outputs)


def schedule_of(config: ReproduceConfig) -> Schedule:
    """The steps that are recorded."""
    return Schedule.log_then_linear(config.training.steps, config.recording.points).within(None)


def runs_of(config: ReproduceConfig) -> list[tuple[str, Outputs]]:
    """Folder name and kind of outputs of each run."""
    if config.tasks == "synthetic":
        return [(outputs, outputs) for outputs in config.outputs]
    return [(Path(config.tasks).stem, "natural")]


def default_folder(preset: Preset, config: ReproduceConfig) -> Path:
    """A folder below `runs/` whose name tells runs of common options apart."""
    name = f"{Path(config.tasks).stem}-{preset}-seed{config.seed}"
    return Path("runs") / (f"{name}-{config.null}" if config.null else name)


def check_same(path: Path, manifest: Mapping[str, Any], resolved: Mapping[str, Any]) -> None:
    """Refuse a run folder that was made with other settings.

    Args:
        path: the run folder.
        manifest: its manifest.
        resolved: the settings now.

    Raises:
        BadInput: a setting differs; the first one is named.
    """
    there, here = _flat(_renamed(manifest["config"])), _flat(resolved)
    for key in sorted(there.keys() | here.keys()):
        if there.get(key) != here.get(key):
            raise BadInput(
                f"the run folder {path} is of another configuration: {key} is "
                f"{there.get(key)!r} there and {here.get(key)!r} now; name another folder with "
                "--out, or give the settings of that run"
            )


def _renamed(config: Mapping[str, Any]) -> dict[str, Any]:
    """A stored configuration with the panel's settings under the names of today."""
    with catch_warnings(action="ignore", category=FutureWarning):
        panel = PanelConfig.model_validate(config["panel"]).model_dump(mode="json")
    return {**config, "panel": panel}


def _flat(config: object, prefix: str = "") -> dict[str, object]:
    if not isinstance(config, Mapping):
        return {prefix: config}
    flat: dict[str, object] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat

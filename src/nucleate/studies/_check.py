"""What can be refused before anything is trained, and before torch is imported."""

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from warnings import catch_warnings

from nucleate._core.arguments import as_path
from nucleate._core.devices import check_device_name
from nucleate._core.errors import BadInput
from nucleate._core.names import nearest
from nucleate.panel import check_metric_names
from nucleate.recording import Schedule
from nucleate.runs import check_writable, read_manifest
from nucleate.studies._config import (
    LATER,
    Outputs,
    PanelConfig,
    Preset,
    ReproduceConfig,
    resolve,
)
from nucleate.studies._inputs import check_inputs

_LONGEST = 80
"""Characters of a folder's name that settings take at most."""
_MODEL_TYPE = re.compile(r"""model_type\s*(?::\s*str\s*)?=\s*["']([^"']+)["']""")


def check_settings(config: ReproduceConfig, folder: Path | str) -> None:
    """Refuse settings that do not fit together, or do not fit the runs that a folder holds.

    Raises:
        BadInput: they do not.
    """
    folder = as_path("folder", folder)
    check_config(config)
    if (folder / "manifest.json").exists():
        raise BadInput(
            f"{folder} is a run itself, and no folder for the runs of a study; name another with "
            "--out"
        )
    check_writable(folder)
    for name, outputs in runs_of(config):
        if (folder / name / "manifest.json").exists():
            check_same(folder / name, read_manifest(folder / name), config.resolved(outputs))


def check_config(config: ReproduceConfig) -> None:
    """Refuse settings that do not fit together.

    Raises:
        BadInput: they do not.
    """
    config.model.check()
    config.training.check()
    _check_architecture(config.model.arch)
    check_device_name(config.training.device)
    schedule_of(config)
    check_metric_names(config.panel.metrics or ())
    check_inputs(config)


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
    """A folder below `runs/` whose name tells runs of different settings apart.

    The settings in which a configuration differs from its preset stand in the name, so that the
    same command finds its folder again and another one takes another.
    """
    name = f"{Path(config.tasks).stem}-{preset}-seed{config.seed}"
    plain = Path("runs") / (f"{name}-{config.null}" if config.null else name)
    own = _own_settings(preset, config)
    if not own and _free(plain, config):
        return plain
    told = "-".join(f"{key.rpartition('.')[2]}-{value}" for key, value in own.items())
    told = re.sub(r"[^A-Za-z0-9._-]+", "-", told).strip("-.")
    named = plain.with_name(f"{plain.name}-{told}") if told else plain
    if len(told) <= _LONGEST and told and _free(named, config):
        return named
    # Too long for a name, or taken by settings that look alike in it.
    tail = config.content_hash()[:8]
    start = "-".join(filter(None, (plain.name, told[:_LONGEST])))
    return plain.with_name(f"{start.rstrip('-.')}-{tail}")


def _own_settings(preset: Preset, config: ReproduceConfig) -> dict[str, object]:
    """The settings in which a configuration differs from its preset, by dotted name."""
    usual = _flat(resolve(preset, tasks=config.tasks).model_dump(mode="json"))
    here = _flat(config.model_dump(mode="json"))
    named = ("tasks", "seed", "null", "outputs")
    return {
        key: value for key, value in here.items() if key not in named and usual.get(key) != value
    }


def _free(folder: Path, config: ReproduceConfig) -> bool:
    """Whether a folder has no run of other settings."""
    for name, outputs in runs_of(config):
        if (folder / name / "manifest.json").exists():
            try:
                check_same(folder / name, read_manifest(folder / name), config.resolved(outputs))
            except (BadInput, KeyError):
                return False
    return True


def _check_architecture(arch: str) -> None:
    """Refuse an architecture that the installed transformers does not have, without importing it.

    Raises:
        BadInput: no configuration of transformers has this `model_type`.
    """
    try:
        models = Path(str(distribution("transformers").locate_file("transformers/models")))
    except PackageNotFoundError:
        return
    if not models.is_dir() or (models / arch).is_dir():
        return
    files = models.glob("*/configuration_*.py")
    found = (_MODEL_TYPE.findall(file.read_text(encoding="utf-8")) for file in files)
    known = {name for names in found for name in names}
    if known and arch not in known:
        raise BadInput(
            f"model.arch {arch!r} is no architecture that transformers knows"
            f"{nearest(arch, sorted(known))}; use a decoder such as llama, gpt2, gpt_neox"
        )


def check_same(path: Path, manifest: Mapping[str, Any], resolved: Mapping[str, Any]) -> None:
    """Refuse a run folder that was made with other settings.

    Args:
        path: the run folder.
        manifest: its manifest.
        resolved: the settings now.

    Raises:
        BadInput: a setting differs; the first one is named.
    """
    there, here = LATER | _flat(_renamed(manifest["config"])), LATER | _flat(resolved)
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

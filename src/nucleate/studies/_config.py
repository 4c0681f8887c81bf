"""The configuration of `reproduce`: presets, a file, single settings, in that order of weight."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args
from warnings import warn

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate._core.names import nearest
from nucleate._core.seeds import component_seed
from nucleate.tasks import canonical_hash
from nucleate.training import ModelConfig, TrainingConfig

Preset = Literal["smoke", "default", "large"]
Outputs = Literal["own", "shared", "natural"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SyntheticConfig(_Strict):
    """Tasks announced by regular expressions."""

    tasks: int = Field(20, ge=2)
    families: int = Field(3, ge=1, description="regular expressions a task, trained ones")
    held_out_families: int = Field(1, ge=0, description="regular expressions a task, never trained")
    inputs: int = Field(5, ge=2, description="inputs, the same for all tasks")
    strings: int = Field(64, ge=1, description="instruction strings a family, trained")
    unseen_strings: int = Field(8, ge=0, description="instruction strings a family, never trained")
    output_symbols: int = Field(12, ge=2, description="outputs that all tasks share")
    stem: float = Field(0.5, ge=0, le=1, description="content symbols a task's families share")
    keys: int = Field(
        0, ge=0, le=4, description="symbols that stand in every instruction of a task"
    )
    key_at: Literal["early", "late", "anywhere"] = Field(
        "anywhere", description="these symbols stand before all others, after them, or anywhere"
    )
    label_noise: float = Field(
        0.2, ge=0, le=1, description="share of training rows with a wrong output of their task"
    )
    instruction_noise: float = Field(
        0.0, ge=0, le=1, description="share of training rows with a wrong symbol"
    )
    imbalance: float = Field(0.0, ge=0, description="exponent of the tasks' frequencies")
    order: Literal["before", "after"] = Field(
        "before", description="the instruction stands before or after the input"
    )
    held_out_cells: int = Field(1, ge=0, description="(family, input) pairs a task, never trained")
    allow_overlap: bool = Field(False, description="let two tasks share instruction strings")
    patterns: dict[str, list[str]] | None = Field(
        None, description="your own regular expressions by task, in place of drawn ones"
    )
    max_repeat: int | None = Field(None, ge=1, description="cap for unbounded repetition")


class NaturalConfig(_Strict):
    """Tasks in words: the built-in geo tasks, a JSON Lines file, or a folder of data."""

    wordings_per_pair: int = Field(4, ge=1, description="geo: wordings a (task, place), trained")
    held_out_wordings: float = Field(0.15, ge=0, lt=1, description="share of each task's wordings")
    vocabulary: int = Field(2000, ge=300, description="tokens of the tokenizer at most")
    only: tuple[str, ...] | None = Field(
        None, min_length=1, description="a folder's tasks or categories to take; all if not set"
    )


class RecordingConfig(_Strict):
    """What is recorded, and when."""

    points: int = Field(30, ge=2, description="recorded steps: log-spaced, then even")
    rows: int = Field(600, ge=8, description="clustered rows of the prompt set at most")


_RENAMED = {"restarts": "n_init", "permutations": "n_permutations", "bootstraps": "n_bootstraps"}


class PanelConfig(_Strict):
    """How the states are measured."""

    n_init: int = Field(20, ge=1, description="of k-means")
    n_permutations: int = Field(199, ge=19, description="of tasks over instruction strings (N0)")
    n_bootstraps: int = Field(200, ge=20, description="over instruction strings")
    keyframes: int | None = Field(
        None, ge=2, description="steps at which the metrics that take long are measured; null: 5"
    )
    untrained: int = Field(5, ge=1, description="untrained models (N1)")
    metrics: tuple[str, ...] | None = Field(
        None,
        description="names, or all; `nucleate measure --list` lists them; null: the quick ones",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_old_names(cls, given: object) -> object:
        """Take the names of version 0.1, which go with 0.3."""
        if not isinstance(given, Mapping):
            return given
        for old, now in _RENAMED.items():
            if old in given and now in given:
                raise ValueError(f"{old} is called {now}, which is set as well; give one of them")
            if old in given:
                warn(f"panel.{old} is called panel.{now} since version 0.2", FutureWarning, 2)
        return {_RENAMED.get(name, name): value for name, value in given.items()}


class CausalConfig(_Strict):
    """How the interventions are done."""

    rows: int = Field(300, ge=0, description="tested rows at most; 0: no interventions")


class ReproduceConfig(_Strict):
    """Everything that decides what `nucleate reproduce` finds."""

    tasks: str = Field(
        "synthetic",
        description="synthetic, geo, or the path of a JSON Lines file or a folder with data.jsonl",
    )
    outputs: tuple[Literal["own", "shared"], ...] = Field(
        ("own", "shared"), min_length=1, description="synthetic: one run for each kind of outputs"
    )
    null: Literal["scrambled"] | None = Field(
        None, description="scrambled: the instruction is drawn anew for every trained example"
    )
    seed: int = Field(0, ge=0)
    synthetic: SyntheticConfig = SyntheticConfig()
    natural: NaturalConfig = NaturalConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    recording: RecordingConfig = RecordingConfig()
    panel: PanelConfig = PanelConfig()
    causal: CausalConfig = CausalConfig()

    def seed_of(self, component: str) -> int:
        """The seed of one component, so that a change in one leaves the others' draws alone."""
        return component_seed(self.seed, component)

    def resolved(self, outputs: str) -> dict[str, Any]:
        """The settings of the run with one kind of outputs, as its manifest holds them."""
        return self.model_dump(mode="json") | {"outputs": [outputs]}

    def content_hash(self, **changes: Any) -> str:
        """The hash of all settings, with some in another form.

        Settings that earlier versions did not have are left out where they are not set, and those
        that were renamed have their old names, so that a configuration keeps the hash under which
        its runs are known.
        """
        content = self.model_dump(mode="json") | changes
        for setting, default in LATER.items():
            part, name = setting.split(".")
            if content[part][name] == default:
                content[part] = {key: it for key, it in content[part].items() if key != name}
        old = {now: old for old, now in _RENAMED.items()}
        content["panel"] = {old.get(key, key): it for key, it in content["panel"].items()}
        return canonical_hash(content)


LATER: dict[str, Any] = {
    "model.init_scale": None,
    "model.activation": None,
    "training.regularizer": None,
    "training.optimizer": "adamw",
    "training.momentum": None,
    "training.hard_negatives": 0.0,
    "training.curriculum": None,
    "training.curriculum_until": 0.5,
    "panel.keyframes": None,
    "natural.only": None,
    "model.pretrained": None,
    "model.fresh": False,
    "synthetic.keys": 0,
    "synthetic.key_at": "anywhere",
}
"""Settings that the first version did not have, and what they were then."""

_SMOKE: dict[str, Any] = {
    "synthetic": {"tasks": 4, "families": 2, "strings": 24, "unseen_strings": 4, "inputs": 4},
    "model": {"depth": 2, "width": 48},
    "training": {"steps": 90, "batch_size": 64, "learning_rate": 3e-3, "checkpoint_every": 30},
    "recording": {"points": 30, "rows": 96},
    "panel": {"n_permutations": 49, "n_bootstraps": 50, "n_init": 2},
    "causal": {"rows": 96},
}
_LARGE: dict[str, Any] = {
    "synthetic": {"tasks": 40, "families": 4, "inputs": 8, "strings": 12},
    "model": {"depth": 8, "width": 192, "heads": 6},
    "training": {"steps": 1500, "batch_size": 384, "checkpoint_every": 250},
    "recording": {"points": 48, "rows": 1200},
}
_NATURAL: dict[Preset, dict[str, Any]] = {
    "smoke": {
        "model": {"depth": 3, "width": 48},
        "training": {"steps": 60, "batch_size": 64, "learning_rate": 3e-3, "checkpoint_every": 40},
        "recording": {"points": 30, "rows": 108},
        "causal": {"rows": 54},
    },
    "default": {
        "model": {"depth": 6, "width": 96, "inner": 384},
        "training": {"steps": 600, "batch_size": 128, "learning_rate": 2e-3},
        "recording": {"points": 36, "rows": 540},
        "causal": {"rows": 270},
    },
    "large": {
        "model": {"depth": 8, "width": 256, "heads": 8},
        "training": {"steps": 6000, "batch_size": 256, "checkpoint_every": 500},
        "recording": {"points": 48, "rows": 1080},
    },
}
_SYNTHETIC: dict[Preset, dict[str, Any]] = {
    "smoke": _SMOKE,
    "default": {},
    "large": _LARGE,
}


def resolve(
    preset: Preset = "default",
    *,
    file: Path | str | None = None,
    settings: Iterable[str] = (),
    **options: Any,
) -> ReproduceConfig:
    """The configuration that presets, a YAML file, options and `key=value` settings make.

    Args:
        preset: how much is trained; what it means depends on the kind of tasks.
        file: YAML with any of the configuration's keys.
        settings: such as `model.width=128`; the value is read as YAML. They weigh most.
        options: top-level keys; None means not given.

    Raises:
        BadInput: the file is no YAML mapping, or a key or value does not fit.
    """
    file = None if file is None else as_path("file", file)
    given: dict[str, Any] = read_yaml(file) if file else {}
    given = merged(given, {key: value for key, value in options.items() if value is not None})
    for setting in settings:
        given = merged(given, _parse_setting(setting))
    natural = given.get("tasks", "synthetic") != "synthetic"
    base = (_NATURAL if natural else _SYNTHETIC)[preset]
    try:
        return ReproduceConfig.model_validate(merged(base, given))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise BadInput(
                f"no setting is named {key!r}{nearest(key, setting_names(ReproduceConfig))}; "
                "`nucleate config schema` lists all settings"
            ) from error
        raise BadInput(
            f"setting {key!r} is {first.get('input')!r}: {first['msg'].lower()}; "
            "`nucleate config schema` lists all settings"
        ) from error


def setting_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every setting's dotted name."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from setting_names(kind, f"{prefix}{name}.")


def read_yaml(file: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"the config {file} cannot be read ({reason}); give a YAML file") from error
    if not isinstance(value, dict):
        raise BadInput(f"the config {file} is no mapping of settings; write lines of `key: value`")
    return value


def _parse_setting(setting: str) -> dict[str, Any]:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise BadInput(
            f"the setting {setting!r} is not of the form key=value, as in model.width=64"
        )
    try:
        value: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadInput(f"the value of the setting {setting!r} is no YAML; quote it") from error
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, mapping by mapping."""
    whole = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(whole.get(key), Mapping):
            whole[key] = merged(whole[key], value)
        else:
            whole[key] = value
    return whole

"""A study's page: which runs answer a question, and which of their numbers are tabulated."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate._core.names import nearest
from nucleate.studies._check import check_config, runs_of
from nucleate.studies._command import COMMAND_FOLDER, CommandConfig, command_config
from nucleate.studies._config import Outputs, Preset, ReproduceConfig, merged, read_yaml, resolve
from nucleate.studies._inputs import content_of
from nucleate.tasks import SPLITS, canonical_hash

_KEYS = ("name", "command", "base", "grid", "list", "seeds", "twins", "limit", "tables",
         "search")  # fmt: skip
LIMIT = 200
Sampler = Literal["tpe", "random"]
Direction = Literal["minimize", "maximize"]
_POSITIONS = ("instruction_end", "last")
_READ = tuple(split for split in SPLITS if split != "train")
# When accuracy reaches 90 % for good.
REACHED = tuple(f"{kind}.{split}" for kind in ("steps_to_90", "tokens_to_90") for split in _READ)
# Every number that a table may show; `_table.py` says where each one stands.
NUMBERS = (
    *(f"{kind}.{split}" for kind in ("accuracy", "loss") for split in _READ),
    *REACHED,
    *(f"{kind}.{at}" for kind in ("ari", "onset", "embedding_change") for at in _POSITIONS),
    *(f"{kind}.{at}" for kind in ("words", "untrained", "embedding") for at in _POSITIONS),
    "accuracy_onset", "shift", "erase", "places.clusters", "places.used", "recording_share",
)  # fmt: skip
_TABLES = ("accuracy.seen", "accuracy.unseen_cell", "ari.last", "shift")


@dataclass(frozen=True)
class StudyRun:
    """One run of a study.

    Attributes:
        setting: in which settings it differs from the base, for a reader.
        twin: name of the twin that it is; empty for the run itself.
        config: with one kind of outputs; or a command with its settings.
        outputs: that kind.
        key: the hash of all that decides the run; its folder's name.
    """

    setting: str
    twin: str
    config: ReproduceConfig | CommandConfig
    outputs: Outputs
    key: str

    @property
    def label(self) -> str:
        """The run in a few words."""
        twin = f", {self.twin}" if self.twin else ""
        return f"{self.setting}{twin}, seed {self.config.seed}"

    @property
    def folder_name(self) -> str:
        """Name of the run folder within the folder of its own."""
        if isinstance(self.config, CommandConfig):
            return COMMAND_FOLDER
        return runs_of(self.config)[0][0]


@dataclass(frozen=True)
class Study:
    """What a page asks for.

    Attributes:
        name: of the study.
        runs: in the order of the page, each once.
        tables: names of the tabulated numbers.
        twins: names of the twins.
        trials: how many trials its search makes; 0 without a search.
        further: how many of them follow from what these runs find.
    """

    name: str
    runs: tuple[StudyRun, ...]
    tables: tuple[str, ...]
    twins: tuple[str, ...]
    trials: int = 0
    further: int = 0


def read_study(file: Path | str, *, trials: Sequence[Mapping[str, Any]] | None = None) -> Study:
    """Read a study's page and lay out its runs.

    Args:
        file: YAML with `name`, and any of `command`, `base`, `grid`, `list`, `seeds`, `twins`,
            `limit` and `tables`.
        trials: what a search has proposed, in place of `grid` and `list`; see `open_study`.

    Returns:
        The study, every run with its whole configuration.

    Raises:
        BadInput: the page is no YAML, a key or a setting does not exist or does not fit, or there
            are more runs than its limit.
    """
    file = as_path("file", file)
    page = read_yaml(file)
    for key in page:
        if key not in _KEYS:
            raise BadInput(
                f"{file} has no use for the key {key!r}{nearest(str(key), _KEYS)}; a study has "
                f"{', '.join(_KEYS)}"
            )
    name = page.get("name", file.stem)
    if not isinstance(name, str) or not name:
        raise BadInput(f"{file}: name is {name!r}; give a text")
    twins = _mapping(file, page, "twins")
    if "search" in page and trials is None:
        raise BadInput(
            f"{file} has a search, whose runs follow from what earlier ones found; read it with "
            "open_study and the folder of the runs"
        )
    if trials is not None:
        page = {**page, "list": [dict(trial) for trial in trials]}
    try:
        runs = tuple(_runs(file, page, twins))
    except BadInput as error:
        told = str(error)
        raise BadInput(told if told.startswith(str(file)) else f"{file}: {told}") from error
    return Study(name, runs, _tables(file, page), tuple(str(twin) for twin in twins))


def _runs(file: Path, page: Mapping[str, Any], twins: Mapping[str, Any]) -> Iterator[StudyRun]:
    base = dict(_mapping(file, page, "base"))
    seeds = _seeds(page)
    changes = _changes(file, page, len(seeds) * (1 + len(twins)))
    short = _short_names(changes)
    seen: set[str] = set()
    for change, (twin, own), seed in product(changes, [("", {}), *twins.items()], seeds):
        if not isinstance(own, Mapping):
            raise BadInput(f"twins.{twin} is {own!r}; give the settings in which it differs")
        given = nested({**base, "seed": seed})
        for more in (change, own):
            given = merged(given, nested(more))
        label = ", ".join(f"{short[key]}={value}" for key, value in change.items()) or "base"
        if "command" in page:
            command = command_config(
                page["command"], flat_settings(given), file.parent, several_seeds=len(seeds) > 1
            )
            laid_out = [StudyRun(label, str(twin), command, "natural", command.key())]
        else:
            laid_out = list(_trainings(label, str(twin), given))
        for run in laid_out:
            identity = f"{run.key} {run.setting} {run.twin}"
            if identity not in seen:
                yield run
            seen.add(identity)


def _trainings(label: str, twin: str, given: Mapping[str, Any]) -> Iterator[StudyRun]:
    """The runs of `reproduce` with some settings: one for each kind of outputs."""
    settings = dict(given)
    preset = settings.pop("preset", "default")
    if preset not in get_args(Preset):
        raise BadInput(
            f"base.preset is {preset!r}{nearest(str(preset), get_args(Preset))}; choose "
            f"{', '.join(get_args(Preset))}"
        )
    whole = resolve(preset, **settings)
    several = len(runs_of(whole)) > 1
    for kind, outputs in runs_of(whole):
        one = whole if outputs == "natural" else whole.model_copy(update={"outputs": (outputs,)})
        check_config(one)
        yield StudyRun(f"{label}, {kind}" if several else label, twin, one, outputs,
                       key_of(one, outputs))  # fmt: skip


def _changes(file: Path, page: Mapping[str, Any], each: int) -> list[dict[str, Any]]:
    """The settings in which each line of the table differs from the base."""
    grid = {_text(key): values for key, values in _mapping(file, page, "grid").items()}
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise BadInput(f"grid.{key} is {values!r}; give a list of values")
    listed = page.get("list", [])
    if not isinstance(listed, list) or not all(isinstance(one, Mapping) for one in listed):
        raise BadInput(f"list is {listed!r}; give a list of mappings of settings")
    limit = page.get("limit", LIMIT)
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise BadInput(f"limit is {limit!r}; give a whole number of at least 1")
    in_grid = math.prod(map(len, grid.values())) if grid else 0
    count = (in_grid + len(listed) or 1) * each
    if count > limit:
        raise BadInput(
            f"the page asks for {count} runs ({in_grid + len(listed) or 1} settings, {each} runs "
            f"each), and its limit is {limit}; leave some out, or raise `limit`"
        )
    crossed = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    return [*(crossed if grid else []), *(flat_settings(one) for one in listed)] or [{}]


def _seeds(page: Mapping[str, Any]) -> list[int]:
    seeds = page.get("seeds", [0])
    whole = isinstance(seeds, list) and all(
        isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 for seed in seeds
    )
    if not whole or not seeds or len(set(seeds)) != len(seeds):
        raise BadInput(f"seeds is {seeds!r}; give a list of different whole numbers from 0")
    return list(seeds)


def _tables(file: Path, page: Mapping[str, Any]) -> tuple[str, ...]:
    tables = page.get("tables", list(_TABLES))
    if not isinstance(tables, list) or not tables:
        raise BadInput(f"{file}: tables is {tables!r}; give a list of names of numbers")
    for name in tables:
        if name not in NUMBERS:
            raise BadInput(
                f"{file}: tables has {name!r}, which no run has"
                f"{nearest(str(name), NUMBERS)}; choose from {', '.join(NUMBERS)}"
            )
    return tuple(dict.fromkeys(tables))


def _mapping(file: Path, page: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = page.get(key, {})
    if not isinstance(value, Mapping):
        raise BadInput(f"{file}: {key} is {value!r}; give lines of `key: value`")
    return value


def _text(key: object) -> str:
    """A key as text: YAML reads the key `null` as nothing."""
    return "null" if key is None else str(key)


def nested(settings: Mapping[Any, Any]) -> dict[str, Any]:
    """Settings with dotted names, or mappings within mappings, as the latter."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        inner = nested(value) if isinstance(value, Mapping) else value
        for part in reversed(_text(key).split(".")):
            inner = {part: inner}
        found = merged(found, inner)
    return found


def flat_settings(settings: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """The same with one dotted name for each value."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = prefix + _text(key)
        inside = isinstance(value, Mapping) and bool(value)
        found |= flat_settings(value, f"{name}.") if inside else {name: value}
    return found


def _short_names(changes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The last part of each key, where that tells it apart."""
    keys = list(dict.fromkeys(key for change in changes for key in change))
    ends = [key.rpartition(".")[2] for key in keys]
    return {key: end if ends.count(end) == 1 else key for key, end in zip(keys, ends, strict=True)}


def key_of(config: ReproduceConfig, outputs: Outputs) -> str:
    """The hash of all that decides a run; of tasks and models in files the content counts."""
    content, files = config.content_hash(outputs=[outputs]), content_of(config)
    if files:
        content = canonical_hash([content, *files])
    return content[:16]

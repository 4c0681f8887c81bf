"""With which settings a panel is measured, and whether a run's panel has the run's own."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from nucleate._core.arguments import check_whole
from nucleate._core.seeds import component_seed
from nucleate.panel._keyframes import KEYFRAMES
from nucleate.panel._nulls import (
    ControlLabels,
    Gaussian,
    Null,
    Permuted,
    SurfaceText,
    Untrained,
)
from nucleate.panel._panel import Panel, settings_in
from nucleate.runs import Run
from nucleate.tasks import canonical_hash

_OLD_NAMES = {"restarts": "n_init", "permutations": "n_permutations", "bootstraps": "n_bootstraps"}
"""Names in configurations of version 0.1."""


@dataclass(frozen=True)
class PanelSettings:
    """What decides the numbers of a panel beside the states.

    Attributes:
        metrics: names of the metrics; None for those that are measured by default.
        nulls: rung of the ladder -> how many draws or models it has.
        n_bootstraps: resamples of the instruction strings for intervals.
        n_init: how good k-means must be, as scikit-learn's `n_init`.
        keyframes: at how many steps the metrics that take long are measured.
        seed: of k-means, permutations, halves and resamples.
    """

    metrics: tuple[str, ...] | None = None
    nulls: Mapping[str, int] = field(default_factory=lambda: {"N0": 999, "N2": 1, "N5": 1})
    n_bootstraps: int = 200
    n_init: int = 20
    keyframes: int = KEYFRAMES
    seed: int = 0

    def __post_init__(self) -> None:
        check_whole("n_bootstraps", self.n_bootstraps, least=0)
        check_whole("n_init", self.n_init, least=1)
        check_whole("keyframes", self.keyframes, least=2)
        check_whole("seed", self.seed, least=0)

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        metrics = None if self.metrics is None else list(self.metrics)
        return asdict(self) | {"metrics": metrics, "nulls": dict(sorted(self.nulls.items()))}

    @property
    def content_hash(self) -> str:
        """SHA-256 of all settings, as 64 hexadecimal digits."""
        return canonical_hash(self.as_json())

    def ladder(self, run: Run | None) -> tuple[Null, ...]:
        """The nulls, as far as they can be drawn again: N4 needs the panel of another run."""
        draws = self.nulls
        rungs: list[Null] = []
        if "N0" in draws:
            rungs.append(Permuted(draws["N0"]))
        if run is not None and (untrained := run.untrained()):
            rungs.append(Untrained(tuple(untrained)))
        if "N2" in draws:
            rungs.append(SurfaceText())
        if "N3" in draws:
            rungs.append(Gaussian(draws["N3"]))
        if "N5" in draws:
            rungs.append(ControlLabels(draws["N5"]))
        return tuple(rungs)

    def with_ladder(self, ladder: Sequence[Null]) -> "PanelSettings":
        """The same with other nulls."""
        return replace(self, nulls={null.name: null.size for null in ladder})


def settings_of(run: Run) -> PanelSettings:
    """A run's own settings: of its configuration; else of the last panel in its folder; else ours.

    Args:
        run: any run.
    """
    config = run.manifest.get("config")
    if isinstance(config, Mapping) and isinstance(config.get("panel"), Mapping):
        return _of_config(config)
    last = settings_in(run.path)
    return PanelSettings() if last is None else _of_json(last)


def settings_differences(run: Run, panel: Panel | None = None) -> list[str]:
    """In which settings a run's panel differs from the run's own, one short text for each.

    Args:
        run: any run.
        panel: its panel; by default the one in its folder, of which only the settings are read.

    Returns:
        Such as `n_bootstraps is 50 in the panel and 200 in the run`; empty where all are equal,
        where there is no panel, and where it is of a version that wrote no settings.
    """
    found = settings_in(run.path) if panel is None else panel.settings
    if not found:
        return []
    # Without a configuration, what was measured last is the run's own.
    own = settings_of(run).as_json()
    here = _of_json(found).as_json()
    pairs = [(name, here[name], own[name]) for name in own if name != "nulls"]
    rungs = sorted({*here["nulls"], *own["nulls"]})
    pairs += [(name, here["nulls"].get(name), own["nulls"].get(name)) for name in rungs]
    return [
        f"{name} is {_said(in_panel)} in the panel and {_said(in_run)} in the run"
        for name, in_panel, in_run in pairs
        if in_panel != in_run
    ]


def _said(value: object) -> str:
    if value is None:
        return "not set"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _of_config(config: Mapping[str, Any]) -> PanelSettings:
    """The settings that a configuration of `reproduce` holds, of this version or an older one."""
    given = {_OLD_NAMES.get(name, name): value for name, value in config["panel"].items()}
    known = PanelSettings()
    draws = {"N0": given.get("n_permutations", known.nulls["N0"]), "N2": 1, "N5": 1}
    if given.get("untrained"):
        draws["N1"] = given["untrained"]
    metrics = given.get("metrics")
    return PanelSettings(
        metrics=None if metrics is None else tuple(metrics),
        nulls=draws,
        n_bootstraps=given.get("n_bootstraps", known.n_bootstraps),
        n_init=given.get("n_init", known.n_init),
        keyframes=given.get("keyframes") or known.keyframes,
        seed=component_seed(config.get("seed", 0), "panel"),
    )


def _of_json(given: Mapping[str, Any]) -> PanelSettings:
    known = {one.name for one in fields(PanelSettings)}
    found = {name: value for name, value in given.items() if name in known}
    if found.get("metrics") is not None:
        found["metrics"] = tuple(found["metrics"])
    return PanelSettings(**found)

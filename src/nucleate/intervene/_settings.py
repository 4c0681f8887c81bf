"""With which settings a causal map is made, and a run's own."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nucleate._core.seeds import component_seed
from nucleate.runs import Run, read_manifest

FEWEST_STRINGS_USED = 20
"""Fewest instruction strings on which *used* and *not used* may rest.

From here on the 95 % percentile bootstrap over strings covers in about 90 % or more of simulated
sets, whatever the share and as long as rows of a string are correlated by at most .5; over 10
strings it covers in 77 to 93 % (`benchmarks/intervene/few_strings.py` prints the table).
"""

_KNOWN: dict[str, Any] = {"rows": None, "scored": "greedy", "seed": 0}


def map_settings_of(run: Run | Path | str | None) -> dict[str, Any]:
    """A run's own settings: of its configuration; else of the last map in its folder; else ours.

    Args:
        run: any run, or its folder; None for what is no run.

    Returns:
        `rows` (None for all), `scored` and `seed`: arguments of `causal_map`.
    """
    if run is None:
        return dict(_KNOWN)
    path = run.path if isinstance(run, Run) else Path(run)
    config = read_manifest(path).get("config")
    if isinstance(config, Mapping) and isinstance(config.get("causal"), Mapping):
        seed = component_seed(config.get("seed", 0), "causal")
        return _KNOWN | {"rows": config["causal"].get("rows"), "seed": seed}
    try:
        about = json.loads((path / "causal_map.json").read_text(encoding="utf-8"))["about"]
    except (OSError, ValueError, KeyError):
        return dict(_KNOWN)
    last = about.get("settings", {})
    return {name: last.get(name, value) for name, value in _KNOWN.items()}


def map_settings_differences(run: Run | Path | str, about: Mapping[str, Any]) -> list[str]:
    """In which settings a causal map differs from the run's own, one short text for each.

    Args:
        run: any run, or its folder.
        about: `CausalMap.about`.

    Returns:
        Such as `rows is 24 in the causal map and 300 in the run`; empty where all are equal, and
        for a map of a version that wrote no settings.
    """
    found = about.get("settings")
    if not found:
        return []
    own = map_settings_of(run)
    return [
        f"{name} is {found.get(name)} in the causal map and {own[name]} in the run"
        for name in own
        if found.get(name) != own[name]
    ]

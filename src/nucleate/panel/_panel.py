"""The panel: one row a number, each beside its nulls."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from nucleate._core.errors import BadInput
from nucleate.runs import write_json, write_whole

COLUMNS = (
    "step", "stream", "position", "view", "label", "metric", "half", "value", "low", "high", "k",
    "n", "strings", "unit", "n0_mean", "n0_q99", "n1_max", "n2", "n3_q99", "n4", "n5", "p", "note",
)  # fmt: skip
BY_CLASS = ("step", "stream", "position", "view", "label", "metric", "class", "value")
_TEXTS = ("stream", "position", "view", "label", "metric", "half", "unit", "note", "class")
_LATER = ("n3_q99", "n4", "n5", "strings", "unit")
"""Columns that panels of earlier versions lack."""
_TABLE, _DRAWS, _CLASSES, _ABOUT = (
    "panel.csv",
    "panel.safetensors",
    "panel_by_class.csv",
    "panel.json",
)

Place = tuple[str, str]


@dataclass(frozen=True)
class Panel:
    """Every number of a run beside what it would be by chance.

    Attributes:
        table: one row for each step, stream, position, view, label, metric and half, with the
            columns `step, stream, position, view, label, metric, half, value, low, high, k, n,
            strings, unit, n0_mean, n0_q99, n1_max, n2, n3_q99, n4, n5, p, note`. `low` and `high`
            bound 95 % of the draws of `bootstrap_ari`. `n` counts rows and `strings` the
            instruction strings that they have. `unit` is what N0 permutes: `strings`, `texts`
            (rows without an instruction), `rows` (labels that differ within a string), or `none`
            where permutations would only rename the classes, as where each task has one string;
            `note` says so, and the columns of N0 are empty. `n0_mean` and `n0_q99` are mean
            and 99 % point under permuted labels (for a number that falls as states group, such as
            cdnv, the 1 % point), `n1_max` the most among untrained models, `n2` what the bag of
            tokens gives, `n3_q99` the 99 % point of one Gaussian, `n4` the number of the run
            without tasks, `n5` that of control labels. `p` is that of N0 for this place alone, not
            adjusted for the number of places. What is missing is NaN and has a note where the
            value itself is.
        draws: (position, view) -> bootstrap draws of ARI(task) on the half `report`; the same
            resamples at all steps and streams.
        by_class: one row a class where a metric has a value for each: recall and margin of tasks.
        missing: null -> why it is not there.
        seconds: part -> seconds spent in this sitting, summed over workers.
    """

    table: pd.DataFrame
    draws: dict[Place, Float[np.ndarray, "step stream draw"]]
    by_class: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(BY_CLASS)))
    missing: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams along the depth: second dimension of the draws."""
        return tuple(dict.fromkeys(self.table["stream"]))

    def save(self, folder: Path) -> None:
        """Write `panel.csv`, `panel_by_class.csv`, `panel.safetensors` (the draws), `panel.json`.

        Each file is written beside its place and renamed.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / _TABLE, self.table.to_csv(index=False).encode())
        write_whole(folder / _CLASSES, self.by_class.to_csv(index=False).encode())
        names = {json.dumps(place): values for place, values in self.draws.items()}
        write_whole(folder / _DRAWS, save(names))
        write_json(folder / _ABOUT, {"missing": dict(self.missing), "seconds": dict(self.seconds)})

    @classmethod
    def load(cls, folder: Path) -> "Panel":
        """Read what `save` wrote, now or in an earlier version.

        Raises:
            BadInput: a file is missing or damaged.
        """
        try:
            table = _read(folder / _TABLE, COLUMNS)
            with safe_open(folder / _DRAWS, framework="np") as file:
                draws = {_place(name): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about, classes = {}, pd.DataFrame(columns=list(BY_CLASS))
            if (folder / _ABOUT).exists():
                about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
                classes = _read(folder / _CLASSES, BY_CLASS)
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            raise BadInput(
                f"the panel in {folder} cannot be read ({error}): measure the run again"
            ) from error
        return cls(table, draws, classes, about.get("missing", {}), about.get("seconds", {}))


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    numbers = {name: [""] for name in columns if name not in _TEXTS}
    texts = {name: str for name in columns if name in _TEXTS}
    table = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=numbers)
    needed = [name for name in columns if name not in _LATER]
    absent = [name for name in needed if name not in table]
    if absent:
        raise KeyError(f"{path.name} has no column {absent[0]!r}")
    table = table.reindex(columns=list(columns))
    return table.fillna({"unit": ""}) if "unit" in columns else table


def with_scrambled(table: pd.DataFrame, other: pd.DataFrame) -> pd.Series:
    """N4: the same number of another run at the last of its steps that is not later."""
    key = ["stream", "position", "view", "label", "metric", "half"]
    theirs = other[[*key, "step", "value"]].rename(columns={"value": "n4"})
    merged = pd.merge_asof(
        table[[*key, "step"]].reset_index().sort_values("step", kind="stable"),
        theirs.sort_values("step", kind="stable"),
        on="step",
        by=key,
    )
    return merged.set_index("index")["n4"].reindex(table.index)


def _place(name: str) -> Place:
    position, view = json.loads(name)
    return position, view

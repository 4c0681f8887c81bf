"""The panel: one row a number, each beside its nulls."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate.runs import Run, write_json, write_whole
from nucleate.tasks import canonical_hash

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

OWN_NULLS = ("_q99", "_max")
"""Ends of the columns of nulls that are not ours."""
Place = tuple[str, str]
_Wanted = str | Collection[str] | None


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
            adjusted for the number of places. A null of your own adds the column `<name>_q99` or
            `<name>_max`. What is missing is NaN and has a note where the value itself is: metrics
            that take long are `not measured: no keyframe` at most steps.
        draws: (position, view) -> bootstrap draws of ARI(task) on the half `report`; the same
            resamples at all steps and streams.
        by_class: one row a class where a metric has a value for each: recall and margin of tasks.
        missing: null -> why it is not there.
        seconds: part -> seconds of processor time in this sitting, summed over workers.
        settings: what the panel was measured with; empty in panels of version 0.1.
    """

    table: pd.DataFrame
    draws: dict[Place, Float[np.ndarray, "step stream draw"]]
    by_class: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(BY_CLASS)))
    missing: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run | Path | str) -> "Panel":
        """The panel in a run's folder.

        Args:
            run: the run, or its folder.

        Raises:
            BadInput: the run is not measured yet, or a file is damaged.
        """
        folder = run.path if isinstance(run, Run) else Path(run)
        if not (folder / _TABLE).exists():
            raise BadInput(f"{folder} holds no panel; measure the run first (nucleate.measure)")
        return cls.load(folder)

    @property
    def settings_hash(self) -> str:
        """SHA-256 of the settings, 64 hexadecimal digits; empty where they are not known."""
        return canonical_hash(dict(self.settings)) if self.settings else ""

    def select(
        self,
        metric: _Wanted = None,
        *,
        label: _Wanted = None,
        position: _Wanted = None,
        stream: _Wanted = None,
        step: int | np.integer | Collection[int] | None = None,
        half: _Wanted = None,
        view: _Wanted = None,
    ) -> pd.DataFrame:
        """The rows of the table with the given values, by step.

        Args:
            metric, label, position, stream, step, half, view: one value, or several; None for all.
                `label=""` are the numbers of the states alone.

        Returns:
            A table of its own with the columns of `table` and a fresh index, by step; within a
            step in the order of `table`.

        Raises:
            BadInput: the table has no such value in that column; the message names those it has.
        """
        wanted = {
            "metric": metric, "label": label, "position": position, "stream": stream,
            "step": step, "half": half, "view": view,
        }  # fmt: skip
        asked = {column: _many(value) for column, value in wanted.items() if value is not None}
        for column, values in asked.items():
            for each in values:
                if not (self.table[column] == each).any():
                    known = ", ".join(map(repr, self.table[column].unique().tolist()))
                    raise BadInput(f"the panel has no {column} {each!r}; it has {known}")
        return select_rows(self.table, **asked).reset_index(drop=True)

    def __repr__(self) -> str:
        """Sizes in one line; the table itself is `table`."""
        return f"Panel({self._sizes()})"

    def _repr_html_(self) -> str:
        """For notebooks: the sizes, and ARI(task) by place at the last step."""
        last = self.table["step"].max()
        rows = select_rows(self.table, step=last, label="task", metric="ari", half="all")
        shown = rows[["position", "view", "stream", "value", "low", "high", "n0_q99"]]
        body = shown.to_html(index=False, float_format="{:.2f}".format, na_rep="", border=0)
        return f"<p>{repr(self).replace('<', '&lt;')}; ARI(task) at the last step:</p>{body}"

    def _sizes(self) -> str:
        steps, metrics = self.table["step"], self.table["metric"].nunique()
        if not len(steps):
            return "empty"
        return (
            f"{steps.nunique()} steps {steps.min()} to {steps.max()}, {len(self.streams)} streams, "
            f"{self.table['position'].nunique()} positions, {metrics} metrics; "
            f"nulls missing: {', '.join(self.missing) or 'none'}"
        )

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams along the depth: second dimension of the draws."""
        return tuple(dict.fromkeys(self.table["stream"]))

    def save(self, folder: Path | str) -> None:
        """Write `panel.csv`, `panel_by_class.csv`, `panel.safetensors` (the draws), `panel.json`.

        Each file is written beside its place and renamed.
        """
        folder = as_path("folder", folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / _TABLE, self.table.to_csv(index=False).encode())
        write_whole(folder / _CLASSES, self.by_class.to_csv(index=False).encode())
        names = {json.dumps(place): values for place, values in self.draws.items()}
        write_whole(folder / _DRAWS, save(names))
        about: dict[str, Any] = {"missing": dict(self.missing), "seconds": dict(self.seconds)}
        if self.settings:
            about |= {"settings": dict(self.settings), "settings_hash": self.settings_hash}
        write_json(folder / _ABOUT, about)

    @classmethod
    def load(cls, folder: Path | str) -> "Panel":
        """Read what `save` wrote, now or in an earlier version.

        Raises:
            BadInput: a file is missing or damaged.
        """
        folder = as_path("folder", folder)
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
        more = (about.get(name, {}) for name in ("missing", "seconds", "settings"))
        return cls(table, draws, classes, *more)


def settings_in(folder: Path) -> Mapping[str, Any] | None:
    """The settings of the panel in a folder, where they are known."""
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    settings: Mapping[str, Any] | None = about.get("settings")
    return settings


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    numbers = {name: [""] for name in columns if name not in _TEXTS}
    texts = {name: str for name in columns if name in _TEXTS}
    table = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=numbers)
    needed = [name for name in columns if name not in _LATER]
    absent = [name for name in needed if name not in table]
    if absent:
        raise KeyError(f"{path.name} has no column {absent[0]!r}")
    own = [name for name in map(str, table) if name not in columns and name.endswith(OWN_NULLS)]
    table = table.reindex(columns=[*columns, *own])
    if "unit" in columns and table["unit"].isna().any():
        table["unit"] = ""  # version 0.1 did not say what its null permutes
    return table


def select_rows(table: pd.DataFrame, **wanted: Any) -> pd.DataFrame:
    """The rows of a panel's table with the given values, by step; none where there are none.

    Args:
        table: of a panel.
        wanted: column -> one value, or several.
    """
    mask = np.ones(len(table), dtype=bool)
    for column, value in wanted.items():
        mask &= table[column].isin(_many(value)).to_numpy()
    return table[mask].sort_values("step", kind="stable")


def _many(value: Any) -> list[Any]:
    return [value] if isinstance(value, str | int | np.integer) else list(value)


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

"""What a report shows of one run, and how its tables are read."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from nucleate.runs import Summary

POSITION_NAMES = {"instruction_end": "end of the instruction", "last": "last prompt token"}
NULLS = ("n0_q99", "n1_max", "n2")


@dataclass(frozen=True)
class RunView:
    """Everything that figures and report show of one run: plain tables, nothing live.

    Attributes:
        summary: what the run found.
        panel: one row a number, each beside its nulls, over steps, streams and positions.
        accuracy: one row a (step, split).
        onsets: one row a series, NaN where none was found.
        causal_map: one row a (stream, position).
        doses: of one place, one row a (edit, dose); empty where none was looked at closely.
        redirections: of one place, one row a (task, target); empty where there is none.
        picture: plane coordinates, one row a (step, stream, position, probe row); the columns that
            `picture_table` adds on fidelity are shown where they are present.
        config: the resolved configuration.
        provenance: versions, hardware, threads, seed, dtype.
        patterns: a few instruction families, task -> regular expressions or wordings.
        examples: a few rows of the task set as (task, instruction, input, output).
    """

    summary: Summary
    panel: pd.DataFrame
    accuracy: pd.DataFrame
    onsets: pd.DataFrame
    causal_map: pd.DataFrame
    picture: pd.DataFrame
    doses: pd.DataFrame = field(default_factory=pd.DataFrame)
    redirections: pd.DataFrame = field(default_factory=pd.DataFrame)
    config: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)
    patterns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    examples: list[tuple[str, str, str, str]] = field(default_factory=list)

    @property
    def steps(self) -> list[int]:
        """The recorded steps, in order."""
        return sorted(int(step) for step in self.panel["step"].unique())

    @property
    def streams(self) -> list[str]:
        """The streams from the embedding upwards."""
        return depth_order(self.panel["stream"].unique())

    @property
    def positions(self) -> list[str]:
        """The positions in the order in which they stand in the sequence, as far as it is known."""
        known = list(POSITION_NAMES)
        names = [str(name) for name in self.panel["position"].unique()]
        return sorted(names, key=lambda name: known.index(name) if name in known else len(known))

    def headline_view(self, position: str) -> str:
        """`conditioned` or `raw`: the one in which the summary measures this position."""
        if position in self.summary.clusters:
            return self.summary.clusters[position].view
        views = set(self.panel.loc[self.panel["position"] == position, "view"])
        return "conditioned" if position == "last" and "conditioned" in views else "raw"

    def chosen_stream(self, position: str) -> str:
        """The stream that the summary speaks of at this position; else the deepest."""
        if position in self.summary.clusters:
            return self.summary.clusters[position].stream
        return self.streams[-1]

    def numbers(
        self, position: str, view: str, *, label: str = "task", metric: str = "ari"
    ) -> pd.DataFrame:
        """The rows of one metric at one position over all steps and streams, all probe strings."""
        panel = self.panel
        rows = panel[
            (panel["position"] == position)
            & (panel["view"] == view)
            & (panel["label"] == label)
            & (panel["metric"] == metric)
        ]
        half = "all" if "all" in set(rows["half"]) else "report"
        return rows[rows["half"] == half].sort_values("step")

    def last_numbers(self, position: str, view: str, *, label: str) -> pd.DataFrame:
        """ARI against one label at the last recorded step, indexed by stream."""
        rows = self.numbers(position, view, label=label)
        last: pd.DataFrame = rows[rows["step"] == rows["step"].max()].set_index("stream")
        return last


def beyond_all_nulls(rows: pd.DataFrame) -> Bool[np.ndarray, " row"]:
    """Which values exceed N0 (99 % point), N1 and N2; a null that is missing is not exceeded."""
    values = rows["value"].to_numpy(float)[:, None]
    return np.asarray((values > rows[list(NULLS)].to_numpy(float)).all(axis=1))


def highest_null(rows: pd.DataFrame) -> Float[np.ndarray, " row"]:
    """The highest of the nulls that are there, NaN where none is."""
    highest: Float[np.ndarray, " row"] = rows[list(NULLS)].max(axis=1).to_numpy(float)
    return highest


def depth_order(streams: Iterable[str]) -> list[str]:
    """Streams from the embedding upwards; names that are not known keep their order, on top."""

    def depth(name: str) -> float:
        block = re.fullmatch(r"block\.(\d+)", name)
        if block:
            return float(block[1])
        return {"embed": -1.0, "final_norm": 1e6}.get(name, 1e7)

    return sorted((str(name) for name in streams), key=depth)


def position_name(position: str) -> str:
    """The position in words."""
    return POSITION_NAMES.get(position, position)


def plain(text: object, limit: int = 0) -> str:
    """Text of unknown origin as one printable line, cut to `limit` characters where that is set."""
    line = "".join(c if c.isprintable() else " " for c in str(text))
    return f"{line[: limit - 1]}…" if limit and len(line) > limit else line


def number(value: float | None, *, sign: bool = False) -> str:
    """Two decimals, never a negative zero; a dash for what is missing."""
    if value is None or not np.isfinite(value):
        return "–"
    text = f"{value:+.2f}" if sign else f"{value:.2f}"
    return f"{0:.2f}" if float(text) == 0 else text.replace("-", "−")


def interval(low: float | None, high: float | None) -> str:
    """`[low, high]`, empty where both are missing."""
    if number(low) == number(high) == "–":
        return ""
    return f"[{number(low)}, {number(high)}]"


def short_names(summaries: Sequence[Summary]) -> list[str]:
    """One name a run, distinct, to be told apart in figures and column heads."""
    names = [plain(summary.name, 40) for summary in summaries]
    return [
        name if names.count(name) == 1 else f"{name} ({index})"
        for index, name in enumerate(names, 1)
    ]

"""Where a report looks: one stream a position, chosen on one half of the strings."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from nucleate.dynamics import (
    Onset,
    Trajectory,
    null_band,
    onset,
)
from nucleate.findings._format import in_order
from nucleate.findings._rules import NULLS, choose_stream
from nucleate.panel import Panel, select_rows

View = Literal["raw", "conditioned"]


@dataclass(frozen=True)
class Headline:
    """Where a report looks at one position: chosen on one half, reported on the other.

    Attributes:
        position, view, stream: of the states.
        report: ARI(task) there over the steps, on the half that the stream was not chosen on.
    """

    position: str
    view: View
    stream: str
    report: pd.DataFrame


def headline_places(panel: Panel) -> list[Headline]:
    """The place of each position: the stream of most ARI(task) at the last step that has any.

    Positions where ARI(task) is undefined, such as one that all rows share, have none.

    Raises:
        BadInput: no position has an ARI(task).
    """
    table = panel.table
    known = choosable(table)
    last = int((table if known.empty else known)["step"].max())
    found = []
    # With none at all, choose_stream says so.
    there = table if known.empty else known[known["step"] == last]
    for position in in_order(there["position"]):
        view = headline_view(table, position)
        stream = choose_stream(table, position, view, last)
        report = select_ari(table, position=position, view=view, stream=stream, half="report")
        found.append(Headline(position, view, stream, report))
    return found


def choosable(table: pd.DataFrame) -> pd.DataFrame:
    """The rows by which a stream can be chosen: those with a value, the embedding left out."""
    rows = select_ari(table, half="choose")
    deep = rows["stream"].str.startswith("block.") | (rows["stream"] == "final_norm")
    return rows[deep & rows["value"].notna()]


def ari_onset(panel: Panel, place: Headline) -> Onset:
    """When ARI(task) rises above its nulls for good; instruction strings are resampled."""
    report = {name: place.report[name].to_numpy(float) for name in ("value", *NULLS)}
    band = null_band(*(report[name] for name in NULLS))
    trajectory = Trajectory(place.report["step"].to_numpy(int), report["value"], band)
    draws = panel.draws.get((place.position, place.view))
    of_stream = None if draws is None else draws[:, panel.streams.index(place.stream)]
    return onset(trajectory, of_stream)


def select_ari(table: pd.DataFrame, **wanted: str | int) -> pd.DataFrame:
    """ARI(task) rows with the given values, by step."""
    return select_rows(table, label="task", metric="ari", **wanted)


def values_of(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of rows, without those that have no value."""
    known = rows[rows["value"].notna()]
    return known["step"].to_numpy(int), known["value"].to_numpy(float)


def headline_view(table: pd.DataFrame, position: str) -> View:
    """Input-conditioned where that is defined: the input's share of the variance hides the task."""
    rows = select_ari(table, position=position, view="conditioned", half="report")
    return "conditioned" if rows["value"].notna().any() else "raw"

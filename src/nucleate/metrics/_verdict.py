"""From numbers to words: are there clusters, and where."""

from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd

from nucleate._errors import BadInput

Verdict = Literal["clusters", "none", "undecided"]


def verdict(row: Mapping[str, Any] | pd.Series) -> Verdict:
    """Say whether a row of the panel shows clusters beyond chance.

    Args:
        row: a row of `Panel.table`; meant for ARI(task), the rows that have an interval.

    Returns:
        `clusters` if the value and the lower end of its interval exceed the 99 % point of N0, the
        most of N1, and N2; all of them must be there. `none` if the value does not exceed the
        99 % point of N0, or the states are constant. `undecided` otherwise: surface text or
        untrained weights may explain it, or something is missing.
    """
    if row["note"] == "constant" or row["value"] <= row["n0_q99"]:
        return "none"
    bars = (row["n0_q99"], row["n1_max"], row["n2"])
    # A comparison with NaN is false: what is missing cannot be exceeded.
    exceeded = all(row["value"] > bar and row["low"] > bar for bar in bars)
    return "clusters" if exceeded else "undecided"


def choose_stream(table: pd.DataFrame, position: str, view: str, step: int) -> str:
    """Choose the stream of most ARI(task) on the half `choose`, to be reported on the other.

    Args:
        table: of a panel.
        position: of the states.
        view: `raw` or `conditioned`.
        step: at which to choose.

    Returns:
        One of the blocks or `final_norm`; the first of those that are equal.

    Raises:
        BadInput: no stream has a value there.
    """
    wanted = table[
        (table.position == position)
        & (table["view"] == view)
        & (table.step == step)
        & (table.label == "task")
        & (table.metric == "ari")
        & (table.half == "choose")
        & (table.stream.str.startswith("block.") | (table.stream == "final_norm"))
        & table.value.notna()
    ]
    if wanted.empty:
        raise BadInput(
            f"no stream has an ARI at step {step}, position {position!r}, view {view!r}; "
            "choose among the steps, positions and views of the table"
        )
    return str(wanted["stream"].iloc[int(wanted["value"].to_numpy().argmax())])

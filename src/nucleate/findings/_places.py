"""Places: the panel and the causal map side by side, every (stream, position) judged once."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from nucleate._core.errors import BadInput
from nucleate.findings._headline import headline_view
from nucleate.findings._rules import cluster_verdict, place_verdict, use_verdict
from nucleate.intervene import CausalMap
from nucleate.panel import Panel, select_rows

_BESIDE = {"value": "ari", "low": "ari_low", "high": "ari_high", "n0_q99": "n0", "n1_max": "n1",
           "n2": "n2"}  # fmt: skip


def judge_places(causal_map: CausalMap | None, panel: Panel | None = None) -> pd.DataFrame:
    """Judge every place that a causal map or a panel knows.

    Args:
        causal_map: of a model; None where no interventions were made.
        panel: of the same states; its last step counts, on the half of the instruction strings
            that no stream was chosen on. None: whether the task can be decoded stands in for it.

    Returns:
        One row per (stream, position). With a panel: `view`, `ari`, `ari_low`, `ari_high`, the
        nulls `n0`, `n1`, `n2`, `probe_accuracy`, and `clusters` (`clusters`, `none`,
        `undecided`); without one `decodable` and `present` (the same words). With a causal map:
        all columns of `CausalMap.table`, `use` (`used`, `not used`, `undecided`), and `verdict`
        (`used`, `used without clusters`, `present but not used`, `absent`, `undecided`).

    Raises:
        BadInput: nothing is given, the panel lacks one of the map's places, or the map was made by
            a version that judged places itself.
    """
    if causal_map is None and panel is None:
        raise BadInput("there is neither a causal map nor a panel to judge; give at least one")
    if causal_map is None:
        assert panel is not None
        return _of_panel(panel.table)
    table = causal_map.table.copy()
    if "erase_strings" not in table:
        raise BadInput(
            "the causal map was made by an earlier version, which kept no intervals of the effects "
            "beyond their controls; make it again with nucleate intervene"
        )
    if panel is None:
        present = np.where(table["decodable"] > table["decodable_bar"], "clusters", "none")
        table["present"] = np.where(table["decodable"].isna(), "undecided", present)
    else:
        table = _beside(table, _of_panel(panel.table))
        table["present"] = table["clusters"]
    table["use"] = [use_verdict(row) for _, row in table.iterrows()]
    table["verdict"] = [
        # Decodability says nothing of clusters, so that "without clusters" needs a panel.
        "used" if use == "used" and panel is None else place_verdict(present, use)
        for present, use in zip(table["present"], table["use"], strict=True)
    ]
    return table.drop(columns="present") if panel is not None else table


def _of_panel(table: pd.DataFrame) -> pd.DataFrame:
    """ARI(task) of every place at the last step, in the view in which its position is reported."""
    last = select_rows(table, step=table["step"].max(), label="task")
    lines = []
    for position in dict.fromkeys(last["position"]):
        view = headline_view(table, position)
        here = select_rows(last, position=position, view=view)
        probed = select_rows(here, metric="probe_accuracy").set_index("stream")["value"]
        for row in select_rows(here, metric="ari", half="report").to_dict("records"):
            lines.append(_line(row, float(probed.get(row["stream"], np.nan))))
    return pd.DataFrame(lines)


def _line(row: Mapping[Any, Any], probe_accuracy: float) -> dict[str, object]:
    return {
        "stream": row["stream"], "position": row["position"], "view": row["view"],
        **{name: row[column] for column, name in _BESIDE.items()},
        "probe_accuracy": probe_accuracy, "clusters": cluster_verdict(row),
    }  # fmt: skip


def _beside(table: pd.DataFrame, judged: pd.DataFrame) -> pd.DataFrame:
    place = ["stream", "position"]
    merged = table.merge(judged, on=place, how="left", validate="one_to_one")
    lacking = merged[merged["clusters"].isna()]
    if len(lacking):
        first = lacking.iloc[0]
        raise BadInput(
            f"the panel has no ARI(task) at {first['stream']}, {first['position']}; measure the "
            "same prompts with the metric agreement, or leave the panel out"
        )
    return merged

"""Places: the causal map beside the panel, with every judgment about each (stream, position)."""

import numpy as np
import pandas as pd

from nucleate._core.errors import BadInput
from nucleate.findings._rules import cluster_verdict, place_verdict, use_verdict
from nucleate.intervene import CausalMap
from nucleate.panel import Panel


def judge_places(causal_map: CausalMap, panel: Panel | None = None) -> pd.DataFrame:
    """Put the panel's numbers beside the causal map's and judge every place.

    Args:
        causal_map: of a model.
        panel: of the same states; its last step counts. Without it, whether the task can be
            decoded stands in for clusters.

    Returns:
        `CausalMap.table` with the columns `view`, `ari`, `ari_low`, `ari_high` and
        `probe_accuracy` where there is a panel, and the judgments `clusters`, `use`, `verdict`.

    Raises:
        BadInput: the panel lacks one of the places.
    """
    table = causal_map.table.copy()
    if panel is None:
        found = np.where(table["decodable"] > table["decodable_bar"], "clusters", "none")
        table["clusters"] = np.where(table["decodable"].isna(), "undecided", found)
    else:
        table = _beside(table, panel.table)
    table["use"] = [use_verdict(row) for _, row in table.iterrows()]
    table["verdict"] = [
        place_verdict(clusters, use)
        for clusters, use in zip(table["clusters"], table["use"], strict=True)
    ]
    return table


def _beside(table: pd.DataFrame, panel: pd.DataFrame) -> pd.DataFrame:
    """Put what a panel says of the same places, at its last step, beside each row."""
    last = panel[(panel["step"] == panel["step"].max()) & (panel["label"] == "task")]
    ari = last[last["metric"] == "ari"]
    lines = []
    for place in table[["stream", "position"]].itertuples(index=False):
        here = ari[ari["position"] == place.position]
        defined = here[(here["view"] == "conditioned") & here["value"].notna()]
        # The input's share of the variance hides the task where it is not subtracted.
        view = "raw" if defined.empty else "conditioned"
        row = here[(here["stream"] == place.stream) & (here["view"] == view)]
        row = row[row["half"] == "report"]
        if row.empty:
            raise BadInput(
                f"the panel has no ARI(task) at {place.stream}, {place.position}; measure the same "
                "prompts with the metric agreement, or leave the panel out"
            )
        probed = last[
            (last["metric"] == "probe_accuracy")
            & (last["stream"] == place.stream)
            & (last["position"] == place.position)
            & (last["view"] == view)
        ]["value"]
        found = row.iloc[0]
        lines.append(
            {
                "view": view,
                "ari": found["value"],
                "ari_low": found["low"],
                "ari_high": found["high"],
                "probe_accuracy": probed.iloc[0] if len(probed) else np.nan,
                "clusters": cluster_verdict(found),
            }
        )
    return pd.concat([table, pd.DataFrame(lines, index=table.index)], axis=1)

"""What a run does not have, and how to get it."""

from nucleate.findings._accuracy import answered_rows
from nucleate.findings._format import in_order, position_name
from nucleate.findings._headline import select_ari
from nucleate.panel import Panel
from nucleate.runs import Run

_NEEDED = {
    "n0_q99": ("N0", "nucleate measure RUN --n-permutations 999"),
    "n1_max": ("N1", "nucleate measure RUN --untrained MODEL"),
    "n2": ("N2", "nucleate measure RUN"),
}
"""What brings the nulls that *clusters* rests on."""


def absent_words(run: Run, panel: Panel | None, has_map: bool, has_accuracy: bool) -> list[str]:
    """A sentence for each thing that cannot be told of a run, with what would bring it.

    Args:
        run: any run.
        panel: its panel; None where nothing was measured.
        has_map: whether there is a causal map.
        has_accuracy: whether answers were scored.
    """
    told = []
    if len(run.steps) == 1:
        told.append(
            f"One step was recorded ({run.steps[0]}), so that there are no curves over training "
            "and no onsets."
        )
    if run.steps and not has_accuracy:
        answered = answered_rows(run.prompts).any()
        why = "its answers were not scored" if answered else "no prompt has an answer"
        told.append(f"There is no accuracy: {why}.")
    if panel is not None:
        told += [
            f"{null} is missing, without which no place can be called clusters: {command}."
            for column, (null, command) in _NEEDED.items()
            if null in panel.missing and panel.table[column].isna().all()
        ]
    if panel is not None:
        told += _undefined(panel)
    if panel is not None and not has_map:
        told.append(
            "No interventions were made, so that there is no causal map: nucleate intervene RUN."
        )
    return told


def _undefined(panel: Panel) -> list[str]:
    """The positions that have no ARI(task) at any step, each with the reason."""
    rows = select_ari(panel.table, half="report")
    told = []
    for position in in_order(panel.table["position"]):
        here = rows[rows["position"] == position]
        if here["value"].isna().all():
            why = "; ".join(dict.fromkeys(here.loc[here["view"] == "raw", "note"])) or "no numbers"
            told.append(
                f"There are no clusters to tell of at the {position_name(position)}: {why}."
            )
    return told

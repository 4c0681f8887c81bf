"""The numbers that figures show, as tables to be written beside them."""

from collections.abc import Callable, Sequence

import pandas as pd

from nucleate.views._labels import drawn_labels
from nucleate.views._pictures import drawn_points
from nucleate.views._run_report import RunReport

_NULLS = ["n0_q99", "n1_max", "n2"]


def drawn(kind: str, runs: Sequence[RunReport]) -> pd.DataFrame:
    """What the figure of one kind draws, one row a point, cell or dot.

    Args:
        kind: `curves`, `heat-maps`, `places`, `causal-map`, `causal-doses`, `states`, `labels`.
        runs: those in the figure; a column `run` tells them apart.
    """
    tables = [_TABLES[kind](run).assign(run=run.summary.name) for run in runs]
    whole = pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)
    return whole[["run", *(name for name in whole if name != "run")]]


def _curves(run: RunReport) -> pd.DataFrame:
    parts = [_clusters(run).rename(columns={"stream": "series"}).assign(curve="ari")]
    for position, table in parts[0].groupby("position"):  # nulls and interval of the thick curve
        thin = table.index[table["series"] != run.chosen_stream(str(position))]
        parts[0].loc[thin, _NULLS] = float("nan")
    if len(run.accuracy):
        answers = run.accuracy.rename(columns={"split": "series"})
        kept = answers[["step", "series", "accuracy", "low", "high", "chance"]]
        parts.append(kept.rename(columns={"accuracy": "value"}).assign(curve="accuracy"))
        losses = answers[["step", "series", "loss"]].rename(columns={"loss": "value"})
        parts.append(losses.assign(curve="loss"))
    if len(run.training):
        logged = run.training[run.training["name"] == "loss"][["step", "value"]]
        parts.append(logged.assign(series="training", curve="loss"))
    parts.append(_onsets(run))
    filled = [part for part in parts if len(part)] or parts[:1]
    whole = pd.concat(filled, ignore_index=True)
    first = [name for name in ("curve", "position", "series", "step") if name in whole]
    rest = [name for name in whole if name not in {*first, "clusters"}]
    return whole[[*first, *rest]]


def _onsets(run: RunReport) -> pd.DataFrame:
    """The marks of onsets: `step`, and the strip from `low` to `high`."""
    found = [("", run.summary.accuracy_onset)]
    found += [
        (position, clusters.onset)
        for position, clusters in run.summary.clusters.items()
        if clusters.verdict == "clusters"
    ]
    rows = [
        {"curve": "onset", "position": position, "series": "ari" if position else "accuracy",
         "step": onset.step, "low": onset.low, "high": onset.high}
        for position, onset in found if onset is not None and onset.step is not None
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _clusters(run: RunReport) -> pd.DataFrame:
    """ARI against task of every stream and step, in the view of the summary."""
    parts = [run.numbers(p, run.headline_view(p)) for p in run.positions]
    names = ["position", "view", "stream", "step", "value", *_NULLS]
    return pd.concat(parts)[names].reset_index(drop=True) if parts else pd.DataFrame(columns=names)


def _heat_maps(run: RunReport) -> pd.DataFrame:
    return _clusters(run)


def _places(run: RunReport) -> pd.DataFrame:
    return run.places.reindex(columns=["stream", "position", "ari", "n0", "n1", "n2", "clusters"])


def _causal_map(run: RunReport) -> pd.DataFrame:
    cells = [
        f"{cell}{end}"
        for cell in ("ari", "shift", "patch", "erase")
        for end in ("", "_low", "_high")
    ]
    controls = ["n0", "n1", "n2", "chance", "random_direction", "random_erase"]
    return run.places.reindex(columns=["stream", "position", *cells, *controls, "verdict"])


def _doses(run: RunReport) -> pd.DataFrame:
    curve = ["stream", "position", "edit", "dose", "redirected", "redirected_low",
             "redirected_high", "beyond", "chance"]  # fmt: skip
    matrix = ["stream", "position", "task", "target", "redirected"]
    doses = run.doses[run.doses["edit"].isin(("shift", "shuffled", "random_direction"))]
    return pd.concat(
        [doses.reindex(columns=curve), run.redirections.reindex(columns=matrix)],
        ignore_index=True,
    )


_TABLES: dict[str, Callable[[RunReport], pd.DataFrame]] = {
    "curves": _curves,
    "heat-maps": _heat_maps,
    "places": _places,
    "causal-map": _causal_map,
    "causal-doses": _doses,
    "states": drawn_points,
    "labels": drawn_labels,
}
KINDS = tuple(_TABLES)

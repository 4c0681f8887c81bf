"""What a run found: its tables, and the summary that is made from them and from nothing else."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from nucleate.dynamics import Onset, Trajectory, onset
from nucleate.metrics import Panel, choose_stream, verdict
from nucleate.runs import (
    Accuracy,
    Clusters,
    Controls,
    NullBand,
    OnsetSummary,
    Run,
    Summary,
    Used,
    Verdict,
)
from nucleate.studies._one_run import parts_of, peak_memory_of
from nucleate.views import words

View = Literal["raw", "conditioned"]


@dataclass(frozen=True)
class Findings:
    """The tables of one run, as `RunView` shows them, and its summary."""

    panel: pd.DataFrame
    accuracy: pd.DataFrame
    onsets: pd.DataFrame
    causal_map: pd.DataFrame
    summary: Summary


def findings(run: Run) -> Findings:
    """Put together what the finished parts of a run say."""
    panel = Panel.load(run.path)
    accuracy = accuracy_table(run)
    places = _places(panel)
    onsets = _onsets(panel, accuracy, places)
    causal = _causal(pd.read_csv(run.path / "causal_map.csv"), panel.table, places)
    return Findings(
        panel.table, accuracy, onsets, causal, _summary(run, panel.table, accuracy, onsets, causal)
    )


def accuracy_table(run: Run) -> pd.DataFrame:
    """Accuracy and loss by split at every recorded step, from the probe's own rows.

    Returns:
        `step, split, accuracy, loss, n, low, high, chance`: greedy exact match with its 95 %
        Wilson interval, mean negative log-likelihood of answer tokens in nats, and how often a
        task drawn at random has the same answer on the same input.
    """
    splits = np.array(run.probe.labels["split"])
    records = []
    for step in run.steps:
        rows = run.rows(step)
        correct, nll = rows["correct"].numpy(), rows["nll"].numpy()
        for split in dict.fromkeys(splits.tolist()):
            there = splits == split
            hits, n = int(correct[there].sum()), int(there.sum())
            interval = stats.binomtest(hits, n).proportion_ci(method="wilson")
            records.append(
                {
                    "step": step,
                    "split": split,
                    "accuracy": hits / n,
                    "loss": float(nll[there].mean()),
                    "n": n,
                    "low": float(interval.low),
                    "high": float(interval.high),
                    "chance": float(run.probe.chance[there].mean()),
                }
            )
    return pd.DataFrame(records)


@dataclass(frozen=True)
class _Place:
    """Where the summary looks at one position: chosen on one half, reported on the other."""

    position: str
    view: View
    stream: str
    report: pd.DataFrame


def _places(panel: Panel) -> list[_Place]:
    table = panel.table
    last = int(table["step"].max())
    found = []
    for position in dict.fromkeys(table["position"]):
        view = _headline_view(table, position)
        stream = choose_stream(table, position, view, last)
        report = _select(table, position=position, view=view, stream=stream, half="report")
        found.append(_Place(position, view, stream, report))
    return found


def _headline_view(table: pd.DataFrame, position: str) -> View:
    """Input-conditioned where that is defined: the input's share of the variance hides the task."""
    rows = _select(table, position=position, view="conditioned", half="report")
    return "conditioned" if rows["value"].notna().any() else "raw"


def _select(table: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    """ARI(task) rows with the given values, by step."""
    mask = (table["label"] == "task") & (table["metric"] == "ari")
    for column, value in wanted.items():
        mask &= table[column] == value
    return table[mask].sort_values("step", kind="stable")


def _onsets(panel: Panel, accuracy: pd.DataFrame, places: list[_Place]) -> pd.DataFrame:
    """Onset of ARI(task) at each place of the summary and of accuracy on each split."""
    records: list[dict[str, Any]] = []
    for place in places:
        steps, streams, _ = panel.draws[place.position, place.view].shape
        draws = panel.draws[place.position, place.view][:, panel.streams.index(place.stream)]
        band = place.report[["n0_q99", "n1_max", "n2"]].max(axis=1).to_numpy(float)
        trajectory = Trajectory(
            place.report["step"].to_numpy(int), place.report["value"].to_numpy(float), band
        )
        head = {"series": "ari", "position": place.position, "view": place.view}
        head |= {"stream": place.stream, "split": ""}
        records.append(head | _onset_fields(onset(trajectory, draws)))
    for split, rows in accuracy.groupby("split", sort=False):
        n, chance = int(rows["n"].iloc[0]), float(rows["chance"].iloc[0])
        band = np.full(len(rows), stats.binom.ppf(0.99, n, chance) / n)
        values = rows["accuracy"].to_numpy(float)
        # The rows of one step are independent draws of correct or not: resampled as such.
        draws = np.random.default_rng(0).binomial(n, values[:, None], (len(rows), 1000)) / n
        trajectory = Trajectory(rows["step"].to_numpy(int), values, band)
        head = {"series": "accuracy", "position": "", "view": "", "stream": "", "split": split}
        records.append(head | _onset_fields(onset(trajectory, draws)))
    return pd.DataFrame(records)


def _onset_fields(found: Onset) -> dict[str, Any]:
    return {"step": found.step, "low": found.low, "high": found.high, "found": found.found}


def _causal(causal: pd.DataFrame, table: pd.DataFrame, places: list[_Place]) -> pd.DataFrame:
    """The causal map with the cluster map beside it, and one verdict from both."""
    last = table["step"].max()
    records = []
    for row in causal.to_dict("records"):
        place = next(p for p in places if p.position == row["position"])
        there = {"position": place.position, "view": place.view, "stream": row["stream"]}
        report = _select(table[table["step"] == last], **there, half="report").iloc[0]
        every = _select(table[table["step"] == last], **there, half="all").iloc[0]
        clusters = verdict(report)
        records.append(
            row
            | {
                "ari": every["value"],
                "clusters": clusters,
                "verdict": _place_verdict(clusters, row["use"]),
            }
        )
    return pd.DataFrame(records).drop(columns="use")


def _place_verdict(clusters: str, use: str) -> str:
    if use == "used":
        return "used" if clusters == "clusters" else "used without clusters"
    if use == "undecided":
        return "undecided"
    return {"clusters": "present but not used", "none": "absent"}.get(clusters, "undecided")


def _summary(
    run: Run,
    table: pd.DataFrame,
    accuracy: pd.DataFrame,
    onsets: pd.DataFrame,
    causal: pd.DataFrame,
) -> Summary:
    config = run.manifest["config"]
    seconds = parts_of(run)
    last = accuracy[accuracy["step"] == accuracy["step"].max()]
    main_split = "seen" if "seen" in set(last["split"]) else str(last["split"].iloc[0])
    clusters = {
        row["position"]: _clusters(row, table)
        for row in onsets[onsets["series"] == "ari"].to_dict("records")
    }
    draft = Summary(
        name=run.manifest["name"],
        tasks=run.manifest["tasks"],
        outputs=run.manifest["outputs"],
        model="{arch}, {depth} blocks x {width}".format(**config["model"]),
        seed=config["seed"],
        null=config["null"],
        steps=config["training"]["steps"],
        config_hash=run.manifest["config_hash"],
        accuracy={row["split"]: _accuracy(row) for row in last.to_dict("records")},
        accuracy_onset=_onset_summary(
            onsets[(onsets["series"] == "accuracy") & (onsets["split"] == main_split)].iloc[0]
        ),
        clusters=clusters,
        embedding_change={p: _embedding_change(table, p, c.view) for p, c in clusters.items()},
        used=[_used(row) for row in causal.to_dict("records")],
        seconds=seconds,
        peak_memory_bytes=peak_memory_of(run),
        recording_share=seconds["recording"] / seconds["training"],
        verdict=_overall(clusters, causal),
    )
    said = draft.verdict.model_copy(update={"words": words(draft)})
    return draft.model_copy(update={"verdict": said})


def _accuracy(row: dict[str, Any]) -> Accuracy:
    names = ("low", "high", "loss", "n", "chance")
    return Accuracy(value=row["accuracy"], **{name: row[name] for name in names})


def _clusters(row: dict[str, Any], table: pd.DataFrame) -> Clusters:
    there = {"position": row["position"], "view": row["view"]}
    report = _select(table, **there, stream=row["stream"], half="report")
    first, last = report.iloc[0], report.iloc[-1]
    every = _select(table[table["step"] == last["step"]], **there, half="all")
    return Clusters(
        stream=row["stream"],
        view=row["view"],
        first=first["value"],
        last=last["value"],
        low=last["low"],
        high=last["high"],
        null=NullBand(
            n0=_known(last["n0_q99"]), n1=_known(last["n1_max"]), n2=_known(last["n2"])
        ),
        verdict=verdict(last),
        onset=_onset_summary(row),
        by_stream=dict(zip(every["stream"], every["value"], strict=True)),
    )


def _onset_summary(row: Any) -> OnsetSummary:
    def step(value: float | None) -> int | None:
        known = _known(value)
        return None if known is None else int(known)

    return OnsetSummary(
        step=step(row["step"]),
        low=step(row["low"]),
        high=step(row["high"]),
        found=row["found"],
    )


def _embedding_change(table: pd.DataFrame, position: str, view: str) -> float:
    rows = _select(table, position=position, view=view, stream="embed", half="all")
    return float(rows["value"].iloc[-1] - rows["value"].iloc[0])


def _used(row: dict[str, Any]) -> Used:
    keys = ("erase", "erase_low", "erase_high", "random_erase", "clusters", "verdict")
    shifts = ("shift", "shift_low", "shift_high", "chance")
    controls = ("random_direction", "wrong_task")
    return Used(
        stream=row["stream"],
        position=row["position"],
        **{key: row[key] for key in keys},
        **{key: _known(row.get(key)) for key in shifts},
        controls=Controls(**{key: _known(row.get(key)) for key in controls}),
    )


def _overall(clusters: dict[str, Clusters], causal: pd.DataFrame) -> Verdict:
    found = [c.verdict for c in clusters.values()]
    uses = set(causal["verdict"])
    used: Literal["used", "not used", "undecided"] = "not used"
    if uses & {"used", "used without clusters"}:
        used = "used"
    elif "undecided" in uses:
        used = "undecided"
    anywhere: Literal["clusters", "undecided", "none"] = "none"
    if "clusters" in found:
        anywhere = "clusters"
    elif "undecided" in found:
        anywhere = "undecided"
    return Verdict(clusters=anywhere, used=used, words=[])


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)

"""What a run found: its tables, and the summary that is made from them and from nothing else."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from nucleate.dynamics import (
    Onset,
    Trajectory,
    binomial_band,
    onset,
)
from nucleate.findings._headline import (
    Place,
    ari_onset,
    headline_places,
    select_ari,
)
from nucleate.findings._places import judge_places
from nucleate.findings._rules import cluster_verdict
from nucleate.findings._summary import (
    Accuracy,
    Clusters,
    Controls,
    NullBand,
    OnsetSummary,
    Summary,
    Used,
    Verdict,
)
from nucleate.findings._words import words
from nucleate.intervene import CausalMap
from nucleate.panel import Panel
from nucleate.runs import Run, parts_of, peak_memory_of
from nucleate.tasks import SPLITS

_RESAMPLES = 1000


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
    places = headline_places(panel)
    onsets = _onsets(run, panel, places)
    causal = judge_places(CausalMap.load(run.path), panel)
    return Findings(
        panel.table, accuracy, onsets, causal, _summary(run, panel.table, accuracy, onsets, causal)
    )


def accuracy_table(run: Run) -> pd.DataFrame:
    """Accuracy and loss by split at every recorded step, from the prompt set's own rows.

    Returns:
        `step, split, accuracy, loss, n, low, high, chance`: greedy exact match with its 95 %
        Wilson interval, mean negative log-likelihood of answer tokens in nats, and how often a
        task drawn at random has the same answer on the same input.
    """
    splits = np.array(run.prompts.labels["split"])
    records = []
    for step in run.steps:
        rows = run.rows(step)
        correct, nll = rows["correct"].numpy(), rows["nll"].numpy()
        for split in _splits(run):
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
                    "chance": float(run.prompts.chance[there].mean()),
                }
            )
    return pd.DataFrame(records)


def _splits(run: Run) -> list[str]:
    """The splits that the prompt set has rows of, in their usual order."""
    return [split for split in SPLITS if split in run.prompts.labels["split"]]


def _accuracy_onset(run: Run, split: str) -> Onset:
    """When accuracy rises above guessing for good; instruction strings are resampled."""
    there = np.array(run.prompts.labels["split"]) == split
    instructions = np.array(run.prompts.labels["instruction"])[there]
    strings, rows = np.unique(instructions, return_inverse=True)
    belongs = np.eye(len(strings))[rows]
    correct = np.stack([run.rows(step)["correct"].numpy()[there] for step in run.steps])
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(len(strings), [1 / len(strings)] * len(strings), _RESAMPLES)
    draws = (correct @ belongs) @ drawn.T / (drawn @ belongs.sum(0))
    chance = float(run.prompts.chance[there].mean())
    band = np.full(len(run.steps), binomial_band(chance, len(strings)))
    return onset(Trajectory(np.array(run.steps), correct.mean(1), band), draws)


def _onsets(run: Run, panel: Panel, places: list[Place]) -> pd.DataFrame:
    """Onset of ARI(task) at each place of the summary and of accuracy on each split."""
    records: list[dict[str, Any]] = []
    for place in places:
        head = {"series": "ari", "position": place.position, "view": place.view}
        head |= {"stream": place.stream, "split": ""}
        records.append(head | _onset_fields(ari_onset(panel, place)))
    for split in _splits(run):
        head = {"series": "accuracy", "position": "", "view": "", "stream": "", "split": split}
        records.append(head | _onset_fields(_accuracy_onset(run, split)))
    return pd.DataFrame(records)


def _onset_fields(found: Onset) -> dict[str, Any]:
    return {"step": found.step, "low": found.low, "high": found.high, "found": found.found}


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
        for row in _records(onsets[onsets["series"] == "ari"])
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
        accuracy={row["split"]: _accuracy(row) for row in _records(last)},
        accuracy_onset=_onset_summary(
            onsets[(onsets["series"] == "accuracy") & (onsets["split"] == main_split)].iloc[0]
        ),
        clusters=clusters,
        embedding_change={p: _embedding_change(table, p, c.view) for p, c in clusters.items()},
        used=[_used(row) for row in _records(causal)],
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
    report = select_ari(table, **there, stream=row["stream"], half="report")
    first, last = report.iloc[0], report.iloc[-1]
    every = select_ari(table[table["step"] == last["step"]], **there, half="all")
    return Clusters(
        stream=row["stream"],
        view=row["view"],
        first=first["value"],
        last=last["value"],
        low=last["low"],
        high=last["high"],
        null=NullBand(n0=_known(last["n0_q99"]), n1=_known(last["n1_max"]), n2=_known(last["n2"])),
        verdict=cluster_verdict(last),
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
    rows = select_ari(table, position=position, view=view, stream="embed", half="all")
    return float(rows["value"].iloc[-1] - rows["value"].iloc[0])


def _used(row: dict[str, Any]) -> Used:
    controls = Controls(**{name: _known(row.get(name)) for name in Controls.model_fields})
    unsure = ("shift", "shift_low", "shift_high", "chance", "displaced")
    known = {name: _known(row.get(name)) for name in unsure}
    names = ("stream", "position", "erase", "erase_low", "erase_high", "random_erase", "clusters")
    there = {name: row[name] for name in (*names, "verdict")}
    return Used.model_validate({**there, **known, "controls": controls})


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


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The table's rows as mappings from column names."""
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]

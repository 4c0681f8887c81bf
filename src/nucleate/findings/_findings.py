"""What a run found: its tables, and the summary that is made from them and from nothing else."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from nucleate.dynamics import Onset
from nucleate.findings._accuracy import accuracy_onset, accuracy_table, splits_of
from nucleate.findings._headline import Headline, ari_onset, headline_places, select_ari
from nucleate.findings._places import judge_places
from nucleate.findings._rules import cluster_verdict
from nucleate.findings._summary import (
    Accuracy,
    Clusters,
    Controls,
    Effects,
    NullBand,
    OnsetSummary,
    PlaceFinding,
    Strongest,
    Summary,
    Verdict,
    overall,
)
from nucleate.findings._words import words
from nucleate.intervene import Best, CausalMap, map_settings_differences
from nucleate.panel import Panel, settings_differences
from nucleate.runs import Run, parts_of, peak_memory_of

_EFFECTS: tuple[Literal["shift", "erase"], ...] = ("shift", "erase")


@dataclass(frozen=True)
class Findings:
    """What one run found.

    Attributes:
        panel: the panel's table.
        accuracy: of `accuracy_table`.
        onsets: one row per curve: ARI at each position's headline, accuracy on each split.
        places: of `judge_places`.
        summary: made from the tables above.
    """

    panel: pd.DataFrame
    accuracy: pd.DataFrame
    onsets: pd.DataFrame
    places: pd.DataFrame
    summary: Summary


def findings(run: Run) -> Findings:
    """Put together what the finished parts of a run say.

    Raises:
        BadInput: the run has no panel or no causal map.
    """
    panel, causal_map = Panel.load(run.path), CausalMap.load(run.path)
    accuracy = accuracy_table(run)
    headlines = headline_places(panel)
    onsets = _onsets(run, panel, headlines)
    places = judge_places(causal_map, panel)
    strongest = {f"strongest_{effect}": _strongest(causal_map.best(effect)) for effect in _EFFECTS}
    notes = _settings_notes(run, panel, causal_map)
    summary = _summary(run, panel.table, accuracy, onsets, places, strongest, notes)
    return Findings(panel.table, accuracy, onsets, places, summary)


def _settings_notes(run: Run, panel: Panel, causal_map: CausalMap) -> list[str]:
    """A sentence for each table that was made with other settings than the run's own."""
    told = {
        "panel": settings_differences(run, panel),
        "causal map": map_settings_differences(run, causal_map.about),
    }
    return [
        f"The {name} was made with other settings than the run's own: {'; '.join(others)}."
        for name, others in told.items()
        if others
    ]


def _onsets(run: Run, panel: Panel, headlines: list[Headline]) -> pd.DataFrame:
    """Onset of ARI(task) at each position's headline and of accuracy on each split."""
    records: list[dict[str, Any]] = []
    for place in headlines:
        head = {"curve": "ari", "position": place.position, "view": place.view}
        head |= {"stream": place.stream, "split": ""}
        records.append(head | _onset_fields(ari_onset(panel, place)))
    for split in splits_of(run):
        head = {"curve": "accuracy", "position": "", "view": "", "stream": "", "split": split}
        records.append(head | _onset_fields(accuracy_onset(run, split)))
    return pd.DataFrame(records)


def _onset_fields(found: Onset) -> dict[str, Any]:
    return {"step": found.step, "low": found.low, "high": found.high, "found": found.found}


def _summary(
    run: Run,
    table: pd.DataFrame,
    accuracy: pd.DataFrame,
    onsets: pd.DataFrame,
    places: pd.DataFrame,
    strongest: Mapping[str, Strongest | None],
    notes: list[str],
) -> Summary:
    config = run.manifest["config"]
    seconds = parts_of(run)
    last = accuracy[accuracy["step"] == accuracy["step"].max()]
    main_split = "seen" if "seen" in set(last["split"]) else str(last["split"].iloc[0])
    of_accuracy = onsets[(onsets["curve"] == "accuracy") & (onsets["split"] == main_split)]
    first_step = int(table["step"].min())
    clusters = {
        row["position"]: _clusters(row, table, first_step)
        for row in _records(onsets[onsets["curve"] == "ari"])
    }
    judged = [place_finding(row) for row in _records(places)]
    there, used = overall(clusters.values(), judged)
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
        accuracy_onset=_onset_summary(of_accuracy.iloc[0], first_step),
        clusters=clusters,
        places=judged,
        **strongest,
        embedding_change={p: _embedding_change(table, p, c.view) for p, c in clusters.items()},
        seconds=seconds,
        peak_memory_bytes=peak_memory_of(run),
        recording_share=seconds["recording"] / seconds["training"],
        notes=notes,
        verdict=Verdict(clusters=there, used=used, words=[]),
    )
    said = draft.verdict.model_copy(update={"words": words(draft)})
    return draft.model_copy(update={"verdict": said})


def place_finding(row: Mapping[str, Any]) -> PlaceFinding:
    """The record of one row of `judge_places`, which has a panel."""
    tested = "use" in row
    return PlaceFinding(
        stream=row["stream"],
        position=row["position"],
        view=row["view"],
        ari=_known(row["ari"]),
        low=_known(row["ari_low"]),
        high=_known(row["ari_high"]),
        null=NullBand(n0=_known(row["n0"]), n1=_known(row["n1"]), n2=_known(row["n2"])),
        clusters=row["clusters"],
        effects=_effects(row) if tested else None,
        verdict=row["verdict"] if tested else None,
    )


def _effects(row: Mapping[str, Any]) -> Effects:
    controls = Controls(**{name: _known(row.get(name)) for name in Controls.model_fields})
    numbers = [name for name in Effects.model_fields if name not in ("controls", "use")]
    known = {name: _known(row.get(name)) for name in numbers}
    return Effects.model_validate({**known, "controls": controls, "use": row["use"]})


def _strongest(best: Best | None) -> Strongest | None:
    if best is None:
        return None
    low, high = _known(best.low), _known(best.high)
    return Strongest(
        stream=best.stream, position=best.position, value=best.value, low=low, high=high
    )


def _accuracy(row: Mapping[str, Any]) -> Accuracy:
    names = ("low", "high", "loss", "n", "strings", "chance")
    return Accuracy(value=row["accuracy"], **{name: row[name] for name in names})


def _clusters(row: Mapping[str, Any], table: pd.DataFrame, first_step: int) -> Clusters:
    there = {"position": row["position"], "view": row["view"]}
    report = select_ari(table, **there, stream=row["stream"], half="report")
    first, last = report.iloc[0], report.iloc[-1]
    return Clusters(
        stream=row["stream"],
        view=row["view"],
        first=first["value"],
        last=last["value"],
        low=_known(last["low"]),
        high=_known(last["high"]),
        null=NullBand(n0=_known(last["n0_q99"]), n1=_known(last["n1_max"]), n2=_known(last["n2"])),
        verdict=cluster_verdict(last),
        onset=_onset_summary(row, first_step),
    )


def _onset_summary(row: Any, first_step: int) -> OnsetSummary:
    def step(value: float | None) -> int | None:
        known = _known(value)
        return None if known is None else int(known)

    ends = {name: step(row[name]) for name in ("step", "low", "high")}
    return OnsetSummary(**ends, found=row["found"], first_step=first_step)


def _embedding_change(table: pd.DataFrame, position: str, view: str) -> float:
    rows = select_ari(table, position=position, view=view, stream="embed", half="all")
    return float(rows["value"].iloc[-1] - rows["value"].iloc[0])


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The table's rows as mappings from column names."""
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]

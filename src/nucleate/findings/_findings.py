"""What a run found: its tables, and the summary that is made from them and from nothing else."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate.dynamics import Onset
from nucleate.findings._absent import absent_words
from nucleate.findings._accuracy import accuracy_onset, accuracy_table
from nucleate.findings._headline import Headline, ari_onset, headline_places, select_ari
from nucleate.findings._measured import dropped_words, up_to_last_finite
from nucleate.findings._on_record import seed_on_record
from nucleate.findings._places import judge_places
from nucleate.findings._rules import cluster_verdict, why_undecided
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
from nucleate.tasks import canonical_hash

MAP = "causal_map.csv"
PANEL_COLUMNS = (
    "step", "stream", "position", "view", "label", "metric", "half", "value", "low", "high",
    "n0_q99", "n1_max", "n2", "p", "n", "strings", "note",
)  # fmt: skip
_ONSETS = ("curve", "position", "view", "stream", "split", "step", "low", "high", "found")
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


def findings(run: Run, *, folder: Path | str | None = None, unmeasured: str = "") -> Findings:
    """Put together what the finished parts of a run say.

    Args:
        run: any run with a panel; a causal map, answers and settings are told of where they are.
        folder: where the tables are; the run's own by default.
        unmeasured: why there is no panel. Then the findings are of what else there is.

    Raises:
        BadInput: the run has no panel, and no reason was given.
    """
    folder = None if folder is None else as_path("folder", folder)
    place = folder or run.path
    panel, notes = _panel(place, unmeasured)
    causal_map, unread = _causal_map(place if (place / MAP).exists() else run.path)
    accuracy = accuracy_table(run)
    headlines = [] if panel is None else headline_places(panel)
    onsets = _onsets(run, panel, headlines, accuracy)
    places, apart = _places(causal_map, panel)
    strongest = {
        f"strongest_{effect}": None if causal_map is None else _strongest(causal_map.best(effect))
        for effect in _EFFECTS
    }
    notes += [*unread, *apart, *_settings_notes(run, panel, causal_map)]
    notes += absent_words(run, panel, causal_map is not None, len(accuracy) > 0)
    table = empty_panel() if panel is None else panel.table
    reason = notes[0].rstrip(".") if panel is None else ""
    about = _About(run, notes[panel is None :], reason)
    summary = _summary(about, table, accuracy, onsets, places, strongest)
    return Findings(table, accuracy, onsets, places, summary)


def empty_panel() -> pd.DataFrame:
    """A panel's table without rows."""
    return pd.DataFrame({name: pd.Series(dtype="object") for name in PANEL_COLUMNS})


def _panel(place: Path, unmeasured: str) -> tuple[Panel | None, list[str]]:
    """The panel up to the last step that says something, and what a reader must know of it."""
    if unmeasured:
        return None, [f"{unmeasured}."]
    whole = Panel.of(place)
    panel, dropped = up_to_last_finite(whole)
    if panel is None:
        notes = dict.fromkeys(filter(None, select_ari(whole.table, half="report")["note"]))
        return None, [f"no place has an ARI(task) ({'; '.join(notes) or 'no rows'})."]
    if not dropped:
        return panel, []
    return panel, [dropped_words(dropped, int(panel.table["step"].max()))]


def _causal_map(place: Path) -> tuple[CausalMap | None, list[str]]:
    """The causal map in a folder; why it cannot be read, where there is one."""
    if not (place / MAP).exists():
        return None, []
    try:
        return CausalMap.load(place), []
    except BadInput as error:
        return None, [f"Interventions are left out: {error}."]


def _places(causal_map: CausalMap | None, panel: Panel | None) -> tuple[pd.DataFrame, list[str]]:
    """Every place judged; the causal map apart from the panel where they do not fit."""
    if panel is None:
        return pd.DataFrame(), []
    try:
        return judge_places(causal_map, panel), []
    except BadInput as error:
        return judge_places(None, panel), [f"Interventions are left out: {error}."]


def _settings_notes(run: Run, panel: Panel | None, causal_map: CausalMap | None) -> list[str]:
    """A sentence for each table that was made with other settings than the run's own."""
    told = {
        "panel": [] if panel is None else settings_differences(run, panel),
        "causal map": [] if causal_map is None else map_settings_differences(run, causal_map.about),
    }
    return [
        f"The {name} was made with other settings than the run's own: {'; '.join(others)}."
        for name, others in told.items()
        if others
    ]


def _onsets(
    run: Run, panel: Panel | None, headlines: list[Headline], accuracy: pd.DataFrame
) -> pd.DataFrame:
    """Onset of ARI(task) at each position's headline and of accuracy on each split."""
    records: list[dict[str, Any]] = []
    for place in headlines if panel is not None else ():
        assert panel is not None
        head = {"curve": "ari", "position": place.position, "view": place.view}
        head |= {"stream": place.stream, "split": ""}
        records.append(head | _onset_fields(ari_onset(panel, place)))
    for split in dict.fromkeys(accuracy["split"]):
        found = accuracy_onset(run, split)
        if found is not None:
            head = {"curve": "accuracy", "position": "", "view": "", "stream": "", "split": split}
            records.append(head | _onset_fields(found))
    numbers = dict.fromkeys(("step", "low", "high", "found"), float)
    return pd.DataFrame(records, columns=list(_ONSETS)).astype(numbers)


def _onset_fields(found: Onset) -> dict[str, Any]:
    return {"step": found.step, "low": found.low, "high": found.high, "found": found.found}


@dataclass(frozen=True)
class _About:
    """A run, what a reader must know of it, and why nothing was measured."""

    run: Run
    notes: list[str]
    unmeasured: str

    def fields(self) -> dict[str, Any]:
        """What a summary says of the run itself, of a study or of any other training."""
        run = self.run
        settings = run.hyperparameters
        named = {
            "name": str(run.manifest.get("name", run.path.resolve().name)),
            "unmeasured": self.unmeasured,
            "notes": self.notes,
            "seconds": parts_of(run),
            "seed": seed_on_record(run),
        }
        config = run.manifest.get("config")
        if config is None or "outputs" not in run.manifest:
            return named | {
                "tasks": _said_of_rows(run), "outputs": None, "model": _said_of_model(run),
                "null": None, "steps": _last_step(run),
                "config_hash": canonical_hash(settings) if settings else "",
                "peak_memory_bytes": None, "recording_share": _share(run),
            }  # fmt: skip
        seconds = parts_of(run)
        return named | {
            "tasks": run.manifest["tasks"], "outputs": run.manifest["outputs"],
            "model": "{arch}, {depth} blocks x {width}".format(**config["model"]),
            "null": config["null"], "steps": config["training"]["steps"],
            "config_hash": run.manifest["config_hash"],
            "peak_memory_bytes": peak_memory_of(run) if seconds else None,
            "recording_share": seconds["recording"] / seconds["training"]
            if {"recording", "training"} <= seconds.keys() else None,
        }  # fmt: skip


def _said_of_rows(run: Run) -> str:
    labels = run.prompts.labels
    rows = f"{len(run.prompts)} prompts"
    return f"{len(set(labels['task']))} tasks in {rows}" if "task" in labels else rows


def _said_of_model(run: Run) -> str:
    """What the states tell of the model: blocks and width."""
    for step in reversed(run.steps):
        try:
            states = run.states(step)
        except BadInput:
            continue
        blocks = sum(name.startswith("block.") for name in states.streams)
        return f"{blocks} blocks x {states.values.shape[-1]}"
    return "model not known"


def _last_step(run: Run) -> int:
    """The last step that the journal knows of."""
    return max((int(record.get("step", 0)) for record in run.journal.live()), default=0)


def _share(run: Run) -> float | None:
    """What recording took of the training's time, in the last session that says so."""
    record = run.journal.last("event", name="recording")
    share = None if record is None else record.get("share")
    return float(share) if share else None


def _summary(
    about: _About,
    table: pd.DataFrame,
    accuracy: pd.DataFrame,
    onsets: pd.DataFrame,
    places: pd.DataFrame,
    strongest: Mapping[str, Strongest | None],
) -> Summary:
    last = accuracy[accuracy["step"] == accuracy["step"].max()]
    splits = list(last["split"])
    main_split = "seen" if "seen" in splits else splits[0] if splits else ""
    of_accuracy = onsets[(onsets["curve"] == "accuracy") & (onsets["split"] == main_split)]
    first_step = int(min([*table["step"], *accuracy["step"]], default=0))
    clusters = {
        row["position"]: _clusters(row, table, first_step)
        for row in _records(onsets[onsets["curve"] == "ari"])
    }
    judged = [place_finding(row) for row in _records(places)]
    there, used = overall(clusters.values(), judged)
    changes = {p: _embedding_change(table, p, c.view) for p, c in clusters.items()}
    draft = Summary(
        accuracy={row["split"]: _accuracy(row) for row in _records(last)},
        accuracy_onset=_onset_summary(of_accuracy.iloc[0], first_step)
        if len(of_accuracy)
        else None,
        clusters=clusters,
        places=judged,
        recorded=int(table["step"].nunique()),
        **strongest,
        embedding_change={p: change for p, change in changes.items() if change is not None},
        verdict=Verdict(clusters=there, used=used, words=[]),
        **about.fields(),
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
    known = {name: _known(row[name]) for name in ("loss", "chance")}
    names = ("low", "high", "n", "strings")
    return Accuracy(value=row["accuracy"], **known, **{name: row[name] for name in names})


def _clusters(row: Mapping[str, Any], table: pd.DataFrame, first_step: int) -> Clusters:
    there = {"position": row["position"], "view": row["view"]}
    report = select_ari(table, **there, stream=row["stream"], half="report")
    first, last = report.iloc[0], report.iloc[-1]
    return Clusters(
        stream=row["stream"],
        view=row["view"],
        first=_known(first["value"]),
        last=last["value"],
        low=_known(last["low"]),
        high=_known(last["high"]),
        null=NullBand(n0=_known(last["n0_q99"]), n1=_known(last["n1_max"]), n2=_known(last["n2"])),
        verdict=cluster_verdict(last),
        reason=why_undecided(last),
        onset=_onset_summary(row, first_step),
    )


def _onset_summary(row: Any, first_step: int) -> OnsetSummary:
    def step(value: float | None) -> int | None:
        known = _known(value)
        return None if known is None else int(known)

    ends = {name: step(row[name]) for name in ("step", "low", "high")}
    return OnsetSummary(**ends, found=_known(row["found"]), first_step=first_step)


def _embedding_change(table: pd.DataFrame, position: str, view: str) -> float | None:
    """ARI of the embedding, last step minus first; None where either is not there."""
    rows = select_ari(table, position=position, view=view, stream="embed", half="all")
    if rows["step"].nunique() < 2:
        return None
    return _known(rows["value"].iloc[-1] - rows["value"].iloc[0])


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The table's rows as mappings from column names."""
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]

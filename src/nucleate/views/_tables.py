"""The tables of the report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nucleate.findings import (
    Summary,
    flat,
    interval,
    number,
    place_counts,
    plain,
    position_name,
    short_date,
    short_names,
)
from nucleate.views._html import (
    Markup,
    fold,
    join,
    table,
    tag,
)
from nucleate.views._run_report import RunReport

_LAST_COLUMNS = ("value", "low", "high", "n0_q99", "n1_max", "n2", "p", "n")


def key_table(summaries: Sequence[Summary]) -> Markup:
    """The numbers that decide, one pair of columns per run: the value, and what chance gives."""
    per_run = [_key_cells(summary) for summary in summaries]
    names = list(dict.fromkeys(name for cells in per_run for name in cells))
    rows = [
        [name, *(cell for cells in per_run for cell in cells.get(name, ("–", "")))]
        for name in names
    ]
    if not rows:
        return Markup()
    groups = [("", 1), *((name, 2) for name in short_names(summaries))] * (len(summaries) > 1)
    head = ["at the last step", *(["value", "by chance"] * len(summaries))]
    return table("Key numbers, with 95 % intervals", head, rows, groups=groups)


def _key_cells(summary: Summary) -> dict[str, tuple[object, object]]:
    """Row name -> (value, by chance)."""
    cells: dict[str, tuple[object, object]] = {}
    for name, count in place_counts(summary).items():
        cells[name] = (_strong_text(f"{count} of {len(summary.places)}"), "")
    for split, accuracy in summary.accuracy.items():
        if split != "train":
            ends = _strong(accuracy.value, accuracy.low, accuracy.high)
            cells[f"accuracy, {split.replace('_', ' ')}"] = (ends, number(accuracy.chance))
    for position, clusters in summary.clusters.items():
        null = clusters.null
        cells[f"ARI (task), {position_name(position)}"] = (
            _strong(clusters.last, clusters.low, clusters.high, clusters.stream),
            f"N0 {number(null.n0)} · N1 {number(null.n1)} · N2 {number(null.n2)}",
        )
        cells[f"onset, {position_name(position)}"] = (
            short_date(clusters.onset) if clusters.verdict == "clusters" else "–",
            "",
        )
    if summary.accuracy_onset is not None:
        cells["onset of accuracy"] = (short_date(summary.accuracy_onset), "")
    for position, change in summary.embedding_change.items():
        cells[f"embedding change, {position_name(position)}"] = (number(change, sign=True), "")
    for name, found in (
        ("redirected by a shift, best place", summary.strongest_shift),
        ("accuracy lost by erasing, best place", summary.strongest_erase),
    ):
        if found is not None:
            where = f"{found.stream}, {position_name(found.position)}"
            cells[name] = (_strong(found.value, found.low, found.high, where), "")
    return cells


def _strong(value: float | None, low: float | None, high: float | None, where: str = "") -> Markup:
    small = tag("small", " ", interval(low, high), f" {where}" if where else "")
    return join([_strong_text(number(value)), small])


def _strong_text(words: str) -> Markup:
    return tag("strong", words)


def causal_table(run: RunReport, name: str) -> Markup:
    """Every place with its judgment, every control and interval."""
    head = [
        "position", "stream", "ARI", "clusters", "shift", "95 %", "chance", "random", "wrong task",
        "mean", "permuted", "other input", "whole state", "erase", "95 %", "random", "displaced",
        "verdict",
    ]  # fmt: skip
    rows = [
        [
            position_name(str(row["position"])), row["stream"], number(row["ari"]), row["clusters"],
            number(row["shift"]), interval(row["shift_low"], row["shift_high"]),
            *(number(row.get(name)) for name in ("chance", "random_direction", "wrong_task",
              "mean_shift", "shuffled", "other_input", "patch")),
            number(row["erase"]), interval(row["erase_low"], row["erase_high"]),
            number(row["random_erase"]), number(row.get("displaced")),
            tag("strong", row["verdict"]),
        ]
        for row in _tested(run).to_dict("records")
    ]  # fmt: skip
    return table(f"What interventions do at each place, {name}", head, rows, heads=2)


def _tested(run: RunReport) -> pd.DataFrame:
    return run.places if "use" in run.places else run.places.iloc[:0]


def last_step_tables(run: RunReport, name: str) -> Markup:
    """All numbers of the last step, a fold for each position and view, beside their nulls."""
    if not len(run.panel):
        return Markup()
    last = run.panel[run.panel["step"] == run.panel["step"].max()]
    folds = []
    for position in run.positions:
        for view in ("raw", "conditioned"):
            rows = last[(last["position"] == position) & (last["view"] == view)]
            if not rows.empty:
                folds.append(_last_step_fold(rows, f"{name}, {position_name(position)}, {view}"))
    return join(folds)


def _last_step_fold(rows: pd.DataFrame, caption: str) -> Markup:
    halves = {"all": "all strings", "choose": "half that chooses", "report": "half that reports"}
    head = [
        "metric",
        "label",
        "stream",
        "strings",
        "value",
        "95 %",
        "N0",
        "N1",
        "N2",
        "p (N0)",
        "rows",
        "note",
    ]
    lines = []
    rows = rows.astype({"label": object, "note": object}).fillna({"label": "", "note": ""})
    for row in rows.sort_values(["metric", "label"], key=_task_first, kind="stable").to_dict(
        "records"
    ):
        value, low, high, n0, n1, n2, p, n = (row[column] for column in _LAST_COLUMNS)
        lines.append(
            [
                row["metric"], row["label"] or "–", row["stream"],
                halves.get(str(row["half"]), row["half"]), number(value), interval(low, high),
                number(n0), number(n1), number(n2), _p_value(p),
                str(int(n)) if np.isfinite(n) else "–", row["note"],
            ]
        )  # fmt: skip
    return fold(
        f"{caption}: {len(lines)} numbers", table(f"Last step, {caption}", head, lines, heads=3)
    )


def _task_first(names: "pd.Series[str]") -> "pd.Series[str]":
    return names.replace("task", "")


def _p_value(p: float) -> str:
    return f"{p:.3f}" if np.isfinite(p) else "–"


def seconds_table(runs: Sequence[RunReport], seconds: Mapping[str, float]) -> Markup:
    """How long each part took, for each run and over all."""
    summaries = [run.summary for run in runs]
    parts = list(dict.fromkeys(part for summary in summaries for part in summary.seconds))
    rows: list[list[object]] = [
        [part, *(_seconds(summary.seconds.get(part)) for summary in summaries)] for part in parts
    ]
    rows.append(["peak memory", *(_gigabytes(s.peak_memory_bytes) for s in summaries)])
    rows.append(["recording / training", *(_percent(s.recording_share) for s in summaries)])
    by_run = table("Seconds by part, by run", ["part", *short_names(summaries)], rows)
    if not seconds:
        return by_run
    lines = [[part, _seconds(value)] for part, value in seconds.items()]
    return join([by_run, table("Seconds by part, all runs", ["part", "seconds"], lines)])


def _gigabytes(count: int | None) -> str:
    return "–" if count is None else f"{count / 1e9:.2f} GB"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def settings_tables(runs: Sequence[RunReport]) -> Markup:
    """What was run, and with what: one line a setting, one column a run."""
    names = short_names([run.summary for run in runs])
    run_facts: list[dict[str, Any]] = [
        {
            "prompts": run.summary.tasks,
            "outputs": run.summary.outputs,
            "model": run.summary.model,
            "seed": run.summary.seed,
            "steps": run.summary.steps,
            "configuration": run.summary.config_hash[:12],
            **run.provenance,
        }
        for run in runs
    ]
    facts = [{key: it for key, it in each.items() if it not in (None, "")} for each in run_facts]
    settings = [flat(run.config) for run in runs]
    told = (
        fold("all settings", _side_by_side("Settings", names, settings))
        if any(settings)
        else tag("p", "No settings of the training are on record.")
    )
    return join([_side_by_side("The runs", names, facts), told])


def _side_by_side(caption: str, names: Sequence[str], facts: Sequence[dict[str, Any]]) -> Markup:
    keys = list(dict.fromkeys(key for fact in facts for key in fact))
    rows = [[key, *(fact.get(key, "–") for fact in facts)] for key in keys]
    return table(caption, ["", *names], rows, numeric=False)


def task_tables(run: RunReport, name: str) -> Markup:
    """What a task of this run looks like: its instruction families and a few rows."""
    parts = []
    if run.patterns:
        rows = [
            [task, join((tag("code", plain(p, 80)) for p in patterns), " ")]
            for task, patterns in run.patterns.items()
        ]
        head = ["task", "instruction families"]
        parts.append(table(f"Instructions of some tasks, {name}", head, rows, numeric=False))
    if run.examples:
        lines = [
            [task, *(tag("code", plain(cell, 80)) for cell in cells)]
            for task, *cells in run.examples
        ]
        head = ["task", "instruction", "input", "output"]
        parts.append(table(f"Some rows, {name}", head, lines, numeric=False))
    return join(parts)

"""The parts of a run's view that are no pictures: summary, curves, maps, rows, answers, tables."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd

from nucleate._core.errors import BadInput
from nucleate.findings import (
    OnsetSummary,
    dated,
    finding,
    key_numbers,
    kind_of,
    position_name,
)
from nucleate.panel import LOWER_IS_BETTER, select_rows
from nucleate.prompts import PromptSet
from nucleate.runs import Run
from nucleate.views._alarms import alarms_of
from nucleate.views._of_run import grouping
from nucleate.views._run_report import RunReport
from nucleate.views._twin import twin_of
from nucleate.views._view_values import records_json

_SCHEMA = 1
_NUMBERS = {"value": "value", "low": "low", "high": "high", "n0": "n0_q99", "n1": "n1_max",
            "n2": "n2"}  # fmt: skip
_EDITS = ("stream", "position", "edit", "rows", "accuracy", "accuracy_low", "accuracy_high",
          "redirected", "redirected_low", "redirected_high")  # fmt: skip
_PLACE = (
    "stream", "position", "view", "ari", "ari_low", "ari_high", "n0", "n1", "n2", "clusters",
    "use", "verdict", "accuracy", "shift", "shift_low", "shift_high", "chance",
    "random_direction", "wrong_task", "mean_shift", "shuffled", "other_input", "patch",
    "patch_low", "patch_high", "erase", "erase_low", "erase_high", "random_erase", "displaced",
)  # fmt: skip
_OF_RUN = {"edits": "causal_edits.csv", "panel_by_class": "panel_by_class.csv"}
_WORDS = ("prompt", "text")


def view_of(run: Run, shown: RunReport) -> dict[str, Any]:
    """Everything small that is shown of a run."""
    summary = shown.summary
    streams, positions = _places(run, shown)
    first = min(shown.steps, default=0)
    return {
        "schema": _SCHEMA, "name": summary.name, "status": run.status,
        "lines": sum(1 for _ in run.journal.live()),
        "summary": summary.model_dump(mode="json"), "headline": finding(summary),
        "kind": kind_of(summary), "keys": key_numbers(summary),
        "steps": run.steps, **_clocks(run), "streams": streams, "positions": positions,
        "position_names": {name: position_name(name) for name in positions},
        "labels": {name: sorted(set(texts)) for name, texts in _shown_labels(run.prompts).items()},
        "color": grouping(run.prompts), "series": _series(shown),
        "accuracy": _accuracy(shown.accuracy), "loss": _loss(shown.training),
        "onsets": [_onset(row, first) for row in records_json(shown.onsets)],
        "places": _of_columns(shown.places, _PLACE),
        "edits": _of_columns(_table(run, "edits"), _EDITS),
        "doses": records_json(shown.doses), "redirections": records_json(shown.redirections),
        "notes": summary.notes, "alarms": alarms_of(run), "config": shown.config,
        "provenance": shown.provenance, "wordings": shown.wordings,
        "tables": list(tables_of(run, shown)),
    }  # fmt: skip


def rows_of(run: Run) -> dict[str, Any]:
    """The prompts: labels as codes, texts, and the permuted twin of the label that colors."""
    prompts = run.prompts
    labels = prompts.labels
    said = next((labels[name] for name in _WORDS if name in labels), None)
    parts = [labels[name] for name in ("instruction", "input") if name in labels]
    blank = ("",) * len(prompts)
    return {
        "n": len(prompts),
        "labels": {name: _coded(texts) for name, texts in _shown_labels(prompts).items()},
        "sequence": said or [" ".join(words) for words in zip(*parts, strict=True)] or blank,
        "instruction": labels.get("instruction"), "input": labels.get("input"),
        "target": labels.get("output"), "split": labels.get("split"),
        "null_task": twin_of(prompts, grouping(prompts)),
    }  # fmt: skip


def answers_of(run: Run, step: int) -> dict[str, Any]:
    """What was answered at a step: right or wrong, in which words, and how unlikely the truth was.

    Raises:
        BadInput: the step was not recorded, or its file is damaged.
    """
    prompts, found = run.prompts, run.rows(step)
    answered = prompts.lengths > prompts.prompt_lengths
    empty: list[Any] = [None] * len(prompts)
    parts: dict[str, Any] = {"correct": empty, "nll": empty, "predicted": empty}
    for name in ("correct", "nll"):
        if name in found:
            values = found[name].float().tolist()
            parts[name] = [v if on else None for v, on in zip(values, answered, strict=True)]
    if "predicted" in found:
        words = _answer_words(prompts)
        tokens = found["predicted"].tolist()
        parts["predicted"] = [
            words.get(tuple(own[: prompts.lengths[row] - prompts.prompt_lengths[row]]), "another")
            if answered[row]
            else None
            for row, own in enumerate(tokens)
        ]
    return parts


def tables_of(run: Run, shown: RunReport) -> dict[str, pd.DataFrame]:
    """Every table that can be opened or taken away, by name; those without rows are left out."""
    named = {
        **{name: getattr(shown, name) for name in ("panel", "accuracy", "onsets", "places",
                                                   "doses", "redirections", "training")},
        **{name: _table(run, name) for name in _OF_RUN},
    }  # fmt: skip
    return {name: table for name, table in named.items() if len(table)}


def _table(run: Run, name: str) -> pd.DataFrame:
    with suppress(OSError, ValueError):
        return pd.read_csv(run.path / _OF_RUN[name], dtype={"class": str})
    return pd.DataFrame()


def _places(run: Run, shown: RunReport) -> tuple[list[str], list[str]]:
    """Streams from the embedding upwards, and positions: as measured, else as recorded."""
    if len(shown.panel):
        return shown.streams, shown.positions
    for step in reversed(run.steps):
        with suppress(BadInput):
            streams, positions, _ = run.shape(step)
            return list(streams), list(positions)
    return [], []


def _clocks(run: Run) -> dict[str, Any]:
    """Tokens read, and seconds since the first line, at each recorded step; None: not on record."""
    tokens: dict[int, float] = {}
    times: dict[int, float] = {}
    for record in run.journal.live():
        step = record.get("step")
        if step is None:
            continue
        if record["kind"] == "step" and "tokens" in record:
            tokens[step] = record["tokens"]
        if record["kind"] == "snapshot" and "time" in record:
            times[step] = record["time"]
    start = min(times.values(), default=0.0)
    known = sorted(tokens)
    return {
        "tokens": [float(np.interp(step, known, [tokens[k] for k in known])) if step <= known[-1]
                   else None for step in run.steps] if known else None,
        "seconds": [times[step] - start if step in times else None for step in run.steps]
        if times else None,
    }  # fmt: skip


def _series(shown: RunReport) -> list[dict[str, Any]]:
    """Each metric of the task at each position, in the view of the summary, beside its nulls."""
    found: list[dict[str, Any]] = []
    panel = shown.panel
    if not len(panel):
        return found
    tasks = select_rows(panel, label="task")
    for position in shown.positions:
        view = shown.headline_view(position)
        for metric in sorted(set(tasks["metric"])):
            rows = shown.numbers(position, view, metric=metric)
            if not rows["value"].notna().any():
                continue
            found.append(
                {"metric": metric, "label": "task", "position": position, "view": view,
                 "half": str(rows["half"].iloc[0]), "lower": metric in LOWER_IS_BETTER,
                 **_grid(rows, shown.streams, shown.steps)}
            )  # fmt: skip
    return found


def _grid(rows: pd.DataFrame, streams: Sequence[str], steps: Sequence[int]) -> dict[str, Any]:
    """Numbers as `[step][stream]`; a null that was never measured is None."""
    rows = rows[~rows.duplicated(["step", "stream"])]
    grid: dict[str, Any] = {"streams": list(streams), "steps": list(steps)}
    for name, column in _NUMBERS.items():
        wide = rows.pivot(index="step", columns="stream", values=column)
        wide = wide.reindex(index=list(steps), columns=list(streams)).astype(float)
        grid[name] = wide.to_numpy() if wide.notna().any(axis=None) else None
    return grid


def _accuracy(table: pd.DataFrame) -> list[dict[str, Any]]:
    found = []
    for split, rows in table.groupby("split", sort=False):
        columns = {name: list(rows[name]) for name in ("low", "high", "loss")}
        first = rows.iloc[-1]
        found.append({"split": split, "steps": list(rows["step"]), "value": list(rows["accuracy"]),
                      **columns, "chance": first["chance"], "n": first["n"],
                      "strings": first["strings"]})  # fmt: skip
    return found


def _loss(training: pd.DataFrame) -> dict[str, Any] | None:
    rows = training[training["name"] == "loss"] if len(training) else training
    if not len(rows):
        return None
    return {"steps": list(rows["step"]), "value": list(rows["value"])}


def _onset(row: Mapping[str, Any], first: int) -> dict[str, Any]:
    """An onset with the words that say how well it is known."""
    ends: dict[str, int | None] = {
        name: None if pd.isna(row[name]) else int(row[name]) for name in ("step", "low", "high")
    }
    found = None if pd.isna(row["found"]) else float(row["found"])
    said = OnsetSummary(
        step=ends["step"], low=ends["low"], high=ends["high"], found=found, first_step=first
    )
    return {**row, **ends, "found": found, "first_step": first, "words": dated(said)}


def _of_columns(table: pd.DataFrame, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows, with every column, None where the table does not have it."""
    return [{name: row.get(name) for name in columns} for row in records_json(table)]


def _shown_labels(prompts: PromptSet) -> dict[str, tuple[str, ...]]:
    """Labels by which rows can be told apart or grouped; `task` first."""
    names = sorted(prompts.labels, key=lambda name: (name != "task", name))
    return {name: prompts.labels[name] for name in names if name not in _WORDS}


def _coded(texts: Sequence[str]) -> dict[str, Any]:
    values, codes = np.unique(np.asarray(texts, dtype=object).astype(str), return_inverse=True)
    return {"values": values.tolist(), "codes": codes}


def _answer_words(prompts: PromptSet) -> dict[tuple[int, ...], str]:
    """The tokens of every answer in the prompt set -> its words."""
    outputs = prompts.labels.get("output")
    if outputs is None:
        return {}
    known = {}
    for row, said in enumerate(outputs):
        start, end = int(prompts.prompt_lengths[row]), int(prompts.lengths[row])
        known[tuple(int(token) for token in prompts.ids[row, start:end])] = said
    return known

"""What the claims read of one finished run: numbers under fixed names, kept beside the run.

Everything is computed from the run folder, so that it can be removed and comes back the same. The
numbers say nothing by themselves; `nucleate.findings` judges them over seeds.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from nucleate.dynamics import Trajectory, abruptness, binomial_band, null_band, onset
from nucleate.findings import accuracy_table, choose_stream
from nucleate.panel import Panel, select_rows
from nucleate.runs import Run, write_json
from nucleate.studies._config import Outputs
from nucleate.studies._evidence_of_rows import row_numbers, task_records

_FILE = "evidence.json"
_VERSION = 1
_POSITION, _VIEW = "last", "conditioned"
_RANKME_CHANGE = math.log(1.1)
"""RankMe has no null band: a lasting change by a tenth counts."""
_STEPS_OF_TASKS = (0.25, 0.5, 0.75, 1.0)

Evidence = dict[str, Any]
"""`numbers`: name -> value, NaN where undefined; `tasks`: records by task and step."""


def evidence_of(path: Path, outputs: Outputs) -> Evidence:
    """The numbers of a run that any claim may ask for.

    Args:
        path: the run folder; it must have a panel.
        outputs: kind of outputs of the run.

    Returns:
        Numbers by name, and records by task; read from the folder where they are there already.
        Numbers that rest on what the run lacks, such as a causal map, are missing.

    Raises:
        BadInput: the run has no panel.
    """
    file = path / _FILE
    if file.exists():
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept.get("version") == _VERSION:
            return {**kept, "numbers": {k: float(v) for k, v in kept["numbers"].items()}}
    run, panel = Run(path), Panel.of(path)
    table, last = panel.table, run.steps[-1]
    stream = choose_stream(table, _POSITION, _VIEW, last)
    numbers = {
        **_clusters(table, stream, last),
        **_depth(table, last),
        **_abrupt(table, stream),
        **_onsets(run, table, stream),
        **_causes(path, stream),
        **row_numbers(run, outputs, stream),
    }
    found: Evidence = {
        "version": _VERSION,
        "stream": stream,
        "numbers": {name: float(value) for name, value in numbers.items()},
        "tasks": task_records(run, panel.by_class, stream, _some_steps(run.steps)),
    }
    write_json(file, {**found, "numbers": {k: _text(v) for k, v in found["numbers"].items()}})
    return found


def _text(value: float) -> float | str:
    """JSON has no infinity and no NaN."""
    return value if math.isfinite(value) else str(value)


def _one(table: pd.DataFrame, column: str = "value", **where: Any) -> float:
    """The value of the only row that fits; NaN where there is none."""
    rows = select_rows(table, **{"position": _POSITION, "view": _VIEW, "half": "all", **where})
    return float(rows[column].iloc[0]) if len(rows) else math.nan


def _clusters(table: pd.DataFrame, stream: str, last: int) -> dict[str, float]:
    """ARI beside its nulls on the half that did not choose the stream, and how CDNV fell."""
    where: dict[str, Any] = {
        "stream": stream,
        "label": "task",
        "metric": "ari",
        "half": "report",
        "step": last,
    }
    first = int(table["step"].min())
    separations = [
        _one(table, stream=stream, label="task", metric="separation", step=step)
        for step in (first, last)
    ]
    fold = separations[1] / separations[0] if separations[0] > 0 else math.inf
    return {
        "ari": _one(table, **where),
        "ari.low": _one(table, "low", **where),
        "n0": _one(table, "n0_q99", **where),
        "n1": _one(table, "n1_max", **where),
        "n2": _one(table, "n2", **where),
        "separation": separations[1],
        "cdnv_fold": fold if separations[1] > 0 else 0.0,
    }


def _depth(table: pd.DataFrame, last: int) -> dict[str, float]:
    """How clusters go with depth; `final_norm` repeats the last block and is left out."""
    names = list(dict.fromkeys(table["stream"]))
    streams = [name for name in names if name.startswith(("embed", "block"))]
    by_depth = {
        metric: [_one(table, stream=s, label="task", metric=metric, step=last) for s in streams]
        for metric in ("ari", "separation")
    }
    answers = _one(table, stream=streams[-1], label="output", metric="ari", step=last, view="raw")
    first = int(table["step"].min())
    at_end = [
        _one(table, stream=streams[0], label="task", metric="ari", step=step,
             position="instruction_end", view="raw")
        for step in (first, last)
    ]  # fmt: skip
    ari = by_depth["ari"]
    apart = zip(streams, by_depth["separation"], strict=True)
    return {
        **{f"separation.{name}": value for name, value in apart},
        "depth.ari": _rank_correlation(ari),
        "depth.separation": _rank_correlation(by_depth["separation"]),
        "depth.peak_inside": float(int(np.nanargmax(ari)) < len(ari) - 1),
        "depth.last_ari": ari[-1],
        "depth.last_ari_output": answers,
        "embedding_change": abs(at_end[1] - at_end[0]),
    }


def _rank_correlation(values: list[float]) -> float:
    if len(values) < 3 or np.ptp(values) == 0 or not np.isfinite(values).all():
        return math.nan
    return float(spearmanr(np.arange(len(values)), values).statistic)


def _series(table: pd.DataFrame, metric: str, stream: str, **where: Any) -> pd.DataFrame:
    wanted = {"position": _POSITION, "view": _VIEW, "half": "all", "label": "task", **where}
    return select_rows(table, stream=stream, metric=metric, **wanted).sort_values("step")


def _abrupt(table: pd.DataFrame, stream: str) -> dict[str, float]:
    """Whether each curve is like a phase change: 1 or 0, the BIC margin, and the width."""
    found: dict[str, float] = {}
    for metric in ("separation", "probe_nll", "ari"):
        series = _series(table, metric, stream).dropna(subset=["value"])
        if len(series) < 8:
            continue
        fitted = abruptness(series["step"].to_numpy(), series["value"].to_numpy())
        axes = (fitted.linear, fitted.log)
        found[f"abrupt.{metric}"] = float(fitted.phase_like)
        found[f"abrupt.{metric}.margin"] = min(axis.margin for axis in axes)
        found[f"abrupt.{metric}.width"] = max(
            math.inf if axis.width is None else axis.width for axis in axes
        )
    return found


def _onsets(run: Run, table: pd.DataFrame, stream: str) -> dict[str, float]:
    """Onsets, counted in recorded steps; infinite where there is none."""
    found = {}
    for metric in ("ari", "separation"):
        series = _series(table, metric, stream)
        nulls = [series[name].to_numpy() for name in ("n0_q99", "n1_max", "n2")]
        found[f"onset.{metric}"] = _index(series, null_band(*nulls))
    ranks = _series(table, "rankme", stream, label="", view="raw")
    if len(ranks):
        moved = np.abs(np.log(ranks["value"] / ranks["value"].iloc[0]))
        found["onset.rankme"] = _index(
            ranks.assign(value=moved), np.full(len(ranks), _RANKME_CHANGE)
        )
    scores = accuracy_table(run)
    for split in ("seen", "unseen_string"):
        rows = scores[scores["split"] == split]
        if len(rows):
            bar = binomial_band(float(rows["chance"].iloc[0]), int(rows["strings"].iloc[0]))
            found[f"onset.accuracy.{split}"] = _index(
                rows.assign(value=rows["accuracy"]), np.full(len(rows), bar)
            )
    return found


def _index(series: pd.DataFrame, band: np.ndarray) -> float:
    steps = series["step"].to_numpy()
    if not len(steps):
        return math.nan
    step = onset(Trajectory(steps, series["value"].to_numpy(), band)).step
    return math.inf if step is None else float(np.searchsorted(steps, step))


def _causes(path: Path, stream: str) -> dict[str, float]:
    """What interventions do at the chosen place, and the largest shift of any place."""
    file = path / "causal_map.csv"
    if not file.exists():
        return {}
    table = pd.read_csv(file)
    table = table[table["position"] == _POSITION]
    here = table[table["stream"] == stream].iloc[0]
    controls = ("wrong_task", "mean_shift", "random_direction", "shuffled", "other_input")
    return {
        "blind_gap": here["accuracy"] - here["erase_onward"] - here["task_blind"],
        "erase_onward": here["erase_onward"],
        "random_onward": here["random_onward"],
        "displaced_onward": here["displaced_onward"],
        "shift": here["shift"],
        "shift.chance": here["chance"],
        "shift.control": max(here[name] for name in controls),
        "shift.beyond": here["shift_beyond"],
        "shift.any": table["shift"].max(),
    }


def _some_steps(steps: list[int]) -> list[int]:
    """The recorded steps nearest to a quarter, a half, three quarters and all of the training."""
    every = np.array(steps)
    return [int(every[np.abs(every - share * every[-1]).argmin()]) for share in _STEPS_OF_TASKS]

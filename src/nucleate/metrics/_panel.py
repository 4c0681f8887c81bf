"""The panel: one row a number, each beside its nulls."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.stats import false_discovery_control

from nucleate._errors import BadInput
from nucleate.metrics._scores import NOT_POSITIVE, Score, Scored

COLUMNS = (
    "step", "stream", "position", "view", "label", "metric", "half", "value", "low", "high", "k",
    "n", "n0_mean", "n0_q99", "n1_max", "n2", "p", "p_adjusted", "note",
)  # fmt: skip
_TEXTS = ("stream", "position", "view", "label", "metric", "half", "note")
_TABLE, _DRAWS = "panel.csv", "panel.safetensors"

Key = tuple[str, str, str]
Place = tuple[str, str]


@dataclass(frozen=True)
class Panel:
    """Every number of a run beside what it would be by chance.

    Attributes:
        table: one row for each step, stream, position, view, label, metric and half, with the
            columns `step, stream, position, view, label, metric, half, value, low, high, k, n,
            n0_mean, n0_q99, n1_max, n2, p, p_adjusted, note`. `low` and `high` bound 95 % of the
            bootstrap over instruction strings. `n0_mean` and `n0_q99` are mean and 99 % point
            under permuted labels, `n1_max` the most among untrained models, `n2` what the bag of
            tokens gives. What is missing is NaN and has a note where the value itself is.
        draws: (position, view) -> bootstrap draws of ARI(task) on the half `report`; the same
            resamples at all steps and streams.
    """

    table: pd.DataFrame
    draws: dict[tuple[str, str], Float[np.ndarray, "step stream draw"]]

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams along the depth: second dimension of the draws."""
        return tuple(dict.fromkeys(self.table["stream"]))

    def save(self, folder: Path) -> None:
        """Write `panel.csv` and `panel.safetensors` (the draws) into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.table.to_csv(folder / _TABLE, index=False)
        names = {json.dumps(place): values for place, values in self.draws.items()}
        save_file(names, folder / _DRAWS)

    @classmethod
    def load(cls, folder: Path) -> "Panel":
        """Read what `save` wrote.

        Raises:
            BadInput: a file is missing or damaged.
        """
        try:
            table = pd.read_csv(
                folder / _TABLE, dtype=dict.fromkeys(_TEXTS, str), keep_default_na=False,
                na_values={name: [""] for name in COLUMNS if name not in _TEXTS},
            )[list(COLUMNS)]  # fmt: skip
            with safe_open(folder / _DRAWS, framework="np") as file:
                draws = {_place(name): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            raise BadInput(
                f"the panel in {folder} cannot be read ({error}): measure the run again"
            ) from error
        return cls(table, draws)


def rows_of(
    step: int,
    streams: Sequence[str],
    place: Place,
    scored: Scored,
    n1: dict[Key, Float[np.ndarray, "stream"]],
    n2: dict[Key, float],
) -> list[dict[str, Any]]:
    """The table's rows of one step, position and view."""
    rows = []
    for score in scored.scores:
        columns = _columns(score, scored, n1.get(score.key), n2.get(score.key))
        fixed = {
            "step": step, "position": place[0], "view": place[1], "label": score.label,
            "metric": score.metric, "half": score.half, "k": score.k, "n": score.n,
        }  # fmt: skip
        for index, stream in enumerate(streams):
            varying = {name: values[index] for name, values in columns.items()}
            rows.append({**fixed, "stream": stream, **varying})
    return rows


def to_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Put rows into a table with the panel's columns."""
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _columns(
    score: Score, scored: Scored, n1: np.ndarray | None, n2: float | None
) -> dict[str, Any]:
    streams = len(score.values)
    missing = np.full(streams, np.nan)
    constant, broken = np.array(scored.constant), np.array(scored.broken)
    notes = [
        score.note or ("nan" if bad else "constant" if flat else "")
        for bad, flat in zip(broken, constant, strict=True)
    ]
    columns: dict[str, Any] = {"value": score.values.copy(), "low": missing, "high": missing}
    if score.draws is not None and score.draws.shape[1]:
        columns["low"], columns["high"] = np.nanpercentile(score.draws, [2.5, 97.5], axis=1)
    columns |= _null_columns(score)
    columns["n1_max"] = missing if n1 is None else n1
    columns["n2"] = np.full(streams, np.nan if n2 is None else n2)
    measured = not score.note
    for name in ("value", "low", "high", "n0_mean", "n0_q99", "p"):
        flat_value = 0.0 if name == "value" and score.metric != "cdnv" else np.nan
        column = np.where(constant & measured, flat_value, columns[name])
        columns[name] = np.where(broken, np.nan, column)
    if score.metric == "cdnv":
        without = np.isnan(columns["value"])
        notes = [
            note or (NOT_POSITIVE if gone else "")
            for note, gone in zip(notes, without, strict=True)
        ]
    columns["p_adjusted"] = _adjusted(columns["p"])
    columns["note"] = notes
    return columns


def _null_columns(score: Score) -> dict[str, np.ndarray]:
    """Mean, 99 % point and p under permuted labels: of the stricter of two kinds of permutation."""
    missing = np.full(len(score.values), np.nan)
    if score.null is None or not score.null.shape[1]:
        return {"n0_mean": missing, "n0_q99": missing, "p": missing}
    # A small CDNV is a large separation: its nulls are those of the separation, turned over.
    turn = score.metric == "cdnv"
    with np.errstate(divide="ignore"):
        values = np.nan_to_num(1 / score.values, nan=-np.inf) if turn else score.values
    mean, top, p = _against(values, score.null)
    if score.blocks is not None:
        other_mean, other_top, other_p = _against(values, score.blocks)
        stricter = other_top > top
        mean = np.where(stricter, other_mean, mean)
        top, p = np.maximum(top, other_top), np.maximum(p, other_p)
    if turn:
        mean, top = (
            np.where(row > 0, 1 / np.where(row > 0, row, 1), np.nan) for row in (mean, top)
        )
    return {"n0_mean": mean, "n0_q99": top, "p": p}


def _against(
    values: Float[np.ndarray, "stream"], null: Float[np.ndarray, "stream labelling"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    reached = (null >= values[:, None] - 1e-12).sum(1)
    return null.mean(1), np.quantile(null, 0.99, axis=1), (1 + reached) / (1 + null.shape[1])


def _adjusted(p: Float[np.ndarray, "stream"]) -> Float[np.ndarray, "stream"]:
    """Benjamini-Hochberg over the streams."""
    known = ~np.isnan(p)
    result = np.full(len(p), np.nan)
    if known.any():
        result[known] = false_discovery_control(p[known])
    return result


def _place(name: str) -> Place:
    position, view = json.loads(name)
    return position, view

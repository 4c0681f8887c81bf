"""From the scores of one unit and step to rows of the panel's table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from nucleate.panel._layout import TASK
from nucleate.panel._score import Score, show

NOT_POSITIVE = "undefined: the separation is not positive"
_NUMBERS = ("value", "low", "high", "n0_mean", "n0_q99", "n3_q99", "n5", "p")
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Result:
    """What is kept of one unit at one step.

    Attributes:
        columns: of the table; one entry a score and stream.
        by_class: of the table by class.
        draws: of ARI(task) on the half `report`, if there are any.
        clusters: label -> cluster of each row, from which the next step starts.
    """

    columns: dict[str, list[Any]]
    by_class: dict[str, list[Any]]
    draws: Float[np.ndarray, "stream draw"] | None
    clusters: dict[str, Int[np.ndarray, "stream row"]]


def result_of(
    scores: Sequence[Score],
    *,
    constant: Sequence[bool],
    broken: Sequence[bool],
    names: dict[str, tuple[str, ...]],
    clusters: dict[str, Int[np.ndarray, "stream row"]],
) -> Result:
    """Put scores into columns; constant streams score 0, broken ones nothing, both are marked."""
    flat, bad = np.array(constant), np.array(broken)
    columns: dict[str, list[Any]] = {}
    by_class: dict[str, list[Any]] = {"stream": [], "label": [], "metric": [], "class": [],
                                      "value": []}  # fmt: skip
    draws = None
    for order, score in enumerate(scores):
        for name, values in _columns(score, flat, bad).items():
            columns.setdefault(name, []).extend(values)
        columns.setdefault("order", []).extend([order] * len(flat))
        if score.key == (TASK, "ari", "report") and score.draws is not None:
            draws = np.where(flat[:, None], 0.0, score.draws)
            draws = np.where(bad[:, None], np.nan, draws)
        if score.classes is not None:
            _add_classes(by_class, score, flat | bad, names[score.label])
    return Result(columns, by_class, draws, clusters)


def strengths(
    scores: Sequence[Score], constant: Sequence[bool], broken: Sequence[bool]
) -> dict[tuple[str, str, str], Float[np.ndarray, "stream"]]:
    """Values alone, as strengths; constant states score 0, broken ones nothing."""
    flat, bad = np.array(constant), np.array(broken)
    found = {}
    for score in scores:
        zero = np.nan if score.shown != "as it is" or score.note else 0.0
        found[score.key] = np.where(bad, np.nan, np.where(flat, zero, score.values))
    return found


def _columns(score: Score, constant: np.ndarray, broken: np.ndarray) -> dict[str, Sequence[Any]]:
    streams = len(score.values)
    columns = {"value": show(score.values, score.shown), **_interval(score), **_null(score)}
    columns["n5"] = _or_missing(score.control, streams)
    # What is not measured is not constant either; a constant stream has no nulls to beat.
    flat = constant & (not score.note)
    for name in _NUMBERS:
        worth = 0.0 if name == "value" and score.shown == "as it is" else np.nan
        columns[name] = np.where(broken, np.nan, np.where(flat, worth, columns[name])).tolist()
    notes = [
        score.note or ("nan" if bad else "constant" if still else score.no_null)
        for bad, still in zip(broken.tolist(), constant.tolist(), strict=True)
    ]
    if score.shown == "reciprocal":
        notes = [
            note or (NOT_POSITIVE if value != value else "")
            for note, value in zip(notes, columns["value"], strict=True)
        ]
    fixed = {
        "label": score.label, "metric": score.metric, "half": score.half, "k": score.k,
        "n": score.n, "strings": score.strings, "unit": score.unit, "shown": score.shown,
    }  # fmt: skip
    repeated: dict[str, Sequence[Any]] = {name: [it] * streams for name, it in fixed.items()}
    return {**repeated, **columns, "note": notes}


def _interval(score: Score) -> dict[str, Any]:
    if score.draws is None or not score.draws.shape[1]:
        missing = np.full(len(score.values), np.nan)
        return {"low": missing, "high": missing}
    ordered = np.sort(score.draws, axis=1)
    return {"low": _quantile(ordered, 0.025), "high": _quantile(ordered, 0.975)}


def _null(score: Score) -> dict[str, Any]:
    """Mean, 99 % point and p under permuted labels: of the stricter of two kinds of permutation."""
    streams = len(score.values)
    missing = np.full(streams, np.nan)
    columns = {"n0_mean": missing, "n0_q99": missing, "n3_q99": missing, "p": missing}
    if score.gaussian is not None:
        _, top, columns["p"] = _against(score.values, score.gaussian)
        columns["n3_q99"] = show(top, score.shown)
    if score.null is None or not score.null.shape[1]:
        return columns
    mean, top, p = _against(score.values, score.null)
    if score.blocks is not None:
        other_mean, other_top, other_p = _against(score.values, score.blocks)
        mean = np.where(other_top > top, other_mean, mean)
        top, p = np.maximum(top, other_top), np.maximum(p, other_p)
    return columns | {
        "n0_mean": show(mean, score.shown), "n0_q99": show(top, score.shown), "p": p,
    }  # fmt: skip


def _against(
    values: Float[np.ndarray, "stream"], null: Float[np.ndarray, "stream draw"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and 99 % point of the null, and p = (1 + draws that reach the value) / (1 + draws)."""
    reached = (null >= values[:, None] - _ROUNDING).sum(1)
    p = (1 + reached) / (1 + null.shape[1])
    return (
        null.mean(1),
        _quantile(np.sort(null, axis=1), 0.99),
        np.where(np.isnan(values), np.nan, p),
    )


def _quantile(
    ordered: Float[np.ndarray, "stream draw"], share: float
) -> Float[np.ndarray, "stream"]:
    """A quantile of sorted rows, linear between them (numpy's own takes ten times as long)."""
    at = share * (ordered.shape[1] - 1)
    below = int(at)
    above = min(below + 1, ordered.shape[1] - 1)
    part = at - below
    return np.asarray((1 - part) * ordered[:, below] + part * ordered[:, above])


def _or_missing(values: np.ndarray | None, streams: int) -> np.ndarray:
    return np.full(streams, np.nan) if values is None else values


def _add_classes(
    by_class: dict[str, list[Any]], score: Score, left_out: np.ndarray, names: tuple[str, ...]
) -> None:
    assert score.classes is not None
    values = np.where(left_out[:, None], np.nan, score.classes)
    for stream, row in enumerate(values.tolist()):
        by_class["stream"] += [stream] * len(names)
        by_class["label"] += [score.label] * len(names)
        by_class["metric"] += [score.metric] * len(names)
        by_class["class"] += names
        by_class["value"] += row

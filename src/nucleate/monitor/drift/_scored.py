"""Requests from the folders that `nucleate score` writes."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate._core.tables import Row, is_missing, read_table
from nucleate.monitor.drift._sample import DriftSample, detector_of, placed

if TYPE_CHECKING:
    from nucleate.monitor.atlas import Atlas

_TABLE, _VECTORS, _ABOUT = "scores.csv", "vectors.safetensors", "scores.json"
_COLUMNS = ("cluster", "p")


def read_drift_sample(atlas: "Atlas", path: Path | str) -> DriftSample:
    """Read scored requests, in the order of their rows.

    Args:
        atlas: the one that they were scored with.
        path: a folder with `scores.csv` and, where they were kept, `vectors.safetensors`; or such
            a table alone. Of its columns `cluster`, `p`, `request` (hashes) and `time` (ISO dates,
            or Unix seconds) are read.

    Raises:
        BadInput: there is no such table, a column or a value is missing, or another atlas wrote it.
    """
    path = as_path("path", path)
    table = path / _TABLE if path.is_dir() else path
    if not table.is_file():
        raise BadInput(f"{table} is not there; give a folder that nucleate score wrote, or a table")
    about = _about(atlas, path)
    rows = read_table(table, _COLUMNS)
    if not rows:
        raise BadInput(f"{table} has no rows; score some requests")
    codes = {name: code for code, name in enumerate(atlas.clusters)}
    clusters = [str(_value(row, "cluster")) for row in rows]
    for (where, _), name in zip(rows, clusters, strict=True):
        if name not in codes:
            raise BadInput(f"{where} names the cluster {name!r}, which this atlas does not have")
    cluster = np.array([codes[name] for name in clusters])
    hashes: tuple[str, ...] = ()
    if all(_there(row.get("request")) for _, row in rows):
        hashes = tuple(str(row["request"]) for _, row in rows)
    given = None
    if path.is_dir() and (path / _VECTORS).is_file():
        given = _vectors(path / _VECTORS, len(rows))
    detector = str(about["detector"]) if "detector" in about else _detector(atlas, rows)
    cluster, vectors, residual = placed(atlas, cluster, given, detector)
    return DriftSample(
        atlas.clusters, cluster, np.array([_number(row, "p") for row in rows]), vectors, residual,
        hashes, atlas.version, _times(rows), detector,
    )  # fmt: skip


def _about(atlas: "Atlas", path: Path) -> dict[str, Any]:
    """What stands beside a table about who scored it; nothing of a table alone."""
    about = path / _ABOUT
    if not path.is_dir() or not about.is_file():
        return {}
    try:
        found = json.loads(about.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{about} cannot be read ({error}); score the requests again") from error
    version = found.get("atlas") if isinstance(found, dict) else None
    if version != atlas.version:
        raise BadInput(
            f"{path} was scored by the atlas {version}, and this one is {atlas.version}; score it "
            "again with this atlas"
        )
    return dict(found)


def _detector(atlas: "Atlas", rows: list[Row]) -> str:
    """What p was made from, by which of the columns of p are filled."""
    filled = [
        np.array([1.0 if _there(row.get(name)) else np.nan for _, row in rows])
        for name in ("p_states", "p_surface")
    ]
    return detector_of(atlas, *filled)


def _there(value: Any) -> bool:
    return not is_missing(value) and value != ""


def _value(row: Row, column: str) -> Any:
    where, cells = row
    value = cells.get(column)
    if not _there(value):
        raise BadInput(f"{where} has no value for {column!r}; give the table of nucleate score")
    return value


def _number(row: Row, column: str) -> float:
    value = _value(row, column)
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{row[0]} has the {column} {value!r}; give a number") from error


def _vectors(path: Path, rows: int) -> Float[np.ndarray, "row width"]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = load_file(path).get("vectors")
    except (OSError, ValueError, SafetensorError) as error:
        raise BadInput(f"{path} cannot be read ({error}); score the requests again") from error
    if found is None or found.ndim != 2 or len(found) != rows:
        shape = "none" if found is None else str(list(found.shape))
        raise BadInput(f"{path} has vectors {shape} for {rows} rows; score the requests again")
    return np.asarray(found, dtype=np.float32)


def _times(rows: list[Row]) -> Float[np.ndarray, "row"] | None:
    """Unix seconds of all rows; None where some have none."""
    found = []
    for where, row in rows:
        value = row.get("time")
        if not _there(value):
            return None
        try:
            found.append(_seconds(value))
        except ValueError as error:
            raise BadInput(
                f"{where} has the time {value!r}; give Unix seconds or a date such as "
                "2026-01-31T12:00:00"
            ) from error
    return np.array(found)


def _seconds(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        moment = datetime.fromisoformat(str(value))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

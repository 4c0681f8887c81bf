"""The rows of an audit: of each request its cluster, its groups, and whether it went wrong."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate._core.names import nearest
from nucleate._core.tables import Row, is_missing, read_table

TABLE, VECTORS, ABOUT = "scores.csv", "vectors.safetensors", "scores.json"
TEXT = ("request", "text")
HASH = re.compile(r"[0-9a-f]{8,128}")
LONGEST_NAME = 80
"""Characters of a value that is still a name, and no text that a report must not hold."""
MOST_VALUES = 50
_TRUTH: Mapping[object, bool] = {
    "0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True,
}  # fmt: skip


@dataclass(frozen=True)
class AuditTable:
    """What is known of some requests; every array has one entry a row.

    Attributes:
        cluster: name of the cluster that the request was scored to.
        groups: columns of people or circumstances, such as language; an empty name where it is
            not known.
        outcomes: what should not happen, by name: errors, and being outside of all clusters.
        texts: the same for rows of one text, such as its hash; every row for itself by default.
        task: what was asked for in truth, where that is known.
        vectors: states of the requests.
        inputs: hashes of the files that this was read from.

    Raises:
        BadInput: no rows, arrays of other lengths, vectors that are not finite, a group that has
            one value only or more than 50, or values that are texts rather than names.
    """

    cluster: Shaped[np.ndarray, "row"]
    groups: Mapping[str, Shaped[np.ndarray, "row"]] = field(default_factory=dict)
    outcomes: Mapping[str, Bool[np.ndarray, "row"]] = field(default_factory=dict)
    texts: Shaped[np.ndarray, "row"] | None = None
    task: Shaped[np.ndarray, "row"] | None = None
    vectors: Float[np.ndarray, "row width"] | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = len(self)
        if not rows:
            raise BadInput("an audit of no rows says nothing; give some requests")
        columns = {"texts": self.texts, "task": self.task, "vectors": self.vectors}
        for name, values in {**columns, **self.groups, **self.outcomes}.items():
            if values is not None and len(values) != rows:
                raise BadInput(f"{name} has {len(values)} entries and cluster {rows}; give as many")
        _check_names("cluster", self.cluster)
        for name, values in self.groups.items():
            _check_group(name, values)
        if self.vectors is not None:
            wrong = np.flatnonzero(~np.isfinite(self.vectors).all(1))
            if len(wrong):
                raise BadInput(
                    f"{len(wrong)} of {rows} vectors hold NaN or infinity, row {wrong[0]} first; "
                    "leave such rows out"
                )

    def __len__(self) -> int:
        return len(self.cluster)

    @property
    def own_texts(self) -> Shaped[np.ndarray, "row"]:
        """`texts`, or the number of each row."""
        return np.arange(len(self)) if self.texts is None else self.texts


def _check_names(column: str, values: Shaped[np.ndarray, "row"]) -> list[str]:
    names = sorted({str(value) for value in values})
    longest = max(map(len, names))
    if longest > LONGEST_NAME:
        raise BadInput(
            f"column {column!r} holds values of up to {longest} characters: these are texts, which "
            f"no report may hold; give names of at most {LONGEST_NAME}"
        )
    return names


def _check_group(column: str, values: Shaped[np.ndarray, "row"]) -> None:
    names = [name for name in _check_names(column, values) if name]
    if len(names) < 2:
        has = f"only the value {names[0]!r}" if names else "no values"
        raise BadInput(
            f"column {column!r} has {has}: there is nobody to compare with; give a column of two "
            "groups or more"
        )
    if len(names) > MOST_VALUES:
        raise BadInput(
            f"column {column!r} has {len(names)} values: it names each one rather than a group; "
            f"join them to at most {MOST_VALUES}"
        )


def read_scored(
    path: Path | str,
    *,
    groups: Sequence[str] = (),
    errors: Sequence[str] = (),
    cluster: str = "cluster",
    outside: str = "outside",
    task: str | None = None,
    text: str | None = None,
) -> AuditTable:
    """Read what was scored: a folder of `nucleate score`, or a table with the same columns.

    Args:
        path: a folder with `scores.csv` and, where vectors were kept, `vectors.safetensors`; or a
            file of CSV or JSON Lines.
        groups: columns to compare, such as language.
        errors: columns of 0 and 1, 1 where an answer was wrong.
        cluster: column with the name of the cluster.
        outside: column of 0 and 1, 1 where a request belongs to no cluster; left out where the
            table has none.
        task: column with what was asked for in truth.
        text: column that is the same for rows of one text; by default `request`, else `text`,
            where the table has one.

    Raises:
        BadInput: there is no such file or column, an error column is not of 0 and 1, a value is
            missing where there must be one, vectors do not fit, or as `AuditTable` raises.
    """
    path = as_path("path", path)
    file = path / TABLE if path.is_dir() else path
    if not file.is_file():
        missing = f"{path} holds no {TABLE}" if path.is_dir() else f"{path} does not exist"
        raise BadInput(f"{missing}; give a folder of nucleate score, or a table")
    columns = (cluster, *groups, *errors)
    rows = read_table(file, columns)
    if not rows:
        raise BadInput(f"{file} has no rows; give some requests")
    known = list(dict.fromkeys(name for _, row in rows for name in row))
    for name in (*columns, *(name for name in (task, text) if name)):
        if name not in known:
            raise BadInput(
                f"{file} has no column {name!r}{nearest(name, known)}; it has {', '.join(known)}"
            )
    text = text or next((name for name in TEXT if name in known), None)
    outcomes = [*errors, *([outside] if outside in known else [])]
    inputs = {"scored": file_hash(file)} | _atlas(path / ABOUT)
    vectors = None
    if (path / VECTORS).is_file():
        vectors = _vectors(path / VECTORS, len(rows))
        inputs["vectors"] = file_hash(path / VECTORS)
    return AuditTable(
        cluster=_names(rows, cluster, needed=True),
        groups={name: _names(rows, name) for name in groups},
        outcomes={name: _truth(rows, name) for name in outcomes},
        texts=_names(rows, text, needed=True) if text else None,
        task=_names(rows, task, needed=True) if task else None,
        vectors=vectors,
        inputs=inputs,
    )


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _atlas(path: Path) -> dict[str, str]:
    """The version of the atlas that a folder was scored with, where it says so."""
    if not path.is_file():
        return {}
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(f"{path} is damaged ({error}); score again") from error
    version = about.get("atlas") if isinstance(about, dict) else None
    return {"atlas": version} if isinstance(version, str) and HASH.fullmatch(version) else {}


def _names(rows: list[Row], column: str, *, needed: bool = False) -> Shaped[np.ndarray, "row"]:
    values = []
    for where, row in rows:
        value = row.get(column)
        if needed and (is_missing(value) or value == ""):
            raise BadInput(f"{where} has no {column!r}; leave such rows out")
        values.append("" if value is None else str(value))
    return np.array(values)


def _truth(rows: list[Row], column: str) -> Bool[np.ndarray, "row"]:
    values = []
    for where, row in rows:
        value: Any = row.get(column)
        known = _TRUTH.get(str(value).strip().lower())
        if known is None:
            missing = is_missing(value) or value == ""
            # What stands there may be somebody's text: it is not repeated.
            has = "nothing" if missing else f"neither 0 nor 1 ({type(value).__name__})"
            raise BadInput(
                f"{where} has {has} as {column!r}; give 1 where it went wrong and 0 where it did "
                "not, and leave out rows for which that is not known"
            )
        values.append(known)
    return np.array(values)


def _vectors(path: Path, rows: int) -> Float[np.ndarray, "row width"]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = load_file(path)
    except SafetensorError as error:
        raise BadInput(f"{path} is damaged ({error}); score again") from error
    if "vectors" not in found or found["vectors"].ndim != 2 or len(found["vectors"]) != rows:
        shapes = {name: list(value.shape) for name, value in found.items()}
        raise BadInput(
            f"{path} holds {shapes}, and the table has {rows} rows; score again with --keep-vectors"
        )
    return np.asarray(found["vectors"], np.float32)

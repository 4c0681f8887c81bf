"""What is measured already: one file for each unit and step, so that it is not measured again."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from nucleate.panel._columns import Result
from nucleate.panel._score import Key
from nucleate.panel._source import Unit

Strengths = dict[Key, Float[np.ndarray, "stream"]]
_FOLDER = "panel"
_VERSION = "3"
"""Raised whenever the same states would give other numbers."""


class Shards:
    """Results on disk, each under the key of all that it follows from.

    A unit's step starts from the clusters of the step before, so a key holds the keys of all
    earlier steps: a snapshot that appears in between, or is recorded anew, voids what comes after.

    Args:
        run: folder of the run; None keeps nothing.
    """

    def __init__(self, run: Path | None) -> None:
        self._folder = None if run is None else run / _FOLDER

    def load(self, unit: Unit, name: str, key: str) -> Result | None:
        """The result under this name if it is of this key and whole."""
        if self._folder is None:
            return None
        try:
            with safe_open(self._path(unit, name), framework="np") as file:
                header = file.metadata() or {}
                if header.get("key") != key:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError):
            # Not there, or torn by a crash: it is measured again.
            return None
        clusters = {
            name.removeprefix("clusters."): values
            for name, values in tensors.items()
            if name.startswith("clusters.")
        }
        columns, by_class = json.loads(header["columns"]), json.loads(header["by_class"])
        return Result(columns, by_class, tensors.get("draws"), clusters)

    def save(self, unit: Unit, name: str, key: str, result: Result) -> None:
        """Keep a result: written beside its place, then renamed."""
        if self._folder is None:
            return
        tensors = {f"clusters.{label}": found for label, found in result.clusters.items()}
        if result.draws is not None:
            tensors["draws"] = result.draws
        tensors.setdefault("none", np.zeros(0))
        header = {
            "key": key,
            "columns": json.dumps(result.columns),
            "by_class": json.dumps(result.by_class),
        }
        path = self._path(unit, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        # Not synced: a file that a power cut tears is measured again.
        partial.write_bytes(save(tensors, metadata=header))
        partial.replace(path)

    def load_strengths(self, unit: Unit, name: str, key: str) -> Strengths | None:
        """Numbers that do not change with the step, if they are of this key."""
        found = self.load(unit, name, key)
        if found is None:
            return None
        keys = zip(
            found.columns["label"], found.columns["metric"], found.columns["half"], strict=True
        )
        return {
            key: np.array(values, dtype=np.float64)
            for key, values in zip(keys, found.columns["values"], strict=True)
        }

    def save_strengths(self, unit: Unit, name: str, key: str, values: Strengths) -> None:
        """Keep numbers that do not change with the step."""
        columns: dict[str, list[Any]] = {"label": [], "metric": [], "half": [], "values": []}
        for (label, metric, half), each in values.items():
            for column, value in zip(columns, (label, metric, half, each.tolist()), strict=True):
                columns[column].append(value)
        self.save(unit, name, key, Result(columns, {}, None, {}))

    def _path(self, unit: Unit, name: str) -> Path:
        assert self._folder is not None
        return self._folder / unit.name / f"{name}.safetensors"


def key_of(*parts: object) -> str:
    """A key of everything that a result follows from."""
    text = "\n".join(map(str, (_VERSION, *parts)))
    return hashlib.sha256(text.encode()).hexdigest()[:32]

"""The atlas that answers, with what belongs to it, and its replacement under way."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from nucleate._core.errors import BadInput
from nucleate.monitor.atlas import Atlas, Scores
from nucleate.monitor.service._metrics import GATE_VERDICTS, label_names, printable

_LARGEST_GATE = 2**20
_LUCK = 1e-3


@runtime_checkable
class Reader(Protocol):
    """Reads the states of texts where an atlas was fitted."""

    def check(self, atlas: Atlas) -> None:
        """Refuse an atlas of another model, tokenizer or template (BadInput)."""

    def __call__(self, atlas: Atlas, texts: Sequence[str]) -> Float[np.ndarray, "row width"]:
        """States of the texts, at the atlas's place."""


@runtime_checkable
class Feed(Protocol):
    """Watches scored rows for drift."""

    def put(self, scores: Scores, vectors: Float[np.ndarray, "row width"]) -> None:
        """Take rows; returns at once."""

    def report(self) -> Mapping[str, Any]:
        """What is known of drift now, as `nucleate drift --json` says it."""

    def show(self) -> None:
        """Bring the metrics up to date."""

    def close(self) -> None:
        """Look at the rows that wait, and keep the state."""


@dataclass(frozen=True)
class Held:
    """One atlas with its names, its gate report and its drift monitor.

    It is never changed, but replaced whole. A request takes it once and keeps it, so that it is
    answered by one atlas.
    """

    atlas: Atlas
    rate: float
    gate: Mapping[str, Any] | None
    feed: Feed | None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the clusters, as they can be written."""
        return label_names(self.atlas.clusters)

    @property
    def about(self) -> dict[str, str]:
        """Which atlas it is, in labels."""
        atlas = self.atlas
        place = {"stream": printable(atlas.stream), "position": printable(atlas.position)}
        return {"version": atlas.version, **place}

    @cached_property
    def gate_of_this_atlas(self) -> bool | None:
        """Whether the gate report names this atlas; None where it names none."""
        inputs = (self.gate or {}).get("inputs")
        named = inputs.get("atlas") if isinstance(inputs, Mapping) else None
        named = named.get("version", named) if isinstance(named, Mapping) else named
        return None if named is None else named == self.atlas.version

    def outside_upper(self) -> float:
        """Largest share of known requests outside that this calibration makes plausible.

        With n calibration rows the realized rate of a conformal test at level a is distributed as
        Beta(k, n + 1 - k), k = floor(a (n + 1)) (Vovk 2012, "Conditional validity of inductive
        conformal predictors"). One calibration in 1,000 gives a larger one.
        """
        from scipy.special import betaincinv

        rows = len(self.atlas.calibration)
        k = int(np.floor(self.rate * (rows + 1)))
        return float(betaincinv(k, rows + 1 - k, 1 - _LUCK)) if k else 0.0


def read_gate(file: Path) -> Mapping[str, Any]:
    """A report of `nucleate gate`.

    Raises:
        BadInput: it cannot be read, is too large, or has no verdict of the gate.
    """
    try:
        data = file.read_bytes()
        found = json.loads(data)
    except OSError as error:
        raise BadInput(f"the gate report {file} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the gate report {file} is no JSON; write it with nucleate gate") from error
    kind, verdict = (
        (found.get("kind"), found.get("verdict")) if isinstance(found, dict) else (None, None)
    )
    if len(data) > _LARGEST_GATE or kind != "gate" or verdict not in GATE_VERDICTS[:-1]:
        raise BadInput(
            f"{file} is no gate report: its verdict is {str(verdict)[:60]!r}, not one of "
            f"{', '.join(GATE_VERDICTS[:-1])}; write it with nucleate gate"
        )
    return dict(found)


def answer(held: Held, scores: Scores, hashes: Sequence[str] | None) -> dict[str, Any]:
    """What the client is told of its rows; `hashes` are those of their texts."""
    columns: dict[str, list[Any]] = {
        "cluster": [held.names[code] for code in scores.cluster.tolist()],
        "probability": scores.probability.tolist(),
        "p": scores.p.tolist(),
        "p_states": scores.p_states.tolist(),
        "p_surface": scores.p_surface.tolist(),
        "margin": scores.margin.tolist(),
        "outside": scores.outside(held.rate).tolist(),
        "nearest": scores.nearest.tolist(),
    }
    if hashes is not None:
        columns["request"] = list(hashes)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return {"atlas": held.atlas.version, "rate": held.rate, "rows": rows}

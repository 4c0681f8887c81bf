"""How numbers, intervals and places are written in words, tables and figures."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from nucleate.findings._rules import NULLS
from nucleate.findings._summary import Summary

POSITION_NAMES = {
    "instruction_end": "end of the instruction",
    "last": "last prompt token",
    "first": "first prompt token",
    "mean:instruction": "mean of the instruction",
    "mean": "mean of the prompt",
}
_TOKEN = re.compile(r"-?\d+")


def highest_null(rows: pd.DataFrame) -> Float[np.ndarray, " row"]:
    """The highest of the nulls that are there, NaN where none is."""
    highest: Float[np.ndarray, " row"] = rows[list(NULLS)].max(axis=1).to_numpy(float)
    return highest


def depth_order(streams: Iterable[str]) -> list[str]:
    """Streams from the embedding upwards; blocks that are not numbered through keep their order."""
    names = [str(name) for name in streams]
    blocks = {name: re.fullmatch(r"block\.(\d+)", name) for name in names}
    ends = {name: name == "final_norm" or name.startswith("embed") for name in names}
    numbered = all(blocks[name] or ends[name] for name in names)

    def depth(name: str) -> float:
        block = blocks[name]
        if block and numbered:
            return float(block[1])
        return {"embed": -1.0, "final_norm": math.inf}.get(name, -0.5 if ends[name] else 0.0)

    return sorted(names, key=depth)


def in_order(positions: Iterable[str]) -> list[str]:
    """Positions in the order in which they stand in a prompt, as far as it is known."""
    known = list(POSITION_NAMES)

    def place(name: str) -> tuple[int, int]:
        if name in known:
            return known.index(name), 0
        if _TOKEN.fullmatch(name):
            return len(known) + (int(name) < 0), int(name)
        return len(known) + 2, 0

    return sorted(dict.fromkeys(str(name) for name in positions), key=place)


def position_name(position: str) -> str:
    """The position in words."""
    if _TOKEN.fullmatch(position):
        return f"token {position.replace('-', '−')}"
    return POSITION_NAMES.get(position, position)


def place_name(stream: str, position: str) -> str:
    """A place in words: `block.3 at the last prompt token`."""
    known = {"embed": "the embedding", "final_norm": "the output of the final norm"}
    return f"{known.get(stream, stream)} at the {position_name(position)}"


def plain(text: object, limit: int = 0) -> str:
    """Text of unknown origin as one printable line, cut to `limit` characters where that is set."""
    line = "".join(c if c.isprintable() else " " for c in str(text))
    return f"{line[: limit - 1]}…" if limit and len(line) > limit else line


def number(value: float | None, *, sign: bool = False) -> str:
    """Two decimals, never a negative zero; a dash for what is missing."""
    if value is None or not np.isfinite(value):
        return "–"
    text = f"{value:+.2f}" if sign else f"{value:.2f}"
    return f"{0:.2f}" if float(text) == 0 else text.replace("-", "−")


def interval(low: float | None, high: float | None) -> str:
    """`[low, high]`, empty where both are missing."""
    if number(low) == number(high) == "–":
        return ""
    return f"[{number(low)}, {number(high)}]"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines for a terminal, every column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def json_value(value: Any) -> Any:
    """The same made of what JSON has: no NaN, no infinity, no numpy."""
    if isinstance(value, Mapping):
        return {str(key): json_value(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def short_names(summaries: Sequence[Summary]) -> list[str]:
    """One name a run, distinct, to be told apart in figures and column heads."""
    names = [plain(summary.name, 40) for summary in summaries]
    return [
        name if names.count(name) == 1 else f"{name} ({index})"
        for index, name in enumerate(names, 1)
    ]

"""From the results of all units to one panel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Float

from nucleate.panel._columns import Result
from nucleate.panel._panel import (
    BY_CLASS,
    COLUMNS,
    OWN_NULLS,
    Panel,
    with_scrambled,
)
from nucleate.panel._score import Key, Shown, show
from nucleate.panel._source import Unit


@dataclass(frozen=True)
class Nulls:
    """What is the same at all steps: N1 by stream, N2 for all streams alike, column -> others."""

    n1: Mapping[Key, Float[np.ndarray, "stream"]]
    n2: Mapping[Key, Float[np.ndarray, "one"]]
    others: Mapping[str, Mapping[Key, Float[np.ndarray, "stream"]]] = field(default_factory=dict)


@dataclass(frozen=True)
class UnitResults:
    """One unit from the first step to the last, beside N1 and N2."""

    unit: Unit
    results: Sequence[Result]
    nulls: Nulls


def assemble(
    steps: Sequence[int],
    streams: tuple[str, ...],
    chains: Sequence[UnitResults],
    *,
    scrambled: Panel | None,
    missing: Mapping[str, str],
    seconds: Mapping[str, float],
    settings: Mapping[str, Any],
) -> Panel:
    """Put the units' columns into one table, beside N1, N2 and N4, in order."""
    places = list(dict.fromkeys((chain.unit.position, chain.unit.view) for chain in chains))
    parts, classes = [], []
    for chain in chains:
        names = streams[chain.unit.streams]
        place = places.index((chain.unit.position, chain.unit.view))
        for step, result in zip(steps, chain.results, strict=True):
            if not result.columns:
                continue  # metrics that look at one view only
            part = pd.DataFrame(result.columns)
            count = len(part) // len(names)
            part["stream_number"] = np.tile(np.arange(len(names)), count) + chain.unit.streams.start
            part["stream"] = list(names) * count
            beside = {"n1_max": chain.nulls.n1, "n2": chain.nulls.n2, **chain.nulls.others}
            for column, nulls in beside.items():
                part[column] = _laid_beside(part, nulls, len(names))
            parts.append(_placed(part, step, chain.unit, place))
            found = pd.DataFrame(result.by_class)
            found["stream"] = [names[number] for number in found["stream"]]
            classes.append(_placed(found, step, chain.unit, place))
    table = pd.concat(parts, ignore_index=True)
    order = ["step", "place", "order", "stream_number"]
    table = table.sort_values(order, kind="stable", ignore_index=True)
    table["n4"] = np.nan if scrambled is None else with_scrambled(table, scrambled.table)
    by_class = pd.concat(classes, ignore_index=True).sort_values(
        ["step", "place"], kind="stable", ignore_index=True
    )
    own = sorted(
        name for name in map(str, table) if name not in COLUMNS and name.endswith(OWN_NULLS)
    )
    return Panel(
        table[[*COLUMNS, *own]],
        _draws(chains),
        by_class[list(BY_CLASS)],
        dict(missing),
        {part: round(spent, 3) for part, spent in seconds.items()},
        dict(settings),
    )


def _placed(part: pd.DataFrame, step: int, unit: Unit, place: int) -> pd.DataFrame:
    return part.assign(step=step, position=unit.position, view=unit.view, place=place)


def _laid_beside(
    part: pd.DataFrame, nulls: Mapping[Key, Float[np.ndarray, "_"]], streams: int
) -> Float[np.ndarray, "row"]:
    """What a null that does not change with the step says of each row of a part."""
    found = np.full(len(part), np.nan)
    heads = zip(
        *(part[name][::streams] for name in ("label", "metric", "half", "shown")), strict=True
    )
    for score, (label, metric, half, shown) in enumerate(heads):
        key, kind = (label, metric, half), cast(Shown, shown)
        if key in nulls:
            found[score * streams : (score + 1) * streams] = show(nulls[key], kind)
    return found


def _draws(
    chains: Sequence[UnitResults],
) -> dict[tuple[str, str], Float[np.ndarray, "step stream draw"]]:
    """Bootstrap draws by place, the streams of its units one after another."""
    found: dict[tuple[str, str], list[tuple[int, np.ndarray]]] = {}
    for chain in chains:
        draws = [result.draws for result in chain.results if result.draws is not None]
        if draws:
            place = (chain.unit.position, chain.unit.view)
            found.setdefault(place, []).append((chain.unit.streams.start, np.stack(draws)))
    return {
        place: np.concatenate([part for _, part in sorted(parts, key=lambda it: it[0])], axis=1)
        for place, parts in found.items()
    }

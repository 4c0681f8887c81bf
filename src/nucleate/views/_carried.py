"""What one file carries of runs: all of their parts, or as much as a size allows."""

import base64
import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nucleate._core.errors import BadInput
from nucleate.panel import measured_rows
from nucleate.views._run_view import RunView

_FEWEST_AXES = 8
_BESIDE = 12
"""Bytes of a part's name and what parts it from the next."""


@dataclass(frozen=True)
class Extent:
    """How much of the clouds is carried.

    Attributes:
        other_bases: where axes other than the first set are carried: at every place, at those that
            the summary speaks of, or nowhere.
        places: of which places there are clouds.
        rows: points of a cloud at most; None: all that are shown.
        every: one step in so many, first and last always.
        tables: whether the tables of all numbers are carried.
    """

    other_bases: str = "every"
    places: str = "every"
    rows: int | None = None
    every: int = 1
    tables: bool = True


EXTENTS = (
    Extent(),
    Extent(other_bases="told"),
    Extent(other_bases="none"),
    Extent(other_bases="told", places="told"),
    Extent(other_bases="none", places="told"),
    Extent(other_bases="none", places="told", rows=2000),
    Extent(other_bases="none", places="told", rows=500),
    Extent(other_bases="none", places="told", rows=500, every=4),
    Extent(other_bases="none", places="none", tables=False),
)
"""From all to least. Points and steps go last: a thinner cloud looks like another one, whereas a
place that is left out is named."""


def fitting(
    views: Sequence[RunView], most: int, progress: Callable[[int, int], None] | None = None
) -> Extent:
    """The first extent with which the parts of all runs take no more than `most` bytes.

    Args:
        views: of the runs.
        most: bytes of the parts, written as base64.
        progress: is told of the clouds that are made, and of how many.

    Raises:
        BadInput: even the least takes more.
    """
    small = sum(_size(_small(view, tables=True)) for view in views)
    for extent in EXTENTS[:-1]:
        # Clouds are made only where all of them could fit: eight axes are the fewest.
        if small + sum(_guess(view, extent) for view in views) > most:
            continue
        clouds = [(view, place) for view in views for place in _places(view, extent)]
        size = small
        for done, (view, place) in enumerate(clouds):
            if progress:
                progress(done, len(clouds))
            size += _size(_cloud(view, *place, extent))
        if progress:
            progress(len(clouds), len(clouds))
        if size <= most:
            return extent
    least = sum(_size(_small(view, tables=False)) for view in views)
    if least <= most:
        return EXTENTS[-1]
    raise BadInput(
        f"the least that can be carried takes {least / 1e6:.1f} MB, more than the "
        f"{most / 1e6:.1f} MB that are left for it; raise max_mb"
    )


def written(name: str, data: bytes) -> str:
    """A part as text: base64, JSON compressed with gzip."""
    # Without a time in the header: the same data are the same bytes.
    whole = gzip.compress(data, 6, mtime=0) if name.endswith(".json") else data
    return base64.b64encode(whole).decode()


def carried(view: RunView, extent: Extent) -> Iterator[tuple[str, bytes]]:
    """The parts of a run that an extent takes, by path."""
    yield from _small(view, tables=extent.tables)
    for place in _places(view, extent):
        yield from _cloud(view, *place, extent)


def left_out(views: Sequence[RunView], extent: Extent) -> list[dict[str, Any]]:
    """What a reader must know of what is not there: `what`, and how much of it is."""
    found: list[dict[str, Any]] = []
    if extent.other_bases != "every":
        found.append({"what": f"bases-{extent.other_bases}"})
    if extent.places != "every":
        found.append({"what": f"places-{extent.places}"})
    shown = max((_rows(view) for view in views), default=0)
    if extent.rows is not None and shown > extent.rows:
        found.append({"what": "rows", "kept": extent.rows, "of": shown})
    if extent.every > 1:
        steps = max((len(view.run.steps) for view in views), default=0)
        kept = len(_some(list(range(steps)), extent.every))
        found.append({"what": "steps", "kept": kept, "of": steps})
    if not extent.tables:
        found.append({"what": "tables"})
    return found


def _small(view: RunView, *, tables: bool) -> Iterator[tuple[str, bytes]]:
    for path in view.paths(clouds=False):
        if tables or not path.startswith("tables/"):
            yield path, view.get(path)


def _places(view: RunView, extent: Extent) -> Iterator[tuple[str, str, str]]:
    """Stream, position and axes of each cloud that is carried."""
    streams, positions = view.places
    told = view.told
    for position in positions:
        for stream in streams:
            here = (stream, position) in told
            if extent.places == "none" or (extent.places == "told" and not here):
                continue
            for number, basis in enumerate(view.bases):
                if number and not (extent.other_bases == "every" or
                                   (extent.other_bases == "told" and here)):  # fmt: skip
                    continue
                yield stream, position, basis


def _guess(view: RunView, extent: Extent) -> int:
    """Bytes of the frames if eight axes do everywhere."""
    clouds = sum(1 for _ in _places(view, extent))
    rows = min(_rows(view), extent.rows or _rows(view))
    steps = len(_some(view.run.steps, extent.every))
    return clouds * rows * steps * _FEWEST_AXES * 2 * 4 // 3


def _rows(view: RunView) -> int:
    """Points of the smallest cloud."""
    counts = [len(measured_rows(view.run.prompts, position)) for position in view.places[1]]
    return min([*counts, view.most_rows])


def _cloud(
    view: RunView, stream: str, position: str, basis: str, extent: Extent
) -> Iterator[tuple[str, bytes]]:
    """The parts of one cloud, thinned; none where no step has finite states."""
    paths = list(view.paths_of(stream, position, basis))
    if not paths:
        return
    about = json.loads(view.get(paths[0]))
    kept = np.arange(about["rows"])
    if extent.rows is not None and about["rows"] > extent.rows:
        kept = np.sort(np.random.default_rng(0).choice(about["rows"], extent.rows, replace=False))
    steps = _some([frame["step"] for frame in about["frames"]], extent.every)
    about["frames"] = [frame for frame in about["frames"] if frame["step"] in steps]
    about["index"] = [about["index"][row] for row in kept]
    about["rows"] = len(kept)
    yield paths[0], json.dumps(about, separators=(",", ":")).encode()
    names = {"erased.i16", *(f"{step}.i16" for step in steps)}
    for path in paths[1:]:
        if path.rpartition("/")[2] in names:
            points = np.frombuffer(view.get(path), "<i2").reshape(-1, about["k"])
            yield path, points[kept].tobytes()


def _some(steps: list[int], every: int) -> list[int]:
    return sorted({*steps[::every], *steps[-1:]})


def _size(parts: Iterable[tuple[str, bytes]]) -> int:
    return sum(_length(path, data) + _BESIDE for path, data in parts)


def _length(path: str, data: bytes) -> int:
    """Of a part as text; what is not compressed need not be written to be known."""
    return len(written(path, data)) if path.endswith(".json") else 4 * -(-len(data) // 3)

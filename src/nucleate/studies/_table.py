"""What a study found: one line a setting, means over seeds beside what chance gives."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate.findings import (
    Summary,
    columns,
    json_value,
    mean_interval,
    median_interval,
    middle,
    number,
    place_counts,
    reached,
)
from nucleate.studies._folders import state_of
from nucleate.studies._page import REACHED, Study, StudyRun

_ENDS = ("low", "high", "null", "seeds")


@dataclass(frozen=True)
class Cell:
    """One number of one setting.

    Attributes:
        value: mean over seeds; the median where a seed has none, as an onset that never comes, and
            of `steps_to_90` and `tokens_to_90`.
        low, high: its 95 % interval over seeds, by Student's t; NaN with one seed, or where a seed
            has none. Of a median that is always one, the interval of the sign test, which takes
            six seeds.
        null: the highest that it is by chance in any run; NaN where that is not known.
        seeds: how many it is of.
    """

    value: float
    low: float
    high: float
    null: float
    seeds: int

    def __str__(self) -> str:
        chance = f" (null {number(self.null)})" if math.isfinite(self.null) else ""
        known = not (math.isnan(self.low) or math.isnan(self.high))
        ends = f" [{shown(self.low)}, {shown(self.high)}]" if known else ""
        return shown(self.value) + ends + chance


def shown(value: float) -> str:
    """A number as in a table: infinite where it never comes, without decimals where it is large."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:,.0f}".replace("-", "−") if abs(value) >= 1000 else number(value)


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        setting: in which settings it differs from the base.
        of: empty for the runs themselves; `scrambled` for a twin of that name, `less scrambled` for
            the differences from it, seed by seed.
        done, asked: how many runs.
        cells: number by number; one that no run has is missing.
    """

    setting: str
    of: str
    done: int
    asked: int
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class StudyTable:
    """The table of a study.

    Attributes:
        name: of the study.
        numbers: its columns.
        rows: its lines.
    """

    name: str
    numbers: tuple[str, ...]
    rows: tuple[Line, ...]

    def lines(self) -> list[str]:
        """For a terminal."""
        cells = [["setting", "", "seeds", *self.numbers]]
        for row in self.rows:
            seeds = str(row.done) if row.done == row.asked else f"{row.done} of {row.asked}"
            found = [str(row.cells[name]) if name in row.cells else "–" for name in self.numbers]
            cells.append([row.setting, row.of, seeds, *found])
        return columns(cells)

    def records(self) -> list[dict[str, Any]]:
        """One mapping a line: a number's mean under its name, `low`, `high`, `null` and `seeds`
        under the name with a dot and that word; what is missing or infinite is None.
        """
        found = []
        for row in self.rows:
            record: dict[str, Any] = {
                "setting": row.setting, "of": row.of, "done": row.done, "asked": row.asked,
            }  # fmt: skip
            for name in self.numbers:
                cell = row.cells.get(name)
                record[name] = None if cell is None else cell.value
                for end in _ENDS:
                    record[f"{name}.{end}"] = None if cell is None else getattr(cell, end)
            found.append(json_value(record))
        return found

    def to_dict(self) -> dict[str, Any]:
        """The same for programs."""
        return {"name": self.name, "rows": self.records()}


def study_table(study: Study, out: Path | str) -> StudyTable:
    """Tabulate what the finished runs of a study found; nothing is changed.

    Args:
        study: from `read_study`.
        out: the folder of the runs.

    Returns:
        For each setting its runs; where the page names twins, each twin's runs, and the
        differences of the two, paired by seed.

    Raises:
        BadInput: a summary is damaged, or a folder is of a newer version.
    """
    out = as_path("out", out)
    lines = []
    groups: dict[tuple[str, str], list[StudyRun]] = {}
    for run in study.runs:
        groups.setdefault((run.setting, run.twin), []).append(run)
    found = {run.key: _numbers(run, out, study.tables) for run in study.runs}
    for setting in dict.fromkeys(setting for setting, _ in groups):
        own = groups[setting, ""]
        lines.append(_line(setting, "", own, found, study.tables))
        for twin in study.twins:
            others = groups.get((setting, twin), [])
            if others:
                lines.append(_line(setting, twin, others, found, study.tables))
                lines.append(_differences(setting, twin, own, others, found, study.tables))
    return StudyTable(study.name, study.tables, tuple(lines))


_Found = Mapping[str, dict[str, tuple[float, float]] | None]


def _line(setting: str, of: str, runs: list[StudyRun], found: _Found, names: Iterable[str]) -> Line:
    there = [numbers for run in runs if (numbers := found[run.key]) is not None]
    cells = {
        name: _cell(name, [each[name] for each in there if name in each])
        for name in names
        if any(name in each for each in there)
    }
    return Line(setting, of, len(there), len(runs), cells)


def _differences(
    setting: str,
    twin: str,
    own: list[StudyRun],
    others: list[StudyRun],
    found: _Found,
    names: Iterable[str],
) -> Line:
    by_seed = {run.config.seed: found[run.key] for run in others}
    pairs = [
        (mine, other)
        for run in own
        if (mine := found[run.key]) is not None
        and (other := by_seed.get(run.config.seed)) is not None
    ]
    cells = {}
    for name in names:
        both = [(a[name][0], b[name][0]) for a, b in pairs if name in a and name in b]
        # Two onsets that never come have no difference.
        known = [(a - b, math.nan) for a, b in both if math.isfinite(a) or math.isfinite(b)]
        if known:
            cells[name] = _cell(name, known)
    return Line(setting, f"less {twin}", len(pairs), len(own), cells)


def _cell(name: str, values: list[tuple[float, float]]) -> Cell:
    numbers = np.array([value for value, _ in values])
    null = max((null for _, null in values if not math.isnan(null)), default=math.nan)
    if name in REACHED:
        with np.errstate(invalid="ignore"):  # no seeds' difference lies between both infinities
            return Cell(float(np.median(numbers)), *median_interval(numbers), null, len(values))
    return Cell(middle(numbers), *mean_interval(numbers), null, len(values))


def _numbers(
    run: StudyRun, out: Path, names: Iterable[str]
) -> dict[str, tuple[float, float]] | None:
    """Each number that a finished run has, and what it is by chance; None where it is not done."""
    folder = out / run.key
    if state_of(folder) != "done":
        return None
    path = folder / run.folder_name / "summary.json"
    try:
        summary = Summary.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise BadInput(
            f"{path} cannot be read ({type(error).__name__}); remove {folder}, and its run is done "
            "again"
        ) from error
    found = {
        name: _reached(folder / run.folder_name, name)
        if name in REACHED
        else _number(summary, name)
        for name in names
    }
    return {name: pair for name, pair in found.items() if pair is not None}


def _number(summary: Summary, name: str) -> tuple[float, float] | None:
    """A number of a summary and its null, by a name in `NUMBERS`; None where it has none."""
    kind, _, where = name.partition(".")
    if kind in ("accuracy", "loss"):
        answers = summary.accuracy.get(where)
        if answers is None:
            return None
        value, null = (
            (answers.value, answers.chance) if kind == "accuracy" else (answers.loss, None)
        )
    elif kind in ("ari", "onset"):
        clusters = summary.clusters.get(where)
        if clusters is None:
            return None
        if kind == "onset":
            return _date(clusters.onset.step)
        known = [each for each in clusters.null.model_dump().values() if each is not None]
        value, null = clusters.last, max(known, default=None)
    elif kind in ("words", "untrained", "embedding"):
        value, null = _twin_of(summary, kind, where), None
    elif kind == "accuracy_onset":
        return None if summary.accuracy_onset is None else _date(summary.accuracy_onset.step)
    elif kind in ("shift", "erase"):
        value, null = _strongest(summary, kind)
    elif kind == "embedding_change":
        value, null = summary.embedding_change.get(where), None
    elif kind == "places":
        value, null = _places(summary, where), None
    else:
        value, null = summary.recording_share, None
    return None if value is None else (value, math.nan if null is None else null)


def _reached(folder: Path, name: str) -> tuple[float, float] | None:
    """When accuracy reached 90 %; by chance it never does, which a twin has to show."""
    kind, _, split = name.partition(".")
    found = reached(folder, split)
    if found is None:
        return None
    date = found.steps if kind == "steps_to_90" else found.tokens
    return None if math.isnan(date) else (date, math.nan)


def _twin_of(summary: Summary, kind: str, position: str) -> float | None:
    """The ARI of what the chosen stream is laid beside."""
    if kind == "embedding":
        places = (place for place in summary.places if place.stream == "embed")
        return next((place.ari for place in places if place.position == position), None)
    clusters = summary.clusters.get(position)
    if clusters is None:
        return None
    return clusters.null.n2 if kind == "words" else clusters.null.n1


def _date(step: int | None) -> tuple[float, float]:
    """An onset; one that never comes is later than all others."""
    return (math.inf if step is None else float(step)), math.nan


def _strongest(summary: Summary, effect: str) -> tuple[float | None, float | None]:
    """The largest effect, and what chance or a random erasure does at that place."""
    best = summary.strongest_shift if effect == "shift" else summary.strongest_erase
    if best is None:
        return None, None
    for place in summary.tested:
        if (place.stream, place.position) == (best.stream, best.position) and place.effects:
            effects = place.effects
            return best.value, effects.chance if effect == "shift" else effects.random_erase
    return best.value, None


def _places(summary: Summary, what: str) -> float | None:
    counts = list(place_counts(summary).values())
    if what == "clusters":
        return float(counts[0]) if counts else None
    return float(counts[1] + counts[3]) if len(counts) > 1 else None

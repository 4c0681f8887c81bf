"""The settings of a study ranked by how soon they answer well: which policy to take home."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate._core.names import nearest
from nucleate.findings import Ranked, Reached, columns, json_value, rank, ranking_words, reached
from nucleate.studies._folders import state_of
from nucleate.studies._page import REACHED, Study, StudyRun
from nucleate.studies._table import shown

Dates = dict[int, tuple[float, float]]


@dataclass(frozen=True)
class StudyRanking:
    """The settings of a study, the soonest first.

    Attributes:
        name: of the study.
        number: what they are ranked by, as `tokens_to_90.unseen_cell`.
        reference: the setting that the others are compared with, the first of the page.
        rows: the settings.
        twins: twin -> setting -> the median of the twin's runs; infinite where they never get
            there.
        words: what the ranking says.
    """

    name: str
    number: str
    reference: str
    rows: tuple[Ranked, ...]
    twins: Mapping[str, Mapping[str, float]]
    words: tuple[str, ...]

    def lines(self) -> list[str]:
        """For a terminal."""
        head = ["rank", "setting", self.number, "reached", f"against {self.reference}", "p",
                *self.twins]  # fmt: skip
        return [*columns([head, *map(self._cells, self.rows)]), *self.words]

    def records(self) -> list[dict[str, Any]]:
        """One mapping a setting; what is missing or infinite is None, `reached` says of how many
        seeds it is not.
        """
        found = []
        for row in self.rows:
            medians = {f"value.{twin}": of.get(row.setting) for twin, of in self.twins.items()}
            found.append(json_value({**asdict(row), **medians}))
        return found

    def to_dict(self) -> dict[str, Any]:
        """The same for programs."""
        about = {"name": self.name, "number": self.number, "reference": self.reference}
        return {**about, "rows": self.records(), "words": list(self.words)}

    def _cells(self, row: Ranked) -> list[str]:
        ends = "" if math.isnan(row.low) else f" [{shown(row.low)}, {shown(row.high)}]"
        against = f"sooner {row.sooner}, later {row.later}, same {row.same}"
        mine = row.standing == "reference"
        return [
            str(row.rank or "–"), row.setting, shown(row.value) + ends,
            f"{row.reached} of {row.seeds}", "–" if mine else against,
            "–" if mine else f"{row.p:.3f}",
            *(shown(medians.get(row.setting, math.nan)) for medians in self.twins.values()),
        ]  # fmt: skip


def rank_study(study: Study, out: Path | str, number: str) -> StudyRanking:
    """Rank the settings of a study by when accuracy reaches 90 %; nothing is changed.

    Args:
        study: from `read_study`. The first setting of its page is what the others are compared
            with, seed by seed: let it be what is done today.
        out: the folder of the runs.
        number: `tokens_to_90.SPLIT` or `steps_to_90.SPLIT`. Tokens are the fair one where settings
            train on batches or texts of different length.

    Returns:
        The ranking of finished runs.

    Raises:
        BadInput: the number is none of these, no run is done, or what a run found is damaged.
    """
    out = as_path("out", out)
    if number not in REACHED:
        raise BadInput(
            f"cannot rank by {number!r}{nearest(number, REACHED)}; choose from {', '.join(REACHED)}"
        )
    own: dict[str, Dates] = {}
    twins: dict[str, dict[str, Dates]] = {twin: {} for twin in study.twins}
    rows = []
    for run in study.runs:
        found = _reached(run, out, number)
        if found is not None and not any(map(math.isnan, date := _date(found, number))):
            place = twins[run.twin] if run.twin else own
            place.setdefault(run.setting, {})[run.config.seed] = date
            rows.append(found.rows)
    reference = study.runs[0].setting
    if reference not in own:
        raise BadInput(
            f"study {study.name}: no run of its first setting, {reference}, is done and has "
            f"{number}, so that there is nothing to compare with; run the study first"
        )
    ranked = rank(own, reference)
    medians = {
        twin: {name: float(np.median([date for date, _ in d.values()])) for name, d in of.items()}
        for twin, of in twins.items()
    }
    words = (*ranking_words(ranked), _rows_words(min(rows), number))
    if len(rows) < len(study.runs):
        words += (f"{len(study.runs) - len(rows)} of {len(study.runs)} runs are not in it: they "
                  f"are not done, or have no {number}.",)  # fmt: skip
    return StudyRanking(study.name, number, reference, tuple(ranked), medians, words)


def _reached(run: StudyRun, out: Path, number: str) -> Reached | None:
    """When a run got there; None where it is not done, or has no rows of the split."""
    if state_of(out / run.key) != "done":
        return None
    return reached(out / run.key / run.folder_name, number.partition(".")[2])


def _date(found: Reached, number: str) -> tuple[float, float]:
    """The date in steps or tokens, and the last recorded moment before it."""
    if number.startswith("steps"):
        return found.steps, found.steps_after
    return found.tokens, found.tokens_after


def _rows_words(rows: int, number: str) -> str:
    split = number.partition(".")[2]
    return (
        f"Accuracy is of {rows} rows of {split}, so that one answer is {100 / rows:.1f} points; "
        "recording.rows asks for more."
    )

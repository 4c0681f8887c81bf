"""The rules: from numbers to *clusters*, *used* and the name of a place; each stands only here."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from nucleate._core.errors import BadInput
from nucleate.intervene import FEWEST_STRINGS_USED as FEWEST_STRINGS_USED
from nucleate.panel import select_rows

ClusterVerdict = Literal["clusters", "none", "undecided"]
Use = Literal["used", "not used", "undecided"]
PlaceVerdict = Literal[
    "used", "used without clusters", "present but not used", "absent", "undecided"
]
SourceVerdict = Literal["read", "not read", "undecided"]
Interval = tuple[float, float]
Row = Mapping[str, Any] | pd.Series

# The columns of a panel that a value must exceed to be more than chance.
NULLS = ("n0_q99", "n1_max", "n2")
_NAMES = ("N0", "N1", "N2")
# An effect smaller than this is called none: a tenth of the answers.
MARGIN = 0.1
FEWEST_STRINGS_CLUSTERS = 10
"""Fewest instruction strings on which *clusters* and *none* may rest.

Two tasks of five strings are the least that can be permuted in more than a hundred ways;
docs/measuring.md has the coverage of the intervals by number of strings.
"""
RULES = (
    f"used: a shift makes task B's answer beyond chance, a third task's answer and each control, "
    f"or LEACE costs accuracy beyond a random subspace and a random displacement of the same size, "
    f"by more than {MARGIN:.0%} of the answers, at the lower end of the interval (bootstrap over "
    "instruction strings, corrected for both questions and the number of places)",
    f"not used: these effects, that of removal at right angles, and that of putting in the whole "
    f"state of a row of task B are each less than {MARGIN:.0%} at the upper end of the interval",
    "present: task clusters by the panel's verdict; without a panel, nearest task means of other "
    "instruction strings find the task more often than at any place under 19 of 20 permutations of "
    "the tasks over strings",
    "present but not used: not used, and present; absent: not used, and not present",
    f"undecided: all else, use that rests on fewer than {FEWEST_STRINGS_USED} instruction strings, "
    f"and clusters that rest on fewer than {FEWEST_STRINGS_CLUSTERS}",
)

SOURCE_RULES = (
    f"read: cutting the span loses, or leaving it alone regains, more than {MARGIN:.0%} of the "
    "answers at the lower end of the interval (bootstrap over instruction strings, for all spans "
    "and blocks at once)",
    f"not read: both are less than {MARGIN:.0%} at the upper end; said of several blocks at once "
    "only, since a single one may be backed up by others",
    f"undecided: all else, and what rests on fewer than {FEWEST_STRINGS_USED} instruction strings",
)


def cluster_verdict(row: Row) -> ClusterVerdict:
    """Say whether a row of the panel shows clusters beyond chance.

    Args:
        row: a row of `Panel.table`; meant for ARI(task), the rows that have an interval.

    Returns:
        `clusters` if the value and the lower end of its interval exceed the 99 % point of N0, the
        most of N1, and N2; all of them must be there. `none` if the value does not exceed the
        99 % point of N0, or the states are constant. `undecided` otherwise: surface text or
        untrained weights may explain it, something is missing, or there are fewer than
        `FEWEST_STRINGS_CLUSTERS` instruction strings. `why_undecided` says which.

    Notes:
        The verdict is about one place, which must not be chosen on the strings that it is judged
        on (`choose_stream`). Among many places that are all judged, one in a hundred exceeds N0 by
        chance.
    """
    if row["note"] == "constant":
        return "none"
    if _few_strings(row):
        return "undecided"
    if row["value"] <= row["n0_q99"]:
        return "none"
    return "undecided" if _not_exceeded(row) else "clusters"


def why_undecided(row: Row) -> str:
    """Why `cluster_verdict` of a row of the panel is undecided; empty where it is not."""
    if cluster_verdict(row) != "undecided":
        return ""
    if math.isnan(row["value"]):
        return str(row["note"])
    if math.isnan(row["n0_q99"]):
        return str(row["note"]) or "N0 was not drawn"
    if _few_strings(row):
        count = int(row["strings"])
        return f"{count} instruction strings; at least {FEWEST_STRINGS_CLUSTERS} are needed"
    absent = [name for name, bar in zip(_NAMES, NULLS, strict=True) if math.isnan(row[bar])]
    if absent:
        return f"{' and '.join(absent)} not measured"
    return f"not above {' and '.join(_not_exceeded(row))} with the whole interval"


def _few_strings(row: Row) -> bool:
    """Whether there are too few strings; their number is not known in panels of version 0.1."""
    return bool(row.get("strings", math.nan) < FEWEST_STRINGS_CLUSTERS)


def _not_exceeded(row: Row) -> list[str]:
    """The nulls that the value and its interval do not exceed, or that are missing."""
    return [
        name
        for name, bar in zip(_NAMES, NULLS, strict=True)
        # A comparison with NaN is false: what is missing cannot be exceeded.
        if not (row["value"] > row[bar] and row["low"] > row[bar])
    ]


def use_verdict(row: Row) -> Use:
    """Say whether a row of a causal map shows that the place is used.

    Args:
        row: of `CausalMap.table`.

    Returns:
        `used` if the shift's or the eraser's excess over every control is more than a tenth of
        the answers at the lower end of its interval. `not used` if these, removal at right angles
        and the whole state of another task are each less than that at the upper end. Intervals
        over fewer than `FEWEST_STRINGS_USED` instruction strings count as not known. Else
        `undecided`.
    """
    decisive, silent = [], []
    for question, beside in (("shift", "patch"), ("erase", "ablate")):
        if row[f"{question}_strings"] >= FEWEST_STRINGS_USED:
            decisive.append(_bounds(row, f"{question}_excess"))
            silent.append(_bounds(row, f"{beside}_excess"))
    return use_of(decisive, silent)


def use_of(decisive: Sequence[Interval], silent: Sequence[Interval]) -> Use:
    """`used`, `not used` or `undecided`.

    Args:
        decisive: intervals of the effects of which each alone means use; NaN where not known.
        silent: intervals of further effects that must be small where nothing is used.
    """
    known = [interval for interval in decisive if not math.isnan(interval[0])]
    if any(low > MARGIN for low, _ in known):
        return "used"
    also = [interval for interval in silent if not math.isnan(interval[0])]
    if known and all(high < MARGIN for _, high in (*known, *also)):
        return "not used"
    return "undecided"


def source_verdict(row: Row) -> SourceVerdict:
    """Say whether a place takes what its answers rest on from a span of earlier tokens.

    Args:
        row: of `nucleate.intervene.attention_sources`.

    Returns:
        `read` if cutting the span loses, or leaving it alone regains, more than a tenth of the
        answers at the lower end of its interval. `not read` if both are known and less than that
        at the upper end. Else, and on fewer than `FEWEST_STRINGS_USED` instruction strings,
        `undecided`.

    Notes:
        Whether a span matters more than as many other tokens is another question, answered by the
        columns `lost_excess` and `regained_excess`.
    """
    if row["strings"] < FEWEST_STRINGS_USED:
        return "undecided"
    both = [_bounds(row, f"{effect}_simultaneous") for effect in ("lost", "regained")]
    if any(low > MARGIN for low, _ in both):
        return "read"
    # A comparison with NaN is false: what was not asked cannot be small.
    return "not read" if all(high < MARGIN for _, high in both) else "undecided"


def place_verdict(clusters: ClusterVerdict, use: Use) -> PlaceVerdict:
    """What a place is called.

    Args:
        clusters: of `cluster_verdict`, or whether the task is decodable where there is no panel.
        use: of `use_verdict`.
    """
    if use == "undecided":
        return "undecided"
    if use == "used":
        return "used without clusters" if clusters == "none" else "used"
    named: dict[ClusterVerdict, PlaceVerdict] = {
        "clusters": "present but not used", "none": "absent", "undecided": "undecided",
    }  # fmt: skip
    return named[clusters]


def _bounds(row: Row, name: str) -> Interval:
    return float(row[f"{name}_low"]), float(row[f"{name}_high"])


def choose_stream(table: pd.DataFrame, position: str, view: str, step: int) -> str:
    """Choose the stream of most ARI(task) on the half `choose`, to be reported on the other.

    Args:
        table: of a panel.
        position: of the states.
        view: `raw` or `conditioned`.
        step: at which to choose.

    Returns:
        Any but the embedding; the first of those that are equal.

    Raises:
        BadInput: no stream has a value there.
    """
    rows = select_rows(
        table, position=position, view=view, step=step, label="task", metric="ari", half="choose"
    )
    deep = ~rows["stream"].str.match(r"embed(\.|$)")
    wanted = rows[deep & rows["value"].notna()]
    if wanted.empty:
        raise BadInput(
            f"no stream has an ARI at step {step}, position {position!r}, view {view!r}; "
            "choose among the steps, positions and views of the table"
        )
    return str(wanted["stream"].iloc[int(wanted["value"].to_numpy().argmax())])

"""What a panel says of a run, in numbers and in sentences made from them."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from nucleate._core.arguments import as_path
from nucleate.dynamics import Abruptness, Onset, abruptness
from nucleate.findings._dynamics_words import describe_abruptness, describe_onset
from nucleate.findings._format import json_value
from nucleate.findings._headline import (
    Headline,
    ari_onset,
    headline_places,
    values_of,
)
from nucleate.findings._measured import dropped_words, up_to_last_finite
from nucleate.findings._rules import NULLS, cluster_verdict, why_undecided
from nucleate.panel import Panel, select_rows

_FEWEST_STEPS = 8
"""To tell curves apart."""


@dataclass(frozen=True)
class PlaceFound:
    """One position, seen at the stream of most ARI(task) on the other half of the strings.

    Attributes:
        position, view, stream: of the states.
        ari, low, high: at the last step, with 95 % of the bootstrap over strings.
        nulls: the bars that it must exceed; None for one that is not there.
        verdict: `clusters`, `none` or `undecided`.
        reason: why it is undecided; empty where it is not.
        onset: when ARI left its nulls for good; None where there is one step only.
        first_step: the first recorded step.
        abrupt: read-out -> how abruptly it changed; where there are enough steps.
    """

    position: str
    view: str
    stream: str
    ari: float
    low: float | None
    high: float | None
    nulls: Mapping[str, float | None]
    verdict: str
    reason: str
    onset: Onset | None
    first_step: int
    abrupt: Mapping[str, Abruptness]

    def line(self) -> str:
        """Place, verdict, value beside its nulls, and since when, in one line."""
        words = {"clusters": "clusters", "none": "no clusters", "undecided": "undecided"}
        bars = ", ".join(
            f"{name} {'missing' if value is None else f'{value:.2f}'}"
            for name, value in self.nulls.items()
        )
        interval = "" if self.low is None else f" [{self.low:.2f}, {self.high:.2f}]"
        why = f" ({self.reason})" if self.reason else ""
        return (
            f"{self.position} ({self.view}, {self.stream}): {words[self.verdict]}{why}; "
            f"ARI(task) {self.ari:.2f}{interval} ({bars}); {self._since()}."
        )

    def _since(self) -> str:
        """Since when it stays above the nulls that are there, with the interval."""
        if self.onset is None:
            return f"one step recorded, {self.first_step}"
        if self.onset.step is None:
            return "at no step above them for good"
        if self.onset.low is None or self.onset.high is None:
            return f"above them since step {self.onset.step} [no interval]"
        if self.onset.low <= self.first_step:
            return f"above them since step {self.onset.high:g} at the latest"
        return f"above them since step {self.onset.step} [{self.onset.low:g}, {self.onset.high:g}]"

    def details(self) -> list[str]:
        """How the value came to be there, in sentences."""
        found = []
        if self.onset is not None:
            found.append(describe_onset(self.onset, "ARI(task)", float(self.first_step)))
        return found + [describe_abruptness(each, name) for name, each in self.abrupt.items()]


@dataclass(frozen=True)
class PanelFound:
    """What `describe_panel` found.

    Attributes:
        steps, streams, numbers: how many there are in the table.
        places: one a position.
        missing: null -> what it needs.
        seconds: part -> seconds of this sitting.
        notes: what a reader must know.
    """

    steps: int
    streams: int
    numbers: int
    places: list[PlaceFound]
    missing: Mapping[str, str]
    seconds: Mapping[str, float]
    notes: list[str]

    def lines(self, folder: Path | str, *, details: bool = False) -> list[str]:
        """For a terminal: a line a position, and with details all that is known.

        Args:
            folder: where the tables are.
            details: sentences on each position, what is missing, and where the time went.
        """
        folder = as_path("folder", folder)
        found = [
            f"{self.numbers} numbers of {self.steps} steps and {self.streams} streams -> "
            f"{folder / 'panel.csv'}"
        ]
        found += [note for note in self.notes if note]
        for place in self.places:
            found.append(place.line())
            if details:
                found += [f"  {line}" for line in place.details()]
        if not details:
            if self.missing:
                names = ", ".join(self.missing)
                found.append(f"missing: {names} (--details says what they need)")
            return found
        found += [f"{name} is missing: {why}." for name, why in self.missing.items()]
        total = sum(self.seconds.values())
        if total:
            parts = sorted(self.seconds.items(), key=lambda item: -item[1])
            told = [f"{name} {spent:.2f}" for name, spent in parts if spent >= 0.01 * total]
            found.append(f"{total:.2f} s of one core: {', '.join(told)}")
        return found

    def to_json(self, run: Path | str) -> str:
        """One JSON object; what is missing is null."""
        run = as_path("run", run)
        return json.dumps(json_value({"run": str(run), **asdict(self)}))


def describe_panel(panel: Panel) -> PanelFound:
    """Say what a panel shows: clusters by position, since when, and how abruptly they came.

    Args:
        panel: of one run. Without the metric `agreement` there is nothing to say of clusters.
    """
    table = panel.table
    finite, dropped = up_to_last_finite(panel)
    if finite is None:
        notes = ["No position has an ARI(task), so that nothing is said of clusters."]
    else:
        notes = [dropped_words(dropped, int(finite.table["step"].max()))]
    return PanelFound(
        steps=int(table["step"].nunique()),
        streams=len(panel.streams),
        numbers=int(table["value"].notna().sum()),
        places=[] if finite is None else [_found(finite, at) for at in headline_places(finite)],
        missing=panel.missing,
        seconds=panel.seconds,
        notes=[note for note in notes if note],
    )


def _found(panel: Panel, place: Headline) -> PlaceFound:
    last = place.report.iloc[-1]
    several = len(place.report) > 1
    there = {"position": place.position, "view": place.view, "stream": place.stream}
    abrupt = {}
    for name, metric in (("class separation", "separation"), ("linear probe NLL", "probe_nll")):
        steps, values = values_of(
            select_rows(panel.table, label="task", metric=metric, half="all", **there)
        )
        if len(steps) >= _FEWEST_STEPS:
            abrupt[name] = abruptness(steps, values)
    return PlaceFound(
        **there,
        ari=float(last["value"]),
        low=_known(last["low"]),
        high=_known(last["high"]),
        nulls={name.split("_")[0].upper(): _known(last[name]) for name in NULLS},
        verdict=cluster_verdict(last),
        reason=why_undecided(last),
        onset=ari_onset(panel, place) if several else None,
        first_step=int(place.report["step"].iloc[0]),
        abrupt=abrupt,
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)

"""From evidence to numbers: what each statistic of the catalog is."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nucleate.findings import Summary
from nucleate.monitor.gate._evidence import Evidence, RunEvidence
from nucleate.monitor.gate._measured import Measured, broken, exact, missing
from nucleate.monitor.gate._page import Criterion

NOT_GIVEN = Measured()
"""No number, for its evidence was not given."""


def measure(criterion: Criterion, evidence: Evidence) -> list[Measured]:
    """The numbers that a criterion asks for: one a run, or one in all; at least one.

    Args:
        criterion: of a page.
        evidence: all that was given.
    """
    if criterion.evidence == "run":
        return _of_runs(criterion, evidence)
    if criterion.evidence == "control":
        return [_found_in_controls(evidence)]
    report = evidence.reports.get(criterion.evidence)
    if report is None:
        return [NOT_GIVEN]
    if report.content is None:
        return [broken(report.broken)]
    try:
        return [_OF_REPORT[criterion.evidence, criterion.statistic](report.content, evidence)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return [broken(f"{report.path.name} does not have what it must ({error!r})")]


def _of_runs(criterion: Criterion, evidence: Evidence) -> list[Measured]:
    if not evidence.runs:
        return [NOT_GIVEN]
    if criterion.statistic == "seeds":
        return [_seeds(evidence)]
    found = [_of_run(criterion, run) for run in evidence.runs]
    if len(found) == 1:
        return found
    return [replace(each, source=run.name) for each, run in zip(found, evidence.runs, strict=True)]


def _of_run(criterion: Criterion, run: RunEvidence) -> Measured:
    if run.broken:
        return broken(run.broken)
    if run.missing or run.summary is None:
        return missing(run.missing)
    return _OF_RUN[criterion.statistic](criterion, run, run.summary)


def _accuracy(criterion: Criterion, _run: RunEvidence, summary: Summary) -> Measured:
    """Share of right answers on a split; rows of one instruction string are not independent."""
    split = criterion.place
    if split not in summary.accuracy:
        have = ", ".join(summary.accuracy) or "none"
        return missing(f"the run has no answers on the split {split} (it has {have})")
    found = summary.accuracy[split]
    return Measured(found.value, found.low, found.high, found.strings, found.chance)


def _clusters(criterion: Criterion, run: RunEvidence, summary: Summary) -> Measured:
    """Agreement of clusters with tasks beside the highest null, by the summary's own judgment."""
    position = criterion.place
    if position not in summary.clusters:
        have = ", ".join(summary.clusters) or "none"
        return missing(f"clusters were not measured at {position} (there is {have})")
    found = summary.clusters[position]
    nulls = [null for null in (found.null.n0, found.null.n1, found.null.n2) if null is not None]
    undecided = found.verdict == "undecided"
    return Measured(
        found.last,
        found.low,
        found.high,
        run.strings.get((position, found.stream)),
        max(nulls, default=None),
        undecided=(found.reason or "a null is missing") if undecided else "",
    )


def _used(_criterion: Criterion, _run: RunEvidence, summary: Summary) -> Measured:
    """Places that answers depend on, beyond the controls of each; undecided ones may be some."""
    uses = Counter(place.effects.use for place in summary.places if place.effects is not None)
    if not uses:
        return missing("no interventions were made: nucleate intervene")
    used = uses["used"]
    return Measured(used, used, used + uses["undecided"], uses.total(), 0)


def _seeds(evidence: Evidence) -> Measured:
    """Runs that differ in their seed."""
    trained = [run.summary for run in evidence.runs if run.summary is not None]
    seeds = {summary.seed for summary in trained if summary.seed is not None}
    return exact(len(seeds), len(evidence.runs))


def _found_in_controls(evidence: Evidence) -> Measured:
    """Controls in which clusters or use are found, where there is nothing to be found."""
    if not evidence.controls:
        return NOT_GIVEN
    for run in evidence.controls:
        if run.broken:
            return broken(run.broken, run.name)
        if run.missing or run.summary is None:
            return missing(f"{run.name}: {run.missing}")
    shown = [run.summary.verdict for run in evidence.controls if run.summary is not None]
    found = sum(verdict.clusters == "clusters" or verdict.used == "used" for verdict in shown)
    return exact(found, len(shown), null=0)


def _flags(report: Mapping[str, Any], _evidence: Evidence) -> Measured:
    """Faults in a series of checkpoints."""
    flags, checkpoints = report["flags"], report["checkpoints"]
    if bool(report["ok"]) != (not flags):
        return broken("the report says ok and has flags, or the other way round")
    return exact(len(flags), len(checkpoints))


def _coverage(report: Mapping[str, Any], evidence: Evidence) -> Measured:
    """Share of the runs' tasks that are clusters of the atlas, with enough rows."""
    tasks = frozenset[str]().union(*(run.tasks for run in evidence.runs))
    if not tasks:
        return missing("the tasks are not known: give the run that the atlas is of")
    known = tasks & set(map(str, report["clusters"]))
    return exact(len(known) / len(tasks), len(tasks))


def _recognized(report: Mapping[str, Any], _evidence: Evidence) -> Measured:
    """Share of held-out rows that are nearest to their own cluster; by chance the most frequent's.

    The interval is Wilson's (1927, "Probable inference, the law of succession").
    """
    from statsmodels.stats.proportion import proportion_confint

    confusion = np.asarray(report["confusion"])
    right, rows = int(confusion.trace()), int(confusion.sum())
    low, high = proportion_confint(right, rows, method="wilson")
    chance = float(confusion.sum(1).max() / rows)
    return Measured(right / rows, float(low), float(high), rows, chance)


def _raised(report: Mapping[str, Any], _evidence: Evidence) -> Measured:
    """Alarms that stand after a training."""
    alarms, verdict = report["alarms"], str(report["verdict"])
    if (verdict == "alarm") != bool(alarms):
        return broken(f"the report says {verdict!r} and names {len(alarms)} alarms")
    few = verdict == "too few"
    found = exact(len(alarms), int(report["readings"]))
    return replace(found, undecided="too few readings for an alarm" if few else "")


def _drift_found(report: Mapping[str, Any], _evidence: Evidence) -> Measured:
    """Kinds of shift beyond the rate of false alarms; none, where one could be missed, is open."""
    found = sum(bool(signal["found"]) for signal in report["signals"])
    verdict = str(report["verdict"])
    if (verdict == "drift") != (found > 0):
        return broken(f"the report says {verdict!r} and names {found} shifts")
    open_verdict = verdict if verdict in ("undecided", "too few") else ""
    number = exact(found, int(report["requests"]))
    return replace(number, undecided=open_verdict and f"drift is {open_verdict}")


def _detectable(report: Mapping[str, Any], _evidence: Evidence) -> Measured:
    """Smallest shift that is found in nine of ten cases, of the kind that is hardest to find."""
    shares = [kind["share"] for kind in report["detectable"]]
    if not shares:
        return missing("the report does not say which shift would have been found")
    if None in shares:
        return missing("not even a shift of all requests would have been found")
    return exact(max(map(float, shares)), int(report["requests"]))


def _gaps(report: Mapping[str, Any], _evidence: Evidence) -> Measured:
    """Clusters, groups or slices that go wrong more often, by as much as matters."""
    verdict, gaps = str(report["verdict"]), int(report["gaps"])
    if gaps and verdict != "gap":
        return broken(f"the report says {verdict!r} and counts {gaps} gaps")
    open_verdict = verdict if verdict in ("undecided", "too few") else ""
    # An attribute whose edit flips answers is a gap without a cell.
    found = exact(max(gaps, int(verdict == "gap")), int(report["n"]))
    return replace(found, undecided=open_verdict and f"the audit is {open_verdict}")


def _unsettled(report: Mapping[str, Any], _evidence: Evidence) -> Measured:
    """Whole groups for which a gap that matters could have been missed."""
    return exact(int(report["unsettled"]), int(report["n"]))


_OF_RUN: dict[str, Callable[[Criterion, RunEvidence, Summary], Measured]] = {
    "accuracy": _accuracy,
    "clusters": _clusters,
    "used": _used,
}
_OF_REPORT: dict[tuple[str, str], Callable[[Mapping[str, Any], Evidence], Measured]] = {
    ("series", "flags"): _flags,
    ("atlas", "coverage"): _coverage,
    ("atlas", "recognized"): _recognized,
    ("alarms", "raised"): _raised,
    ("drift", "found"): _drift_found,
    ("drift", "detectable"): _detectable,
    ("audit", "gaps"): _gaps,
    ("audit", "unsettled"): _unsettled,
}

"""The gate itself: a page of criteria and the evidence go in, one decision comes out."""

import time
from collections.abc import Mapping
from pathlib import Path

import nucleate
from nucleate._core.arguments import check_number
from nucleate._core.errors import BadInput
from nucleate.monitor.gate._evidence import Evidence, RunEvidence
from nucleate.monitor.gate._false_alarms import false_alarms
from nucleate.monitor.gate._measured import Measured
from nucleate.monitor.gate._page import Criterion, Page
from nucleate.monitor.gate._record import changes, first_use, other_pages
from nucleate.monitor.gate._report import Changed, GateReport, Judged, Subject, Thresholds
from nucleate.monitor.gate._statistics import measure
from nucleate.monitor.gate._verdict import WORST_FIRST, Reason, Verdict, judge, overall
from nucleate.monitor.gate._words import sentence


def run_gate(
    page: Page,
    evidence: Evidence,
    *,
    record: Path | str | None = None,
    requests_a_day: float | None = None,
    trainings_a_month: float | None = None,
    now: float | None = None,
) -> GateReport:
    """Judge evidence by a page of criteria.

    Args:
        page: of `read_page`.
        evidence: of `read_evidence`.
        record: of `record_thresholds`; says since when the thresholds stand. None: not known.
        requests_a_day: traffic, for the expected number of false alarms; by default the page's.
        trainings_a_month: likewise.
        now: Unix seconds; the clock's by default.

    Returns:
        The report: the decision, and each criterion with its number, interval, n and null.

    Raises:
        BadInput: the record is damaged, or the traffic is negative or no number.

    Notes:
        Of several runs each criterion is judged on all, and the weakest is reported. A pass says
        that the evidence keeps the bounds, not that the bounds are the right ones.
    """
    criteria = [_judged(criterion, evidence) for criterion in page.criteria]
    _check_traffic(requests_a_day=requests_a_day, trainings_a_month=trainings_a_month)
    given = {"requests_a_day": requests_a_day, "trainings_a_month": trainings_a_month}
    traffic = page.traffic.model_copy(update={k: v for k, v in given.items() if v is not None})
    return GateReport(
        nucleate=nucleate.__version__,
        time=time.time() if now is None else now,
        stage=page.name,
        subjects=[_subject(run) for run in evidence.runs if run.summary is not None],
        title=page.title,
        verdict=overall((each.verdict, each.severity) for each in criteria),
        asks=page.asks,
        not_asked=page.not_asked,
        costs=page.costs,
        next=page.next,
        criteria=criteria,
        thresholds=_thresholds(page, evidence, record),
        requests_a_day=traffic.requests_a_day,
        trainings_a_month=traffic.trainings_a_month,
        false_alarms=false_alarms(evidence, traffic),
        inputs=_inputs(evidence),
        notes=_notes(evidence),
    )


def _check_traffic(**given: float | None) -> None:
    for name, value in given.items():
        if value is not None:
            check_number(name, value)
            if value < 0:
                raise BadInput(f"{name} is {value!r}; give a number of at least 0")


def _judged(criterion: Criterion, evidence: Evidence) -> Judged:
    found = [(each, *judge(criterion, each)) for each in measure(criterion, evidence)]
    measured, verdict, reason = min(found, key=lambda one: _weakness(criterion, one[0], one[1]))
    without_words = _as_judged(criterion, measured, verdict, reason, len(found))
    return without_words.model_copy(update={"sentence": sentence(without_words, "en")})


def _weakness(criterion: Criterion, found: Measured, verdict: Verdict) -> tuple[int, float]:
    """Sorts the weakest of several runs first."""
    value = float(found.value or 0)
    return WORST_FIRST.index(verdict), value if criterion.at_least is not None else -value


def _as_judged(
    criterion: Criterion, found: Measured, verdict: Verdict, reason: Reason, runs: int
) -> Judged:
    number = found if not found.broken else Measured(broken=found.broken)
    return Judged(
        name=criterion.name,
        title=criterion.title,
        why=criterion.why,
        evidence=criterion.evidence,
        statistic=criterion.statistic,
        where=criterion.place,
        verdict=verdict,
        reason=reason,
        severity=criterion.severity,
        value=number.value,
        low=number.low,
        high=number.high,
        n=number.n,
        counted=criterion.kind.counted,
        null=number.null if criterion.chance is None else criterion.chance,
        at_least=criterion.at_least,
        at_most=criterion.at_most,
        end=criterion.held_end,
        fewest=criterion.fewest,
        source=found.source,
        runs=runs if criterion.evidence == "run" else 0,
        detail=(found.broken or found.missing or found.undecided).rstrip("."),
        sentence="",
    )


def _thresholds(page: Page, evidence: Evidence, record: Path | str | None) -> Thresholds:
    since = None if record is None else first_use(page, record)
    ended = evidence.first_ended
    return Thresholds(
        page=page.name,
        digest=page.digest,
        first_used=since,
        before_evidence=None if since is None or ended is None else since < ended,
        changed=[] if record is None else [_changed(each) for each in changes(page, record)],
        other_pages=[] if record is None else other_pages(page, record),
    )


def _changed(found: Mapping[str, object]) -> Changed:
    return Changed.model_validate(
        {key: found[key] for key in ("criterion", "key", "before", "now")}
    )


def _subject(run: RunEvidence) -> Subject:
    found = run.summary
    assert found is not None  # those without one are left out
    return Subject(
        name=run.name, model=found.model, tasks=found.tasks, seed=found.seed, steps=found.steps
    )


def _inputs(evidence: Evidence) -> dict[str, str]:
    found = {}
    for what, runs in (("run", evidence.runs), ("control", evidence.controls)):
        for run in runs:
            found[f"{what} {run.name}: settings"] = run.config_hash
            found[f"{what} {run.name}: prompts"] = run.prompts_hash
            found[f"{what} {run.name}: summary.json"] = run.sha256
    for kind, report in evidence.reports.items():
        found[f"{kind}: {report.path.name}"] = report.sha256
    atlas = evidence.reports.get("atlas")
    if atlas is not None and atlas.content is not None:
        found["atlas"] = str(atlas.content["version"])
    return {name: digest for name, digest in found.items() if digest}


def _notes(evidence: Evidence) -> list[str]:
    notes = list(evidence.notes)
    for run in evidence.runs:
        summary = run.summary
        if summary is None:
            continue
        notes += [f"{run.name}: {note}" for note in summary.notes]
        if summary.null is not None:
            notes.append(f"{run.name} is a control ({summary.null}): nothing should be found in it")
    hashes = {run.prompts_hash for run in evidence.runs}
    if len(hashes) > 1:
        notes.append("the runs were read on different prompts")
    return notes

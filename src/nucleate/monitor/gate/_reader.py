"""What the pages for people show of a gate, in one language, in the order in which it is read."""

from dataclasses import dataclass

from nucleate.findings import plain
from nucleate.monitor.gate._report import GateReport, Judged
from nucleate.monitor.gate._verdict import WORST_FIRST
from nucleate.monitor.gate._words import (
    Language,
    check_language,
    day,
    false_alarm_lines,
    sentence,
    threshold_lines,
    word,
)

_MOST_NAMES = 3


@dataclass(frozen=True)
class Shown:
    """One criterion on a page."""

    title: str
    verdict: str
    mark: str
    sentence: str
    why: str


@dataclass(frozen=True)
class Reading:
    """A gate in words."""

    language: Language
    verdict: str
    decision: str
    meaning: str
    stage: str
    subjects: list[str]
    asks: str
    judged: str
    criteria: list[Shown]
    thresholds: list[str]
    not_asked: list[str]
    false_alarms: list[str]
    next: str
    costs: list[tuple[str, str]]
    notes: list[str]
    hashes: list[tuple[str, str]]
    evidence: str

    def heading(self, name: str) -> str:
        """The title of a part."""
        return word(f"page.{name}", self.language)


def reading(report: GateReport, language: Language) -> Reading:
    """All that a page says, made from the report alone."""
    order = {verdict: rank for rank, verdict in enumerate(WORST_FIRST)}
    listed = sorted(report.criteria, key=lambda each: order[each.verdict])
    in_service = any(each.evidence in ("alarms", "drift", "audit") for each in report.criteria)
    nothing = word("rate.not_given" if in_service else "rate.none", language)
    alarms = false_alarm_lines(report, language) or [nothing]
    after = word(f"next.{report.verdict}", language)
    if report.verdict == "pass" and report.next.text(language):
        after = report.next.text(language)
    return Reading(
        language=language,
        verdict=report.verdict,
        decision=word(f"verdict.{report.verdict}", language),
        meaning=word(
            f"verdict.{report.verdict}.means", language, names=_deciding(report, language)
        ),
        stage=report.title.text(language) or report.stage,
        subjects=[
            word("page.subject", language, model=one.model, tasks=one.tasks, name=one.name)
            for one in report.subjects
        ],
        asks=report.asks.text(language),
        judged=day(report.time),
        criteria=[_shown(each, language) for each in listed],
        thresholds=threshold_lines(report, language),
        not_asked=[each.text(language) for each in report.not_asked],
        false_alarms=alarms,
        next=after,
        costs=_costs(report, language),
        notes=list(report.notes),
        hashes=[("page", report.thresholds.digest), *report.inputs.items()],
        evidence=word("page.evidence", language),
    )


def _deciding(report: GateReport, language: Language) -> str:
    """Names of the criteria that the verdict follows from."""
    wanted = {report.verdict, "inconclusive"} if report.verdict == "warn" else {report.verdict}
    named = [
        each
        for each in report.criteria
        if each.verdict in wanted and (report.verdict != "inconclusive" or each.severity == "fail")
    ]
    between = "、" if language == "ja" else "; "
    names = [_title(each, language) for each in named[:_MOST_NAMES]]
    more = len(named) - len(names)
    return between.join([*names, *([word("page.others", language, n=more)] if more else [])])


def _shown(judged: Judged, language: Language) -> Shown:
    return Shown(
        _title(judged, language),
        judged.verdict,
        word(f"mark.{judged.verdict}", language),
        sentence(judged, language),
        judged.why.text(language),
    )


def _title(judged: Judged, language: Language) -> str:
    return judged.title.text(language) or judged.name


def _costs(report: GateReport, language: Language) -> list[tuple[str, str]]:
    costs = report.costs
    listed = (("minutes", costs.minutes), ("bytes", costs.bytes), ("people", costs.people))
    return [
        (word(f"cost.{name}", language), said.text(language))
        for name, said in listed
        if said.text(language)
    ]


def gate_lines(report: GateReport, language: str = "en") -> list[str]:
    """The decision and every criterion as lines for a terminal.

    Args:
        report: of `run_gate`.
        language: `en` or `ja`.

    Raises:
        BadInput: another language.
    """
    read = reading(report, check_language(language))
    head = word(
        "lines.head", read.language, stage=read.stage, decision=read.decision, meaning=read.meaning
    )
    lines = [plain(head)]
    lines += [plain(f"[{one.mark}] {one.title}: {one.sentence}") for one in read.criteria]
    lines += [plain(f"{read.heading('thresholds')} {line}") for line in read.thresholds]
    lines += [plain(f"{read.heading('notes')}: {line}") for line in read.notes]
    return [*lines, plain(f"{read.heading('next')}: {read.next}")]

"""A section for a model card, from the same numbers as the decision."""

from nucleate.findings import plain
from nucleate.monitor.gate._markdown import escaped
from nucleate.monitor.gate._report import GateReport, Judged
from nucleate.monitor.gate._words import asked, day, false_alarm_lines, shown, threshold_lines


def model_card(report: GateReport) -> str:
    """What was judged of a model, by which thresholds, and what was not, as Markdown in English.

    Args:
        report: of `run_gate`.

    Returns:
        A section with a heading of the second level, to be put into a card as it is.
    """
    title = escaped(report.title.text("en") or report.stage)
    lines = [
        f"## Evidence for the stage *{title}*",
        "",
        f"Judged {day(report.time)} by nucleate {escaped(report.nucleate)}: "
        f"**{report.verdict}**. This section supports evidence for a decision on the model; it "
        "is no statement that the model meets a law or a standard.",
        "",
        *(
            f"- {escaped(f'{one.model}; {one.tasks}; seed {one.seed}; {one.steps:,} steps')}"
            for one in report.subjects
        ),
        "",
        "| criterion | asked | found | 95 % interval | by chance | n | verdict |",
        "|---|---|---|---|---|---|---|",
        *(_row(judged) for judged in report.criteria),
        "",
        "Thresholds: " + " ".join(escaped(line) for line in threshold_lines(report, "en")),
        "",
    ]
    if report.not_asked:
        lines += ["Not asked:", ""]
        lines += [f"- {escaped(each.text('en'))}" for each in report.not_asked] + [""]
    alarms = false_alarm_lines(report, "en")
    if alarms:
        lines += ["False alarms to expect:", "", *(f"- {escaped(each)}" for each in alarms), ""]
    lines += ["Hashes of what was judged:", ""]
    lines += [
        f"- {escaped(name)}: `{plain(digest)}`"
        for name, digest in (("page of criteria", report.thresholds.digest), *report.inputs.items())
    ]
    return "\n".join(lines) + "\n"


def _row(judged: Judged) -> str:
    value, low, high, null = (
        shown(number, judged, "en")
        for number in (judged.value, judged.low, judged.high, judged.null)
    )
    exact = judged.low is not None and judged.low == judged.high
    between = "exact" if exact else f"{low} to {high}"
    n = "unknown" if judged.n is None else f"{judged.n:,} {judged.counted}"
    cells = (
        judged.title.text("en") or judged.name, asked(judged, "en"), value, between, null, n,
        judged.verdict,
    )  # fmt: skip
    return f"| {' | '.join(escaped(cell) for cell in cells)} |"

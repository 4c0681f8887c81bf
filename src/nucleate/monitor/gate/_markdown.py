"""A gate as Markdown, for a merge request or an issue."""

from nucleate.findings import plain
from nucleate.monitor.gate._reader import reading
from nucleate.monitor.gate._report import GateReport
from nucleate.monitor.gate._words import check_language

_SPECIAL = "\\`*_{}[]<>()#+!|~&@"


def escaped(text: str) -> str:
    """Text of unknown origin that Markdown shows as it is, on one line."""
    return "".join(f"\\{c}" if c in _SPECIAL else c for c in plain(text))


def gate_markdown(report: GateReport, language: str = "en") -> str:
    """The decision, every criterion, what was not asked, and the hashes.

    Args:
        report: of `run_gate`.
        language: `en` or `ja`.

    Raises:
        BadInput: another language.
    """
    read = reading(report, check_language(language))
    lines = [
        f"# {escaped(read.heading('title'))}: {escaped(read.decision)}",
        "",
        f"{read.heading('stage')}: {escaped(read.stage)}. {read.heading('judged')}: {read.judged}.",
        "",
        escaped(read.meaning),
        "",
        *(f"- {escaped(subject)}" for subject in read.subjects),
        "",
        f"## {read.heading('reasons')}",
        "",
        "| | | |",
        "|---|---|---|",
        *(
            f"| {escaped(one.mark)} | {escaped(one.title)} | {escaped(one.sentence)} |"
            for one in read.criteria
        ),
        "",
    ]
    parts = (
        ("next", [read.next]),
        ("thresholds", read.thresholds),
        ("not_asked", read.not_asked),
        ("alarms", read.false_alarms),
        ("costs", [f"{name}: {said}" for name, said in read.costs]),
        ("notes", read.notes),
    )
    for name, texts in parts:
        if texts:
            lines += [f"## {read.heading(name)}", "", *(f"- {escaped(t)}" for t in texts), ""]
    lines += [f"## {read.heading('hashes')}", ""]
    lines += [f"- {escaped(name)}: `{plain(digest)}`" for name, digest in read.hashes]
    lines += ["", escaped(read.evidence)]
    return "\n".join(lines) + "\n"

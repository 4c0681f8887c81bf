"""The files of a gate: for programs, build servers and people."""

from pathlib import Path

from nucleate._core.arguments import as_path
from nucleate.monitor.gate._html import gate_html
from nucleate.monitor.gate._junit import junit_xml
from nucleate.monitor.gate._markdown import gate_markdown
from nucleate.monitor.gate._model_card import model_card
from nucleate.monitor.gate._report import GateReport
from nucleate.monitor.gate._words import check_language
from nucleate.runs import write_json, write_whole

FILES = ("gate.json", "gate.xml", "gate.md", "gate.html", "model-card.md")


def write_gate(report: GateReport, folder: Path | str, *, language: str = "en") -> None:
    """Write a gate as JSON, JUnit XML, Markdown, HTML and a section of a model card.

    Args:
        report: of `run_gate`.
        folder: is made where it is not there.
        language: of Markdown and HTML: `en` or `ja`.

    Raises:
        BadInput: another language.
    """
    folder = as_path("the folder of the gate", folder)
    language = check_language(language)
    write_json(folder / "gate.json", report.model_dump(mode="json"))
    write_whole(folder / "gate.xml", junit_xml(report))
    write_whole(folder / "gate.md", gate_markdown(report, language).encode())
    write_whole(folder / "gate.html", gate_html(report, language).encode())
    write_whole(folder / "model-card.md", model_card(report).encode())

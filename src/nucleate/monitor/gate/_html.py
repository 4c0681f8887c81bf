"""A gate as one printable page for whoever decides: no script, nothing from elsewhere."""

from importlib import resources

from jinja2 import Environment
from markupsafe import Markup, escape

from nucleate.findings import plain
from nucleate.monitor.gate._reader import Reading, reading
from nucleate.monitor.gate._report import GateReport
from nucleate.monitor.gate._words import check_language, word

_MOST_CRITERIA, _FEW = 14, 6
"""What one printed page holds; the rest is counted, and all of it is in `gate.json`. Of few
criteria the page also says why they are asked."""
_MOST_TEXT = 420
_DENSE = 2000
"""Letters of all sentences from which they are set smaller."""


def gate_html(report: GateReport, language: str = "en") -> str:
    """The decision first, then why, what was not asked, and what comes next.

    Args:
        report: of `run_gate`.
        language: `en` or `ja`.

    Returns:
        A self-contained file, made for one sheet of A4. Names from outside are shown as inert text.

    Raises:
        BadInput: another language.
    """
    chosen = check_language(language)
    read = reading(report, chosen)
    folder = resources.files("nucleate.monitor.gate")
    template = Environment(
        autoescape=True, finalize=_finalize, trim_blocks=True, lstrip_blocks=True
    ).from_string(folder.joinpath("page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        read=read,
        style=Markup(folder.joinpath("page.css").read_text(encoding="utf-8")),
        criteria=read.criteria[:_MOST_CRITERIA],
        cut=_cut,
        more=lambda listed, most: (
            word("page.more", chosen, n=len(listed) - most) if len(listed) > most else ""
        ),
        most_criteria=_MOST_CRITERIA,
        most_lines=5 if len(read.criteria) <= _FEW else 3,
        size=_size(read),
    )


def _size(read: Reading) -> str:
    """How much there is to print, which decides how small it is set."""
    if len(read.criteria) <= _FEW:
        return "few"
    letters = sum(len(one.sentence) for one in read.criteria)
    # A Japanese letter is as wide as two Latin ones.
    return "many" if letters * (2 if read.language == "ja" else 1) <= _DENSE else "many dense"


def _finalize(value: object) -> object:
    """Texts as one inert line each, no number parted from its %; what is safe passes as it is."""
    if isinstance(value, str) and not isinstance(value, Markup):
        inert = str(escape(plain(value, _MOST_TEXT)))
        return Markup(inert.replace(" %", "&nbsp;%"))
    return value


def _cut(digest: str) -> str:
    """The beginning of a hash, which is enough to compare by eye."""
    return digest[:16]

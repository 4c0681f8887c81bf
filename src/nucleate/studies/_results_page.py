"""Pages of results, written from tables and never by hand."""

import math
from collections.abc import Sequence
from pathlib import Path

from nucleate._core.arguments import as_path
from nucleate.findings import CLAIM_RULES, ClaimResult, Condition, interval, number
from nucleate.runs import check_writable, write_whole
from nucleate.studies._claims import Claims
from nucleate.studies._claims_table import ClaimsTable
from nucleate.studies._table import StudyTable

_BAD_NEWS_FIRST = ("not supported", "undecided", "supported")


def write_claims_page(claims: Claims, table: ClaimsTable, path: Path | str) -> list[Path]:
    """Write a Markdown page of the claims, and their figure beside it.

    Args:
        claims: as they were judged.
        table: of `judge_claims`.
        path: of the page; the figure has its name and ends in `.png`.

    Returns:
        The files written.

    Raises:
        BadInput: the folder cannot be written.
    """
    path = as_path("path", path)
    check_writable(path.parent, "name another file")
    from nucleate.views import claims_figure, figure_style

    picture = path.with_suffix(".png")
    with figure_style():
        claims_figure(table.results).savefig(picture, dpi=150, metadata={"Software": None})
    write_whole(path, "\n".join(_claims_lines(claims, table, picture.name)).encode())
    return [path, picture]


def write_study_page(table: StudyTable, path: Path | str) -> list[Path]:
    """Write the table of any study as a Markdown page.

    Args:
        table: of `study_table`.
        path: of the page.

    Returns:
        The files written.

    Raises:
        BadInput: the folder cannot be written.
    """
    path = as_path("path", path)
    check_writable(path.parent, "name another file")
    rows = [
        [row.setting, row.of, f"{row.done} of {row.asked}"]
        + [str(row.cells[name]) if name in row.cells else "–" for name in table.numbers]
        for row in table.rows
    ]
    lines = [
        f"# {table.name}", "",
        "Means over seeds with 95 % intervals by Student's t, and the highest value by chance "
        "(null).", "",
        *_markdown(["setting", "", "seeds", *table.numbers], rows), "",
    ]  # fmt: skip
    write_whole(path, "\n".join(lines).encode())
    return [path]


def _claims_lines(claims: Claims, table: ClaimsTable, picture: str) -> list[str]:
    ranked = sorted(table.results, key=lambda result: _BAD_NEWS_FIRST.index(result.verdict))
    counts = {word: sum(r.verdict == word for r in table.results) for word in _BAD_NEWS_FIRST}
    seeds = sorted({run.config.seed for runs in claims.arms.values() for run in runs})
    wrong = [r.name for r in table.results if r.null is not None and r.null.verdict == "supported"]
    lines = [
        "# What became of the ten claims", "",
        "This page is written by `nucleate study report`, from the runs alone.", "",
        f"Of {len(table.results)} claims {counts['not supported']} are not supported, "
        f"{counts['undecided']} undecided and {counts['supported']} supported. "
        f"Form `{table.form}`, file of claims `{table.digest}`, seeds "
        f"{', '.join(map(str, seeds))}, {table.done} of {table.asked} runs done.", "",
        "On runs whose instructions say nothing of the task, the same rules support "
        + (", ".join(wrong) if wrong else "none") + " of the claims.", "",
        *(f"**Note: {note}.**\n" for note in table.notes),
        f"![The main number of each claim, seed by seed]({picture})", "",
        *_markdown(
            ["claim", "verdict", "main number [95 %]", "seeds", "without task information"],
            [[f"{r.name} {r.says}", f"**{r.verdict}**", _main(r), str(r.seeds),
              "not run" if r.null is None else f"{_main(r.null)}, {r.null.verdict}"]
             for r in ranked],
        ), "",
        "Numbers are means over seeds with intervals by Student's t; leads in time (C4) are "
        "medians with intervals by the sign test.", "",
        "A claim is judged so:", "", *(f"- {rule}" for rule in CLAIM_RULES), "",
    ]  # fmt: skip
    for result in ranked:
        lines += _details(result)
    return lines


def _details(result: ClaimResult) -> list[str]:
    nulls: list[Condition | None] = [None] * len(result.conditions)
    if result.null is not None and len(result.null.conditions) == len(nulls):
        nulls = list(result.null.conditions)
    rows = [
        ["falsifier" if one.falsifies else "condition", one.says, one.held, _value(one), _met(one),
         "–" if null is None else f"{null.held}: {_value(null)}"]
        for one, null in zip(result.conditions, nulls, strict=True)
    ]  # fmt: skip
    head = ["", "asked", "holds", "found [95 %]", "seeds", "without task information"]
    return [
        f"## {result.name}: {result.verdict}", "", f"{result.says} {result.reason}.", "",
        *_markdown(head, rows), "",
    ]  # fmt: skip


def _main(result: ClaimResult) -> str:
    return _value(result.conditions[0]) if result.conditions else "–"


def _value(condition: Condition) -> str:
    if math.isnan(condition.value):
        return "–"
    return f"{number(condition.value)} {interval(condition.low, condition.high)}".strip()


def _met(condition: Condition) -> str:
    if condition.met is None:
        return str(condition.seeds)
    return f"{condition.met} of {condition.seeds}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in cells),
    ]

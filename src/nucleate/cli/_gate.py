"""`nucleate gate`: may this model, or its next version, ship?"""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nucleate._core.errors import BadInput
from nucleate.cli import _options as options
from nucleate.cli._text import say

if TYPE_CHECKING:
    from nucleate.monitor import GateReport


class _Language(StrEnum):
    en = "en"
    ja = "ja"


def gate(
    page: Annotated[
        str,
        typer.Argument(
            help="YAML of criteria, or a stage: trial, confirmed, limited, full.",
            metavar="CRITERIA.yaml|STAGE",
        ),
    ],
    run: Annotated[
        list[Path] | None, typer.Option(help="A run folder; several seeds: repeat it.")
    ] = None,
    control: Annotated[
        list[Path] | None, typer.Option(help="A run made with --null scrambled; may be repeated.")
    ] = None,
    series: Annotated[
        Path | None, typer.Option(help="Written by nucleate series check --out.")
    ] = None,
    alarms: Annotated[Path | None, typer.Option(help="Written by nucleate watch --out.")] = None,
    atlas: Annotated[Path | None, typer.Option(help="Folder of nucleate atlas fit.")] = None,
    drift: Annotated[Path | None, typer.Option(help="Written by nucleate drift --out.")] = None,
    audit: Annotated[Path | None, typer.Option(help="Written by nucleate audit --out.")] = None,
    requests_a_day: Annotated[
        float | None, typer.Option(min=0, help="Traffic, for the false alarms to expect.")
    ] = None,
    trainings_a_month: Annotated[
        float | None, typer.Option(min=0, help="Likewise, of alarms while training.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for gate.json, .xml, .md, .html, model-card.md and the record."),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(help="Record of thresholds; by default thresholds.jsonl in the folder."),
    ] = None,
    journal: Annotated[
        Path | None, typer.Option(help="Add a line about the report to this journal; needs --out.")
    ] = None,
    lang: Annotated[_Language, typer.Option(help="Language of pages and words.")] = _Language.en,
    allow_warn: Annotated[
        bool, typer.Option("--allow-warn", help="Exit code 0 rather than 1 on warnings.")
    ] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Only put the thresholds on record, before a training.")
    ] = False,
    template: Annotated[
        bool, typer.Option("--template", help="Only print a stage's page, to be changed.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Judge a model by criteria whose thresholds were fixed beforehand.

    Exit code: 0 pass, 1 fail, 2 bad input, 3 inconclusive, 4 evidence that cannot be read; a
    warning is 1, and 0 with --allow-warn.
    """
    from nucleate.monitor import page_text, read_page

    if template:
        typer.echo(page_text(page), nl=False)
        return
    if journal is not None and out is None:
        raise BadInput("a journal names a report by its hash; give --out as well")
    criteria = read_page(page)
    if out is not None:
        from nucleate.runs import check_writable

        check_writable(out)
    kept = record or (out / "thresholds.jsonl" if out is not None else None)
    if fix:
        if kept is None:
            raise BadInput("--fix needs a place for the record; give --out or --record")
        from nucleate.monitor import record_thresholds

        record_thresholds(criteria, kept)
        say(f"the thresholds of {criteria.name} ({criteria.digest[:12]}) are on record in {kept}")
        return
    from nucleate.monitor import read_evidence, record_thresholds, run_gate, write_gate
    from nucleate.monitor.gate import exit_code

    if atlas is not None and run:
        options.prepare_torch(None)
    evidence = read_evidence(
        run or (), control or (), series=series, alarms=alarms, atlas=atlas, drift=drift,
        audit=audit,
    )  # fmt: skip
    if kept is not None:
        record_thresholds(criteria, kept)
    report = run_gate(
        criteria,
        evidence,
        record=kept,
        requests_a_day=requests_a_day,
        trainings_a_month=trainings_a_month,
    )
    if out is not None:
        write_gate(report, out, language=lang.value)
        if journal is not None:
            _enter(journal, out, report)
    if as_json:
        typer.echo(report.model_dump_json())
    else:
        _show(report, lang.value, out)
    raise typer.Exit(exit_code(report.verdict, allow_warn=allow_warn))


def _enter(journal: Path, out: Path, report: "GateReport") -> None:
    from nucleate.monitor.audit import append_entry, file_hash

    hashes = {"report": file_hash(out / "gate.json"), "page": report.thresholds.digest}
    chain = append_entry(journal, "gate", verdict=report.verdict, hashes=hashes)
    say(f"journal: line {len(chain.entries)}, head {chain.head}", err=True)


def _show(report: "GateReport", language: str, out: Path | None) -> None:
    from nucleate.monitor.gate import gate_lines

    for line in gate_lines(report, language):
        say(line)
    if out is not None:
        say(f"{out / 'gate.html'}")

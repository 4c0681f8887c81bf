"""`nucleate audit`: which cluster goes wrong and for whom; and the journal of what was decided."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nucleate._core.errors import BadInput
from nucleate.cli import _options as options
from nucleate.cli._text import Command, Group, say

if TYPE_CHECKING:
    from nucleate.monitor.audit import Audit

_WANTING = 1


class _Verbs(Group):
    """`nucleate audit SCORED` is short for `nucleate audit run SCORED`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = args and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if known or not args else ["run", *args])


app = typer.Typer(
    cls=_Verbs,
    help="Compare how often requests go wrong, by cluster and by group: nucleate audit SCORED.",
    no_args_is_help=True,
)


@app.callback()
def _root() -> None:
    pass


@app.command(cls=Command)
def run(
    scored: Annotated[
        Path, typer.Argument(help="A folder of nucleate score; or CSV or JSON Lines like its.")
    ],
    group: Annotated[
        list[str] | None, typer.Option(help="Column of groups, such as language; may be repeated.")
    ] = None,
    error: Annotated[
        list[str] | None,
        typer.Option(help="Column of 0 and 1, 1 where it went wrong; may be repeated."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="Column of what was asked for; leakage is judged within each."),
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="Scored counterfactual pairs: pair, variant, size.")
    ] = None,
    answer: Annotated[
        list[str] | None, typer.Option(help="Column of the pairs' answers; may be repeated.")
    ] = None,
    least: Annotated[int, typer.Option(help="Rows below which nothing is said of a cell.")] = 30,
    level: Annotated[
        float, typer.Option(help="Accepted share of false ones among the findings (FDR).")
    ] = 0.05,
    matters: Annotated[
        float, typer.Option(help="Smallest difference of two rates that matters.")
    ] = 0.1,
    permutations: Annotated[
        int | None, typer.Option(help="Of groups over texts, as the null of leakage.")
    ] = None,
    seed: options.Seed = 0,
    out: Annotated[Path | None, typer.Option(help="Write the report there, as JSON.")] = None,
    journal: Annotated[
        Path | None, typer.Option(help="Add a line about the report to this journal; needs --out.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Compare rates by cluster and group, search for badly served rows, ask what leaks.

    The exit code is 1 where there is a gap, else 0: read the verdict.
    """
    if journal is not None and out is None:
        raise BadInput("a journal names a report by its hash; give --out audit.json as well")
    if answer and pairs is None:
        raise BadInput("--answer is a column of the pairs; give --pairs as well")
    from nucleate.monitor.audit import Rules, audit_table, read_pairs, read_scored
    from nucleate.runs import write_json

    rules = Rules(least, level, matters)
    groups, errors = group or [], error or []
    table = read_scored(scored, groups=groups, errors=errors, task=task)
    changed = None if pairs is None else read_pairs(pairs, answers=answer or [])
    found = audit_table(
        table, rules, searched=errors or None, pairs=changed, permutations=permutations, seed=seed
    )
    report = found.to_dict()
    if out is not None:
        write_json(out, report)
    if as_json:
        typer.echo(json.dumps(report))
    else:
        for line in found.lines():
            say(line)
    if journal is not None and out is not None:
        _enter(journal, out, found, quiet=as_json)
    if found.verdict == "gap":
        raise typer.Exit(_WANTING)


def _enter(journal: Path, out: Path, found: "Audit", *, quiet: bool) -> None:
    from nucleate.monitor.audit import append_entry, file_hash

    chain = append_entry(
        journal, "audit", verdict=found.verdict, hashes={"report": file_hash(out), **found.inputs},
        counts={"rows": found.rows, "gaps": len(found.gaps)},
    )  # fmt: skip
    # Beside JSON on standard output, a word for whoever keeps the head.
    say(f"journal: line {len(chain.entries)}, head {chain.head}", err=quiet)


@app.command(cls=Command)
def verify(
    journal: Annotated[Path, typer.Argument(help="A journal that --journal wrote.")],
    head: Annotated[
        str | None, typer.Option(help="The head that was printed earlier and kept elsewhere.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Check that no line of a journal was altered, removed, put elsewhere or cut off.

    The exit code is 0 where nothing is wrong, and 1 where something is. Lines that were cut off at
    the end are told only by a head that was kept elsewhere.
    """
    from nucleate.monitor.audit import verify_journal

    found = verify_journal(journal, head)
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
    else:
        for line in found.lines():
            say(line)
    if not found.ok:
        raise typer.Exit(_WANTING)

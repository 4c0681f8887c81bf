"""One audit: rates, search, leakage and pairs of a table, the verdict, and the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from nucleate._core.arguments import check_whole
from nucleate.monitor.audit import _words
from nucleate.monitor.audit._cells import Cell, Rules
from nucleate.monitor.audit._leakage import Leak, leakage
from nucleate.monitor.audit._pairs import Flips, Pairs, flips
from nucleate.monitor.audit._rates import rates
from nucleate.monitor.audit._search import Search, can_search, search
from nucleate.monitor.audit._table import AuditTable

VERSION = 1
Verdict = Literal["gap", "no gap found", "undecided", "too few"]


@dataclass(frozen=True)
class Audit:
    """What an audit found; it holds counts, names and hashes, and no text of a request.

    Attributes:
        rows: requests.
        rules: what was decided before looking.
        cells: rates of clusters, groups, and groups within clusters.
        searches: one an outcome that was searched.
        leaks: of each attribute.
        flips: of counterfactual pairs.
        inputs: hashes of what was read.
        seed: of all draws.
    """

    rows: int
    rules: Rules
    cells: tuple[Cell, ...]
    searches: tuple[Search, ...] = ()
    leaks: tuple[Leak, ...] = ()
    flips: tuple[Flips, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    @property
    def gaps(self) -> tuple[Cell, ...]:
        """Rows of a cell or a slice that go wrong more often, by as much as matters."""
        slices = (one.cell for found in self.searches for one in found.slices)
        return tuple(cell for cell in (*self.cells, *slices) if cell.gap)

    @property
    def unsettled(self) -> tuple[Cell, ...]:
        """Whole groups, or clusters where there are no groups, for which a gap could be missed."""
        kind = "group" if any(cell.where.kind == "group" for cell in self.cells) else "cluster"
        return tuple(
            cell
            for cell in self.cells
            if cell.where.kind == kind
            and cell.word in ("too few", "no difference found")
            and (cell.detectable is None or cell.detectable > self.rules.matters)
        )

    @property
    def verdict(self) -> Verdict:
        """`gap`: some rows go wrong more often by as much as matters, or an attribute's edit flips.

        `too few`: nothing could be tested. `undecided`: nothing was found, and a difference that
        matters could have been missed for a whole group, or pairs decide nothing. Else `no gap
        found`; what leaks is no part of it.
        """
        words = {one.word for one in self.flips}
        if self.gaps or "flips beyond a null edit" in words:
            return "gap"
        if all(cell.word == "too few" for cell in self.cells) and words <= {"too few"}:
            return "too few"
        if self.unsettled or words & {"undecided", "too few"}:
            return "undecided"
        return "no gap found"

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "kind": "audit",
            "version": VERSION,
            "verdict": self.verdict,
            "inputs": dict(self.inputs),
            "settings": vars(self.rules) | {"seed": self.seed},
            "n": self.rows,
            "gaps": len(self.gaps),
            "unsettled": len(self.unsettled),
            "cells": [cell.to_dict() for cell in self.cells],
            "search": [one.to_dict() for one in self.searches],
            "leakage": [one.to_dict() for one in self.leaks],
            "pairs": [one.to_dict() for one in self.flips],
        }

    def lines(self) -> list[str]:
        """The report in words."""
        rules = self.rules
        said = [
            f"verdict: {self.verdict}",
            f"{self.rows:,} requests; of the differences named, a share of {rules.level:g} may be "
            f"false on average; sets of fewer than {rules.least} rows are not judged, differences "
            f"below {rules.matters:g} do not count as gaps",
        ]
        for outcome in dict.fromkeys(cell.where.outcome for cell in self.cells):
            own = [cell for cell in self.cells if cell.where.outcome == outcome]
            said += _words.of_cells(outcome, own, rules)
        if self.unsettled and not self.gaps:
            said.append(_words.of_unsettled(self.unsettled, rules))
        said += [line for found in self.searches for line in _words.of_search(found)]
        said += [_words.of_leak(leak) for leak in self.leaks]
        said += [_words.of_flips(one) for one in self.flips]
        return said


def audit_table(
    table: AuditTable,
    rules: Rules | None = None,
    *,
    searched: Sequence[str] | None = None,
    pairs: Pairs | None = None,
    permutations: int | None = None,
    seed: int = 0,
) -> Audit:
    """Ask which clusters go wrong, for whom, for whom else, and what leaks.

    Args:
        table: the rows, with outcomes; groups, task and vectors where there are any.
        rules: what was decided before looking; the defaults if None.
        searched: outcomes to search for badly served rows that nobody has named; all if None. A
            table of too few rows for that is not searched.
        pairs: results of counterfactual texts.
        permutations: see `leakage`.
        seed: of all draws.

    Raises:
        BadInput: no outcome, or as `rates`, `search` and `leakage` raise.

    Notes:
        That no gap was found is evidence about these rows, groups and sizes, and about no others.
        Rates, search, leakage and pairs are corrected each for itself.
    """
    rules = rules or Rules()
    check_whole("seed", seed, least=0)
    searched = tuple(table.outcomes) if searched is None else tuple(searched)
    found = Audit(len(table), rules, rates(table, rules), inputs=table.inputs, seed=seed)
    if can_search(table, rules):
        columns = tuple(table.groups)
        searches = [search(table, one, rules, columns=columns, seed=seed) for one in searched]
        found = replace(found, searches=tuple(searches))
    leaks = leakage(table, rules, permutations=permutations, seed=seed) if table.groups else ()
    found = replace(found, leaks=leaks)
    if pairs is None:
        return found
    inputs = {**found.inputs, "pairs": pairs.source} if pairs.source else found.inputs
    return replace(found, flips=flips(pairs, rules), inputs=inputs)

"""What an audit says in words: never more than its numbers."""

from collections import Counter
from collections.abc import Sequence

from nucleate.findings import interval, number, plain
from nucleate.monitor.audit._cells import Cell, Rules
from nucleate.monitor.audit._leakage import Leak
from nucleate.monitor.audit._pairs import Flips
from nucleate.monitor.audit._search import Search, Slice

_MOST = 12


def of_cells(outcome: str, cells: Sequence[Cell], rules: Rules) -> list[str]:
    """The gaps of an outcome one by one, largest first, and how many of the rest."""
    gaps = sorted((cell for cell in cells if cell.gap), key=lambda cell: -cell.difference)
    said = [f"{outcome}: {_sentence(cell)}" for cell in gaps[:_MOST]]
    if len(gaps) > _MOST:
        said.append(f"{outcome}: {len(gaps) - _MOST} more gaps, smaller; the report has them")
    words = Counter(cell.word for cell in cells if not cell.gap)
    small = words.pop("higher", 0)
    parts = [f"higher by less than {rules.matters:g} in {small}"] if small else []
    parts += [
        f"{word} in {words[word]}" for word in ("lower", "no difference found") if words[word]
    ]
    if words["too few"]:
        parts.append(f"too few to say in {words['too few']}")
    if parts:
        said.append(f"{outcome}: of {len(cells)} sets, {', '.join(parts)}{_seen(cells)}")
    return said


def _seen(cells: Sequence[Cell]) -> str:
    """Which excess would have been found where none was."""
    quiet = [cell for cell in cells if cell.word == "no difference found"]
    seen = [cell.detectable for cell in quiet if cell.detectable is not None]
    if not quiet:
        return ""
    blind = len(quiet) - len(seen)
    said = f"; not found, any excess may be missed in {blind}" if blind else ""
    if seen:
        said += (
            f"; where no difference was found, an excess of {number(min(seen))} to "
            f"{number(max(seen))} would have been found with power .9"
        )
    return said


def _sentence(cell: Cell) -> str:
    expected = (
        f", {number(cell.expected)} expected from its clusters" if cell.expected is not None else ""
    )
    return (
        f"{plain(cell.where, 160)}: {number(cell.rate)} {interval(cell.low, cell.high)} of "
        f"{cell.rows:,} rows, {number(cell.others_rate)} of {cell.others:,} others{expected}; "
        f"difference {number(cell.difference, sign=True)} "
        f"{interval(cell.difference_low, cell.difference_high)}, p {_p(cell.p_adjusted)} after "
        "correction"
    )


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if value >= 0.001 else "below .001"


def of_unsettled(cells: Sequence[Cell], rules: Rules) -> str:
    """For whom a difference that matters may have been missed."""
    first = cells[0]
    excess = (
        "any excess may be missed"
        if first.detectable is None
        else f"an excess below {number(first.detectable)} may be missed"
    )
    return (
        f"undecided for {len(cells)} {first.where.kind}s: {plain(first.where, 160)} first, "
        f"{first.rows:,} rows, where {excess}, and {rules.matters:g} matters"
    )


def of_search(found: Search) -> list[str]:
    """What was proposed and what came of it."""
    head = (
        f"search, {found.outcome}: {found.features} questions, searched on {found.searched:,} rows "
        f"and tested on {found.tested:,} others; "
    )
    gaps = [one for one in found.slices if one.cell.gap]
    if not gaps:
        return [f"{head}no gap among {len(found.slices)} proposals{_seen_in(found.slices)}"]
    said = [f"{head}{len(gaps)} of {len(found.slices)} proposals are gaps"]
    for one in gaps:
        mostly = ", ".join(f"{plain(name, 40)} {share:.0%}" for name, share in one.mostly)
        said.append(f"search, {found.outcome}: {_sentence(one.cell)}; mostly of {mostly}")
    return said


def _seen_in(slices: Sequence[Slice]) -> str:
    return _seen([one.cell for one in slices])


def of_leak(leak: Leak) -> str:
    """One question about an attribute."""
    what = {
        "decodable": "told by a linear probe of states",
        "clustered": "shared with clusters (adjusted mutual information)",
    }[leak.question]
    if leak.value is None:
        return f"leakage, {leak.column}: too few rows of each group to ask whether it is {what}"
    null = "permuted within tasks" if leak.within_task else "permuted"
    return (
        f"leakage, {leak.column}: {what} {number(leak.value)} {interval(leak.low, leak.high)}, "
        f"{null} {number(leak.null)} (95 %: below {number(leak.null_high)}), {leak.rows:,} rows of "
        f"{leak.groups} groups, p {_p(leak.p_adjusted)}: {leak.word}"
    )


def of_flips(one: Flips) -> str:
    """One result of counterfactual pairs."""
    sizes = {True: "", False: ", edits of different sizes", None: ", sizes of the edits not known"}
    return (
        f"pairs, {one.what}: the attribute's edit changes it in {number(one.attribute)} "
        f"{interval(one.attribute_low, one.attribute_high)} of {one.pairs:,}, a null edit in "
        f"{number(one.null)} {interval(one.null_low, one.null_high)}; difference "
        f"{number(one.difference, sign=True)} {interval(one.low, one.high)}"
        f"{sizes[one.matched]}: {one.word}"
    )

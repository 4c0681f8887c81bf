"""Comparisons in words and in lines of a table, made from their numbers and saying no more."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from nucleate.findings._differences import Difference
from nucleate.findings._factor import Factor
from nucleate.findings._format import interval, number, position_name
from nucleate.findings._run_numbers import ARI, LOSS, ONSET


def setting_words(factor: Factor) -> list[str]:
    """What differs between the runs, and how many seeds each setting has."""
    counts = {label: factor.labels.count(label) for label in factor.settings}
    if len(counts) == 1:
        count = len(factor.labels)
        return [f"The {count} runs differ in nothing but their seeds: one setting, {count} runs."]
    told = "; ".join(f"{label} ({_runs(count)})" for label, count in counts.items())
    return [f"The runs differ in {factor.name}: {told}."]


def one_run_words(found: Sequence[Difference]) -> list[str]:
    """That one run a side tells nothing of seeds; nothing where there are more."""
    reasons = dict.fromkeys(each.reason for each in found if each.verdict == "one run a side")
    return [f"{reason[:1].upper()}{reason[1:]}." for reason in reasons]


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def where_words(metric: str, where: str) -> str:
    """A number's name with its place: `ARI (task), last prompt token`."""
    if not where:
        return metric
    return f"{metric}, {position_name(where) if metric in (ARI, ONSET) else where}"


def difference_words(found: Difference) -> str:
    """One sentence on one number of two settings."""
    name = where_words(found.metric, found.where)
    values = (
        f"{_of(found, found.of_second)} at {found.second} against {_of(found, found.of_first)} at "
        f"{found.first}{_nulls(found)}"
    )
    said = _verdict(found)
    return f"{name}: {values}; {_gap(found)}{f': {said}' if said else ''}."


def _of(found: Difference, value: float) -> str:
    return _value(found.metric, value)


def _value(metric: str, value: float) -> str:
    if metric == ONSET:
        return "never" if math.isinf(value) else "–" if math.isnan(value) else f"step {value:g}"
    return number(value)


def _nulls(found: Difference) -> str:
    if math.isnan(found.null_first) and math.isnan(found.null_second):
        return ""
    return f" (by chance at most {number(found.null_second)} and {number(found.null_first)})"


def _gap(found: Difference) -> str:
    if math.isnan(found.difference):
        return "no difference can be formed"
    digits = f"{found.difference:+.3g}".replace("-", "−")
    gap = digits if found.metric == ONSET else number(found.difference, sign=True)
    if not found.over:
        return f"difference {gap}, no interval"
    ends = _ends(found.metric, found.low, found.high)
    return f"difference {gap} {ends}, 95 % interval over {_counted(found)}"


def _ends(metric: str, low: float, high: float) -> str:
    if metric == ONSET and math.isfinite(low) and math.isfinite(high):
        return f"[{low:.3g}, {high:.3g}]".replace("-", "−")
    return interval(low, high)


def _counted(found: Difference) -> str:
    if found.over == "strings":
        return "instruction strings"
    if found.over == "pairs of seeds":
        return f"{found.pairs} pairs of seeds"
    return f"{found.seeds_first} and {found.seeds_second} seeds"


def _verdict(found: Difference) -> str:
    if found.verdict == "one run a side":
        return ""  # said once, for all numbers
    p = "" if math.isnan(found.p) else f"p {found.p:.3f}, all numbers taken together"
    why = "; ".join(filter(None, (found.reason, p)))
    return f"{found.verdict}{f' ({why})' if why else ''}"


def by_number(table: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Metric, where and the rows of each number of a table, in the table's order."""
    columns = (table["metric"].astype(str), table["where"].astype(str))
    return [
        (metric, where, table[(columns[0] == metric) & (columns[1] == where)])
        for metric, where in dict.fromkeys(zip(*columns, strict=True))
    ]


def table_lines(settings: pd.DataFrame, found: Sequence[Difference]) -> list[str]:
    """A table for a terminal: a line a number, a column a setting, then each difference."""
    if settings.empty:
        return ["There is no number that all runs have."]
    labels = list(dict.fromkeys(settings["setting"]))
    head = ["", *labels]
    for label in labels[1:]:
        head += [f"{label} − {labels[0]}", ""] if len(labels) > 2 else ["difference", ""]
    body = []
    for metric, where, rows in by_number(settings):
        by_label = {str(row["setting"]): row for row in rows.to_dict("records")}
        line = [where_words(metric, where)]
        line += [_cell(metric, by_label[label]) for label in labels]
        here = {each.second: each for each in found if (each.metric, each.where) == (metric, where)}
        for label in labels[1:]:
            each = here.get(label)
            line += ["", ""] if each is None else [_short_gap(each), each.verdict]
        body.append(line)
    widths = [max(len(line[k]) for line in (head, *body)) for k in range(len(head))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
             for line in (head, *body)]  # fmt: skip
    return [*lines, *_footnotes(settings, found)]


def _footnotes(settings: pd.DataFrame, found: Sequence[Difference]) -> list[str]:
    told = ["(in parentheses: the highest that chance gives in any run)"]
    over = dict.fromkeys(_counted(each) for each in found if each.over)
    if over:
        told.append(f"intervals of differences: 95 %, over {'; '.join(over)}")
    told += [f"{verdict}: {reason}" for verdict, reason in dict.fromkeys(
        (each.verdict, each.reason) for each in found if each.reason)]  # fmt: skip
    if (settings["metric"] == LOSS).any():
        told.append("of losses less is better")
    return told


def _cell(metric: str, row: Mapping[Any, Any]) -> str:
    ends = _ends(metric, row["low"], row["high"])
    null = "" if math.isnan(row["null"]) else f"({number(row['null'])})"
    return " ".join(filter(None, (_value(metric, row["value"]), ends, null)))


def _short_gap(found: Difference) -> str:
    if math.isnan(found.difference):
        return "–"
    gap = (
        f"{found.difference:+.3g}".replace("-", "−")
        if found.metric == ONSET
        else number(found.difference, sign=True)
    )
    return f"{gap} {_ends(found.metric, found.low, found.high)}".strip()

"""The few numbers that decide, one line each, for a terminal and for the head of a report."""

from collections.abc import Sequence

from nucleate.findings._format import columns, interval, number, position_name, short_names
from nucleate.findings._summary import OnsetSummary, Summary

_MOST = 7


def key_numbers(summary: Summary) -> dict[str, str]:
    """What a reader wants to know first: at most seven lines, name -> words and numbers."""
    lines: dict[str, str] = {}
    split = next((name for name in ("seen", *summary.accuracy) if name in summary.accuracy), "")
    if split:
        found = summary.accuracy[split]
        lines["right answers"] = f"{number(found.value)} (chance {number(found.chance)})"
    counts = list(place_counts(summary).values())
    if counts:
        lines["places with task clusters"] = f"{counts[0]} of {len(summary.places)}"
    if summary.tested:
        lines["of these used / not used"] = f"{counts[1]} / {counts[2]}"
        lines["used, no clusters shown"] = str(counts[3])
    for position, clusters in summary.clusters.items():
        name = f"ARI, {position_name(position)}"
        lines[name] = f"{number(clusters.last)} {interval(clusters.low, clusters.high)}".strip()
    dates = [f.onset for f in summary.clusters.values() if f.verdict == "clusters"]
    if dates:
        lines["clusters from step"] = ", ".join(short_date(onset) for onset in dates)
    return dict(list(lines.items())[:_MOST])


def place_counts(summary: Summary) -> dict[str, int]:
    """How many places are called what, under names that explain themselves.

    The first count is of places with clusters; where interventions were made, two parts of it
    follow, then the places outside it that are used, then all where use is undecided. Empty where
    nothing was measured.
    """
    if summary.unmeasured:
        return {}
    there = [place for place in summary.places if place.clusters == "clusters"]
    counts = {"places where states group by task": len(there)}
    if summary.tested:
        used = sum(place.verdict == "used" for place in there)
        elsewhere = len(summary.called("used", "used without clusters")) - used
        counts |= {
            "… and the answers depend on it": used,
            "… and they do not": len(summary.called("present but not used")),
            "used, no groups shown": elsewhere,
            "use undecided": len(summary.called("undecided")),
        }
    return counts


def key_table(summaries: Sequence[Summary]) -> list[str]:
    """The same for a terminal: one column per run, at most eight lines."""
    found = [key_numbers(summary) for summary in summaries]
    names = list(dict.fromkeys(name for numbers in found for name in numbers))[:_MOST]
    table = [["", *short_names(summaries)]]
    table += [[name, *(numbers.get(name, "–") for numbers in found)] for name in names]
    return columns(table)


def short_date(onset: OnsetSummary) -> str:
    """An onset in a few characters: `18 [6, 24]`, `at most 24`, `never`."""
    if onset.step is None:
        return "never"
    if onset.low is None or onset.high is None:
        return f"{onset.step} [no interval]"
    if onset.low <= onset.first_step:
        return f"at most {onset.high}"
    return f"{onset.step} [{onset.low}, {onset.high}]"

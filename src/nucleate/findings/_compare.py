"""Sentences that set runs side by side."""

from collections.abc import Sequence

from nucleate.findings._format import interval, number, position_name, short_names
from nucleate.findings._summary import Strongest, Summary
from nucleate.findings._words import strongest_words


def contrast_words(summaries: Sequence[Summary]) -> list[str]:
    """Sentences that set runs side by side.

    A difference is stated where 95 % intervals do not overlap; that is a difference between these
    models on these prompts, not between kinds of models: the unit for that is the seed.

    Args:
        summaries: two or more; nothing is said of one.
    """
    if len(summaries) < 2:
        return []
    names = short_names(summaries)
    lines = [
        _contrast_clusters(position, summaries, names)
        for position in summaries[0].clusters
        if all(position in summary.clusters for summary in summaries)
    ]
    lines += _contrast_strongest(
        "share of answers that a shift redirects", [s.strongest_shift for s in summaries], names
    )
    lines += _contrast_strongest(
        "cost of erasing the task", [s.strongest_erase for s in summaries], names
    )
    if len({summary.seed for summary in summaries}) == 1:
        lines.append(
            f"All this is one seed per run (seed {summaries[0].seed}): it describes these models; "
            "repeat it with other seeds before generalizing."
        )
    return lines


def _contrast_clusters(position: str, summaries: Sequence[Summary], names: Sequence[str]) -> str:
    found = [summary.clusters[position] for summary in summaries]
    parts = [
        f"{name} {number(f.last)} {interval(f.low, f.high)} in {f.stream} (verdict: {f.verdict})"
        for name, f in zip(names, found, strict=True)
    ]
    lows = [f.last if f.low is None else f.low for f in found]
    highs = [f.last if f.high is None else f.high for f in found]
    bounded = all(f.low is not None for f in found)
    end = "the intervals overlap: no difference is claimed"
    if not bounded:
        end = "without intervals no difference is claimed"
    elif max(lows) > min(highs):
        highest, lowest = names[lows.index(max(lows))], names[highs.index(min(highs))]
        end = f"{highest} is higher than {lowest}: the intervals do not overlap"
    return f"ARI at the {position_name(position)}: {'; '.join(parts)}; {end}."


def _contrast_strongest(
    what: str, found: Sequence[Strongest | None], names: Sequence[str]
) -> list[str]:
    parts = [
        f"{name} {strongest_words(each)}"
        for name, each in zip(names, found, strict=True)
        if each is not None
    ]
    return [f"Largest {what}: {'; '.join(parts)}."] if len(parts) == len(found) else []

"""Plain sentences about runs, generated from their numbers and saying no more than those do."""

from collections.abc import Sequence

from nucleate.findings._format import interval, number, position_name, short_names
from nucleate.findings._summary import Clusters, OnsetSummary, Summary, Used

_SPLIT_NAMES = {
    "seen": "instruction strings seen in training",
    "unseen_string": "unseen strings of trained families",
    "unseen_cell": "unseen pairs of family and input",
    "unseen_family": "families never trained",
    "unseen_input": "unseen inputs",
}
_NULL_NAMES = {
    "n0": "by chance (N0)",
    "n1": "untrained (N1)",
    "n2": "bag of tokens (N2)",
}

_USED = {
    "used": "Used (clusters are there, and changing them changes the answers)",
    "used without clusters": "Used without clusters (none beyond the nulls, yet changing the task "
    "means changes the answers)",
}


def words(summary: Summary) -> list[str]:
    """What one run shows, in plain sentences.

    Every claim carries its number, its interval and what the number is by chance. Where the
    verdict is `none`, `absent` or `undecided` the sentence says so. `summary.verdict.words` is not
    read: these sentences are what goes there.

    Args:
        summary: what the run found.

    Returns:
        Sentences on accuracy, clusters by position, their onset, the embedding, use, and cost.
    """
    return [
        *_accuracy(summary),
        *(line for p, found in summary.clusters.items() for line in _clusters(p, found, summary)),
        *_embedding(summary),
        *_use(summary),
        f"Recording took {100 * summary.recording_share:.1f} % of the training time.",
    ]


def finding(summary: Summary) -> str:
    """The one sentence that stands over everything else."""
    there = [
        f"at the {position_name(position)} ({found.stream}, ARI {number(found.last)})"
        for position, found in summary.clusters.items()
        if found.verdict == "clusters"
    ]
    unclear = any(found.verdict == "undecided" for found in summary.clusters.values())
    if there:
        clusters = f"Task clusters {' and '.join(there)}"
    else:
        clusters = "Undecided whether there are task clusters" if unclear else "No task clusters"
    return f"{clusters}; {_use_clause(summary, bool(there))}."


def contrast_words(summaries: Sequence[Summary]) -> list[str]:
    """Sentences that set runs side by side.

    A difference is stated where 95 % intervals do not overlap; that is a difference between these
    models on this prompt set, not between kinds of models: the unit for that is the seed.

    Args:
        summaries: two or more; nothing is said of one.
    """
    if len(summaries) < 2:
        return []
    names = short_names(summaries)
    lines = []
    for position in summaries[0].clusters:
        if all(position in summary.clusters for summary in summaries):
            lines += _contrast_clusters(position, summaries, names)
    lines += _contrast_use(summaries, names)
    if len({summary.seed for summary in summaries}) == 1:
        lines.append(
            f"All this is one seed a run (seed {summaries[0].seed}): it describes these models; "
            "repeat it with other seeds before generalizing."
        )
    return lines


def best_shift(summary: Summary) -> Used | None:
    """The place whose shift redirects most answers, None where none was tested."""
    tested = [used for used in summary.used if used.shift is not None]
    return max(tested, key=lambda used: used.shift or 0.0, default=None)


def best_erase(summary: Summary) -> Used | None:
    """The place where erasing costs most beyond its control, None where none was tested."""
    return max(summary.used, key=_erase_excess, default=None)


def place(used: Used) -> str:
    """`position/stream` of one intervention."""
    return f"{used.position}/{used.stream}"


def _accuracy(summary: Summary) -> list[str]:
    parts = [
        f"{number(summary.accuracy[split].value)} on {name} "
        f"{interval(summary.accuracy[split].low, summary.accuracy[split].high)}"
        for split, name in _SPLIT_NAMES.items()
        if split in summary.accuracy
    ]
    if not parts:
        return []
    least, most = (number(f(a.chance for a in summary.accuracy.values())) for f in (min, max))
    chance = least if least == most else f"{least} to {most}"
    return [
        f"After {summary.steps} steps the share of right answers is {', '.join(parts)}; "
        f"by chance it would be {chance}."
    ]


def _clusters(position: str, found: Clusters, summary: Summary) -> list[str]:
    where = f"at the {position_name(position)}"
    how = ", each input's mean removed," if found.view == "conditioned" else ""
    measured = (
        f"{found.stream}{how} has ARI {number(found.last)} {interval(found.low, found.high)} "
        f"on the held-out half of the instruction strings, against {_nulls(found)}"
    )
    first = f"at the first recorded step it was {number(found.first)}"
    if found.verdict == "none":
        return [f"No task clusters {where}: {measured}."]
    if found.verdict == "undecided":
        return [f"Undecided whether there are task clusters {where}: {measured}; {first}."]
    return [
        f"Task clusters {where}: {measured}; {first}.",
        _onset(where, found.onset) + " " + _order(found.onset, summary.accuracy_onset),
    ]


def _nulls(found: Clusters) -> str:
    parts = [
        f"{number(value)} {_NULL_NAMES[name]}"
        for name, value in found.null.model_dump().items()
        if value is not None
    ]
    missing = [name.upper() for name, value in found.null.model_dump().items() if value is None]
    if missing:
        parts.append(f"no value for {' and '.join(missing)}, which was not measured")
    return ", ".join(parts)


def _onset(where: str, onset: OnsetSummary) -> str:
    if onset.step is None:
        return f"No step was found from which the clusters {where} stay above their null band."
    return (
        f"The clusters {where} stay above their null band from step {onset.step} on "
        f"({_onset_interval(onset)})."
    )


def _onset_interval(onset: OnsetSummary) -> str:
    if onset.low is not None and onset.high is not None:
        return f"95 % interval {onset.low} to {onset.high}"
    return f"no closed interval: {100 * onset.found:.0f} % of the bootstraps have an onset at all"


def _order(clusters: OnsetSummary, accuracy: OnsetSummary) -> str:
    """Which onset is earlier, said only where both have closed intervals that do not overlap."""
    ends = (clusters.low, clusters.high, accuracy.low, accuracy.high)
    if clusters.step is None or accuracy.step is None or None in ends:
        return (
            "Whether they or accuracy came first is undecided: one of the onsets has no closed "
            "interval."
        )
    low, high, accuracy_low, accuracy_high = (end for end in ends if end is not None)
    both = f"steps {low} to {high} against {accuracy_low} to {accuracy_high} for accuracy"
    if high < accuracy_low or accuracy_high < low:
        word = "earlier" if high < accuracy_low else "later"
        return (
            f"Their onset is {word} than that of accuracy in this run ({both}); an order in time "
            "is no cause, and one run is one seed."
        )
    return f"Whether they or accuracy came first is undecided: the intervals overlap ({both})."


def _embedding(summary: Summary) -> list[str]:
    if not summary.embedding_change:
        return []
    parts = [
        f"{number(change, sign=True)} at the {position_name(position)}"
        for position, change in summary.embedding_change.items()
    ]
    return [f"From first to last step the ARI of the embedding changed by {', '.join(parts)}."]


def _use_clause(summary: Summary, clusters: bool) -> str:
    verdicts = {used.verdict for used in summary.used}
    if not verdicts:
        return "whether answers depend on task information was not tested"
    places = [used for used in summary.used if used.verdict in _USED]
    if places:
        best = max(places, key=_effect)
        return f"used at {place(best)} ({_short_effect(best)})"
    if "undecided" in verdicts:
        return "undecided whether the answers depend on task information"
    nowhere = "at any place that was tested"
    return f"not used {nowhere}" if clusters else f"task information is not used {nowhere}"


def _use(summary: Summary) -> list[str]:
    if not summary.used:
        return ["Whether answers depend on task information was not tested."]
    by: dict[str, list[Used]] = {}
    for used in summary.used:
        by.setdefault(used.verdict, []).append(used)
    tested = f"of the {len(summary.used)} places that were tested"
    lines = [
        f"{opening} at {len(by[verdict])} {tested}: "
        f"{_effects(max(by[verdict], key=_effect), summary)}."
        for verdict, opening in _USED.items()
        if verdict in by
    ]
    if idle := by.get("present but not used"):
        clearest = max(idle, key=lambda used: _ari(used, summary))
        lines.append(
            f"Present but not used at {len(idle)} {tested}, most clearly "
            f"{_idle(clearest, summary)}."
        )
    if "undecided" in by:
        lines.append(f"Undecided whether used at {len(by['undecided'])} {tested}.")
    if not {*_USED, "undecided"} & set(by):
        strongest = max(summary.used, key=_effect)
        lines.append(
            f"Not used: at none {tested} do the answers depend on task information; the largest "
            f"effect beyond a control is {_idle(strongest, summary)}."
        )
    return lines


def _effect(used: Used) -> float:
    """How far the larger of the two effects lies above its own control."""
    return max(_shift_excess(used), _erase_excess(used))


def _shift_excess(used: Used) -> float:
    if used.shift is None:
        return float("-inf")
    rivals = (used.chance, *used.controls.model_dump().values())
    return used.shift - max(rival or 0.0 for rival in rivals)


def _erase_excess(used: Used) -> float:
    return used.erase - max(used.random_erase, used.displaced or 0.0)


def _short_effect(used: Used) -> str:
    """The larger effect in a clause, beside its control."""
    if _shift_excess(used) >= _erase_excess(used):
        return f"shifting redirects {number(used.shift)} of answers, chance {number(used.chance)}"
    return f"erasing costs {number(used.erase)} of accuracy, at random {number(used.random_erase)}"


def _effects(used: Used, summary: Summary) -> str:
    """Both interventions at one place, each beside its controls."""
    ari = _ari(used, summary)
    seen = f" (ARI {number(ari)})" if ari > float("-inf") else ""
    erase = (
        f"costs {number(used.erase)} {interval(used.erase_low, used.erase_high)} of accuracy "
        f"(random subspace {number(used.random_erase)}{_displaced(used)})"
    )
    if used.shift is None:
        return f"erasing the task at {place(used)}{seen} {erase}"
    return (
        f"shifting at {place(used)}{seen} makes the model do the other task on "
        f"{number(used.shift)} {interval(used.shift_low, used.shift_high)} of inputs "
        f"({_controls(used)}); erasing the task there {erase}"
    )


_CONTROL_NAMES = {
    "random_direction": "random direction",
    "wrong_task": "wrong task",
    "mean_shift": "mean of all tasks",
    "shuffled": "permuted tasks",
    "other_input": "other input",
}


def _controls(used: Used) -> str:
    """What the shift must exceed: chance, and every control that was done."""
    parts = [f"chance {number(used.chance)}"]
    for name, value in used.controls.model_dump().items():
        if value is not None:
            parts.append(f"{_CONTROL_NAMES[name]} {number(value)}")
    return ", ".join(parts)


def _displaced(used: Used) -> str:
    return "" if used.displaced is None else f", equal displacement {number(used.displaced)}"


def _idle(used: Used, summary: Summary) -> str:
    """The same in short, for a place where nothing much happens."""
    parts = [f"at {place(used)}"]
    ari = _ari(used, summary)
    if ari > float("-inf"):
        parts.append(f"ARI {number(ari)}")
    if used.shift is not None:
        parts.append(f"shift {number(used.shift)} (chance {number(used.chance)})")
    parts.append(f"erase {number(used.erase)} (random {number(used.random_erase)})")
    return ", ".join(parts)


def _ari(used: Used, summary: Summary) -> float:
    clusters = summary.clusters.get(used.position)
    return clusters.by_stream.get(used.stream, float("-inf")) if clusters else float("-inf")


def _contrast_clusters(
    position: str, summaries: Sequence[Summary], names: Sequence[str]
) -> list[str]:
    found = [summary.clusters[position] for summary in summaries]
    parts = [
        f"{name} {number(f.last)} {interval(f.low, f.high)} in {f.stream} (verdict: {f.verdict})"
        for name, f in zip(names, found, strict=True)
    ]
    apart = max(f.low for f in found) > min(f.high for f in found)
    end = "the intervals overlap: no difference is claimed"
    if apart:
        highest = names[max(range(len(found)), key=lambda run: found[run].low)]
        lowest = names[min(range(len(found)), key=lambda run: found[run].high)]
        end = f"{highest} is higher than {lowest}: the intervals do not overlap"
    lines = [f"ARI at the {position_name(position)}: {'; '.join(parts)}; {end}."]
    deepest = [f.by_stream.get("final_norm") for f in found]
    if all(value is not None for value in deepest):
        parts = [f"{name} {number(value)}" for name, value in zip(names, deepest, strict=True)]
        lines.append(
            f"After the last block (final_norm) at the {position_name(position)} the ARI is "
            f"{', '.join(parts)} (no interval)."
        )
    return lines


def _contrast_use(summaries: Sequence[Summary], names: Sequence[str]) -> list[str]:
    shifts = [best_shift(summary) for summary in summaries]
    erases = [best_erase(summary) for summary in summaries]
    lines = []
    if all(shifts):
        parts = [
            f"{name} {number(used.shift)} {interval(used.shift_low, used.shift_high)} at "
            f"{place(used)} (chance {number(used.chance)})"
            for name, used in zip(names, shifts, strict=True)
            if used
        ]
        lines.append(f"Largest share of answers that a shift redirects: {'; '.join(parts)}.")
    if all(erases):
        parts = [
            f"{name} {number(used.erase)} {interval(used.erase_low, used.erase_high)} at "
            f"{place(used)} (random subspace {number(used.random_erase)})"
            for name, used in zip(names, erases, strict=True)
            if used
        ]
        lines.append(f"Largest cost of erasing the task: {'; '.join(parts)}.")
    return lines

"""Plain sentences about runs, generated from their summaries and saying no more than those do."""

from nucleate.findings._format import interval, number, place_name, position_name
from nucleate.findings._rules import MARGIN
from nucleate.findings._summary import (
    Clusters,
    Effects,
    OnsetSummary,
    PlaceFinding,
    Strongest,
    Summary,
)

_SPLIT_NAMES = {
    "all": "all prompts with an answer",
    "seen": "instruction strings seen in training",
    "unseen_string": "new strings of trained families",
    "unseen_cell": "new pairs of family and input",
    "unseen_family": "families never trained",
    "unseen_input": "new inputs",
}
_NULL_NAMES = {
    "n0": "with tasks permuted over instructions",
    "n1": "at most in untrained models",
    "n2": "for the bag of the prompt's tokens",
}
_CONTROL_NAMES = {
    "random_direction": "random direction",
    "wrong_task": "third task's answer",
    "mean_shift": "mean of all tasks",
    "shuffled": "permuted tasks",
    "other_input": "other input",
}
_OUTPUTS = {
    "own": "each task has answers of its own",
    "shared": "all tasks share their answers",
    "natural": "tasks in words",
}


def finding(summary: Summary) -> str:
    """The one sentence that stands over everything else, in plain words.

    It says at how many places states group by task, at how many of these the answers depend on the
    groups, and at how many they do not.
    """
    if summary.unmeasured:
        return f"Whether the states group by task is not known: {summary.unmeasured}."
    total = f"{len(summary.places)} places in the network"
    there = [place for place in summary.places if place.clusters == "clusters"]
    open_ones = sum(place.clusters == "undecided" for place in summary.places)
    said = f"The states group by task at {len(there) or 'none'} of {total}"
    if open_ones and not there:
        said += f" for sure (undecided at {open_ones})"
    if not summary.tested:
        return f"{said}; whether the answers depend on the task was not tested."
    if there:
        read, idle, unsure = (
            sum(place.verdict == verdict for place in there)
            for verdict in ("used", "present but not used", "undecided")
        )
        said += f": at {read} of these the answers depend on the groups, at {idle} they do not"
        said += f", at {unsure} this is undecided" if unsure else ""
    return f"{said}; {_elsewhere(summary)}."


def kind_of(summary: Summary) -> str:
    """What the answers of a run's tasks are, in a few words, to stand behind its name."""
    if summary.outputs is None:
        return summary.tasks
    null = ", the instruction says nothing of the task" if summary.null else ""
    return _OUTPUTS[summary.outputs] + null


def words(summary: Summary) -> list[str]:
    """What one run shows, in plain sentences, each with its numbers.

    Every claim carries its number, its interval and what the number is by chance. Where a verdict
    is `none`, `absent` or `undecided` the sentence says so. `summary.verdict.words` is not read:
    these sentences are what goes there.

    Args:
        summary: what the run found.

    Returns:
        The finding; then sentences on accuracy, use, clusters by position and their onset, the
        embedding, cost, and notes.
    """
    return [
        finding(summary),
        *_accuracy(summary),
        *_use(summary),
        *(line for p, found in summary.clusters.items() for line in _clusters(p, found, summary)),
        *_embedding(summary),
        *_cost(summary),
        *summary.notes,
    ]


def _elsewhere(summary: Summary) -> str:
    """The second half of the finding: the places where no groups are shown."""
    rest = [place for place in summary.tested if place.clusters != "clusters"]
    read = sum(place.verdict in ("used", "used without clusters") for place in rest)
    unsure = sum(place.verdict == "undecided" for place in rest)
    if not rest:
        return "no other place was tested"
    said = f"of the other {len(rest)} places, " if len(rest) < len(summary.tested) else ""
    if read:
        return f"{said}the answers depend on the task at {read} although no groups are shown there"
    if unsure:
        return f"{said}none is shown to matter for the answers (undecided at {unsure})"
    return f"{said}none matters for the answers"


def _accuracy(summary: Summary) -> list[str]:
    parts = [
        f"{number(found.value)} "
        f"{interval(found.low, found.high)} on {_SPLIT_NAMES.get(split, f'the split {split}')}"
        for split, found in summary.accuracy.items()
        if split != "train"
    ]
    if not parts:
        return []
    return [
        f"After {summary.steps} steps the share of right answers is {', '.join(parts)} (95 % "
        f"intervals over instruction strings); {_chance(summary)}."
    ]


def _chance(summary: Summary) -> str:
    known = [a.chance for a in summary.accuracy.values() if a.chance is not None]
    if not known:
        return "what chance would give is not known"
    least, most = number(min(known)), number(max(known))
    return f"by chance it would be {least if least == most else f'{least} to {most}'}"


def _use(summary: Summary) -> list[str]:
    if summary.unmeasured:
        return []
    if not summary.tested:
        return ["Whether the answers depend on task information was not tested."]
    tested = f"of the {len(summary.tested)} places that were tested"
    lines = []
    if idle := summary.called("present but not used"):
        clearest = max(idle, key=lambda place: place.ari or 0.0)
        lines.append(
            f"Present but not used at {len(idle)} {tested}, most clearly "
            f"{_idle(clearest)}: the groups are there, and changing them changes fewer "
            f"than {MARGIN:.0%} of the answers."
        )
    for verdict, opening in (
        ("used", "Used at"),
        ("used without clusters", "Used without clusters at"),
    ):
        if places := summary.called(verdict):
            lines.append(f"{opening} {len(places)} {tested}: {_effects(max(places, key=_effect))}.")
    for name, found in (
        ("share of answers that a shift redirects", summary.strongest_shift),
        ("cost of erasing the task", summary.strongest_erase),
    ):
        if found is not None:
            lines.append(
                f"Largest {name}, of all places: {strongest_words(found)}; the interval allows for "
                "the choice of the place."
            )
    if unsure := summary.called("undecided"):
        lines.append(f"Undecided whether used at {len(unsure)} {tested}.")
    if not summary.called("used", "used without clusters", "undecided"):
        strongest = max(summary.tested, key=_effect)
        lines.append(
            f"At none {tested} do the answers depend on task information; the largest effect "
            f"beyond a control is {_idle(strongest)}."
        )
    return lines


def _clusters(position: str, found: Clusters, summary: Summary) -> list[str]:
    where = f"at the {position_name(position)}"
    how = ", each input's mean removed," if found.view == "conditioned" else ""
    measured = (
        f"{found.stream}{how} has an agreement of clusters with tasks (ARI) of "
        f"{number(found.last)} {interval(found.low, found.high)} on the half of the instruction "
        f"strings that it was not chosen on, against {_nulls(found)}"
    )
    first = f"at the first recorded step it was {number(found.first)}"
    one_step = summary.recorded == 1
    if found.verdict == "none":
        return [f"No task clusters {where}: {measured}."]
    if found.verdict == "undecided":
        why = f" ({found.reason})" if found.reason else ""
        measured += "" if one_step else f"; {first}"
        return [f"Undecided whether there are task clusters {where}{why}: {measured}."]
    if one_step:
        return [f"Task clusters {where}: {measured}; one step was recorded, so that they have no "
                "date."]  # fmt: skip
    return [
        f"Task clusters {where}: {measured}; {first}.",
        f"They are above chance for good {dated(found.onset)}. "
        f"{_order(found.onset, summary.accuracy_onset)}".rstrip(),
    ]


def _nulls(found: Clusters) -> str:
    nulls = found.null.model_dump()
    parts = [
        f"{number(value)} {_NULL_NAMES[name]}" for name, value in nulls.items() if value is not None
    ]
    missing = [_NULL_NAMES[name] for name, value in nulls.items() if value is None]
    if missing:
        parts.append(f"an unknown value {' and '.join(missing)}")
    return ", ".join(parts)


def dated(onset: OnsetSummary) -> str:
    """When an onset is, as far as it can be told: from a step on, or no later than a step."""
    if onset.step is None:
        return "at no recorded step"
    if onset.low is None or onset.high is None:
        why = "nothing was resampled" if onset.found is None else (
            f"{100 * onset.found:.0f} % of the resamples have an onset at all"
        )  # fmt: skip
        return f"from step {onset.step} on (no closed interval: {why})"
    if onset.low <= onset.first_step:
        return f"no later than step {onset.high} (95 % bound)"
    return f"from step {onset.step} on (95 % interval {onset.low} to {onset.high})"


def _order(clusters: OnsetSummary, accuracy: OnsetSummary | None) -> str:
    """Which onset is earlier, said only where both have closed intervals that do not overlap."""
    if accuracy is None:
        return ""
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


def _cost(summary: Summary) -> list[str]:
    if summary.recording_share is None:
        return []
    return [f"Recording took {100 * summary.recording_share:.1f} % of the training time."]


def _embedding(summary: Summary) -> list[str]:
    if not summary.embedding_change:
        return []
    parts = [
        f"{number(change, sign=True)} at the {position_name(position)}"
        for position, change in summary.embedding_change.items()
    ]
    return [f"From first to last step the ARI of the embedding changed by {', '.join(parts)}."]


def _effect(place: PlaceFinding) -> float:
    """How far the larger of the two effects lies above its own controls."""
    assert place.effects is not None
    return max(shift_excess(place.effects), erase_excess(place.effects))


def shift_excess(effects: Effects) -> float:
    """How far a shift's effect lies above the largest of its controls; -inf where not tried."""
    if effects.shift is None:
        return float("-inf")
    rivals = (effects.chance, *effects.controls.model_dump().values())
    return effects.shift - max(rival or 0.0 for rival in rivals)


def erase_excess(effects: Effects) -> float:
    """How far the cost of erasing lies above the largest of its controls."""
    return effects.erase - max(effects.random_erase, effects.displaced or 0.0)


def _effects(place: PlaceFinding) -> str:
    """Both interventions at one place, each beside its controls."""
    effects = place.effects
    assert effects is not None
    displaced = (
        "" if effects.displaced is None else f", equal displacement {number(effects.displaced)}"
    )
    erase = (
        f"costs {number(effects.erase)} {interval(effects.erase_low, effects.erase_high)} of "
        f"accuracy (random subspace {number(effects.random_erase)}{displaced})"
    )
    where = f"{place_name(place.stream, place.position)}{_ari(place)}"
    if effects.shift is None:
        return f"erasing the task in {where} {erase}"
    return (
        f"shifting {where} makes the model do another task on {number(effects.shift)} "
        f"{interval(effects.shift_low, effects.shift_high)} of inputs ({_controls(effects)}); "
        f"erasing the task there {erase}"
    )


def _controls(effects: Effects) -> str:
    """What the shift must exceed: chance, and every control that was done."""
    parts = [f"chance {number(effects.chance)}"]
    for name, value in effects.controls.model_dump().items():
        if value is not None:
            parts.append(f"{_CONTROL_NAMES[name]} {number(value)}")
    return ", ".join(parts)


def _idle(place: PlaceFinding) -> str:
    """The same in short, for a place where nothing much happens."""
    effects = place.effects
    assert effects is not None
    parts = [f"{place_name(place.stream, place.position)}{_ari(place)}"]
    if effects.shift is not None:
        parts.append(f"shifting {number(effects.shift)} (chance {number(effects.chance)})")
    parts.append(f"erasing {number(effects.erase)} (at random {number(effects.random_erase)})")
    return ", ".join(parts)


def _ari(place: PlaceFinding) -> str:
    return "" if place.ari is None else f" (ARI {number(place.ari)})"


def strongest_words(found: Strongest) -> str:
    """The largest effect of any place, with its interval and where it is."""
    where = place_name(found.stream, found.position)
    return f"{number(found.value)} {interval(found.low, found.high)}, {where}"

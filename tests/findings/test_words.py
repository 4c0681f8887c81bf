"""What the sentences say, and what they must never say."""

import re

import pytest
from pydantic import ValidationError

from nucleate.findings import (
    NullBand,
    OnsetSummary,
    Summary,
    contrast_words,
    dated,
    finding,
    key_table,
    overall,
    place_verdict,
    words,
)

NEVER = OnsetSummary(step=None, low=None, high=None, found=0.0, first_step=0)


def changed(summary: Summary, **changes: object) -> Summary:
    """The summary with other fields; what follows from the places is made to follow."""
    other = Summary.model_construct(**{**dict(summary), **changes})
    clusters, used = overall(other.clusters.values(), other.places)
    verdict = summary.verdict.model_copy(update={"clusters": clusters, "used": used})
    return Summary.model_validate({**dict(other), "verdict": verdict})


def with_clusters(summary: Summary, position: str, **changes: object) -> Summary:
    """The summary with another headline at a position; its place follows."""
    found = summary.clusters[position].model_copy(update=changes)
    places = [
        judged(place, found.verdict, place.effects.use)
        if (place.position, place.stream) == (position, found.stream)
        else place
        for place in summary.places
    ]
    return changed(summary, clusters={**summary.clusters, position: found}, places=places)


def judged(place, clusters, use, **effects):
    return place.model_copy(
        update={
            "clusters": clusters,
            "verdict": place_verdict(clusters, use),
            "effects": place.effects.model_copy(update={"use": use, **effects}),
        }
    )


def one_place(summary: Summary, clusters: str, use: str, **effects: object) -> Summary:
    """The summary of a model with a single place that was looked at."""
    place = next(p for p in summary.places if (p.position, p.stream) == ("last", "block.3"))
    return changed(summary, places=[judged(place, clusters, use, **effects)], clusters={})


@pytest.fixture(scope="module")
def own(make_view):
    return make_view("own", "own").summary


@pytest.fixture(scope="module")
def shared(make_view):
    return make_view("shared", "shared").summary


@pytest.fixture(scope="module")
def nothing(make_view):
    return make_view("scrambled", "own", False).summary


def test_the_first_sentence_says_where_groups_are_and_whether_answers_depend_on_them(own, nothing):
    assert words(own)[0] == finding(own) == (
        "The states group by task at 12 of 16 places in the network: at 5 of these the answers "
        "depend on the groups, at 7 they do not; of the other 4 places, none is shown to matter "
        "for the answers (undecided at 2)."
    )  # fmt: skip
    assert finding(nothing) == (
        "The states group by task at none of 16 places in the network; none matters for the "
        "answers."
    )


def test_the_first_sentence_holds_no_symbol_that_needs_a_legend(own, shared, nothing):
    for summary in (own, shared, nothing):
        assert not re.search(r"\bN[0-5]\b|block|ARI|\bown\b|\bshared\b|last/|mu_", finding(summary))


def test_clusters_are_told_with_interval_and_all_three_nulls(own):
    assert (
        "Task clusters at the end of the instruction: block.4 has an agreement of clusters with "
        "tasks (ARI) of 0.97 [0.93, 1.00] on the half of the instruction strings that it was not "
        "chosen on, against 0.06 with tasks permuted over instructions, 0.19 at most in untrained "
        "models, 0.12 for the bag of the prompt's tokens; at the first recorded step it was 0.14."
    ) in words(own)


def test_undecided_clusters_are_not_called_clusters(own):
    doubtful = with_clusters(own, "last", verdict="undecided")
    line = next(line for line in words(doubtful) if "whether there are task clusters" in line)
    assert line.startswith("Undecided whether there are task clusters at the last prompt token")
    assert "at 11 of 16 places" in finding(doubtful)


def test_a_null_that_was_not_measured_is_named(own):
    partial = with_clusters(own, "last", null=NullBand(n0=0.05, n1=None, n2=None))
    told = " ".join(words(partial))
    assert (
        "an unknown value at most in untrained models and for the bag of the prompt's tokens"
    ) in told


def test_overlapping_onsets_leave_the_order_undecided(own):
    line = next(line for line in words(own) if "above chance" in line)
    assert "from step 41 on (95 % interval 33 to 55)" in line
    assert "undecided: the intervals overlap (steps 33 to 55 against 33 to 55" in line


def test_an_onset_whose_interval_begins_at_the_first_step_is_told_as_a_latest_step():
    begun = OnsetSummary(step=18, low=0, high=24, found=1.0, first_step=0)
    assert dated(begun) == "no later than step 24 (95 % bound)"
    assert dated(begun.model_copy(update={"first_step": -1})).startswith("from step 18 on (95 %")


def test_an_order_is_stated_only_for_disjoint_intervals_and_never_as_a_cause(own):
    later = OnsetSummary(step=90, low=80, high=100, found=1.0, first_step=0)
    told = " ".join(words(changed(own, accuracy_onset=later)))
    assert "Their onset is earlier than that of accuracy in this run (steps 33 to 55" in told
    assert "an order in time is no cause" in told


@pytest.mark.parametrize("high", [None, 55])
def test_an_open_interval_decides_no_order(own, high):
    onset = OnsetSummary(step=41 if high is None else None, low=33, high=high, found=0.9,
                         first_step=0)  # fmt: skip
    told = " ".join(words(changed(own, accuracy_onset=onset)))
    assert "earlier" not in told
    assert "later than that" not in told
    assert "no closed interval" in told


def test_the_change_of_the_embedding_is_never_minus_zero(own):
    told = words(changed(own, embedding_change={"last": -0.001}))
    assert (
        "From first to last step the ARI of the embedding changed by 0.00 at the last prompt token."
    ) in told


def test_used_gives_the_shift_its_controls_and_the_cost_of_erasing(own):
    line = next(line for line in words(own) if line.startswith("Used"))
    assert "at 5 of the 16 places" in line
    assert (
        "makes the model do another task on 0.94 [0.91, 0.96] of inputs (chance 0.05, random "
        "direction 0.00, third task's answer 0.00, mean of all tasks 0.04, permuted tasks 0.01, "
        "other input 0.02); erasing the task there costs 0.56"
    ) in line


def test_present_but_not_used_comes_first_and_names_the_clearest_place(own):
    told = words(own)
    line = next(line for line in told if line.startswith("Present but not used"))
    assert line == (
        "Present but not used at 7 of the 16 places that were tested, most clearly block.4 at the "
        "end of the instruction (ARI 0.97), shifting 0.05 (chance 0.05), erasing 0.00 (at random "
        "0.01): the groups are there, and changing them changes fewer than 10% of the answers."
    )
    assert told.index(line) < next(k for k, t in enumerate(told) if t.startswith("Used"))


@pytest.mark.parametrize(
    ("clusters", "use", "said"),
    [
        ("clusters", "used", "Used at 1 of the 1"),
        ("undecided", "used", "Used at 1 of the 1"),
        ("none", "used", "Used without clusters at 1 of the 1"),
        ("clusters", "not used", "Present but not used at 1 of the 1"),
        ("none", "not used", "At none of the 1 places"),
        ("undecided", "not used", "Undecided whether used at 1 of the 1 places"),
        ("clusters", "undecided", "Undecided whether used at 1 of the 1 places"),
    ],
)
def test_every_verdict_of_use_has_its_sentence(own, clusters, use, said):
    told = words(one_place(own, clusters, use))
    assert any(line.startswith(said) for line in told)
    if use != "used":
        assert not any(line.startswith("Used") for line in told)
    if clusters != "none":
        assert not any("without clusters" in line for line in told)


def test_without_interventions_use_is_not_judged(own):
    places = [p.model_copy(update={"effects": None, "verdict": None}) for p in own.places]
    untested = changed(own, places=places)
    assert "Whether the answers depend on task information was not tested." in words(untested)
    assert finding(untested).endswith("was not tested.")
    assert untested.verdict.used == "not tested"


def test_a_place_without_a_shift_is_told_by_what_erasing_costs(own):
    told = words(one_place(own, "clusters", "used", shift=None, erase=0.6))
    assert any("erasing the task in block.3 at the last prompt token" in line for line in told)
    assert not any("shifting" in line for line in told)


def test_words_do_not_read_the_words_of_the_verdict(own):
    empty = own.verdict.model_copy(update={"words": ["Nonsense."]})
    assert words(own.model_copy(update={"verdict": empty})) == words(own)


def test_words_do_not_read_whether_the_run_is_a_null(nothing):
    assert words(changed(nothing, null="scrambled")) == words(nothing)


def test_a_record_that_contradicts_itself_is_refused(own):
    record = own.model_dump(mode="json")
    assert Summary.model_validate(record) == own
    record["verdict"]["used"] = "not used"
    with pytest.raises(ValidationError, match="the places say 'clusters', 'used'"):
        Summary.model_validate(record)
    record = own.model_dump(mode="json")
    record["places"][-1]["verdict"] = "used"
    with pytest.raises(ValidationError, match="is called 'used', but its numbers say"):
        Summary.model_validate(record)
    record = own.model_dump(mode="json")
    record["clusters"]["last"]["verdict"] = "undecided"
    with pytest.raises(ValidationError, match="in one place of the record"):
        Summary.model_validate(record)


def test_the_table_for_a_terminal_has_at_most_eight_lines(own, shared):
    table = key_table([own, shared])
    assert len(table) <= 8
    assert table[0].split() == ["own", "shared"]
    assert any(line.startswith("places with task clusters") for line in table)
    assert max(map(len, table)) <= 100


def test_one_run_is_not_contrasted(own):
    assert contrast_words([own]) == []


def test_disjoint_intervals_are_a_difference_and_overlapping_ones_are_not(own, shared):
    told = contrast_words([own, shared])
    assert any("end of the instruction" in t and "no difference is claimed" in t for t in told)
    assert any(
        "last prompt token" in t and "own is higher than shared: the intervals do not overlap" in t
        for t in told
    )


def test_a_contrast_of_single_seeds_says_so(own, shared):
    assert contrast_words([own, shared])[-1].startswith("All this is one seed per run (seed 0)")


def test_runs_of_one_name_are_told_apart(own):
    assert "own (1) 0.97" in contrast_words([own, own])[0]

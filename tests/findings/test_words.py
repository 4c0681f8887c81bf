"""What the sentences say, and what they must never say."""

import re

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from nucleate.findings import (
    Controls,
    NullBand,
    OnsetSummary,
    Summary,
    Used,
    contrast_words,
    finding,
    words,
)

NEVER = OnsetSummary(step=None, low=None, high=None, found=0.0)


def _with_clusters(summary: Summary, position: str, **changes: object) -> Summary:
    found = summary.clusters[position].model_copy(update=changes)
    return summary.model_copy(update={"clusters": {**summary.clusters, position: found}})


def _used(verdict: str, **changes: object) -> Used:
    values = {
        "stream": "block.3", "position": "last", "shift": 0.05, "shift_low": 0.03,
        "shift_high": 0.07, "chance": 0.05,
        "controls": Controls(random_direction=0.0, wrong_task=0.004), "erase": 0.0,
        "erase_low": -0.01, "erase_high": 0.01, "random_erase": 0.01, "clusters": "clusters",
        "verdict": verdict,
    }  # fmt: skip
    return Used(**{**values, **changes})


@pytest.fixture(scope="module")
def own(make_view):
    return make_view("own", "own").summary


@pytest.fixture(scope="module")
def shared(make_view):
    return make_view("shared", "shared").summary


@pytest.fixture(scope="module")
def nothing(make_view):
    return make_view("scrambled", "own", False).summary


def test_clusters_are_told_with_interval_and_all_three_nulls(own):
    assert (
        "Task clusters at the end of the instruction: block.4 has ARI 0.97 [0.93, 0.99] on the "
        "held-out half of the instruction strings, against 0.06 by chance (N0), 0.19 untrained "
        "(N1), 0.12 bag of tokens (N2); at the first recorded step it was 0.14."
    ) in words(own)


def test_no_clusters_is_said_in_so_many_words(nothing):
    told = words(nothing)
    assert told[1].startswith("No task clusters at the end of the instruction: block.0 has ARI")
    assert finding(nothing) == (
        "No task clusters; task information is not used at any place that was tested."
    )


def test_undecided_clusters_are_not_called_clusters(own):
    doubtful = _with_clusters(own, "last", verdict="undecided")
    line = next(line for line in words(doubtful) if "last prompt token" in line)
    assert line.startswith("Undecided whether there are task clusters at the last prompt token")
    assert "last prompt token" not in finding(doubtful)


def test_a_null_that_was_not_measured_is_named(own):
    partial = _with_clusters(own, "last", null=NullBand(n0=0.05, n1=None, n2=None))
    assert any("no value for N1 and N2, which was not measured" in line for line in words(partial))


def test_overlapping_onsets_leave_the_order_undecided(own):
    line = next(line for line in words(own) if "null band" in line)
    assert "from step 41 on (95 % interval 33 to 55)" in line
    assert "undecided: the intervals overlap (steps 33 to 55 against 33 to 55" in line


def test_an_order_is_stated_only_for_disjoint_intervals_and_never_as_a_cause(own):
    later = OnsetSummary(step=90, low=80, high=100, found=1.0)
    told = " ".join(words(own.model_copy(update={"accuracy_onset": later})))
    assert "Their onset is earlier than that of accuracy in this run (steps 33 to 55" in told
    assert "an order in time is no cause" in told


@pytest.mark.parametrize("onset", [NEVER, OnsetSummary(step=41, low=33, high=None, found=0.9)])
def test_an_open_interval_decides_no_order(own, onset):
    told = " ".join(words(own.model_copy(update={"accuracy_onset": onset})))
    assert "earlier" not in told
    assert "later" not in told
    assert "no closed interval" in told


def test_the_change_of_the_embedding_is_never_minus_zero(own):
    told = words(own.model_copy(update={"embedding_change": {"last": -0.001}}))
    assert (
        "From first to last step the ARI of the embedding changed by 0.00 at the last prompt token."
    ) in told


def test_used_gives_the_shift_its_controls_and_the_cost_of_erasing(own):
    line = next(line for line in words(own) if line.startswith("Used"))
    assert (
        "makes the model do the other task on 0.94 [0.91, 0.96] of inputs (chance 0.05, random "
        "direction 0.00, wrong task 0.00, mean of all tasks 0.04, permuted tasks 0.01, other input "
        "0.02); erasing the task there costs 0.56"
    ) in line
    assert "at 5 of the 16 places" in line


def test_present_but_not_used_names_the_clearest_place(own):
    assert (
        "Present but not used at 8 of the 16 places that were tested, most clearly at "
        "instruction_end/block.4, ARI 0.97, shift 0.05 (chance 0.05), erase 0.00 (random 0.01)."
    ) in words(own)


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("used", "Used (clusters are there, and changing them changes the answers) at 1 of the 1"),
        ("used without clusters", "Used without clusters (none beyond the nulls, yet"),
        ("present but not used", "Not used: at none of the 1 places"),
        ("absent", "Not used: at none of the 1 places"),
        ("undecided", "Undecided whether used at 1 of the 1 places"),
    ],
)
def test_every_verdict_of_use_has_its_sentence(own, verdict, said):
    told = words(own.model_copy(update={"used": [_used(verdict)]}))
    assert any(line.startswith(said) for line in told)
    if not verdict.startswith("used"):
        assert not any(line.startswith("Used") for line in told)


def test_without_interventions_use_is_not_judged(own):
    untested = own.model_copy(update={"used": []})
    assert "Whether answers depend on task information was not tested." in words(untested)
    assert finding(untested).endswith("was not tested.")


def test_a_place_without_a_shift_is_told_by_what_erasing_costs(own):
    only_erase = _used("used", shift=None, shift_low=None, shift_high=None, erase=0.6)
    told = words(own.model_copy(update={"used": [only_erase]}))
    assert any("erasing the task at last/block.3" in line for line in told)
    assert not any("shifting" in line for line in told)


def test_words_do_not_read_the_words_of_the_verdict(own):
    empty = own.verdict.model_copy(update={"words": ["Nonsense."]})
    assert words(own.model_copy(update={"verdict": empty})) == words(own)


def test_words_do_not_read_whether_the_run_is_a_null(nothing):
    assert words(nothing.model_copy(update={"null": "scrambled"})) == words(nothing)


share = st.floats(0, 1)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_where_every_verdict_is_none_no_sentence_claims_anything(nothing, data):
    ari = {name: data.draw(share) for name in nothing.clusters["last"].by_stream}
    summary = _with_clusters(nothing, "last", last=data.draw(share), by_stream=ari)
    places = [
        _used(
            data.draw(st.sampled_from(["absent", "undecided"])),
            shift=data.draw(share | st.none()), chance=data.draw(share), erase=data.draw(share),
            random_erase=data.draw(share), stream=stream, clusters="none",
        )
        for stream in ari
    ]  # fmt: skip
    told = " ".join([*words(summary.model_copy(update={"used": places})), finding(summary)])
    claims = r"(?<!No )(?<!no )(?<!are )[Tt]ask clusters|(?<!not )\bused at last|Used|Present|onset"
    assert not re.search(claims, told), told


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
    assert contrast_words([own, shared])[-1].startswith("All this is one seed a run (seed 0)")


def test_runs_of_one_name_are_told_apart(own):
    assert "own (1) 0.97" in contrast_words([own, own])[0]

"""One test of requests against a reference: what it finds, what it says, what it refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clouds import Clouds
from nucleate import BadInput
from nucleate.monitor.drift import DriftSample, DriftVerdict, drift

CLOUDS = Clouds()
REFERENCE = CLOUDS.sample(1, 600, name="reference")


def look(requests, reference=REFERENCE, **settings):
    return drift(reference, requests, **{"draws": 199, **settings})


def test_requests_from_the_same_clusters_are_no_drift():
    found = look(CLOUDS.sample(2, 500))
    assert found.verdict is DriftVerdict.NO_DRIFT_SEEN
    assert found.p > 0.05
    assert {each.kind: each.share <= 0.2 for each in found.detectable} == {
        "moved to one cluster": True, "outside": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("shift", "statistic"),
    [
        ({"to_first": 0.2}, "mass"),
        ({"to_first": 0.4}, "regions"),
        ({"off": 0.1}, "outside"),
        ({"spread": 1.2}, "score"),
        ({"spread": 1.2}, "residuals"),
        ({"gathered": 0.05}, "new group"),
    ],
)
def test_each_kind_of_shift_is_found_by_its_statistic(shift, statistic):
    found = look(CLOUDS.sample(3, 500, **shift))
    assert found.verdict is DriftVerdict.DRIFT
    assert statistic in found.found


def test_a_moved_cluster_is_named_with_an_interval_that_holds_the_truth():
    found = look(CLOUDS.sample(4, 1000, to_first=0.2))
    first = found.clusters[0]
    assert first.cluster == "task 0"
    assert first.beyond
    # From 1/8 to .2 + .8/8.
    assert first.low < 0.2 + 0.8 / 8 - 1 / 8 < first.high


def test_a_new_cluster_is_found_whole_with_examples_and_its_density():
    found = look(CLOUDS.sample(5, 500, gathered=0.06))
    vectors = CLOUDS.draw(np.random.default_rng(5), 500, gathered=0.06)
    spot = {f"row{k}" for k in np.flatnonzero(np.linalg.norm(vectors - 15, axis=1) < 8)}
    assert found.new_group is not None
    assert abs(found.new_group.requests - len(spot)) <= 0.1 * len(spot)
    assert set(found.new_group.examples) <= spot
    assert len(found.new_group.examples) == 5
    assert found.new_group.dense


def test_thinly_spread_outside_requests_are_no_new_cluster():
    found = look(CLOUDS.sample(6, 500, off=0.1))
    assert "outside" in found.found
    assert found.new_group is None or not found.new_group.dense


def test_amounts_are_those_of_the_shift():
    sizes = {each.name: each for each in look(CLOUDS.sample(7, 2000, off=0.2)).signals}
    outside = sizes["outside"]
    assert outside.low < 0.2 * 0.95 < outside.high
    moved = {each.name: each for each in look(CLOUDS.sample(8, 2000, to_first=0.2)).signals}
    # 7/8 of a fifth of the requests came from elsewhere.
    assert moved["mass"].low < 0.2 * 7 / 8 < moved["mass"].high


def test_no_amount_beyond_zero_is_reported_of_noise_that_was_selected():
    """The direction of each shift is chosen on one half and measured on the other."""
    covered = [
        each.low <= 0 <= each.high
        for seed in range(12)
        for each in look(CLOUDS.sample(100 + seed, 200), draws=139).signals
        if each.amount is not None
    ]
    assert np.mean(covered) > 0.9


@pytest.mark.slow
def test_false_alarms_of_one_test_keep_the_rate():
    from scipy.stats import binomtest

    alarms = sum(
        look(
            CLOUDS.sample(2 * seed + 1, 150),
            CLOUDS.sample(2 * seed, 200),
            draws=139,
        ).verdict
        is DriftVerdict.DRIFT
        for seed in range(400)
    )
    assert binomtest(alarms, 400, 0.05, "greater").pvalue > 0.01, alarms
    assert alarms > 4


@given(seed=st.integers(0, 50))
@settings(max_examples=4, deadline=None)
def test_the_order_of_rows_and_names_of_clusters_do_not_matter_to_p(seed):
    """Permuting the codes of all clusters changes no statistic."""
    requests = CLOUDS.sample(9, 120, to_first=0.1)
    rng = np.random.default_rng(seed)
    codes = rng.permutation(CLOUDS.clusters)
    swapped = [replace(each, cluster=codes[each.cluster]) for each in (REFERENCE, requests)]
    one, other = look(requests, draws=139), look(swapped[1], swapped[0], draws=139)
    assert one.p == other.p


def test_the_same_input_gives_the_same_report():
    requests = CLOUDS.sample(10, 200)
    assert look(requests).to_dict() == look(requests).to_dict()
    assert look(requests).p != look(requests, seed=1).p


def test_p_is_never_zero_and_counts_the_observed_value():
    """Where it is the largest in all statistics nothing is smaller than 1 / (1 + draws)."""
    for draws in (139, 199):
        p = look(CLOUDS.sample(11, 500, off=0.8), draws=draws).p
        # Of the highest draws of six statistics, each is as rare in its own; one counts twice.
        assert 1 / (1 + draws) <= p <= 7 / (1 + draws)


def test_few_requests_and_small_references_say_so():
    few = look(CLOUDS.sample(12, 20))
    assert few.verdict is DriftVerdict.TOO_FEW
    assert few.p is not None
    assert look(CLOUDS.sample(13, 1)).verdict is DriftVerdict.TOO_FEW
    small = look(CLOUDS.sample(14, 300), CLOUDS.sample(15, 60))
    assert small.verdict is DriftVerdict.TOO_FEW
    assert small.detectable
    assert any("the reference is small: 60 rows" in line for line in small.lines())
    assert look(CLOUDS.sample(14, 300), CLOUDS.sample(15, 1)).verdict is DriftVerdict.TOO_FEW


def test_a_clear_shift_is_drift_even_in_few_requests():
    assert look(CLOUDS.sample(16, 20, off=1.0)).verdict is DriftVerdict.DRIFT


def test_quiet_requests_that_could_hide_a_shift_are_undecided():
    found = look(CLOUDS.sample(17, 60), matters=0.05)
    assert found.verdict is DriftVerdict.UNDECIDED
    assert all(each.share is None or each.share > 0.05 for each in found.detectable)


@pytest.mark.slow
def test_the_smallest_detectable_shift_is_found_as_often_as_it_says():
    kinds = {each.kind: each.share for each in look(CLOUDS.sample(18, 300)).detectable}
    shares = {"to_first": kinds["moved to one cluster"]}
    for name, share in shares.items():
        found = [
            look(CLOUDS.sample(500 + k, 300, **{name: share}), CLOUDS.sample(900 + k, 600))
            for k in range(60)
        ]
        assert np.mean([each.verdict is DriftVerdict.DRIFT for each in found]) > 0.78


def test_training_rows_are_refused_in_the_reference_and_left_out_of_requests():
    with pytest.raises(BadInput, match="2 of the 600 reference rows are training rows"):
        look(CLOUDS.sample(19, 100), training={"reference3", "reference9", "other"})
    found = look(CLOUDS.sample(19, 100), training={"row3", "row4"})
    assert found.requests == 98
    assert "left out: 2 requests that are training rows word for word" in found.notes


def test_without_vectors_the_rest_is_judged_and_said():
    found = look(CLOUDS.sample(20, 400, vectors_kept=False, to_first=0.3))
    assert {each.name for each in found.signals} == {"mass", "outside", "score"}
    assert found.verdict is DriftVerdict.DRIFT
    assert any("vectors were not kept" in note for note in found.notes)


def test_one_cluster_has_no_shares_and_is_judged_by_the_rest():
    single = Clouds(clusters=1)
    found = look(single.sample(21, 200, off=0.3), single.sample(22, 300))
    assert "mass" not in {each.name for each in found.signals}
    assert found.verdict is DriftVerdict.DRIFT


def test_the_report_is_json_and_words_follow_from_it():
    found = look(CLOUDS.sample(23, 500, off=0.2), per_day=1000.0)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (plain["kind"], plain["version"], plain["verdict"]) == ("drift", 1, "drift")
    assert plain["inputs"]["atlas"] == "one"
    assert plain["false_alarms_a_month"] == pytest.approx(0.05 * 30 * 1000 / 500)
    assert found.lines()[0].startswith(f"drift (p {found.p:.3g}")
    assert any(line.startswith("more requests outside") for line in found.lines())
    assert "would have been found" not in "\n".join(found.lines())


def test_traffic_is_read_from_times_where_there_are_any():
    requests = replace(CLOUDS.sample(24, 201), times=86_400 * np.linspace(0, 2, 201))
    assert look(requests).false_alarms_a_month == pytest.approx(0.05 * 30 * 100 / 201)
    assert look(replace(requests, times=np.zeros(201))).false_alarms_a_month is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"rate": 0.0}, "rate is 0.0; give a number between 0 and 1"),
        ({"rate": 1.5}, "rate is 1.5"),
        ({"rate": float("nan")}, "rate is nan; give a finite number"),
        ({"outside": 1.0}, "outside is 1.0;"),
        ({"matters": -0.1}, "matters is -0.1"),
        ({"per_day": 0.0}, "per_day is 0.0"),
        ({"draws": 10}, "draws is 10; give a whole number of at least 139"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, says):
    with pytest.raises(BadInput, match=says):
        look(CLOUDS.sample(25, 50), **wrong)


def test_requests_of_another_atlas_or_width_are_refused():
    with pytest.raises(BadInput, match="scored by the atlas two, and this one is one"):
        look(CLOUDS.sample(26, 50, atlas="two"))
    with pytest.raises(BadInput, match="whitened vectors of width 5, and this atlas has 6"):
        look(Clouds(rank=5).sample(26, 50))
    with pytest.raises(BadInput, match="9 clusters that are not the 8"):
        look(Clouds(clusters=9).sample(26, 50))
    with pytest.raises(BadInput, match="p values by both, and this reference by states"):
        look(replace(CLOUDS.sample(26, 50), detector="both"), replace(REFERENCE, detector="states"))


def test_an_empty_look_is_refused():
    with pytest.raises(BadInput, match="there are no requests to look at"):
        look(REFERENCE.take(slice(0, 0)))
    with pytest.raises(BadInput, match="the reference has no rows"):
        look(REFERENCE, REFERENCE.take(slice(0, 0)))
    with pytest.raises(BadInput, match="there are no requests"):
        DriftSample.joined([])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"p": np.array([0.1, np.nan])}, "p is not finite in 1 rows, first in row 1"),
        ({"p": np.array([0.1, 1.2])}, "p has the value 1.2"),
        ({"cluster": np.array([0, 8])}, "cluster codes go from 0 to 8"),
        ({"hashes": ("one",)}, "columns have different lengths"),
        ({"vectors": np.full((2, 6), np.inf)}, "vectors is not finite in 2 rows"),
        ({"residual": None}, "only one of vectors and residual"),
        ({"clusters": ()}, "there are no clusters"),
    ],
)
def test_samples_that_are_none_are_refused(change, says):
    with pytest.raises(BadInput, match=says):
        replace(REFERENCE.take(slice(0, 2)), **change)

"""What an atlas says of itself, and of another one."""

from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from nucleate._core.errors import BadInput
from nucleate.monitor.atlas import (
    atlas_report,
    cluster_table,
    diff_atlases,
    fit_atlas,
    report_lines,
)

CODE = np.repeat(np.arange(4), 200)


def vectors(seed=0, moved=None):
    centers = np.random.default_rng(3).normal(size=(4, 8)) * 4
    if moved is not None:
        centers[moved] += 12
    rng = np.random.default_rng(seed)
    return (centers[CODE] + rng.normal(size=(len(CODE), 8))).astype(np.float32)


@pytest.fixture(scope="module")
def atlas():
    return fit_atlas(vectors(), [f"t{k}" for k in CODE])


def with_alarms(atlas, cluster, share):
    """Reference rows of one cluster that were called outside, a share of them."""
    p = np.full(len(atlas.reference), 0.5)
    own = np.flatnonzero(atlas.reference.label == cluster)
    p[own[: round(share * len(own))]] = 0.01
    return replace(atlas, reference=replace(atlas.reference, p=p))


def test_shares_have_the_intervals_of_wilson(atlas):
    table = cluster_table(atlas)
    row = table.iloc[0]
    right = int(atlas.confusion[0, 0])
    wanted = proportion_confint(right, int(row["rows"]), method="wilson")
    assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx(wanted)
    assert atlas.confusion.sum() == atlas.settings["rows"]["calibration"]


def test_a_cluster_with_far_more_false_alarms_is_named_and_the_others_are_not(atlas):
    told = with_alarms(atlas, 2, 0.6)
    table = cluster_table(told).set_index("cluster")
    assert table.loc["t2", "state"] == "too many"
    assert set(table.drop("t2")["state"]) == {"as asked"}
    assert any(
        line.startswith("Far more false alarms: t2 0.") for line in report_lines(atlas_report(told))
    )


def test_nothing_is_said_of_a_cluster_with_few_reference_rows(atlas):
    known = atlas.reference
    keep = np.flatnonzero(known.label != 1)
    rows = ("vectors", "cluster", "label", "probability", "p_states")
    kept = replace(
        known, p=np.zeros(len(keep)), hashes=tuple(known.hashes[k] for k in keep),
        **{name: getattr(known, name)[keep] for name in rows},
    )  # fmt: skip
    table = cluster_table(replace(atlas, reference=kept)).set_index("cluster")
    assert table.loc["t1", "state"] == "too few"
    assert table.loc["t0", "state"] == "too many"


def test_the_same_model_twice_has_changed_nowhere_and_a_moved_cluster_is_named(atlas):
    again = fit_atlas(vectors(seed=1), [f"t{k}" for k in CODE])
    assert not any(
        each.words for each in diff_atlases(atlas, again, common_basis=True, draws=240).clusters
    )
    moved = fit_atlas(vectors(seed=1, moved=3), [f"t{k}" for k in CODE])
    assert diff_atlases(atlas, moved, common_basis=True, draws=240).named("moved") == ("t3",)


def test_atlases_of_different_places_have_no_basis_in_common(atlas):
    with pytest.raises(BadInput, match="no basis in common"):
        diff_atlases(atlas, replace(atlas, stream="block.1"), common_basis=True)


@pytest.mark.parametrize("rate", [0.0, 1.0, 5.0])
def test_a_rate_out_of_range_is_refused(atlas, rate):
    with pytest.raises(BadInput, match="rate is"):
        atlas_report(atlas, rate)

"""Keyframes: metrics that take long are measured at few steps, and say so at the others."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate._core.errors import BadInput
from nucleate.panel import Metric, Permuted, measure, panel_metrics
from nucleate.panel import _step as step_module
from nucleate.panel._keyframes import NO_KEYFRAME, keyframes_of

N0 = {"nulls": (Permuted(19),), "n_bootstraps": 10, "n_init": 2}
RARE = {name for name, metric in panel_metrics().items() if metric.keyframes}


@pytest.fixture(scope="module")
def prompts(make_probe):
    return make_probe(tasks=3, inputs=2)


@pytest.fixture(scope="module")
def snapshots(prompts, make_states):
    return [(step, make_states(prompts, {"task": step / 3}, seed=step)) for step in range(6)]


@pytest.fixture(scope="module")
def panel(prompts, snapshots):
    return measure(snapshots, prompts, keyframes=3, **N0)


@given(st.sets(st.integers(0, 10_000), min_size=1, max_size=60), st.integers(2, 20))
def test_keyframes_are_recorded_steps_among_them_the_first_and_the_last(steps, count):
    steps = sorted(steps)
    found = keyframes_of(steps, count)
    assert found == sorted(set(found))
    assert set(found) <= set(steps)
    assert {steps[0], steps[-1]} <= set(found)
    assert len(found) == min(count, len(steps))
    gaps = np.diff([steps.index(step) for step in found])
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1


def test_one_keyframe_is_refused():
    with pytest.raises(BadInput, match="1 keyframes do not hold the first and the last"):
        keyframes_of([0, 1, 2], 1)


def test_metrics_that_take_long_have_values_at_keyframes_alone_and_a_note_elsewhere(panel):
    knn = panel.select("knn", view="raw", position="last")
    at = knn["step"].isin([0, 2, 5])
    assert set(knn["step"]) == set(range(6))
    assert knn.loc[at, "value"].notna().all()
    assert knn.loc[at, "n0_q99"].notna().all()
    assert knn.loc[~at, ["value", "n0_mean", "n0_q99", "p"]].isna().all(axis=None)
    assert set(knn.loc[~at, "note"]) == {NO_KEYFRAME}
    assert set(knn.loc[at, "note"]) == {""}


def test_what_verdicts_and_curves_rest_on_is_measured_at_every_snapshot(panel):
    for metric in ("ari", "ami", "separation", "probe_accuracy", "probe_nll", "margin", "rankme",
                   "recall", "variance_share"):  # fmt: skip
        label = "" if metric == "rankme" else "task"
        rows = panel.select(metric, label=label, view="raw", position="last")
        assert rows["value"].notna().all(), metric
    assert panel.select("ari", label="task")["n0_q99"].notna().any()


def test_what_is_undefined_stays_undefined_where_there_is_no_keyframe(panel):
    rows = panel.select("ari", label="input", view="raw", position="instruction_end")
    assert rows["note"].str.startswith("undefined").all()


def test_numbers_at_keyframes_are_those_of_measuring_everything_everywhere(
    prompts, snapshots, panel
):
    whole = measure(snapshots, prompts, keyframes=6, **N0)
    assert not (whole.table["note"] == NO_KEYFRAME).any()
    key = ["step", "stream", "position", "view", "label", "metric", "half"]
    # ARI of other labels starts from the clusters of the keyframe before: other, equally good ones.
    chained = (whole.table["metric"].isin(["ari", "ami"])) & (whole.table["label"] != "task")
    both = panel.table.merge(whole.table[~chained], on=key, suffixes=("", "_whole"))
    measured = both[both["note"] != NO_KEYFRAME]
    there = measured[measured["value"].notna()]
    assert {"ari", "knn", "ncm", "selectivity", "ccgp_family", "separation"} <= set(there["metric"])
    assert set(there.loc[there["metric"] == "knn", "step"]) == {0, 2, 5}
    assert set(there.loc[there["metric"] == "separation", "step"]) == set(range(6))
    pd.testing.assert_series_equal(
        measured["value"], measured["value_whole"], check_names=False, rtol=1e-6
    )


def test_metrics_at_keyframes_are_computed_no_more_often_than_that(monkeypatch, prompts, snapshots):
    seen = []
    original = step_module.Bench.result

    def counted(self, *args, **options):
        seen.append({metric.name for metric in self.metrics} & RARE)
        return original(self, *args, **options)

    monkeypatch.setattr(step_module.Bench, "result", counted)
    measure(snapshots, prompts, keyframes=3, metrics=["agreement", "neighbors"], nulls=(),
            n_bootstraps=0, n_init=1)  # fmt: skip
    units = 4
    assert seen.count({"neighbors"}) == 3 * units
    assert seen.count(set()) == 6 * units


def test_a_users_metric_can_ask_for_keyframes(prompts, snapshots):
    mine = Metric.of("mine", lambda x, labels: 1.0, permuted=False, keyframes=True)
    panel = measure(snapshots, prompts, metrics=[mine], nulls=(), n_bootstraps=0, keyframes=2)
    rows = panel.select("mine", view="raw", position="last")
    assert set(rows.loc[rows["value"].notna(), "step"]) == {0, 5}

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from nucleate._core.errors import BadInput
from nucleate.findings import choose_stream, cluster_verdict
from nucleate.metrics import agreement, kmeans, standardize
from nucleate.panel import (
    Panel,
    Permuted,
    SurfaceText,
    Untrained,
    measure,
)
from nucleate.panel._layout import layout
from nucleate.runs import States

QUICK = {"n_bootstraps": 60, "n_init": 5}
N0 = (Permuted(99), SurfaceText())


def ari(table, label="task", view="raw", position="last", half="all", metric="ari"):
    rows = table[
        (table.label == label) & (table["view"] == view) & (table.position == position)
        & (table.half == half) & (table.metric == metric)
    ]  # fmt: skip
    return rows.reset_index(drop=True)


@pytest.fixture(scope="module")
def prompts(make_probe):
    return make_probe()


@pytest.fixture(scope="module")
def panel(prompts, make_states):
    """Steps at which the task appears under a dominating input."""
    streams = ("embed", "block.0", "block.1", "final_norm")
    snapshots = [
        (step, make_states(prompts, {"input": 4.0, "task": amount}, streams=streams, seed=step))
        for step, amount in ((0, 0.0), (10, 1.0), (20, 2.5))
    ]
    untrained = [
        make_states(prompts, {"input": 4.0}, streams=streams, seed=90 + i) for i in range(5)
    ]
    return measure(snapshots, prompts, nulls=(*N0, Untrained(untrained)), **QUICK)


def test_each_number_stands_once(panel):
    key = ["step", "stream", "position", "view", "label", "metric", "half"]
    assert not panel.table.duplicated(key).any()
    assert len(panel.table) % (3 * 4) == 0


def test_input_hides_task_in_the_raw_view_only(panel):
    end = panel.table[panel.table.step == 20]
    assert ari(end).value.max() < 0.1
    assert ari(end, label="input").value.min() > 0.95
    assert ari(end, view="conditioned").value.min() > 0.95
    assert ari(end, metric="separation", view="conditioned").value.min() > 1
    assert ari(end, metric="ncm", view="conditioned").value.min() > 0.95


def test_verdict_follows_the_task(panel):
    for step, expected in ((0, {"none", "undecided"}), (20, {"clusters"})):
        rows = ari(panel.table[panel.table.step == step], view="conditioned", half="report")
        assert {cluster_verdict(row) for _, row in rows.iterrows()} <= expected


def test_rows_with_one_prefix_are_one_state_and_labels_unknown_there_are_named(panel):
    end = panel.table[panel.table.position == "instruction_end"]
    assert set(ari(end, position="instruction_end").n) == {36}
    for label, view in (("input", "raw"), ("output", "raw"), ("task", "conditioned")):
        rows = ari(end, label=label, view=view, position="instruction_end")
        assert len(rows) == 12
        assert rows.value.isna().all()
        assert rows.note.str.startswith("undefined: ").all()


def test_halves_have_their_own_nulls_and_intervals(panel):
    report = ari(panel.table, view="conditioned", half="report")
    choose = ari(panel.table, view="conditioned", half="choose")
    assert report[["low", "high", "n0_q99", "n1_max", "n2", "p"]].notna().all(axis=None)
    assert choose.low.isna().all()
    assert choose[["n0_q99", "n1_max", "n2"]].notna().all(axis=None)
    assert (report.low <= report.high).all()
    draws = panel.draws["last", "conditioned"]
    assert draws.shape == (3, 4, 60)
    low = np.percentile(draws, 2.5, axis=2).ravel()
    assert low == pytest.approx(report.low.to_numpy())


def test_cdnv_is_the_reciprocal_where_there_is_one(panel):
    separation = ari(panel.table, metric="separation", view="conditioned")
    cdnv = ari(panel.table, metric="cdnv", view="conditioned")
    positive = separation.value > 0
    assert cdnv.value[positive].to_numpy() == pytest.approx(1 / separation.value[positive])
    assert cdnv.value[~positive].isna().all()
    assert (cdnv.note[~positive] != "").all()


def test_stream_is_chosen_on_the_other_half_among_blocks(panel):
    assert choose_stream(panel.table, "last", "conditioned", 20) in {
        "block.0", "block.1", "final_norm"
    }  # fmt: skip
    table = panel.table.copy()
    chosen = (table.stream == "block.1") & (table.half == "choose")
    table.loc[chosen, "value"] = 2.0
    table.loc[table.stream == "embed", "value"] = 3.0
    assert choose_stream(table, "last", "conditioned", 20) == "block.1"
    with pytest.raises(BadInput, match="step 77"):
        choose_stream(table, "last", "conditioned", 77)


def test_panel_comes_back_from_disk(panel, tmp_path):
    panel.save(tmp_path)
    again = Panel.load(tmp_path)
    pd.testing.assert_frame_equal(again.table, panel.table, check_dtype=False)
    assert again.streams == ("embed", "block.0", "block.1", "final_norm")
    for place, draws in panel.draws.items():
        assert np.array_equal(again.draws[place], draws)
    (tmp_path / "panel.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadInput, match="measure the run again"):
        Panel.load(tmp_path)


def test_same_numbers_whatever_the_number_of_workers(prompts, make_states):
    snapshots = [(step, make_states(prompts, {"task": 0.5}, seed=step)) for step in range(2)]
    before = torch.get_num_threads()
    panels = [measure(snapshots, prompts, nulls=N0, **QUICK, n_jobs=workers) for workers in (1, 3)]
    assert torch.get_num_threads() == before
    pd.testing.assert_frame_equal(panels[0].table, panels[1].table)
    pd.testing.assert_frame_equal(panels[0].by_class, panels[1].by_class)
    for place, draws in panels[0].draws.items():
        assert np.array_equal(panels[1].draws[place], draws, equal_nan=True)


def test_missing_nulls_leave_the_verdict_open(prompts, make_states):
    table = measure([(0, make_states(prompts, {"task": 4.0}))], prompts, nulls=N0, **QUICK).table
    row = ari(table, half="report").iloc[0]
    assert row.value > 0.9
    assert np.isnan(row.n1_max)
    assert cluster_verdict(row) == "undecided"


def test_surface_text_that_tells_the_task_is_not_called_clusters(make_probe, make_states):
    prompts = make_probe(telling=True)
    untrained = [make_states(prompts, {}, seed=i) for i in range(5)]
    nulls = (*N0, Untrained(untrained))
    table = measure(make_states(prompts, {"task": 4.0}), prompts, nulls=nulls, **QUICK).table
    row = ari(table, half="report", position="instruction_end").iloc[0]
    assert row.value > 0.9
    assert row.n2 > 0.9
    assert cluster_verdict(row) == "undecided"


def test_clusters_of_families_alone_do_not_pass_for_clusters_of_tasks(make_probe, make_states):
    prompts = make_probe(tasks=10, families=3, strings=3, inputs=1)
    where = layout(prompts, "last", n_permutations=99, n_bootstraps=0, seed=0)
    states = make_states(prompts, {"family": 5.0}, width=32)
    untrained = [make_states(prompts, {}, seed=i, width=32) for i in range(5)]
    nulls = (*N0, Untrained(untrained))
    row = ari(measure(states, prompts, nulls=nulls, **QUICK).table).iloc[0]
    assert where.nulls["task"].blocks is not None
    assert row.value > 0.05
    assert row.n0_q99 > row.value > row.n2
    assert cluster_verdict(row) != "clusters"


def test_permuting_over_rows_would_be_too_easy(make_probe, make_states):
    prompts = make_probe(tasks=10, families=3, strings=2, inputs=5)
    states = make_states(prompts, {"instruction": 3.0}, width=32)
    row = ari(measure([(0, states)], prompts, nulls=N0, **QUICK).table).iloc[0]
    task = np.array(prompts.labels["task"])
    rng = np.random.default_rng(0)
    over_rows = np.stack([rng.permutation(task) for _ in range(99)])
    last = states.at("block.0", "last")
    found = agreement(kmeans(standardize(last[None].float()), 10).labels[0], over_rows).ari
    assert row.n0_q99 > 5 * np.quantile(found, 0.99)


def test_constant_states_score_nothing_and_say_so(prompts, make_states):
    states = make_states(prompts, {"task": 2.0}, streams=("embed", "block.0"))
    states.values[0, 0] = 0.25
    table = measure([(0, states)], prompts, nulls=N0, **QUICK).table
    flat = table[(table.stream == "embed") & (table.position == "instruction_end")]
    scored = flat[(flat["view"] == "raw") & flat.label.isin(["task", "family"])]
    # Numbers that need what no row has here are undefined whatever the states.
    elsewhere = scored.metric.isin(["selectivity", "probe_known_strings", "variance_share"])
    assert scored[elsewhere].note.str.startswith("undefined: ").all()
    scored = scored[~elsewhere]
    assert (scored.note == "constant").all()
    assert (scored[~scored.metric.isin(["cdnv", "probe_nll"])].value == 0).all()
    assert cluster_verdict(ari(flat, position="instruction_end").iloc[0]) == "none"


def test_a_broken_state_is_marked_and_harms_no_other(prompts, make_states):
    states = make_states(prompts, {"task": 3.0}, streams=("block.0", "block.1"))
    states.values[0, 1, 5, 2] = torch.nan
    panel = measure(
        [(0, states), (1, make_states(prompts, {"task": 3.0}, streams=("block.0", "block.1")))],
        prompts,
        nulls=N0,
        **QUICK,
    )
    table = panel.table[panel.table.step == 0]
    rows = ari(table).set_index("stream")
    assert rows.note["block.0"] == "nan"
    assert np.isnan(rows.value["block.0"])
    assert rows.value["block.1"] > 0.9
    assert np.isnan(panel.draws["last", "raw"][0, 0]).all()
    assert ari(panel.table[panel.table.step == 1]).value.min() > 0.9


def test_tasks_without_common_inputs_are_not_conditioned(prompts, make_states):
    inputs = tuple(
        f"{a}:{b}" for a, b in zip(prompts.labels["task"], prompts.labels["input"], strict=True)
    )
    apart = replace(prompts, labels={**prompts.labels, "input": inputs})
    table = measure([(0, make_states(prompts, {"task": 2.0}))], apart, nulls=N0, **QUICK).table
    rows = ari(table, view="conditioned")
    assert rows.value.isna().all()
    assert (rows.note == "undefined: the tasks do not share their inputs").all()


def test_rows_of_unseen_families_and_inputs_are_left_out(prompts, make_states):
    split = ["unseen_input" if given == "3" else "seen" for given in prompts.labels["input"]]
    fewer = replace(prompts, labels={**prompts.labels, "split": tuple(split)})
    table = measure([(0, make_states(prompts, {"task": 2.0}))], fewer, nulls=N0, **QUICK).table
    assert set(ari(table).n) == {108}


def test_columns_that_are_called_like_ours_are_measured_as_the_users(prompts, make_states):
    names = ("length", "position", "step", "stream", "row", "task x family")
    even = tuple("long" if row % 2 else "short" for row in range(len(prompts)))
    own = replace(prompts, labels={**prompts.labels, **dict.fromkeys(names, even)})
    states = make_states(own, {"length": 6.0})
    table = measure([(0, states)], own, nulls=N0, **QUICK).table
    for name in names:
        # The states are made of the user's column, not of the number of tokens.
        assert (ari(table, label=name).value > 0.9).all(), name
    assert len(ari(table, label="length in tokens")) == len(ari(table, label="length"))


def test_a_label_of_one_class_or_of_a_class_a_row_is_no_partition(make_probe, make_states):
    prompts = make_probe(strings=1, inputs=1)
    table = measure([(0, make_states(prompts, {"task": 2.0}))], prompts, nulls=N0, **QUICK).table
    assert set(ari(table, label="family").note) == {"undefined: each row has its own family"}
    assert set(ari(table, label="input").note) == {"undefined: all rows have the same input"}
    assert ari(table).value.notna().all()


def test_probes_without_clusters_to_find_are_refused(make_probe, make_states):
    one = make_probe(tasks=1)
    with pytest.raises(BadInput, match="one task"):
        measure([(0, make_states(one, {}))], one, nulls=N0, **QUICK)
    few = make_probe(tasks=5, families=1, strings=1, inputs=1)
    with pytest.raises(BadInput, match="5 tasks have 5 at instruction_end and 5 at last"):
        measure([(0, make_states(few, {}))], few, nulls=N0, **QUICK)


def test_states_of_another_probe_are_refused(prompts, make_states):
    states = make_states(prompts, {})
    short = States(states.values[:, :, :-1], states.streams, states.positions)
    with pytest.raises(BadInput, match="143 rows"):
        measure([(0, states), (1, short)], prompts, nulls=N0, **QUICK)
    with pytest.raises(BadInput, match="no snapshots"):
        measure([], prompts)


def test_progress_counts_snapshots(prompts, make_states):
    seen = []
    snapshots = [(step, make_states(prompts, {})) for step in range(2)]
    measure(snapshots, prompts, progress=lambda *at: seen.append(at), nulls=(), n_bootstraps=0)
    # Each of 4 units at 2 steps, and again at the 2 keyframes that these are.
    assert seen == [(done, 16) for done in range(1, 17)]


def test_a_probe_without_the_labels_is_refused_with_their_names(prompts, make_states):
    bare = replace(prompts, labels={k: v for k, v in prompts.labels.items() if k != "task"})
    with pytest.raises(BadInput, match="no label 'task', which measure needs"):
        measure([(0, make_states(prompts, {"task": 4.0}))], bare, nulls=N0, **QUICK)

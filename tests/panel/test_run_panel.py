"""Measuring a run folder: only what is new, going on after a stop, whole files only."""

import numpy as np
import pandas as pd
import pytest
import torch

from nucleate._core.errors import BadInput
from nucleate.panel import (
    Metric,
    Panel,
    Permuted,
    Scrambled,
    SurfaceText,
    Untrained,
    measure,
)
from nucleate.panel import _step as step_module
from nucleate.runs import Run, States

N0 = (Permuted(19), SurfaceText())
QUICK = {"nulls": N0, "n_bootstraps": 20, "n_init": 3, "metrics": ["agreement", "separation"]}
STREAMS = ("block.0", "block.1")


@pytest.fixture
def prompts(make_probe):
    return make_probe(tasks=4, inputs=2)


@pytest.fixture
def make_run(tmp_path, prompts, make_states):
    def make(steps, name="run"):
        run = Run.create(tmp_path / name, prompts, {"name": name})
        for step in steps:
            save(run, step, make_states)
        return Run(run.path)

    return make


def save(run, step, make_states, amount=None, seed=None):
    amount = step / 10 if amount is None else amount
    states = make_states(
        run.prompts, {"task": amount}, streams=STREAMS, seed=step if seed is None else seed
    )
    run.save_snapshot(step, states, {})


@pytest.fixture
def measured(monkeypatch):
    """The number of (unit, step) pairs that were really measured."""
    count = []
    original = step_module.Bench.result

    def counted(self, *args, **options):
        count.append(self.view)
        return original(self, *args, **options)

    monkeypatch.setattr(step_module.Bench, "result", counted)
    return count


def test_measured_again_nothing_is_done_and_the_numbers_are_the_same(make_run, measured):
    run = make_run([0, 10, 20])
    first = measure(run, **QUICK)
    assert len(measured) == 12
    again = measure(run, **QUICK)
    assert len(measured) == 12
    pd.testing.assert_frame_equal(first.table, again.table)
    assert all(np.array_equal(first.draws[place], again.draws[place]) for place in first.draws)
    pd.testing.assert_frame_equal(Panel.load(run.path).table, first.table, check_dtype=False)


def test_new_snapshots_alone_are_measured_and_end_in_the_same_panel(
    make_run, make_states, measured
):
    grown = make_run([0, 10])
    measure(grown, **QUICK)
    save(grown, 20, make_states)
    del measured[:]
    by_parts = measure(grown, **QUICK)
    assert len(measured) == 4
    at_once = measure(make_run([0, 10, 20], "other"), **QUICK)
    pd.testing.assert_frame_equal(by_parts.table, at_once.table)


def test_a_snapshot_recorded_anew_voids_it_and_all_after_it(make_run, make_states, measured):
    run = make_run([0, 10, 20])
    measure(run, **QUICK)
    save(run, 10, make_states, amount=3.0, seed=99)
    del measured[:]
    changed = measure(run, **QUICK)
    assert len(measured) == 8
    fresh = Run.create(run.path.parent / "fresh", run.prompts, {"name": "fresh"})
    for step in (0, 10, 20):
        anew = {"amount": 3.0, "seed": 99} if step == 10 else {}
        save(fresh, step, make_states, **anew)
    pd.testing.assert_frame_equal(changed.table, measure(fresh, **QUICK).table)


def test_other_settings_measure_anew(make_run, measured):
    run = make_run([0, 10])
    measure(run, **QUICK)
    for changed in ({"seed": 1}, {"metrics": ["agreement"]}, {"nulls": (Permuted(29),)}):
        del measured[:]
        measure(run, **{**QUICK, **changed})
        assert len(measured) == 8


def test_untrained_models_are_laid_beside_without_measuring_anew(make_run, make_states, measured):
    run = make_run([0, 10])
    without = measure(run, **QUICK)
    assert "N1" in without.missing
    models = tuple(make_states(run.prompts, {}, streams=STREAMS, seed=50 + i) for i in range(5))
    run.save_untrained(models)
    del measured[:]
    beside = measure(run, **{**QUICK, "nulls": (*N0, Untrained(tuple(run.untrained())))})
    assert not measured
    assert "N1" not in beside.missing
    rows = beside.table[(beside.table.metric == "ari") & beside.table.value.notna()]
    assert rows.n1_max.notna().all()


def test_a_stop_loses_nothing_that_was_measured(make_run, measured):
    class Stopped(Exception):
        pass

    def stop(done, total):
        if done == 5:
            raise Stopped

    run = make_run([0, 10, 20])
    with pytest.raises(Stopped):
        measure(run, **QUICK, n_jobs=1, progress=stop)
    assert len(measured) == 5
    stopped = measure(run, **QUICK, n_jobs=1)
    assert len(measured) == 12
    pd.testing.assert_frame_equal(stopped.table, measure(make_run([0, 10, 20], "b"), **QUICK).table)


def test_a_torn_file_is_measured_again(make_run, measured):
    run = make_run([0, 10])
    whole = measure(run, **QUICK)
    torn = next((run.path / "panel").glob("*/10.safetensors"))
    torn.write_bytes(torn.read_bytes()[:50])
    del measured[:]
    again = measure(run, **QUICK)
    assert len(measured) == 1
    pd.testing.assert_frame_equal(again.table, whole.table)


def test_many_streams_are_cut_into_units_that_join_again(make_probe, make_states):
    prompts = make_probe(tasks=3, inputs=2)
    streams = tuple(f"block.{k}" for k in range(11))
    panel = measure(make_states(prompts, {"task": 2.0}, streams=streams), prompts, **QUICK)
    rows = panel.table[(panel.table.metric == "ari") & (panel.table.label == "task")
                       & (panel.table.half == "all") & (panel.table["view"] == "raw")
                       & (panel.table.position == "last")]  # fmt: skip
    assert tuple(rows.stream) == streams
    assert panel.draws["last", "raw"].shape[:2] == (1, 11)


def test_a_run_without_tasks_stands_beside(make_run, make_states):
    run, other = make_run([0, 10, 20]), make_run([0, 10], "scrambled")
    theirs = measure(other, **QUICK)
    panel = measure(run, **{**QUICK, "nulls": (*N0, Scrambled(theirs))})
    assert "N4" not in panel.missing
    at_20 = panel.table[(panel.table.step == 20) & (panel.table.metric == "ari")]
    at_10 = theirs.table[(theirs.table.step == 10) & (theirs.table.metric == "ari")]
    assert np.array_equal(at_20.n4.to_numpy(), at_10.value.to_numpy(), equal_nan=True)


def test_a_position_missing_from_some_snapshots_is_refused_in_one_sentence(make_run, make_states):
    run = make_run([0])
    states = make_states(run.prompts, {}, streams=STREAMS)
    short = States(states.values[:, :1], STREAMS, states.positions[:1])
    run.save_snapshot(5, short, {})
    with pytest.raises(BadInput, match=r"step 5 have streams .* positions \('instruction_end',\)"):
        measure(run, **QUICK)


def test_a_run_without_snapshots_is_refused(make_run):
    with pytest.raises(BadInput, match="no snapshots"):
        measure(make_run([]), **QUICK)


def test_an_older_panel_is_still_read(make_run):
    run = make_run([0, 10])
    panel = measure(run, **QUICK)
    for name in ("panel.json", "panel_by_class.csv"):
        (run.path / name).unlink()
    old = panel.table.drop(columns=["n3_q99", "n4", "n5"])
    old.to_csv(run.path / "panel.csv", index=False)
    again = Panel.load(run.path)
    assert again.table.n4.isna().all()
    assert again.by_class.empty
    assert len(again.table) == len(panel.table)


def test_a_users_metric_stands_in_the_table_beside_its_nulls(prompts, make_states):
    def spread(x, labels):
        """Between-class share of the variance."""
        means = np.stack([x[labels == c].mean(0) for c in range(labels.max() + 1)])[labels]
        return float(means.var(0).sum() / x.var(0).sum())

    models = [make_states(prompts, {}, seed=50 + i) for i in range(5)]
    panel = measure(
        make_states(prompts, {"task": 2.0}), prompts, n_bootstraps=0,
        nulls=(*N0, Untrained(models)), metrics=[Metric.of("spread", spread)],
    )  # fmt: skip
    row = panel.table[(panel.table.metric == "spread") & (panel.table["view"] == "raw")].iloc[0]
    assert row.value > row.n0_q99 > row.n0_mean > 0
    assert row.value > row.n1_max > 0
    assert row.n2 > 0
    assert row.p == pytest.approx(0.05)


def test_a_metric_that_falls_as_states_group_is_judged_the_other_way_round(prompts, make_states):
    def within(x, labels):
        means = np.stack([x[labels == c].mean(0) for c in range(labels.max() + 1)])[labels]
        return float((x - means).var(0).sum())

    panel = measure(
        make_states(prompts, {"task": 3.0}), prompts, nulls=N0, n_bootstraps=0,
        metrics=[Metric.of("within", within, larger=False)],
    )  # fmt: skip
    row = panel.table[panel.table.metric == "within"].iloc[0]
    assert 0 < row.value < row.n0_q99 < row.n0_mean
    assert row.p == pytest.approx(0.05)


def test_one_member_of_a_class_does_not_break_the_panel(make_probe, make_states):
    from dataclasses import replace

    prompts = make_probe(tasks=4, inputs=2)
    rare = ("rare", *prompts.labels["family"][1:])
    odd = replace(prompts, labels={**prompts.labels, "kind": rare})
    panel = measure(make_states(odd, {"task": 2.0}), odd, nulls=N0, n_bootstraps=10)
    rows = panel.table[(panel.table.label == "kind") & (panel.table.metric == "ari")]
    assert rows[rows.position == "last"].value.notna().any()


def test_a_probe_with_tasks_alone_is_measured(make_probe, make_states):
    from dataclasses import replace

    prompts = make_probe(tasks=4, inputs=2)
    states = make_states(prompts, {"task": 3.0})
    bare = replace(prompts, labels={"task": prompts.labels["task"]})
    panel = measure(states, bare, nulls=N0, n_bootstraps=10, n_init=3)
    here = panel.table[(panel.table.label == "task") & (panel.table.metric == "ari")]
    rows = here[(here.position == "last") & (here["view"] == "raw") & (here.half == "all")]
    assert rows.value.iloc[0] > 0.9
    why = here[here["view"] == "conditioned"].note
    assert (why == "undefined: the prompt set has no label 'input'").all()


def test_float16_states_on_disk_are_measured_as_what_they_are(make_run):
    run = make_run([30])
    assert run.states(30).values.dtype == torch.float16
    on_disk = measure(run, **QUICK).table
    in_memory = measure([(30, run.states(30))], run.prompts, **QUICK).table
    pd.testing.assert_frame_equal(on_disk, in_memory)

"""What numbers rest on: instruction strings, texts, or nothing that can be permuted."""

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from nucleate._core.strings import announced, number_strings
from nucleate.findings import FEWEST_STRINGS_CLUSTERS, cluster_verdict, why_undecided
from nucleate.metrics import agreement, bootstrap_ari, kmeans, resamples
from nucleate.panel import Permuted, SurfaceText, Untrained, measure
from nucleate.panel._layout import layout, measured_rows

QUICK = {"n_bootstraps": 60, "n_init": 5}


def measured(prompts, make_states, amount=5.0, metrics=None):
    untrained = [make_states(prompts, {}, seed=50 + i) for i in range(5)]
    nulls = (Permuted(199), SurfaceText(), Untrained(untrained))
    states = make_states(prompts, {"task": amount})
    return measure(states, prompts, nulls=nulls, metrics=metrics, **QUICK).table


def row_of(table, metric="ari", half="all", position="last", view="raw"):
    found = table[
        (table.label == "task") & (table.metric == metric) & (table.half == half)
        & (table.position == position) & (table["view"] == view)
    ]  # fmt: skip
    assert len(found) == 1
    return found.iloc[0]


def test_tasks_of_one_string_have_no_n0_and_are_undecided_not_absent(make_probe, make_states):
    prompts = make_probe(tasks=12, families=1, strings=1, inputs=10)
    table = measured(prompts, make_states)
    row = row_of(table)
    assert row.value > 0.9
    assert row[["n0_mean", "n0_q99", "p"]].isna().all()
    assert row.unit == "none"
    assert "each task has one instruction string" in row.note
    assert cluster_verdict(row) == "undecided"
    assert why_undecided(row) == row.note
    for metric in ("knn", "ncm", "margin", "probe_accuracy", "probe_nll", "selectivity"):
        left_out = row_of(table, metric)
        assert math.isnan(left_out.value), metric
        assert left_out.note == "undefined: each task has one instruction string only", metric
    # Their own position has a state a task: nothing to cluster, and no reason to refuse the rest.
    assert row_of(table, position="instruction_end").note.startswith("undefined: ")


def test_one_task_of_one_string_leaves_n0_and_takes_what_leaves_strings_out(
    make_probe, make_states
):
    prompts = make_probe(tasks=6, families=1, strings=6, inputs=2)
    only = [t != "0" or i == "0" for t, i in zip(
        prompts.labels["task"], prompts.labels["instruction"], strict=True)]  # fmt: skip
    table = measured(prompts.take(np.flatnonzero(only)), make_states)
    assert row_of(table).n0_q99 < 0.5
    assert row_of(table).unit == "strings"
    assert row_of(table, "knn").note == "undefined: 1 of 6 tasks have one instruction string only"


@pytest.mark.parametrize("said", ["", "You are a helpful assistant."])
def test_rows_whose_instruction_tells_nothing_are_units_of_their_own(make_probe, make_states, said):
    prompts = make_probe(tasks=4, families=1, strings=6, inputs=2)
    labels = {**prompts.labels, "instruction": (said,) * len(prompts)}
    row = row_of(measured(replace(prompts, labels=labels), make_states))
    assert row.unit == "texts"
    assert row.strings == len(prompts)
    assert row.n0_q99 < 0.5
    assert cluster_verdict(row) == "clusters"


def test_two_strings_a_task_leave_one_in_each_half(make_probe, make_states):
    prompts = make_probe(tasks=20, families=1, strings=2, inputs=2)
    table = measured(prompts, make_states, metrics=["agreement"])
    assert row_of(table).n0_q99 < 0.5
    assert "in this half" in row_of(table, half="report").note
    assert cluster_verdict(row_of(table, half="report")) == "undecided"


def test_few_strings_decide_nothing_either_way(make_probe, make_states):
    prompts = make_probe(tasks=2, families=1, strings=4, inputs=4)
    for amount in (0.0, 5.0):
        row = row_of(measured(prompts, make_states, amount, ["agreement"]))
        assert row.strings == 8 < FEWEST_STRINGS_CLUSTERS
        assert cluster_verdict(row) == "undecided"
        assert why_undecided(row)


def test_strings_are_numbered_by_task_family_and_instruction():
    labels = {
        "task": ("a", "a", "a", "b", "b", "b"),
        "family": ("f", "f", "g", "h", "h", "h"),
        "instruction": ("x", "x", "x", "x", "", ""),
        "text": ("1", "2", "3", "4", "5", "5"),
    }
    assert number_strings(labels).tolist() == [0, 0, 1, 2, 3, 3]
    assert announced(labels).tolist() == [True] * 4 + [False] * 2
    without = {name: labels[name] for name in ("task", "instruction")}
    assert number_strings(without).tolist() == [0, 0, 0, 1, 2, 3]
    assert number_strings({"task": ("a", "a")}).tolist() == [0, 1]


def test_rows_of_a_position_are_the_first_of_each_prefix_without_the_splits_apart(make_probe):
    prompts = make_probe(tasks=3, families=1, strings=2, inputs=4)
    assert measured_rows(prompts, "last").tolist() == list(range(24))
    assert measured_rows(prompts, "instruction_end").tolist() == list(range(0, 24, 4))
    split = tuple("unseen_input" if i == "0" else "seen" for i in prompts.labels["input"])
    apart = replace(prompts, labels={**prompts.labels, "split": split})
    assert measured_rows(apart, "instruction_end").tolist() == list(range(1, 24, 4))


def test_permutations_that_rename_are_counted_as_brute_force_does(make_probe):
    prompts = make_probe(tasks=3, families=1, strings=2, inputs=1)
    labels = layout(prompts, "last", n_permutations=199, n_bootstraps=0, seed=0)
    assert labels.units["task"] == "none"
    from nucleate._core.strings import Strings

    task = np.repeat(np.arange(3), 2)
    strings = Strings.of(np.arange(6), task, task, np.full(6, 5))
    permuted = strings.permuted(task, 199, np.random.default_rng(0))
    same = [adjusted_rand_score(task, each) == 1 for each in permuted.labels[1:].numpy()]
    assert 0 < permuted.renamed == pytest.approx(np.mean(same))


def test_intervals_hold_the_solutions_that_are_equally_good_and_the_strings_not_drawn():
    import torch

    labels = torch.arange(4).repeat_interleave(10)
    strings = torch.arange(40)
    weights = resamples(np.arange(40), 40, 2000, 0)
    perfect = bootstrap_ari(labels[None], labels, strings, weights)
    # The rule of three: 40 strings without an error still allow 3 / 40 of another kind.
    assert np.quantile(perfect, 0.025) == pytest.approx((1 - 3 / 40) ** 2, abs=0.02)
    assert perfect.max() == 1
    other = labels.clone()
    other[:10] = torch.arange(10) % 4
    mixed = bootstrap_ari(torch.stack([labels, other])[None], labels, strings, weights)
    apart = bootstrap_ari(other[None], labels, strings, weights)
    assert np.array_equal(mixed[0, ::2], perfect[0, ::2])
    assert np.array_equal(mixed[0, 1::2], apart[0, 1::2])


def test_near_solutions_are_near_and_the_best_is_first():
    import torch

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 600, 48, generator=generator)
    found = kmeans(x, 6, solutions=5)
    assert found.near.shape == (3, 5, 600)
    assert torch.equal(found.near[:, 0], found.labels)
    for points, solutions, best in zip(x, found.near, found.inertia, strict=True):
        # One Gaussian has many optima that are as good; numbers of clusters mean nothing.
        assert min(agreement(solutions, solutions[0]).ari) < 0.9
        for labels in solutions:
            member = torch.nn.functional.one_hot(labels, 6).T.float()
            means = member @ points / member.sum(1, keepdim=True)
            assert float((points - means[labels]).square().sum()) <= 1.00501 * float(best)
    # Clear clusters have one solution.
    means = 50 * torch.randn(6, 8, generator=generator)
    clear = kmeans((means.repeat(20, 1) + torch.randn(120, 8, generator=generator))[None], 6,
                   solutions=4).near[0]  # fmt: skip
    assert (agreement(clear, clear[0]).ari == 1).all()

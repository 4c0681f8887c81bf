"""The numbers of a reading are those of the metrics, free of scale, and say what is not finite."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import any_runs
from made_trainings import PLACES, prompts
from nucleate import metrics
from nucleate._core.errors import BadInput
from nucleate.monitor.alarms import Column, Gauge
from nucleate.runs import States

TASKS = ("t0", "t1", "t2")


def states_of(values: np.ndarray) -> States:
    return States(torch.tensor(values, dtype=torch.float32), any_runs.STREAMS, ("last",))


def made(seed: int, apart: float = 2.0) -> States:
    return any_runs.states_of(prompts(), apart, seed)


def numbers(states: States, scores: dict | None = None) -> dict[Column, float]:
    gauge = Gauge(prompts(), PLACES)
    found = gauge.read(3, states, scores or {})
    return dict(zip(gauge.columns(any_runs.STREAMS), found.values.tolist(), strict=True))


def halves() -> np.ndarray:
    return Gauge(prompts())._half


def test_rank_norm_and_nearest_centroids_are_those_of_the_metrics():
    states = made(1)
    found = numbers(states)
    points = states.at("block.1", "last")
    place = "block.1 @ last"
    task = prompts().labels["task"]
    assert np.exp(found[Column("rank", place)]) == pytest.approx(metrics.rankme(points), rel=1e-5)
    assert np.exp(found[Column("norm", place)]) == pytest.approx(metrics.mean_norm(points))
    shares = [found[Column("centroid", place, name)] for name in TASKS]
    expected = metrics.nearest_centroid(points, task, halves(), prompts().labels["instruction"])
    assert np.mean(shares) == pytest.approx(expected)


def test_separation_is_the_cross_fitted_distance_over_the_variance_within():
    states = made(2)
    points = states.at("block.1", "last").double().numpy()
    task, half = np.array(prompts().labels["task"]), halves()
    means = {(t, h): points[(task == t) & (half == h)].mean(0) for t in TASKS for h in (0, 1)}
    spread = {
        t: sum(np.square(points[(task == t) & (half == h)] - means[t, h]).sum() for h in (0, 1))
        / ((task == t).sum() - 2)
        for t in TASKS
    }  # fmt: skip
    ratio = {
        (a, b): (means[a, 0] - means[b, 0]) @ (means[a, 1] - means[b, 1]) * 2
        / (spread[a] + spread[b])
        for a in TASKS for b in TASKS if a != b
    }  # fmt: skip
    found = numbers(states)
    for name in TASKS:
        nearest = min(ratio[name, other] for other in TASKS if other != name)
        value = found[Column("separation", "block.1 @ last", name)]
        assert value == pytest.approx(np.log1p(max(nearest, 0)), rel=1e-4)
    mean = np.mean([np.log1p(max(v, 0)) for v in ratio.values()])
    assert found[Column("mean separation", "block.1 @ last")] == pytest.approx(mean, rel=1e-4)


def test_strings_that_differ_by_chance_do_not_separate_tasks():
    """A string's own offset, in all its rows, lifts the plain distance and not this one."""
    gauge, known = Gauge(prompts(), [("block.1", "last")]), prompts()
    string = np.array([int(name[3:]) for name in known.labels["instruction"]])
    crossed, plain = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        points = rng.standard_normal((24, 6))[string] + 0.01 * rng.standard_normal((48, 6))
        centered = (points - points.mean(0)).astype(np.float32)[None]
        means = gauge._mean @ centered
        lengths, squares = (np.square(each).sum(-1) for each in (means, centered))
        crossed.append(gauge._separation(squares, means, lengths)[0, 0, 1])
        plain.append(metrics.pairwise_separation(points, known.labels["task"])[0, 1])
    error = np.std(crossed) / np.sqrt(len(crossed))
    assert abs(np.mean(crossed)) < 4 * error
    assert np.mean(plain) > 0.1


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3))
def test_scale_and_rotation_change_the_norm_alone(seed, scale):
    states = made(seed)
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((6, 6)))[0]
    before, after = numbers(states), numbers(states_of(scale * states.values.numpy() @ turn))
    for column, value in before.items():
        if column.statistic == "norm":
            assert after[column] == pytest.approx(value + np.log(scale), abs=1e-3)
        elif column.statistic != "centroid":  # a share may flip where two are equally near
            assert after[column] == pytest.approx(value, abs=1e-3, nan_ok=True)


def test_what_is_not_finite_is_named_and_the_rest_still_known():
    states = made(3)
    states.values[2, 0, 5, 1] = torch.inf
    gauge = Gauge(prompts(), PLACES)
    scores = {"correct": torch.ones(48, dtype=torch.bool), "nll": torch.full((48,), torch.nan)}
    found = gauge.read(1, states, scores, float("nan"))
    assert found.not_finite == ("states of block.1 @ last", "loss of the answers", "training loss")
    known = dict(zip(gauge.columns(any_runs.STREAMS), np.isfinite(found.values), strict=True))
    assert known[Column("rank", "block.0 @ last")]
    assert not known[Column("rank", "block.1 @ last")]


def test_answers_count_by_task_and_rows_without_one_do_not():
    right = torch.tensor([name == "t1" for name in prompts().labels["task"]])
    found = numbers(made(4), {"correct": right, "nll": torch.full((48,), 0.5)})
    assert [found[Column("right", "", name)] for name in TASKS] == [0, 1, 0]
    assert found[Column("loss")] == pytest.approx(np.log(0.5))
    assert found[Column("accuracy")] == pytest.approx(1 / 3)


def test_constant_states_are_no_error():
    found = numbers(states_of(np.ones((4, 1, 48, 6))))
    assert found[Column("mean separation", "block.1 @ last")] == 0


def test_the_middle_and_the_last_block_count_at_the_instructions_end():
    known = any_runs.prompts_of(positions="last")
    gauge = Gauge(known)
    blocks = [f"block.{k}" for k in range(12)]
    assert gauge.places(["embed", *blocks, "final_norm"]) == (
        ("block.5", "last"), ("block.11", "last"),
    )  # fmt: skip
    assert gauge.places(["block.0"]) == (("block.0", "last"),)


def test_a_task_of_one_string_is_named_and_not_separated():
    rows = [{"ids": [2, k], "task": f"t{min(k, 2)}", "instruction": f"do {k}"} for k in range(6)]
    from nucleate.prompts import PromptSet

    few = PromptSet.from_records(rows, None, positions="last")
    gauge = Gauge(few, [("block.0", "last")])
    assert gauge.uncrossed == ("t0", "t1")
    values = torch.randn(4, 1, 6, 5)
    found = gauge.read(0, States(values, any_runs.STREAMS, ("last",)), {})
    assert np.isnan(found.values[:3]).all()


@pytest.mark.parametrize(
    ("labels", "message"),
    [({"task": "t"}, "all 48 prompts are of the task 't'"), ({}, "no label 'task'")],
)
def test_prompts_without_tasks_are_refused(labels, message):
    rows = [{"ids": [2, k], "instruction": f"do {k}", **labels} for k in range(48)]
    from nucleate.prompts import PromptSet

    with pytest.raises(BadInput, match=message):
        Gauge(PromptSet.from_records(rows, None, positions="last"))


@pytest.mark.parametrize("place", [("block.9", "last"), ("block.0", "first")])
def test_a_place_that_is_not_there_is_refused_with_those_that_are(place):
    with pytest.raises(BadInput, match="choose one of"):
        Gauge(prompts(), [place]).columns(any_runs.STREAMS)

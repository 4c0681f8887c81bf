"""Clusters of two versions: changes are found where made, and nothing is said elsewhere."""

import json

import numpy as np
import pytest

import any_runs
from in_process import runner
from nucleate import BadInput, Run
from nucleate.findings import LabeledStates, cluster_changes, run_changes

WIDTH = 16


def version(
    middles: np.ndarray, counts: int, rng: np.random.Generator, *, split: int | None = None
) -> LabeledStates:
    """Clusters about their middles, two rows a string."""
    strings = []
    for number, middle in enumerate(middles):
        points = middle + rng.standard_normal((counts, WIDTH))
        if number == split:
            points[::2] += 12 * np.eye(WIDTH)[0]
        strings.append(points)
    points = np.repeat(np.concatenate(strings), 2, axis=0)
    points += 0.1 * rng.standard_normal(points.shape)
    return LabeledStates(
        points,
        np.repeat([f"t{k}" for k in range(len(middles))], 2 * counts),
        np.repeat(np.arange(len(middles) * counts), 2),
    )


def middles(rng: np.random.Generator, clusters: int = 8) -> np.ndarray:
    return 5 * rng.standard_normal((clusters, WIDTH))


def words(found) -> dict[str, tuple[str, ...]]:
    return {each.name: each.words for each in found.clusters if each.words}


def turned(side: LabeledStates, width: int, rng: np.random.Generator) -> LabeledStates:
    """The same states in another basis, scale and place: what another model might have."""
    basis = np.linalg.qr(rng.standard_normal((width, WIDTH)))[0]
    return LabeledStates(3 * side.states @ basis.T + 7, side.clusters, side.strings)


@pytest.mark.parametrize("basis", [True, False])
def test_what_was_made_is_found_and_nothing_else(basis):
    rng = np.random.default_rng(0)
    old = middles(rng)
    new = old.copy()
    new[0] += 12 * np.eye(WIDTH)[1]
    new[2] = new[1]
    first = version(old, 20, rng)
    second = version(new + 4, 20, rng, split=3)  # and all clusters have shifted by 4
    if not basis:
        second = turned(second, 24, rng)
    found = cluster_changes(first, second, common_basis=basis, draws=249)
    said = words(found)
    assert "moved" in said["t0"]
    assert "merged" in said["t1"]
    assert "merged" in said["t2"]
    assert "split" in said["t3"]
    assert not set(said) & {"t4", "t5", "t6", "t7"}
    by_name = {each.name: each for each in found.clusters}
    assert by_name["t1"].merged_with == ("t2",)
    assert by_name["t3"].groups == (1, 2)
    assert by_name["t0"].low < by_name["t0"].displacement < by_name["t0"].high
    assert by_name["t0"].displacement > by_name["t0"].null
    assert by_name["t5"].displacement < by_name["t5"].null


def test_the_other_way_about_they_part_and_are_rejoined():
    rng = np.random.default_rng(1)
    old = middles(rng)
    old[2] = old[1]
    new = old.copy()
    new[2] += 12 * np.eye(WIDTH)[2]
    found = cluster_changes(
        version(old, 20, rng, split=3), version(new, 20, rng), common_basis=True, draws=249
    )
    said = words(found)
    assert "parted" in said["t2"]
    assert "rejoined" in said["t3"]
    assert found.apart_after == found.apart_before + 1 == found.pairs


def test_a_cluster_that_dissolves_into_the_others_has_vanished():
    """Its strings spread over everything, so that it stands apart from no other."""
    rng = np.random.default_rng(2)
    old = middles(rng, 6)
    first, second = version(old, 20, rng), version(old, 20, rng)
    inside = second.clusters == "t0"
    homes = np.repeat(rng.integers(1, 6, 20), 2)
    second.states[inside] += old[homes] - old[0]
    back = cluster_changes(second, first, common_basis=True, draws=249)
    assert "vanished" in words(cluster_changes(first, second, common_basis=True, draws=249))["t0"]
    assert "appeared" in words(back)["t0"]


@pytest.mark.parametrize("basis", [True, False])
def test_a_version_compared_with_itself_says_nothing(basis):
    rng = np.random.default_rng(3)
    side = version(middles(rng), 20, rng)
    found = cluster_changes(side, side, common_basis=basis, draws=249)
    assert words(found) == {}
    assert max(each.displacement for each in found.clusters) < 1e-9


@pytest.mark.parametrize(
    ("shape", "sets", "most"),
    [
        ("line", 10, 2),
        *(pytest.param(shape, 40, 5, marks=pytest.mark.slow) for shape in ("round", "line")),
    ],
)
def test_halves_of_one_version_rarely_differ(shape, sets, most):
    """At most 5 % are allowed: with that more alarms than these come in 1 to 2 % of all cases."""
    alarms = 0
    for seed in range(sets):
        rng = np.random.default_rng([seed, 7])
        old = middles(rng, 8)
        axes = rng.standard_normal((8, WIDTH))
        sides = []
        for _ in range(2):
            noise = rng.standard_normal((8, 6, WIDTH if shape == "round" else 1))
            noise = noise if shape == "round" else noise * axes[:, None]
            points = (old[:, None] + noise).reshape(-1, WIDTH)
            sides.append(LabeledStates(points, np.repeat(np.arange(8), 6), np.arange(48)))
        alarms += bool(words(cluster_changes(*sides, common_basis=True, draws=249)))
    assert alarms <= most


def test_inputs_hide_nothing_once_their_means_are_removed():
    rng = np.random.default_rng(4)
    old = middles(rng)
    new = old.copy()
    new[0] += 12 * np.eye(WIDTH)[1]
    sides = [version(old, 20, rng), version(new, 20, rng)]
    inputs = np.tile([0, 1], len(sides[0].states) // 2)
    moved = [
        LabeledStates(
            side.states + 500 * inputs[:, None] * factor, side.clusters, side.strings, inputs
        )
        for side, factor in zip(sides, (1, -1), strict=True)
    ]
    plain = cluster_changes(*sides, common_basis=True, draws=249)
    conditioned = cluster_changes(*moved, common_basis=True, draws=249)
    assert words(conditioned) == words(plain) == {"t0": ("moved",)}


def test_what_was_not_judged_is_named():
    rng = np.random.default_rng(5)
    side = version(middles(rng, 5), 6, rng)
    few = np.ones(len(side.states), dtype=bool)
    few[4:12] = False  # t0 keeps two of its six strings
    few[side.clusters == "t4"] = False
    other = LabeledStates(side.states[few], side.clusters[few], side.strings[few])
    found = cluster_changes(side, other, draws=249)
    assert [each.name for each in found.clusters] == ["t1", "t2", "t3"]
    assert found.not_asked["t0"].startswith("fewer than 4 strings")
    assert found.not_asked["t4"] == "rows of one version only"
    assert "fewer than 16 strings" in found.not_asked["sub-clusters"]
    assert any("Not asked: t4" in line for line in found.lines())


def test_arguments_that_decide_nothing_are_refused():
    rng = np.random.default_rng(6)
    side = version(middles(rng, 4), 6, rng)
    with pytest.raises(BadInput, match="exclude a common basis"):
        cluster_changes(side, turned(side, 24, rng), common_basis=True)
    with pytest.raises(BadInput, match="2 clusters have 4 strings or more"):
        cluster_changes(version(middles(rng, 2), 6, rng), version(middles(rng, 2), 6, rng))
    with pytest.raises(BadInput, match="in the clusters 't0' and 't1'"):
        cluster_changes(side, LabeledStates(side.states, side.clusters, side.strings * 0))
    with pytest.raises(BadInput, match="same state"):
        cluster_changes(side, LabeledStates(side.states * 0 + 1, side.clusters, side.strings))
    with pytest.raises(BadInput, match="alpha is 2"):
        cluster_changes(side, side, alpha=2.0)
    with pytest.raises(BadInput, match="NaN"):
        cluster_changes(side, LabeledStates(side.states * np.nan, side.clusters, side.strings))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return any_runs.make(tmp_path_factory.mktemp("changes") / "run", rises=30.0).path


def test_two_steps_of_a_run_share_a_basis_and_two_runs_do_not(folder, tmp_path):
    other = any_runs.make(tmp_path / "other", seed=1, rises=30.0)
    run = Run(folder)
    within = run_changes(run, run)
    assert (within.before, within.after) == (f"{folder}@0", f"{folder}@8")
    assert within.changes.common_basis
    assert set(within.changes.named("appeared")) | set(within.changes.named("parted")) == {
        "t0", "t1", "t2"
    }  # fmt: skip
    between = run_changes(run, other)
    assert not between.changes.common_basis
    assert not any(each.words for each in between.changes.clusters)


def test_a_step_is_not_compared_with_itself(folder):
    with pytest.raises(BadInput, match="compared with itself"):
        run_changes(Run(folder), Run(folder), 8)


def test_the_command_prints_words_and_json(folder, capfd, monkeypatch):
    run = runner(capfd, monkeypatch)
    told = run("changes", f"{folder}@0", f"{folder}@8", "--stream", "block.1")
    assert told.returncode == 0, told.stderr
    assert "clusters of task in block.1" in told.stdout
    found = json.loads(run("changes", folder, "--stream", "block.1", "--json").stdout)
    assert {each["name"] for each in found["changes"]["clusters"]} == {"t0", "t1", "t2"}
    before = sorted(path.name for path in folder.rglob("*"))
    assert sorted(path.name for path in folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["{}@last"], "ends in no step"),
        (["{}@3"], "has no step 3"),
        (["{}", "--stream", "block.9"], "no stream named 'block.9'"),
        (["{}", "--label", "tsk"], "no label 'tsk'"),
        (["{}/nowhere"], "nowhere"),
    ],
)
def test_bad_input_of_the_command_leaves_with_two(folder, arguments, reason, capfd, monkeypatch):
    done = runner(capfd, monkeypatch)("changes", *(a.format(folder) for a in arguments))
    assert done.returncode == 2
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1

"""A bent map must not show what is not there yet, and say how far it moves by itself."""

import json

import numpy as np
import pytest

import any_runs
from nucleate._core.errors import BadInput
from nucleate.views import RunView
from nucleate.views import _umap as umap
from nucleate.views._cloud import agreements
from nucleate.views._projection import between_share

needs_umap = pytest.mark.skipif(not umap.has_umap(), reason="umap-learn is not installed")
CODE = np.repeat(np.arange(6), 20)


def _states(separation: float, seed: int) -> np.ndarray:
    centers = np.repeat(np.random.default_rng(99).standard_normal((6, 12)), 20, axis=0)
    values = separation * centers + np.random.default_rng(seed).standard_normal((120, 12))
    return (values - values.mean(0)) / values.std(0)


@needs_umap
def test_clusters_that_come_at_a_step_are_not_in_the_map_before_it():
    states = {s: _states(3.0 if s >= 40 else 0.0, s) for s in (0, 20, 40, 80)}
    maps = umap.forward_maps(states)
    of_task = agreements(np.stack(list(maps.values())), CODE[None])[:, 0]
    rng = np.random.default_rng(1)
    dealt = np.stack([CODE, *(rng.permutation(CODE) for _ in range(99))])
    chance = agreements(np.stack(list(maps.values())), dealt)[:, 1:].max(axis=1)
    assert (of_task[:2] <= chance[:2]).all()
    assert (of_task[2:] > 0.9).all()
    share = [between_share(points, CODE) for points in maps.values()]
    highest = [max(between_share(maps[step], each) for each in dealt[1:]) for step in (0, 20)]
    assert share[0] <= highest[0]
    assert share[1] <= highest[1]
    assert share[2] > 0.8


@needs_umap
@pytest.mark.parametrize("separation", [0.0, 3.0])
def test_a_model_that_does_not_change_moves_less_than_the_stated_jitter(separation):
    states = dict.fromkeys(range(4), _states(separation, 5))
    maps = umap.forward_maps(states)
    stated = umap.jitter(states, maps)
    moves = [umap.drift(maps[step], maps[step + 1]) for step in range(3)]
    assert 0 < max(moves) < stated < 1.0


@needs_umap
def test_a_step_appended_later_changes_no_byte_of_the_maps_before_it():
    states = {step: _states(step / 10, step) for step in (0, 10, 30)}
    whole = umap.forward_maps(states)
    part = umap.forward_maps({step: states[step] for step in (0, 10)})
    assert [whole[step].tobytes() for step in (0, 10)] == [part[step].tobytes() for step in (0, 10)]
    again = umap.forward_maps({step: values.copy() for step, values in states.items()})
    assert all(whole[step].tobytes() == again[step].tobytes() for step in states)


@needs_umap
@pytest.mark.parametrize("states", [np.zeros((30, 5)), np.outer(np.arange(30) % 3, np.ones(5))],
                         ids=["one point", "a line"])  # fmt: skip
def test_states_that_lie_in_a_point_or_on_a_line_have_a_map(states):
    maps = umap.forward_maps({0: states, 1: states})
    assert all(np.isfinite(points).all() for points in maps.values())


@needs_umap
def test_a_run_says_its_jitter_beside_the_map(tmp_path):
    view = RunView(any_runs.make(tmp_path / "mine", steps=(0, 8)))
    assert json.loads(view.get("view.json"))["bases"][-1] == "umap"
    about = json.loads(view.get("cloud/block.1/last/umap.json"))
    assert f"{about['jitter']:.2g} of the radius" in about["method"]
    assert about["axes"] == 2
    assert about["erased"] is None
    assert about["basis_step"] is None
    assert about["frames"][0]["ari_k"] < 0.3 < 0.9 < about["frames"][-1]["ari_k"]
    data = view.get("frames/block.1/last/umap/8.i16")
    points = np.frombuffer(data, "<i2").reshape(about["rows"], about["k"])
    assert points[:, :2].any(axis=0).all()
    assert not points[:, 2:].any()
    assert not any("umap" in path for path in view.paths())


@needs_umap
def test_too_few_rows_for_a_map_are_refused():
    with pytest.raises(BadInput, match="20 or more"):
        umap.forward_maps({0: np.eye(10)})


def test_without_the_package_the_map_is_not_offered_and_asking_names_the_extra(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(umap, "find_spec", lambda name: None)
    view = RunView(any_runs.make(tmp_path / "mine"))
    assert json.loads(view.get("view.json"))["bases"] == ["tasks", "variance", "twin"]
    with pytest.raises(BadInput, match=r"nucleate\[umap\]"):
        view.get("cloud/block.1/last/umap.json")

"""A cloud must show what the numbers say, and nothing that is not there."""

import numpy as np
import pytest

from nucleate._core.errors import BadInput
from nucleate.metrics import agreement, kmeans
from nucleate.views._cloud import BASES, agreements, cloud_basis, through
from nucleate.views._projection import project

TASKS = [f"t{k}" for k in range(10) for _ in range(30)]
INPUTS = [f"i{k % 5}" for k in range(300)]
CODE = np.repeat(np.arange(10), 30)


def _states(separation: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centers = np.repeat(np.random.default_rng(99).standard_normal((10, 24)), 30, axis=0)
    return (separation * centers + rng.standard_normal((300, 24))).astype(np.float32)


TWIN = np.random.default_rng(0).permutation(CODE)


def _frames(states, name="tasks", k=8):
    groups = TWIN if name == "twin" else TASKS
    basis = cloud_basis(states[max(states)], groups, name=name, k=k)
    return through(states, basis, tasks=TASKS, inputs=INPUTS)


@pytest.mark.parametrize("name", ["tasks", "variance"])
def test_no_clusters_are_seen_before_they_are_there(name):
    frames = _frames({s: _states(3.0 if s >= 40 else 0.0, s) for s in (0, 10, 20, 40, 80)}, name)
    ari = agreements(np.stack([f.points for f in frames.values()]), np.stack([CODE, TWIN]))
    assert (np.abs(ari[:3, 0]) < 0.05).all()
    assert (ari[3:, 0] > 0.9).all()
    assert (np.abs(ari[:, 1]) < 0.05).all()
    floor = 9 / 299
    assert all(frames[step].between_plane < 3 * floor for step in (0, 10, 20))


def test_axes_through_dealt_tasks_show_them_at_no_step_but_that_of_the_axes():
    frames = _frames({s: _states(3.0 if s >= 40 else 0.0, s) for s in (0, 20, 40, 80)}, "twin")
    points = np.stack([f.points for f in frames.values()])
    ari = agreements(points, np.stack([TWIN, CODE]))
    assert (np.abs(ari[:, 0]) < 0.05).all()  # true tasks outweigh what was dealt
    assert (np.abs(ari[:2, 1]) < 0.05).all()
    noise = np.stack([f.points for f in _frames({0: _states(0.0, 1), 9: _states(0.0, 2)},
                                                "twin").values()])  # fmt: skip
    of_noise = agreements(noise, np.stack([TWIN, CODE]))
    assert of_noise[1, 0] > 2 * np.abs(of_noise[[0, 0, 1], [0, 1, 1]]).max()


@pytest.mark.parametrize("name", BASES)
def test_a_model_that_does_not_change_does_not_move(name):
    frozen = _states(2.0, 1)
    first, second = _frames({0: frozen, 5: frozen.copy()}, name).values()
    np.testing.assert_array_equal(first.points, second.points)


@pytest.mark.parametrize("name", BASES)
def test_a_frame_appended_later_is_that_of_all_steps_at_once_in_the_same_axes(name):
    states = {step: _states(step / 20, step) for step in (0, 20, 60)}
    together, alone = _frames(states, name), _frames({0: states[0], 60: states[60]}, name)
    assert together[0].packed() == alone[0].packed()
    assert together[60].packed() == alone[60].packed()


@pytest.mark.parametrize("name", BASES)
def test_the_same_states_give_the_same_bytes(name):
    states = {0: _states(0.0, 1), 9: _states(2.0, 2)}
    assert [f.packed() for f in _frames(states, name).values()] == [
        f.packed() for f in _frames({s: v.copy() for s, v in states.items()}, name).values()
    ]


def test_the_axes_hold_the_task_means_when_there_are_few_tasks():
    few = [f"t{k % 4}" for k in range(300)]
    states = _states(0.0, 3) + 4 * np.eye(24)[np.arange(300) % 4].astype(np.float32)
    basis = cloud_basis(states, few, name="tasks", k=8)
    np.testing.assert_allclose(basis.axes.T @ basis.axes, np.eye(8), atol=1e-8)
    scaled = basis.scaled(states, INPUTS)
    means = np.stack([scaled[np.array(few) == task].mean(0) for task in sorted(set(few))])
    np.testing.assert_allclose(means @ basis.axes @ basis.axes.T, means, atol=1e-6)


def test_narrow_states_have_coordinates_that_are_zero():
    frame = _frames({0: _states(1.0, 1)[:, :5], 4: _states(2.0, 2)[:, :5]})[4]
    assert frame.points.shape == (300, 8)
    assert not frame.points[:, 5:].any()
    assert frame.points[:, :5].any(axis=0).all()


def test_packed_coordinates_are_those_of_the_frame_to_a_unit():
    frame = _frames({0: _states(1.0, 1), 4: _states(2.0, 2)})[4]
    data, unit = frame.packed()
    back = np.frombuffer(data, "<i2").reshape(300, 8) * unit
    assert np.abs(back - frame.points).max() <= 0.5 * unit + 1e-12
    assert np.sqrt((frame.points**2).sum(1).mean()) == pytest.approx(1.0)


def test_agreement_in_the_cloud_is_that_of_k_means_in_its_coordinates():
    points = np.stack(
        [f.points for f in _frames({0: _states(0.5, 1), 4: _states(2.0, 2)}).values()]
    )
    found = agreements(points, CODE[None])[:, 0]
    labels = kmeans(points.astype(np.float32), 10, n_init=10).labels
    np.testing.assert_allclose(found, agreement(labels, CODE).ari)


def test_each_inputs_mean_is_taken_off_where_that_is_how_the_place_is_measured():
    shift = 50 * np.random.default_rng(5).standard_normal((5, 24))
    states = _states(2.0, 1) + shift[np.arange(300) % 5].astype(np.float32)
    basis = cloud_basis(states, TASKS, name="tasks", k=8, inputs=INPUTS)
    frame = project(states, basis, tasks=TASKS, inputs=INPUTS)
    assert frame.between_plane > 0.5
    for number in range(5):
        np.testing.assert_allclose(frame.points[number::5].mean(0), 0, atol=1e-6)


@pytest.mark.parametrize("bad", [np.zeros((2, 5)), np.zeros((5, 1)), np.full((5, 5), np.nan)])
def test_states_that_cannot_be_pictured_are_refused(bad):
    with pytest.raises(BadInput, match="finite states of at least 3 rows"):
        cloud_basis(bad, ["a"] * len(bad), name="tasks", k=8)

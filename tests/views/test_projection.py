"""Pictures must not show what is not there."""

import numpy as np
import pytest

from nucleate._core.errors import BadInput
from nucleate.views import picture_basis, picture_table, project

TASKS = [f"t{k}" for k in range(10) for _ in range(30)]
INPUTS = [f"i{k % 5}" for k in range(300)]


def _states(separation: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centers = np.repeat(np.random.default_rng(99).standard_normal((10, 24)), 30, axis=0)
    return (separation * centers + rng.standard_normal((300, 24))).astype(np.float32)


def _table(states, conditioned=False):
    right = {step: np.ones(300, bool) for step in states}
    return picture_table(
        states, stream="block.1", position="last", tasks=TASKS, inputs=INPUTS, correct=right,
        conditioned=conditioned,
    )  # fmt: skip


def test_no_clusters_are_seen_before_they_are_there():
    states = {step: _states(3.0 if step >= 40 else 0.0, step) for step in (0, 10, 20, 40, 80)}
    shares = _table(states).groupby("step")["between_plane"].first()
    floor = 9 / 299
    assert (shares[[0, 10, 20]] < 3 * floor).all()
    assert (shares[[40, 80]] > 0.7).all()


def test_the_picture_of_a_step_does_not_depend_on_the_other_early_steps():
    states = {step: _states(step / 20, step) for step in (0, 20, 60)}
    alone = _table({0: states[0], 60: states[60]})
    together = _table(states)
    for axis in ("x", "y"):
        assert (
            together.loc[together["step"] == 0, axis].to_numpy().tolist()
            == alone.loc[alone["step"] == 0, axis].to_numpy().tolist()
        )


def test_projection_is_linear_up_to_centre_and_radius():
    first, second = _states(2.0, 1), _states(2.0, 2)
    basis = picture_basis(first)
    seen = [project(s, basis, tasks=TASKS) for s in (first, second, 0.5 * (first + second))]
    back = [frame.points * frame.radius for frame in seen]
    np.testing.assert_allclose(back[2], 0.5 * (back[0] + back[1]), atol=1e-5)


def test_every_frame_has_radius_one_and_keeps_its_true_radius_beside():
    states = _states(2.0, 1)
    basis = picture_basis(states)
    small, large = (project(k * states, basis, tasks=TASKS) for k in (1.0, 5.0))
    assert np.sqrt((large.points**2).sum(1).mean()) == pytest.approx(1.0)
    assert large.radius == pytest.approx(5 * small.radius, rel=1e-5)


def test_the_plane_is_that_of_principal_components():
    from sklearn.decomposition import PCA

    states = _states(2.0, 1)
    scaled = (states - states.mean(0)) / states.std(0)
    pca = PCA(2, svd_solver="full").fit(scaled)
    basis = picture_basis(states)
    overlap = np.abs(pca.components_ @ basis.axes)
    np.testing.assert_allclose(overlap, np.eye(2), atol=1e-4)
    frame = project(states, basis, tasks=TASKS)
    assert frame.variance_share == pytest.approx(pca.explained_variance_ratio_.sum(), rel=1e-4)


def test_the_basis_does_not_see_tasks_but_the_shares_do():
    states = _states(3.0, 1)
    basis = picture_basis(states)
    shuffled = list(np.random.default_rng(0).permutation(TASKS))
    true, false = (project(states, basis, tasks=t) for t in (TASKS, shuffled))
    assert (true.points == false.points).all()
    assert true.between_full > 0.7
    assert false.between_full < 0.1


def test_conditioning_uncovers_tasks_that_inputs_hide():
    rng = np.random.default_rng(5)
    nuisance = rng.standard_normal((5, 24))[[k % 5 for k in range(300)]]
    states = _states(1.0, 1) + 8 * nuisance.astype(np.float32)
    raw = project(states, picture_basis(states), tasks=TASKS, inputs=INPUTS)
    basis = picture_basis(states, inputs=INPUTS)
    conditioned = project(states, basis, tasks=TASKS, inputs=INPUTS)
    assert raw.between_plane < 0.1
    assert conditioned.between_plane > 0.5


def test_dead_dimensions_and_constant_states_give_finite_points():
    states = _states(1.0, 1)
    states[:, 3] = 7.0
    assert np.isfinite(project(states, picture_basis(states), tasks=TASKS).points).all()
    flat = np.ones((300, 24), np.float32)
    assert (project(flat, picture_basis(flat), tasks=TASKS).points == 0).all()


def test_states_with_gaps_are_refused():
    states = _states(1.0, 1)
    states[0, 0] = np.nan
    with pytest.raises(BadInput, match="finite states"):
        picture_basis(states)


def test_a_conditioned_basis_asks_for_the_inputs():
    states = _states(1.0, 1)
    with pytest.raises(BadInput, match="inputs="):
        project(states, picture_basis(states, inputs=INPUTS), tasks=TASKS)

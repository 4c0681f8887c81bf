import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

import nucleate as nc
from nucleate.intervene import Eraser


def classes(
    rows: int = 400, width: int = 12, count: int = 4, seed: int = 0, dtype=torch.float64
) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes of different means in noise that is correlated between dimensions."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % count
    means = 2 * torch.randn(count, width, generator=random)
    mixing = torch.randn(width, width, generator=random)
    noise = torch.randn(rows, width, generator=random) @ mixing
    return (means[labels] + noise + 5).to(dtype), labels


@pytest.mark.parametrize("shrink", [True, False])
@pytest.mark.parametrize(
    ("rows", "width", "count"), [(500, 24, 5), (60, 64, 4), (2000, 16, 2), (90, 32, 20)]
)
def test_leace_is_that_of_the_concept_erasure_package(rows, width, count, shrink):
    package = pytest.importorskip("concept_erasure")
    states, labels = classes(rows, width, count)
    onehot = torch.nn.functional.one_hot(labels).double()
    other = package.LeaceEraser.fit(states, onehot, shrinkage=shrink, constrain_cov_trace=False)
    own = Eraser.leace(states, labels, shrink=shrink)
    torch.testing.assert_close(own(states), other(states), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(own.projection, other.P, rtol=1e-9, atol=1e-9)
    single = Eraser.leace(states.float(), labels, shrink=shrink)
    torch.testing.assert_close(single(states.float()), other(states).float(), rtol=1e-4, atol=1e-4)


def test_after_leace_no_class_mean_and_no_linear_classifier_is_left():
    states, labels = classes()
    erased = Eraser.leace(states, labels, shrink=False)(states)
    means = torch.stack([erased[labels == c].mean(0) for c in range(4)])
    torch.testing.assert_close(means, means.mean(0).expand_as(means))

    def accuracy(x: torch.Tensor) -> float:
        return LogisticRegression(max_iter=1000).fit(x, labels).score(x, labels)

    assert accuracy(states) > 0.9
    assert accuracy(erased) < 0.30  # chance is .25


def test_leace_changes_states_less_than_the_removal_at_right_angles():
    states, labels = classes()
    changes = [
        (eraser(states) - states).square().sum()
        for eraser in (
            Eraser.leace(states, labels, shrink=False),
            Eraser.means(states, labels),
        )
    ]
    # LEACE is the least in expectation among all maps that erase; here the gap is wide.
    assert changes[0] < 0.9 * changes[1]


def test_removed_means_leave_the_centre_of_the_states_and_no_difference_between_classes():
    states, labels = classes()
    eraser = Eraser.means(states, labels)
    erased = eraser(states)
    means = torch.stack([erased[labels == c].mean(0) for c in range(4)])
    torch.testing.assert_close(means, means.mean(0).expand_as(means))
    torch.testing.assert_close(erased.mean(0), states.mean(0))
    assert eraser.rank == 3


@given(
    seed=st.integers(0, 1000),
    width=st.integers(3, 12),
    count=st.integers(2, 5),
    leace=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_erasing_twice_is_erasing_once_and_the_mean_stays(seed, width, count, leace):
    states, labels = classes(60, width, min(count, width), seed)
    eraser = (Eraser.leace if leace else Eraser.means)(states, labels)
    once = eraser(states)
    torch.testing.assert_close(eraser(once), once)
    torch.testing.assert_close(eraser(eraser.mean), eraser.mean)
    torch.testing.assert_close(eraser.projection @ eraser.projection, eraser.projection)


def test_a_subspace_is_that_of_its_span_whatever_vectors_are_given_for_it():
    basis = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    mean = torch.arange(8.0)
    states = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
    orthonormal = torch.linalg.qr(basis.T).Q.T
    wanted = states - (states - mean) @ orthonormal.T @ orthonormal
    for given_ in (basis, orthonormal, torch.cat([basis * 100, basis[:1] + basis[1:2]])):
        torch.testing.assert_close(Eraser.subspace(given_, mean)(states), wanted)
    assert Eraser.subspace(torch.cat([basis, basis]), mean).rank == 3


def test_a_row_of_a_batch_of_erasers_is_that_eraser():
    random = torch.Generator().manual_seed(0)
    bases, means = torch.randn(4, 2, 8, generator=random), torch.randn(4, 8, generator=random)
    bases[3, 1] = 2 * bases[3, 0]  # one direction only
    states = torch.randn(4, 8, generator=random)
    batch = Eraser.subspace(bases, means)
    for row in range(4):
        alone = Eraser.subspace(bases[row], means[row])(states[row])
        torch.testing.assert_close(batch(states)[row], alone)
        torch.testing.assert_close(batch[row](states[row]), alone)
    chosen = batch[torch.tensor([2, 0])](states[:2])
    torch.testing.assert_close(chosen[0], batch[2](states[0]))
    torch.testing.assert_close(chosen[1], batch[0](states[1]))


def test_half_precision_stays_and_means_that_do_not_differ_remove_nothing():
    states, labels = classes(dtype=torch.float32)
    eraser = Eraser.leace(states, labels)
    half = states.bfloat16()
    assert eraser(half).dtype == torch.bfloat16
    torch.testing.assert_close(eraser(half).float(), eraser(half.float()), rtol=1e-2, atol=1e-2)
    nothing = Eraser.means(torch.ones(6, 4), np.array([0, 1, 0, 1, 0, 1]))
    assert nothing.rank == 0
    assert torch.equal(nothing(states[:, :4]), states[:, :4])


@pytest.mark.parametrize("fit", [Eraser.leace, Eraser.means])
def test_labels_that_cannot_be_erased_are_refused_in_a_sentence(fit):
    states, labels = classes()
    with pytest.raises(nc.BadInput, match="at least two tasks"):
        fit(states, ["one"] * 400)
    with pytest.raises(nc.BadInput, match=r"labels of shape \[399\] do not fit states of 400 rows"):
        fit(states, labels[1:])
    with pytest.raises(nc.BadInput, match="rank 3 in states 3 wide"):
        fit(*classes(width=3))


def test_full_rank_and_wrong_width_are_refused_in_a_sentence():
    with pytest.raises(nc.BadInput, match="patch the states to their mean"):
        Eraser.subspace(torch.eye(4), torch.zeros(4))
    eraser = Eraser.subspace(torch.eye(4)[:1], torch.zeros(4))
    with pytest.raises(nc.BadInput, match="4 wide, the states are 5"):
        eraser(torch.zeros(2, 5))

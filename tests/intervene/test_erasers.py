import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

import nucleate as nc
from nucleate.intervene import Eraser, FittedElsewhere, Onwards, erase
from small import material, model


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


def test_with_others_what_is_erased_goes_and_the_others_move_less_than_under_any_rescaled_map():
    states, labels = classes(600, 12, 3)
    random = torch.Generator().manual_seed(5)
    mixing = torch.randn(12, 12, generator=random, dtype=torch.float64)
    others = 4 + torch.randn(500, 12, generator=random, dtype=torch.float64) @ mixing * 3
    plain = Eraser.leace(states, labels, shrink=False)
    kind = Eraser.leace(states, labels, shrink=False, others=others)
    erased = kind(states)
    means = torch.stack([erased[labels == c].mean(0) for c in range(3)])
    torch.testing.assert_close(means, means.mean(0).expand_as(means))
    torch.testing.assert_close(erased.mean(0), states.mean(0))
    torch.testing.assert_close(kind.projection @ kind.projection, kind.projection)

    def moved(eraser: Eraser) -> float:
        parts = [(eraser(x) - x).square().sum(1).mean() for x in (states, others)]
        return float(sum(parts))

    assert moved(kind) < 0.5 * moved(plain)
    # It is the least: along what is taken out, every other way of reading it moves both more.
    for seed in range(20):
        noise = torch.randn(kind.read.shape, generator=torch.Generator().manual_seed(seed)).double()
        span = torch.linalg.qr(kind.write.T).Q
        other = kind.read + 0.05 * (noise - noise @ span @ span.T)
        assert moved(Eraser(other, kind.write, kind.mean)) > moved(kind)


def test_states_that_should_stay_are_refused_where_they_are_of_another_width():
    states, labels = classes()
    for others in (torch.zeros(3, 5), torch.zeros(0, 12), torch.zeros(12)):
        with pytest.raises(nc.BadInput, match=r"others= is of shape .*; give states \[row, 12\]"):
            Eraser.leace(states, labels, others=others)


@pytest.fixture
def place():
    net = model().eval()
    prompts = material()[2]
    return net, nc.capture(net, prompts), prompts.labels["task"]


@pytest.mark.parametrize("fit", [Eraser.leace, Eraser.means])
def test_an_eraser_that_is_applied_elsewhere_warns_and_at_its_own_place_it_does_not(place, fit):
    net, states, tasks = place
    eraser = fit(states.at("block.0", "last"), tasks)
    assert eraser.fitted_at == eraser.to(torch.float64).fitted_at == ("block.0", "last")

    def warns(stream, position, eraser=eraser) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            erase(net, stream=stream, position=position, eraser=eraser)
        assert all(each.category is FittedElsewhere for each in caught)
        return [str(each.message) for each in caught]

    for position in ("last", -1, [-1], torch.tensor([3, 4])):
        assert not warns("block.0", position)
        assert not warns(["block.0"], position)
    for position in ("all", "first", 0, Onwards(0), Onwards(-1), [0, -1]):
        assert len(warns("block.0", position)) == 1
    for stream in ("block.1", Onwards("block.0"), ["block.0", "block.1"], "final_norm"):
        (said,) = warns(stream, "last")
        assert said.startswith("the eraser was fitted on states at block.0, last and is applied at")
        assert "\n" not in said
    # Rows that were chosen do not know their place; that there is one is known all the same.
    chosen = fit(states.at("block.0", "last")[:30], tasks[:30])
    assert not warns("block.1", "all", chosen)
    assert warns(Onwards("block.1"), "last", chosen)
    said = fit(states.at("block.0", "last")[:30], tasks[:30], stream="block.0", position="last")
    assert warns("block.1", "last", said)
    assert not warns("block.0", "last", said)
    assert not warns(Onwards("embed"), "all", Eraser.subspace(torch.eye(16)[:2], torch.zeros(16)))

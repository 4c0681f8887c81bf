import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate.training.regularizers._losses import (
    centre_loss,
    moved_centres,
    scatter_share,
    supervised_contrastive,
    unit_variance,
)


def batch(seed: int, rows: int = 24, width: int = 7, classes: int = 4):
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(rows, width, generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (rows,), generator=generator)
    return states.requires_grad_(), labels


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
@pytest.mark.parametrize(("seed", "classes"), [(0, 4), (1, 2), (2, 20)])  # 20: some rows alone
def test_the_contrastive_loss_and_its_gradient_are_those_of_pytorch_metric_learning(
    seed, classes, temperature
):
    from pytorch_metric_learning.losses import SupConLoss

    states, labels = batch(seed, classes=classes)
    ours = supervised_contrastive(states, labels, temperature)
    theirs = SupConLoss(temperature)(states, labels)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)
    gradients = [torch.autograd.grad(loss, states)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-8)


def test_the_contrastive_loss_of_two_opposite_pairs_is_known():
    states = torch.tensor([[2.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-3.0, 0.0]])
    labels = torch.tensor([0, 0, 1, 1])
    # Each row sees one partner of cosine 1 and two strangers of cosine -1.
    expected = np.log(1 + 2 * np.exp(-2 / 0.5))
    assert supervised_contrastive(states, labels, 0.5).item() == pytest.approx(expected, rel=1e-5)


def test_rows_that_are_alone_with_their_label_leave_no_loss_and_no_gradient():
    states, _ = batch(0, rows=5)
    loss = supervised_contrastive(states, torch.arange(5))
    assert loss.item() == 0
    assert not torch.autograd.grad(loss, states)[0].any()


def test_centre_loss_and_the_centres_follow_the_paper_written_out():
    states, labels = batch(3, classes=3)
    labels[labels == 1] = 0  # class 1 has no rows
    centers = torch.randn(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    x, c, y = states.detach().numpy(), centers.numpy(), labels.numpy()
    loss = sum(np.sum((x[i] - c[y[i]]) ** 2) for i in range(len(x))) / 2 / len(x)
    after = c.copy()
    for j in range(3):
        gaps = [c[j] - x[i] for i in range(len(x)) if y[i] == j]
        after[j] -= 0.3 * np.sum(gaps, 0) / (1 + len(gaps)) if gaps else 0
    assert centre_loss(states, labels, centers).item() == pytest.approx(loss, rel=1e-12)
    moved = moved_centres(states.detach(), labels, centers, 0.3)
    np.testing.assert_allclose(moved.numpy(), after, rtol=1e-12)
    gradient = torch.autograd.grad(centre_loss(states, labels, centers), states)[0]
    np.testing.assert_allclose(gradient.numpy(), (x - c[y]) / len(x), rtol=1e-12)


def test_centres_come_to_the_means_of_a_batch_that_is_seen_again_and_again():
    states, labels = batch(4, classes=3)
    centers = torch.zeros(3, 7, dtype=torch.float64)
    for _ in range(100):
        centers = moved_centres(states.detach(), labels, centers, 0.5)
    means = torch.stack([states[labels == j].mean(0) for j in range(3)])
    torch.testing.assert_close(centers, means.detach())


def test_the_scatter_share_is_the_analysis_of_variance_written_out():
    states, labels = batch(5, classes=3)
    x, y = states.detach().numpy(), labels.numpy()
    within = sum(np.sum((x[y == j] - x[y == j].mean(0)) ** 2) for j in range(3)) / (len(x) - 3)
    total = np.sum((x - x.mean(0)) ** 2) / (len(x) - 1)
    assert scatter_share(states, labels).item() == pytest.approx(1 - within / total, rel=1e-12)


def test_the_scatter_share_is_one_for_points_and_zero_on_average_for_labels_that_say_nothing():
    labels = torch.arange(5).repeat(6)
    assert scatter_share(torch.randn(5, 3)[labels], labels).item() == pytest.approx(1, abs=1e-6)
    states, _ = batch(6, rows=30)
    generator = torch.Generator().manual_seed(0)
    shares = torch.stack(
        [scatter_share(states, labels[torch.randperm(30, generator=generator)]) for _ in range(400)]
    )
    assert abs(shares.mean().item()) < 4 * shares.std().item() / 20


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.floats(-50, 50))
def test_unit_variance_knows_neither_scale_nor_place_nor_lets_a_loss_shrink_the_states(
    seed, scale, shift
):
    states, labels = batch(seed)
    moved = (states.detach() * scale + shift).requires_grad_()
    unit = unit_variance(states)
    torch.testing.assert_close(unit_variance(moved), unit)
    assert unit.square().sum(1).mean().item() == pytest.approx(1, rel=1e-5)
    loss = centre_loss(unit, labels, torch.eye(4, 7, dtype=torch.float64))
    gradient = torch.autograd.grad(loss, states)[0]
    # Neither a common shift nor a common factor changes the loss.
    assert gradient.sum(0).norm() < 1e-9 * gradient.norm()
    assert abs((gradient * states).sum()) < 1e-9 * gradient.norm() * states.norm()


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_states_that_are_all_the_same_become_zero_and_give_no_gradient_that_is_not_finite(value):
    states = torch.full((6, 5), value).requires_grad_()
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    unit = unit_variance(states)
    assert not unit.any()
    for loss in (supervised_contrastive(unit, labels), scatter_share(unit, labels)):
        gradient = torch.autograd.grad(loss, states, retain_graph=True)[0]
        assert not gradient.any()

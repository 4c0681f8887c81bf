import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from nucleate.metrics import (
    condition,
    kmeans,
    principal_axes,
    standardize,
)


def test_a_rogue_dimension_hides_clusters_until_standardized():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 8
    x = 3 * torch.randn(8, 10, generator=generator)[labels]
    x = x + torch.randn(200, 10, generator=generator)
    x[:, 0] = 60 * torch.randn(200, generator=generator)
    plain, scaled = (kmeans(z[None], 8).labels[0] for z in (x, standardize(x)))
    assert adjusted_rand_score(labels, plain) < 0.3
    assert adjusted_rand_score(labels, scaled) > 0.95


def test_an_input_of_large_variance_hides_the_task_until_subtracted():
    generator = torch.Generator().manual_seed(0)
    task, given = torch.arange(300) % 6, torch.arange(300) // 6 % 5
    x = 3 * torch.randn(6, 32, generator=generator)[task]
    x = x + 6 * torch.randn(5, 32, generator=generator)[given]
    x = x + torch.randn(300, 32, generator=generator)
    raw = kmeans(standardize(x)[None], 6).labels[0]
    left = kmeans(standardize(condition(x, given))[None], 6).labels[0]
    assert adjusted_rand_score(task, raw) < 0.1
    assert adjusted_rand_score(task, left) == 1


def test_half_precision_and_leading_dimensions():
    x = torch.randn(2, 3, 50, 4).half()
    z = standardize(x)
    assert z.dtype == torch.float32
    assert torch.allclose(z.mean(-2), torch.zeros(2, 3, 4), atol=1e-5)
    assert torch.allclose(z.std(-2, correction=0), torch.ones(2, 3, 4), atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 1.0, 1e6, -3.7])
def test_rounding_is_not_blown_up_to_variance(value):
    x = torch.full((600, 3), value)
    x[:, 1] += 1e-7 * value * torch.randn(600)
    assert (standardize(x) == 0).all()


def test_states_that_only_know_the_input_are_constant_once_conditioned():
    groups = torch.arange(600) % 5
    x = torch.randn(5, 8)[groups]
    assert (standardize(condition(x, groups), x) == 0).all()
    assert (standardize(x) != 0).any()


def test_turning_to_principal_axes_keeps_distances_and_orders_variance():
    x = standardize(torch.randn(2, 60, 3) @ torch.randn(3, 12))
    turned, leading = principal_axes(x, share=0.999)
    assert leading == 3
    assert torch.allclose(torch.cdist(x, x), torch.cdist(turned, turned), atol=1e-2)

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from nucleate._core.errors import BadInput
from nucleate.metrics.clusters._stability import _paired_ari, choose_k, stability


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def blobs(k=6, rows=180, gap=2.0, width=20, seed=0):
    labels = torch.arange(rows) % k
    return gap * normal(k, width, seed=seed)[labels] + normal(rows, width, seed=seed + 1)


def test_agreement_of_pairs_is_that_of_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randint(0, 4, (2, 5, 50), generator=generator)
    b[0] = a[0]
    expected = [adjusted_rand_score(*pair) for pair in zip(a, b, strict=True)]
    assert _paired_ari(a, b, 4).numpy() == pytest.approx(expected)


def test_six_separate_blobs_are_six():
    found = choose_k(blobs(), [2, 3, 4, 5, 6, 7, 8, 9], n_draws=10)
    assert found.k == 6
    assert found.stability[found.ks.index(6)] == pytest.approx(1, abs=0.01)
    # Some coarser cuts are found again as well, by accident of where the blobs lie.
    assert found.stability[found.ks.index(7)] < 0.97
    assert found.ks == (2, 3, 4, 5, 6, 7, 8, 9)


def test_families_within_tasks_give_two_stable_numbers_and_the_larger_is_chosen():
    tasks = torch.arange(180) % 3
    x = blobs() + 8 * normal(3, 20, seed=9)[tasks]
    found = choose_k(x, [3, 4, 6, 7], n_draws=8)
    assert found.k == 6
    assert found.stability[[0, 2]].min() > 0.98
    assert found.stability[[1, 3]].max() < 0.98


@pytest.mark.parametrize("scale", [1.0, 6.0])
def test_one_cloud_has_no_number_though_a_long_one_is_cut_the_same_way_each_time(scale):
    long = normal(180, 6) * torch.tensor([scale] + [1.0] * 5)
    found = choose_k(long, [2, 3, 4, 6], n_draws=10)
    assert found.k is None
    if scale > 1:
        assert found.stability[0] > 0.8


def test_rows_of_one_string_are_stable_clusters_until_strings_are_drawn_whole():
    strings = torch.arange(240) // 8
    x = 3 * normal(30, 10)[strings] + 0.1 * normal(240, 10, seed=1)
    rows, whole = stability(x, 28), stability(x, 28, groups=strings)
    assert rows > 0.85
    assert whole < rows - 0.1


def test_the_seed_decides_and_the_global_generator_is_left_alone():
    x = normal(60, 4)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    values = [stability(x, 4, n_draws=3, seed=seed) for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]
    assert (torch.get_rng_state() == state).all()


def test_scale_changes_nothing():
    x = blobs(gap=0.7).double()
    assert stability(64 * x, 5, n_draws=4) == pytest.approx(stability(x, 5, n_draws=4), abs=1e-6)


def test_constant_and_nan_states():
    x = blobs(rows=60).repeat(1, 3, 1, 1)
    x[0, 1] = 1 / 3
    x[0, 2, 0, 0] = torch.nan
    values = stability(x, 6, n_draws=3)
    assert values.shape == (1, 3)
    assert values[0, 0] == pytest.approx(1, abs=0.05)
    assert values[0, 1] == 0
    assert np.isnan(values[0, 2])
    assert choose_k(x[0, 1], [2, 3], n_draws=2).k is None
    assert choose_k(x[0, 2], [2, 3], n_draws=2).k is None


def test_groups_of_unequal_size_and_of_one_row_are_drawn():
    groups = torch.tensor([0] * 30 + [1] * 20 + list(range(2, 12)))
    assert -1 <= stability(normal(60, 3), 3, n_draws=3, groups=groups) <= 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: stability(x, 1), "2 to 90 clusters"),
        (lambda x: stability(x, 91), "2 to 90 clusters"),
        (lambda x: stability(x, 2, n_draws=0), "at least 1"),
        (lambda x: stability(x, 2, groups=torch.arange(9)), "groups of shape"),
        (lambda x: choose_k(x, []), "at least one number"),
        (lambda x: choose_k(x, [2], n_draws=1), "two draws"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(BadInput, match=words):
        call(blobs())


def test_places_are_chosen_one_by_one():
    with pytest.raises(BadInput, match="not one place"):
        choose_k(blobs()[None].numpy(), [2])

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from nucleate._core.errors import BadInput
from nucleate.metrics.probes._decoding import (
    control_labels,
    grouped_folds,
    knn_decodability,
    ranks_within,
)


def strings_and_classes(gap, seed=0, width=16, places=1):
    """Five classes of 8 strings, of 3 rows each; a row is its class's mean and noise."""
    generator = torch.Generator().manual_seed(seed)
    strings = torch.arange(40).repeat_interleave(3)
    labels = strings % 5
    means = gap * torch.randn(places, 5, width, generator=generator)
    return means[:, labels] + torch.randn(places, 120, width, generator=generator), labels, strings


def by_hand(x, labels, strings, neighbors):
    credit = []
    for row in range(len(x)):
        outside = np.flatnonzero(strings != strings[row])
        distance = np.linalg.norm(x[outside] - x[row], axis=1)
        near = outside[np.argsort(distance)[:neighbors]]
        votes = np.bincount(labels[near], minlength=labels.max() + 1)
        winners = np.flatnonzero(votes == votes.max())
        credit.append((labels[row] in winners) / len(winners))
    return np.mean(credit)


@pytest.mark.parametrize("neighbors", [1, 4, 10])
def test_neighbors_vote_without_the_rows_own_string_and_share_the_credit_of_ties(neighbors):
    x, labels, strings = strings_and_classes(0.4)
    assert knn_decodability(x[0], labels, strings, neighbors) == pytest.approx(
        by_hand(x[0].double().numpy(), labels.numpy(), strings.numpy(), neighbors)
    )


def test_one_neighbor_among_other_rows_is_scikit_learns():
    x, labels, _ = strings_and_classes(0.4)
    model = KNeighborsClassifier(1).fit(x[0].numpy(), labels.numpy())
    near = model.kneighbors(return_distance=False)[:, 0]
    assert knn_decodability(x[0], labels, n_neighbors=1) == pytest.approx(
        np.mean(labels.numpy()[near] == labels.numpy())
    )


def test_many_labelings_are_the_same_as_one_by_one():
    x, labels, strings = strings_and_classes(0.4, places=2)
    several = np.stack([labels.numpy(), *(control_labels(labels, strings, s) for s in range(6))])
    together = knn_decodability(x, several.reshape(7, 120), strings)
    assert together.shape == (2, 7)
    for place in range(2):
        for index, one in enumerate(several):
            assert together[place, index] == knn_decodability(x[place], one, strings)


def test_rows_of_one_string_do_not_tell_each_others_class():
    generator = torch.Generator().manual_seed(0)
    strings = torch.arange(60).repeat_interleave(6)
    x = 3 * torch.randn(60, 32, generator=generator)[strings]
    x = x + torch.randn(360, 32, generator=generator)
    labels = np.stack([control_labels(strings % 5, strings, seed) for seed in range(20)])
    assert knn_decodability(x, labels, n_neighbors=5).mean() > 0.95
    assert knn_decodability(x, labels, strings, n_neighbors=5).mean() == pytest.approx(
        0.2, abs=0.05
    )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), scale=st.sampled_from([0.01, 1.0, 100.0]))
def test_neighbors_do_not_depend_on_rotation_scale_order_or_names(seed, scale):
    x, labels, strings = strings_and_classes(0.4, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(16, 16, generator=generator)).Q
    order, names = torch.randperm(120, generator=generator), torch.randperm(5, generator=generator)
    moved = knn_decodability(
        scale * (x[0] @ turn)[order], names[labels][order], strings[order], n_neighbors=5
    )
    # Rounding may swap two neighbors that are equally far.
    plain = knn_decodability(x[0], labels, strings, n_neighbors=5)
    assert moved == pytest.approx(plain, abs=0.02)


def test_constant_states_are_at_chance_and_broken_ones_nan():
    x, labels, strings = strings_and_classes(5.0, places=4)
    x[1], x[2, 3, 0], x[3, 0, 0] = 0.1, torch.nan, torch.inf
    found = knn_decodability(x, labels, strings)
    assert found[:2] == pytest.approx([1, 0.2])
    assert np.isnan(found[2:]).all()


def test_more_neighbors_than_there_are_rows_of_other_strings_are_those_there_are():
    x = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
    labels, strings = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 1])
    # Row 0 sees one of its class and two of the other; rows 1 to 3 see row 0 only.
    assert knn_decodability(x, labels, strings, 50) == pytest.approx(1 / 4)


def test_hundreds_of_classes_and_a_class_of_one_row_are_counted_right():
    x = torch.arange(300.0)[:, None].repeat_interleave(2, 0)
    labels = torch.arange(300).repeat_interleave(2)
    assert knn_decodability(x, labels, n_neighbors=1) == 1
    labels[0] = 300
    assert knn_decodability(x, labels, n_neighbors=1) == pytest.approx(598 / 600)


@pytest.mark.parametrize(
    ("labels", "strings", "neighbors", "message"),
    [
        (torch.arange(119), torch.arange(120), 3, "labels of shape"),
        (torch.zeros(120, dtype=torch.long), torch.arange(120), 3, "one label"),
        (torch.arange(120), torch.arange(5), 3, "groups of shape"),
        (torch.arange(120), torch.zeros(120), 3, "no voters"),
        (torch.arange(120), torch.arange(120), 0, "no voters"),
    ],
)
def test_what_has_no_neighbors_is_refused_in_a_sentence(labels, strings, neighbors, message):
    with pytest.raises(BadInput, match=message):
        knn_decodability(torch.randn(120, 4), labels, strings, neighbors)


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 7), min_size=2, max_size=5),
    count=st.integers(2, 5),
    seed=st.integers(0, 9),
)
def test_folds_hold_whole_strings_and_are_even_within_each_class(sizes, count, seed):
    of_string = np.repeat(np.arange(len(sizes)), sizes)
    rng = np.random.default_rng(seed)
    strings = rng.permutation(np.repeat(np.arange(len(of_string)), 3))
    if count > len(of_string):
        with pytest.raises(BadInput, match="cannot be spread"):
            grouped_folds(of_string[strings], strings, count, seed)
        return
    folds = grouped_folds(of_string[strings], strings, count, seed)
    assert len(np.unique(folds)) == count
    by_string = np.array([np.unique(folds[strings == string]) for string in range(len(of_string))])
    assert by_string.shape == (len(of_string), 1)
    for label in range(len(sizes)):
        held = np.bincount(by_string[of_string == label, 0], minlength=count)
        assert held.max() - held.min() <= 1


def test_control_labels_keep_class_sizes_and_strings_whole_and_know_nothing_of_the_task():
    strings = np.repeat(np.arange(200), 5)
    labels = np.array(["a", "b", "c", "c"])[strings % 4]
    agreed = []
    for seed in range(20):
        control = control_labels(labels, strings, seed)
        assert np.bincount(control).tolist() == [250, 250, 500]
        assert (control.reshape(200, 5) == control[::5, None]).all()
        agreed.append(np.mean(control == np.unique(labels, return_inverse=True)[1]))
    assert np.mean(agreed) == pytest.approx(2 / 16 + 1 / 4, abs=0.03)
    assert (control_labels(labels, strings, 3) == control_labels(labels, strings, 3)).all()
    # Where labels change within strings, their sizes are kept as near as strings allow.
    within = np.arange(1000) % 5
    assert np.bincount(control_labels(within, strings)).tolist() == [200] * 5


def test_ranks_turn_families_of_tasks_into_crossed_conditions():
    tasks = np.array(["x", "y", "x", "y", "x"])
    families = np.array(["x.2", "y.7", "x.1", "y.8", "x.2"])
    assert ranks_within(tasks, families).tolist() == [1, 0, 0, 1, 1]
    with pytest.raises(BadInput, match="conditions of shape"):
        ranks_within(tasks, families[:3])

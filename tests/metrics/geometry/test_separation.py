import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestCentroid

from nucleate._core.errors import BadInput
from nucleate.metrics.geometry._separation import (
    cdnv,
    centroid_margin,
    class_separation,
    nearest_centroid,
    nearest_centroid_margin,
)


def gaussians(gap, rows=400, classes=8, width=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % classes
    centers = gap * torch.randn(classes, width, generator=generator)
    return centers[labels][None] + torch.randn(1, rows, width, generator=generator), labels


def naive_separation(x, labels):
    groups = [x[labels == j].double() for j in labels.unique()]
    total = []
    for i, a in enumerate(groups):
        for b in groups[:i]:
            va, vb = a.var(0).sum(), b.var(0).sum()
            gap = (a.mean(0) - b.mean(0)).square().sum() - va / len(a) - vb / len(b)
            total.append(float(2 * gap / (va + vb)))
    return np.mean(total)


def test_separation_is_the_formula():
    x, labels = gaussians(0.5)
    assert class_separation(x, labels[None])[0, 0] == pytest.approx(
        naive_separation(x[0], labels), rel=1e-4
    )


def test_separation_of_nothing_is_zero_on_average_where_its_reciprocal_explodes():
    values = []
    for seed in range(60):
        x, labels = gaussians(0.0, rows=80, seed=seed)
        values.append(class_separation(x, labels[None])[0, 0])
    assert abs(np.mean(values)) < 3 * np.std(values) / 60**0.5 + 1e-3
    assert np.max(np.abs(1 / np.array(values))) > 20


def test_separation_goes_on_rising_where_ari_has_long_reached_one():
    small, large = (class_separation(*_one(gaussians(gap)))[0, 0] for gap in (3.0, 9.0))
    assert large == pytest.approx(9 * small, rel=0.1)


def _one(case):
    return case[0], case[1][None]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), scale=st.sampled_from([0.01, 1.0, 100.0]))
def test_separation_does_not_depend_on_rotation_scale_order_or_names(seed, scale):
    x, labels = gaussians(0.4, rows=80, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(20, 20, generator=generator)).Q
    order, names = torch.randperm(80, generator=generator), torch.randperm(8, generator=generator)
    moved = class_separation(scale * (x @ turn)[:, order], names[labels][order][None])
    assert moved == pytest.approx(class_separation(x, labels[None]), rel=1e-3, abs=1e-5)


def test_classes_of_one_row_have_no_separation():
    assert np.isnan(class_separation(torch.randn(1, 5, 3), torch.arange(5)[None])).all()


def test_summing_strings_first_changes_nothing():
    x, _ = gaussians(0.4, rows=240)
    strings = torch.arange(60).repeat_interleave(4)
    permuted = torch.stack([torch.randperm(60) % 6 for _ in range(7)])[:, strings]
    assert class_separation(x, permuted, strings) == pytest.approx(
        class_separation(x, permuted), rel=1e-3, abs=1e-5
    )
    folds = (torch.arange(60) % 3)[strings]
    assert (
        nearest_centroid(x, permuted, folds, strings) == nearest_centroid(x, permuted, folds)
    ).all()


def test_nearest_centroid_is_scikit_learns():
    x, labels = gaussians(0.4)
    folds = torch.arange(400) // 8 % 4
    right = 0
    for fold in range(4):
        inside = (folds == fold).numpy()
        model = NearestCentroid().fit(x[0][~inside].numpy(), labels[~inside].numpy())
        right += (model.predict(x[0][inside].numpy()) == labels[inside].numpy()).sum()
    assert nearest_centroid(x, labels[None], folds)[0, 0] == pytest.approx(right / 400)


def test_folds_by_row_leak_the_string_and_folds_by_string_do_not():
    generator = torch.Generator().manual_seed(0)
    strings = torch.arange(120).repeat_interleave(5)
    x = torch.randn(120, 96, generator=generator)[strings]
    x = (x + 0.5 * torch.randn(600, 96, generator=generator))[None]
    labels = torch.stack([torch.randperm(120, generator=generator) % 20 for _ in range(20)])[
        :, strings
    ]
    by_row = nearest_centroid(x, labels, torch.arange(600) % 3).mean()
    folds = torch.stack([(torch.arange(120) % 3)[strings]])[0]
    by_string = nearest_centroid(x, labels, folds).mean()
    assert by_row > 0.5
    assert by_string < 0.08


def test_a_class_that_other_folds_lack_is_wrong_not_right():
    labels = torch.tensor([0, 0, 1, 1])
    assert nearest_centroid(torch.randn(1, 4, 3), labels[None], labels)[0, 0] == 0


def test_results_have_the_places_and_labelings_that_came_in():
    x, labels = gaussians(0.4, rows=80)
    folds = torch.arange(80) // 8 % 3
    places = x.repeat(6, 1, 1).view(2, 3, 80, 20)
    several = torch.stack([labels, labels.flip(0)])
    for measured in (class_separation, cdnv):
        assert isinstance(measured(x[0], labels), float)
        assert measured(places, labels).shape == (2, 3)
        assert measured(places, several).shape == (2, 3, 2)
        assert measured(places, several)[1, 2, 0] == pytest.approx(measured(x[0], labels))
    assert isinstance(nearest_centroid(x[0], labels, folds), float)
    assert nearest_centroid(places, several, folds).shape == (2, 3, 2)
    assert centroid_margin(places, labels, folds).shape == (2, 3, 80)
    assert isinstance(nearest_centroid_margin(x[0], labels, folds), float)


def test_arrays_texts_and_half_precision_give_the_same_numbers():
    x, labels = gaussians(0.4, rows=80)
    half = x[0].half()
    folds = np.array(["one", "two"])[np.arange(80) // 8 % 2]
    texts = np.array([f"task {n}" for n in range(8)])[labels.numpy()]
    assert class_separation(half.numpy(), texts) == class_separation(half.float(), labels)
    assert nearest_centroid(half, texts, folds) == nearest_centroid(
        half.float(), labels, torch.arange(80) // 8 % 2
    )


def test_cdnv_is_the_reciprocal_and_nan_where_the_separation_is_not_positive():
    x, labels = gaussians(0.5)
    assert cdnv(x[0], labels) == pytest.approx(1 / class_separation(x[0], labels))
    signs = {True: 0, False: 0}
    for seed in range(20):
        x, labels = gaussians(0.0, rows=80, seed=seed)
        positive = class_separation(x[0], labels) > 0
        assert np.isnan(cdnv(x[0], labels)) != positive
        signs[positive] += 1
    assert min(signs.values()) > 0


def test_a_class_of_one_row_is_left_out_of_the_pairs():
    x, labels = gaussians(0.5)
    without = class_separation(x[0, 1:], labels[1:])
    labels[0] = 8
    assert class_separation(x[0], labels) == pytest.approx(without, rel=1e-4)


def test_labels_that_change_within_a_string_are_not_taken_for_the_strings():
    x, labels = gaussians(0.5, rows=80)
    strings = torch.arange(80) // 4
    assert class_separation(x[0], labels, strings) == class_separation(x[0], labels)
    folds = strings % 3
    assert nearest_centroid(x[0], labels, folds, strings) == nearest_centroid(x[0], labels, folds)


def test_constant_states_are_zero_or_chance_and_broken_ones_nan_without_a_warning():
    x, labels = gaussians(3.0, rows=80)
    x = x.repeat(5, 1, 1)
    # Rounding is left of a constant when its mean is subtracted.
    x[1], x[2] = 0.1, torch.rand(20, generator=torch.Generator().manual_seed(0)) * 100
    x[3, 7, 2], x[4, 0, 0] = torch.nan, torch.inf
    folds = torch.arange(80) // 8 % 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        separation = class_separation(x, labels)
        inverse = cdnv(x, labels)
        accuracy = nearest_centroid(x, labels, folds)
        margin = nearest_centroid_margin(x, labels, folds)
    assert separation[1:3].tolist() == margin[1:3].tolist() == [0, 0]
    assert np.isnan(inverse[1:]).all()
    assert accuracy[1:3] == pytest.approx([1 / 8, 1 / 8])
    assert separation[0] > 1
    assert margin[0] > 0.5
    assert accuracy[0] == 1
    for values in (separation, accuracy, margin):
        assert np.isnan(values[3:]).all()


def test_classes_without_spread_give_large_and_finite_numbers():
    _, labels = gaussians(1.0, rows=80)
    x = torch.eye(8)[labels]
    folds = torch.arange(80) // 8 % 3
    assert 1e5 < class_separation(x, labels) < 1e8
    assert 1e2 < nearest_centroid_margin(x, labels, folds) < 1e4


def test_class_means_that_tie_share_the_credit():
    x = torch.tensor([[0.0], [1.0]]).repeat(8, 1)
    labels = torch.arange(4).repeat_interleave(2).repeat(2)
    folds = torch.arange(2).repeat_interleave(8)
    assert nearest_centroid(x, labels, folds) == pytest.approx(1 / 4)


def test_the_margin_is_its_formula_and_its_sign_is_nearest_centroids_verdict():
    x, labels = gaussians(0.4)
    folds = torch.arange(400) // 8 % 4
    expected = np.zeros(400)
    for fold in range(4):
        trained = folds != fold
        means = torch.stack([x[0][trained & (labels == c)].mean(0) for c in range(8)])
        radius = (x[0][trained] - means[labels[trained]]).square().sum(1).mean().sqrt()
        for row in torch.nonzero(~trained)[:, 0].tolist():
            distance = (x[0, row] - means).norm(dim=1)
            own = distance[labels[row]].item()
            distance[labels[row]] = torch.inf
            expected[row] = (distance.min().item() - own) / radius.item()
    margin = centroid_margin(x[0], labels, folds)
    assert margin == pytest.approx(expected, abs=1e-4)
    assert (margin > 0).mean() == nearest_centroid(x[0], labels, folds)
    assert nearest_centroid_margin(x[0], labels, folds) == pytest.approx(margin.mean())


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), scale=st.sampled_from([0.01, 1.0, 100.0]))
def test_centroids_and_margins_do_not_depend_on_rotation_scale_order_or_names(seed, scale):
    x, labels = gaussians(0.4, rows=80, seed=seed)
    folds = torch.arange(80) // 8 % 3
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(20, 20, generator=generator)).Q
    order, names = torch.randperm(80, generator=generator), torch.randperm(8, generator=generator)
    moved = (scale * (x[0] @ turn)[order] + scale, names[labels][order], folds[order])
    margin = centroid_margin(x[0], labels, folds)
    assert centroid_margin(*moved) == pytest.approx(margin[order.numpy()], abs=1e-3)
    assert nearest_centroid(*moved) == pytest.approx(
        nearest_centroid(x[0], labels, folds), abs=0.02
    )


def test_rows_of_a_class_that_other_folds_lack_have_no_margin_and_the_mean_leaves_them_out():
    x, labels = gaussians(0.4, rows=80)
    folds = torch.arange(80) // 8 % 3
    labels[5] = 8
    margin = centroid_margin(x[0], labels, folds)
    assert np.flatnonzero(np.isnan(margin)).tolist() == [5]
    assert nearest_centroid_margin(x[0], labels, folds) == pytest.approx(np.nanmean(margin))
    assert np.isnan(nearest_centroid_margin(x[0], folds, folds))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.zeros(79)}, "labels of shape"),
        ({"labels": torch.ones(80, dtype=torch.long)}, "all 80 rows have one label"),
        ({"folds": torch.zeros(80)}, "in one fold"),
        ({"folds": torch.zeros(3)}, "folds of shape"),
        ({"groups": torch.zeros(3)}, "groups of shape"),
        ({"groups": torch.arange(80) // 16}, "rows in two folds"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(change, message):
    x, labels = gaussians(0.4, rows=80)
    case = {"labels": labels, "folds": torch.arange(80) // 8 % 3, "groups": None} | change
    for measured in (nearest_centroid, centroid_margin):
        with pytest.raises(BadInput, match=message):
            measured(x[0], **case)
    if "folds" not in message and "fold" not in message:
        with pytest.raises(BadInput, match=message):
            class_separation(x[0], case["labels"], case["groups"])

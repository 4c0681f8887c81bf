import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestCentroid

from nucleate.metrics import class_separation, nearest_centroid, rankme


def gaussians(gap, rows=400, classes=8, width=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % classes
    centres = gap * torch.randn(classes, width, generator=generator)
    return centres[labels][None] + torch.randn(1, rows, width, generator=generator), labels


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


def test_rankme_counts_directions():
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(32, 4, generator=generator)).Q
    flat = torch.randn(1, 2000, 4, generator=generator) @ basis.T
    assert rankme(flat)[0] == pytest.approx(4, rel=0.02)
    assert rankme(100 + flat)[0] == pytest.approx(4, rel=0.02)
    assert rankme(torch.ones(1, 10, 3))[0] == 0

"""Overlap of classes, pair by pair."""

import numpy as np
import pytest

from nucleate import BadInput
from nucleate.metrics import class_separation, pairwise_nearest, pairwise_separation

ROWS, CLASSES = 240, 4


@pytest.fixture
def clouds():
    """Four classes: 0 and 1 are the same, 2 is near to them, 3 far away."""
    rng = np.random.default_rng(0)
    labels = np.arange(ROWS) % CLASSES
    centers = np.array([[0, 0, 0], [0, 0, 0], [1.5, 0, 0], [0, 30, 0.0]])
    return centers[labels] + rng.standard_normal((ROWS, 3)), labels, np.arange(ROWS) // CLASSES % 5


def test_the_mean_over_pairs_is_the_class_separation(clouds):
    points, labels, _ = clouds
    found = pairwise_separation(points, labels)
    assert np.isnan(found.diagonal()).all()
    assert np.nanmean(found) == pytest.approx(class_separation(points, labels), rel=1e-4)
    assert np.allclose(found, found.T, equal_nan=True)


def test_separation_is_near_0_for_the_same_and_as_defined_for_others(clouds):
    points, labels, _ = clouds
    found = pairwise_separation(points, labels)
    assert abs(found[0, 1]) < 0.05
    near, far = (points[labels == k] for k in (0, 3))
    spread = [each.var(0, ddof=1).sum() for each in (near, far)]
    gap = ((near.mean(0) - far.mean(0)) ** 2).sum() - sum(spread) / len(near)
    assert found[0, 3] == pytest.approx(2 * gap / sum(spread))


def test_rows_nearer_to_the_other_mean_are_counted_with_means_of_other_folds(clouds):
    points, labels, folds = clouds
    found = pairwise_nearest(points, labels, folds)
    for a, b in ((0, 1), (2, 0), (3, 1)):
        wrong = 0
        rows = np.flatnonzero(labels == a)
        for row in rows:
            others = folds != folds[row]
            to = [
                ((points[row] - points[others & (labels == k)].mean(0)) ** 2).sum() for k in (a, b)
            ]
            wrong += to[1] < to[0]
        assert found[a, b] == pytest.approx(wrong / len(rows))
    assert 0.35 < found[0, 1] < 0.65
    assert found[3, 1] == 0


def test_places_are_measured_side_by_side_and_the_constant_one_is_not_defined(clouds):
    points, labels, folds = clouds
    both = np.stack([points, np.ones_like(points), points * 7 + 2])
    for found in (pairwise_separation(both, labels), pairwise_nearest(both, labels, folds)):
        assert found.shape == (3, CLASSES, CLASSES)
        assert np.isnan(found[1]).all()
        assert np.allclose(found[0], found[2], equal_nan=True)


def test_ties_are_halves():
    points = np.array([[-1.0], [-1], [1], [1], [-1], [-1], [1], [1]])
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 1])
    found = pairwise_nearest(points, labels, [0, 0, 0, 0, 1, 1, 1, 1])
    assert found[0, 1] == found[1, 0] == 0.5


def test_a_class_of_one_row_has_no_separation_and_strings_in_two_folds_are_refused(clouds):
    points, labels, folds = clouds
    alone = labels.copy()
    alone[0] = CLASSES
    assert np.isnan(pairwise_separation(points, alone)[CLASSES]).all()
    assert np.isnan(pairwise_nearest(points, alone, folds)[CLASSES]).all()
    with pytest.raises(BadInput, match="two folds"):
        pairwise_nearest(points, labels, folds, groups=np.zeros(ROWS))

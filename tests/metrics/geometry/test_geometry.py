import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate._core.errors import BadInput
from nucleate.metrics.geometry._class_means import nc4, neural_collapse, parallelism_score
from nucleate.metrics.geometry._spectra import (
    centered,
    gaussian_twin,
    mean_norm,
    neighborhood_overlap,
    norm_spread,
    participation_ratio,
    rankme,
    spectrum,
    squared_distances,
    top_share,
    two_nn,
)

LABELS = torch.arange(60) % 4
CONDITIONS = torch.arange(60) // 4 % 3
OF_STATES = {
    "rankme": rankme,
    "participation_ratio": participation_ratio,
    "top_share": top_share,
    "norm_spread": norm_spread,
    "two_nn": two_nn,
    "overlap": lambda x: neighborhood_overlap(x, x),
    "parallelism": lambda x: parallelism_score(x, LABELS, CONDITIONS),
    "nc4": lambda x: nc4(x, LABELS, LABELS),
}
COLLAPSE = {
    name: lambda x, name=name: getattr(neural_collapse(x, LABELS), name)
    for name in ("nc2", "norms", "angles")
}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rotation(width, seed=0):
    return torch.linalg.qr(normal(width, width, seed=seed)).Q


def test_distances_are_those_of_cdist():
    points = normal(40, 7).double()
    assert torch.allclose(squared_distances(points).sqrt(), torch.cdist(points, points), atol=1e-6)


@pytest.mark.parametrize("rows", [30, 8])
def test_variances_are_those_of_the_covariance_with_few_rows_too(rows):
    x = normal(2, rows, 12)
    found = spectrum(x).variances
    assert found.shape == (2, min(rows, 12))
    expected = np.linalg.svd(centered(x, double=True)[0].numpy(), compute_uv=False) ** 2 / (
        rows - 1
    )
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("axes", [1, 3, 7])
def test_equal_axes_are_counted(axes):
    corners = torch.cat([torch.eye(axes), -torch.eye(axes)]) @ rotation(9)[:axes]
    x = 5 + corners.repeat(3, 1)
    assert rankme(x) == pytest.approx(axes, rel=1e-3)
    assert participation_ratio(x) == pytest.approx(axes, rel=1e-4)
    assert top_share(x) == pytest.approx(1 / axes, rel=1e-4)
    assert top_share(x, 9) == pytest.approx(1)


def test_rankme_counts_faint_axes_that_participation_does_not():
    x = normal(500, 10) * torch.tensor([1.0] + [0.1] * 9)
    assert rankme(x) > 4
    assert participation_ratio(x) < 1.3


def test_lengths():
    x = torch.tensor([[3.0, 4.0], [0.0, 1.0], [6.0, 8.0]])
    assert mean_norm(x) == pytest.approx(16 / 3)
    assert norm_spread(x) == pytest.approx(np.std([5, 1, 10]) / (16 / 3))


@pytest.mark.parametrize("intrinsic", [2, 5])
def test_two_nn_finds_the_dimension_of_a_sheet_in_many_dimensions(intrinsic):
    x = torch.rand(900, intrinsic, generator=torch.Generator().manual_seed(0))
    assert two_nn(x @ normal(intrinsic, 40)) == pytest.approx(intrinsic, rel=0.15)


@pytest.mark.parametrize("width", [5, 40])
def test_two_nn_is_that_of_scikit_dimension(width):
    with warnings.catch_warnings():
        # Of the libraries that it imports, nothing of ours.
        warnings.simplefilter("ignore")
        import skdim.id

        for seed in range(3):
            x = normal(300, width, seed=seed).double()
            expected = skdim.id.TwoNN().fit(x.numpy()).dimension_
            assert two_nn(x) == pytest.approx(expected, rel=1e-6)


def test_copies_of_rows_do_not_change_the_dimension():
    x = normal(200, 6)
    copies = x.repeat_interleave(5, 0)
    assert two_nn(copies) == pytest.approx(two_nn(x), rel=1e-4)
    rounded = copies * (1 + 1e-7 * normal(1000, 6, seed=1))
    assert two_nn(rounded) == pytest.approx(two_nn(x), rel=1e-3)


def test_two_nn_of_two_different_rows_is_undefined():
    assert np.isnan(two_nn(torch.eye(2).repeat(10, 1)))


def test_neighbors_of_the_same_rows_are_kept_and_of_noise_are_chance():
    x, other = normal(3, 400, 10), normal(3, 400, 6, seed=1)
    assert neighborhood_overlap(x, 3 * x @ rotation(10)) == pytest.approx(1, abs=2e-3)
    assert neighborhood_overlap(x, other) == pytest.approx(10 / 399, abs=0.01)


def test_overlap_is_that_of_sets_of_neighbors():
    from sklearn.neighbors import NearestNeighbors

    x, other = normal(50, 4), normal(50, 4) + normal(50, 4, seed=1)
    near = [
        NearestNeighbors(n_neighbors=6).fit(z).kneighbors(return_distance=False) for z in (x, other)
    ]
    shared = np.mean([len({*a} & {*b}) / 6 for a, b in zip(*near, strict=True)])
    assert neighborhood_overlap(x, other, n_neighbors=6) == pytest.approx(shared)


def test_rows_of_one_string_fake_an_overlap_until_they_are_left_out():
    strings = torch.arange(300) // 10
    x, other = (8 * normal(30, 6, seed=s)[strings] + normal(300, 6, seed=s + 9) for s in (0, 1))
    assert neighborhood_overlap(x, other, n_neighbors=9) > 0.8
    left = neighborhood_overlap(x, other, n_neighbors=9, groups=strings)
    assert left < 0.2


def crossed(shift, noise, rows=360, width=40, classes=4, conditions=3, seed=0):
    labels, where = torch.arange(rows) % classes, torch.arange(rows) // classes % conditions
    x = shift * normal(classes, width, seed=seed)[labels]
    x = x + 3 * normal(conditions, width, seed=seed + 1)[where]
    return x + noise * normal(rows, width, seed=seed + 2), labels, where


def test_additive_codes_are_parallel():
    assert parallelism_score(*crossed(2.0, 0.01)) == pytest.approx(1, abs=1e-3)


def test_codes_of_their_own_in_each_condition_are_not_parallel():
    _, labels, where = crossed(0, 0)
    values = [
        parallelism_score(normal(12, 40, seed=s)[labels + 4 * where], labels, where)
        for s in range(40)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values) / 40**0.5


def test_noise_is_not_parallel():
    values = [parallelism_score(*crossed(0.0, 1.0, rows=48, seed=3 * s)) for s in range(60)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 60**0.5


def test_parallelism_is_the_formula_with_a_missing_cell_and_for_several_labelings():
    x, labels, where = crossed(1.0, 1.0)
    kept = ~((labels == 1) & (where == 2))
    x, labels, where = x[kept], labels[kept], where[kept]
    shuffled = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    both = torch.stack([labels, shuffled])
    expected = [naive_parallelism(x.double(), one, where) for one in both]
    assert parallelism_score(x, both, where) == pytest.approx(expected, rel=1e-6)


def naive_parallelism(x, labels, where):
    cosines = []
    for a in range(4):
        for b in range(a):
            directions = []
            for c in range(3):
                one, two = x[(labels == a) & (where == c)], x[(labels == b) & (where == c)]
                if len(one) and len(two):
                    directions.append(one.mean(0) - two.mean(0))
            cosines += [
                float(torch.cosine_similarity(d, e, 0))
                for i, d in enumerate(directions)
                for e in directions[:i]
            ]
    return np.mean(cosines)


def test_nested_conditions_have_nothing_to_compare():
    x, labels, where = crossed(1.0, 1.0)
    assert np.isnan(parallelism_score(x, labels, labels * 3 + where))


def test_a_simplex_has_collapsed_and_unequal_means_have_not():
    simplex = (torch.eye(5) - 0.2) @ rotation(8)[:5]
    labels = torch.arange(100) % 5
    found = neural_collapse(7 + simplex[labels], labels)
    assert [found.nc2, found.norms, found.angles] == pytest.approx([0, 0, 0], abs=1e-4)
    longer = simplex * torch.tensor([3.0, 1, 1, 1, 1])[:, None]
    found = neural_collapse(longer[labels], labels)
    assert found.norms > 0.3
    assert found.nc2 > 0.3


def test_nc2_of_classes_on_a_line():
    labels = torch.arange(30) % 3
    x = torch.tensor([[-1.0, 0], [0, 0], [1.0, 0]])[labels]
    found = neural_collapse(x, labels)
    product = np.array([[0.5, 0, -0.5], [0, 0, 0], [-0.5, 0, 0.5]])
    simplex = (np.eye(3) - 1 / 3) / 2**0.5
    assert found.nc2 == pytest.approx(np.linalg.norm(product - simplex))
    assert found.norms == pytest.approx(1 / 2**0.5)
    assert found.angles == pytest.approx((0.5 + 2 * 0.5) / 3)


def test_noise_in_many_dimensions_looks_like_a_simplex():
    labels = torch.arange(400) % 4
    assert neural_collapse(normal(400, 2000), labels).nc2 < 0.1
    assert neural_collapse(normal(400, 3), labels).nc2 > 0.3


def test_nearest_means_that_decide_as_the_model_agree_whatever_the_form_of_the_decision():
    labels = torch.arange(120) % 3
    x = 9 * torch.eye(3)[labels] + normal(120, 3)
    names = np.array(["b", "a", "c"])[labels]
    order = torch.tensor([1, 0, 2])
    logits = torch.eye(3)[order[labels]]
    assert nc4(x, names, names) == nc4(x, names, logits) == 1
    wrong = np.where(np.arange(120) < 30, "z", names)
    assert nc4(x, names, wrong) == pytest.approx(0.75)


def test_a_row_does_not_decide_about_itself():
    labels = torch.arange(200) % 10
    values = [nc4(normal(200, 100, seed=s), labels, labels, n_splits=5) for s in range(10)]
    assert np.mean(values) == pytest.approx(0.1, abs=0.03)


def test_strings_leak_into_means_unless_they_share_a_fold():
    strings = torch.arange(400) // 8
    labels = torch.randint(0, 10, (50,), generator=torch.Generator().manual_seed(1))[strings]
    x = normal(50, 40)[strings] + 0.1 * normal(400, 40, seed=2)
    assert nc4(x, labels, labels) > 0.5
    assert nc4(x, labels, labels, groups=strings) < 0.3


@pytest.mark.parametrize("rows", [50, 6])
def test_twins_have_the_mean_and_covariance_of_the_states(rows):
    x = 4 + normal(2, rows, 3) @ normal(3, 8)
    twins = gaussian_twin(x, 3000)
    assert twins.shape == (3000, 2, rows, 8)
    assert torch.allclose(twins.mean((0, 2)), x.mean(1), atol=0.15)
    wanted = torch.stack([torch.cov(z.T) for z in x])
    pooled = twins.transpose(0, 1).flatten(1, 2)
    found = torch.stack([torch.cov(z.T) for z in pooled])
    assert torch.allclose(found, wanted, atol=0.06 * float(wanted.abs().max()))
    assert torch.linalg.matrix_rank(found, rtol=1e-4).tolist() == [3, 3]


def test_twins_follow_the_seed_and_nothing_else():
    x = normal(20, 4)
    torch.manual_seed(1)
    first = gaussian_twin(x, 2, seed=3)
    state = torch.get_rng_state()
    assert (gaussian_twin(x, 2, seed=3) == first).all()
    assert (torch.get_rng_state() == state).all()
    assert not (gaussian_twin(x, 2, seed=4) == first).any()


def test_twins_of_clusters_have_none():
    from nucleate.metrics import kmeans

    labels = torch.arange(300) % 2
    x = 20 * normal(2, 10)[labels] + normal(300, 10)
    twin = gaussian_twin(x)[0]

    def share(z):
        return float(kmeans(z[None], 2).inertia / (z - z.mean(0)).square().sum())

    assert share(x) < 0.1
    assert share(twin) > 0.3


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), scale=st.sampled_from([0.01, 1.0, 100.0]))
@pytest.mark.parametrize("name", [*OF_STATES, *COLLAPSE])
def test_rotation_and_scale_change_nothing(name, seed, scale):
    metric = {**OF_STATES, **COLLAPSE}[name]
    x = normal(60, 8, seed=seed).double()
    moved = scale * x @ rotation(8, seed=seed).double()
    assert metric(moved) == pytest.approx(metric(x), rel=1e-4, abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99))
def test_order_of_rows_and_names_of_labels_change_nothing(seed):
    x, generator = normal(60, 8, seed=seed), torch.Generator().manual_seed(seed)
    order, names = torch.randperm(60, generator=generator), torch.randperm(4, generator=generator)
    y, labels, where = x[order], names[LABELS][order], (2 - CONDITIONS)[order]
    assert two_nn(y) == pytest.approx(two_nn(x), rel=1e-5)
    assert rankme(y) == pytest.approx(rankme(x), rel=1e-5)
    assert parallelism_score(y, labels, where) == pytest.approx(
        parallelism_score(x, LABELS, CONDITIONS), rel=1e-5, abs=1e-7
    )
    assert neural_collapse(y, labels).nc2 == pytest.approx(neural_collapse(x, LABELS).nc2, rel=1e-5)


@pytest.mark.parametrize("name", [*OF_STATES, *COLLAPSE])
def test_constant_states_are_marked_by_a_number_and_nan_states_stay_nan(name):
    metric = {**OF_STATES, **COLLAPSE}[name]
    x = normal(2, 2, 60, 8)
    x[0, 1] = 1e4 / 3
    x[0, 1] += 1e-3 * normal(60, 8)
    x[1, 0] = normal(8)
    x[1, 1, 3, 2] = torch.nan
    values = metric(x)
    assert values.shape == (2, 2)
    assert values[0, 0] == pytest.approx(metric(x[0, 0]), abs=1e-7)
    assert [values[0, 1], values[1, 0]] == [1.0 if name in COLLAPSE else 0.0] * 2
    assert np.isnan(values[1, 1])


@pytest.mark.parametrize("name", [*OF_STATES, *COLLAPSE])
def test_half_precision_and_numpy_are_taken(name):
    metric = {**OF_STATES, **COLLAPSE}[name]
    x = normal(60, 8).half()
    assert isinstance(metric(x), float)
    assert metric(x.float().numpy()) == pytest.approx(metric(x), rel=1e-6)


def test_classes_of_one_row_do_not_crash():
    labels = torch.cat([LABELS[:59], torch.tensor([9])])
    x = normal(60, 8)
    assert np.isfinite(parallelism_score(x, labels, CONDITIONS))
    assert np.isfinite(neural_collapse(x, labels).nc2)
    assert 0 <= nc4(x, labels, labels) <= 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: spectrum(x[:1]), "at least two rows"),
        (lambda x: parallelism_score(x, LABELS[:50], CONDITIONS), "labels of shape"),
        (lambda x: parallelism_score(x, LABELS, CONDITIONS[:9]), "conditions of shape"),
        (lambda x: parallelism_score(x, LABELS, LABELS * 0), "at least two conditions"),
        (lambda x: neural_collapse(x, LABELS * 0), "at least two classes"),
        (lambda x: nc4(x, LABELS, LABELS[:3]), "predictions of shape"),
        (lambda x: nc4(x, LABELS, LABELS, n_splits=61), "2 to 60 folds"),
        (lambda x: neighborhood_overlap(x, x, n_neighbors=60), "1 to 59"),
        (lambda x: neighborhood_overlap(x, x, groups=LABELS * 0), "neighbors cannot"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(BadInput, match=words):
        call(normal(60, 8))


def test_readings_of_other_rows_are_refused():
    with pytest.raises(BadInput, match="same places and rows"):
        neighborhood_overlap(normal(60, 8).numpy(), normal(1, 60, 8).numpy())

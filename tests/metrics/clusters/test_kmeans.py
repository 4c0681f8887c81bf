import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.metrics import adjusted_rand_score

from nucleate._core.errors import BadInput
from nucleate.metrics.clusters._kmeans import kmeans
from nucleate.metrics.clusters._kmeans_seeds import greedy_seeds, merged
from nucleate.metrics.clusters._kmeans_space import Space, least, precision


def blobs(problems, k, rows, width, spread, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(problems, k, width, generator=generator)
    labels = torch.arange(rows) % k
    noise = spread * torch.randn(problems, rows, width, generator=generator)
    return centers[:, labels] + noise, labels


def theirs(points, k, **options):
    return KMeans(k, **{"n_init": 20, "random_state": 0} | options).fit(points.numpy())


def exact_inertia(points, labels):
    points = points.double()
    means = torch.stack([points[labels == j].mean(0) for j in range(int(labels.max()) + 1)])
    return (points - means[labels]).square().sum()


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("spread", [0.2, 0.7, 1.0, 5.0])
@pytest.mark.parametrize("k", [4, 12, 40])
def test_inertia_is_no_worse_than_that_of_scikit_learns_twenty_starts(k, spread, warm):
    x, _ = blobs(6, k, 160, 24, spread)
    start = x[:, :k].clone() if warm else None
    ours = kmeans(x, k, n_init=20, warm=start).inertia
    others = torch.tensor([theirs(points, k).inertia_ for points in x])
    assert (ours / others - 1).mean() <= 0.001


@pytest.mark.parametrize("spread", [0.05, 0.2])
def test_labels_agree_with_scikit_learns_where_clusters_are_clear(spread):
    x, labels = blobs(5, 10, 100, 16, spread)
    for points, found in zip(x, kmeans(x, 10).labels, strict=True):
        assert adjusted_rand_score(labels, found) == 1
        assert adjusted_rand_score(theirs(points, 10).labels_, found) == 1


@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_labels_inertia_and_centroids_belong_together(offset):
    x, _ = blobs(3, 6, 60, 8, 1.0)
    x = x + offset
    found = kmeans(x, 6)
    for points, labels, inertia, centroids in zip(
        x, found.labels, found.inertia, found.centroids, strict=True
    ):
        means = torch.stack([points[labels == j].mean(0) for j in range(6)])
        assert torch.allclose(centroids, means, atol=1e-5 + 1e-6 * offset)
        assert torch.isclose(inertia, exact_inertia(points, labels), rtol=1e-4)
        assert torch.equal(torch.cdist(points.double(), means.double()).argmin(1), labels)
    assert found.inertia.dtype == torch.float64


@pytest.mark.parametrize("k", [1, 2, 20, 39, 40])
def test_no_cluster_stays_empty(k):
    x, _ = blobs(4, 3, 40, 5, 0.01)
    for labels in kmeans(x, k).labels:
        assert len(labels.unique()) == k


@pytest.mark.parametrize("k", [3, 7, 12])
def test_every_distinct_row_gets_a_cluster_when_there_are_as_many(k):
    x, _ = blobs(3, 12, 12, 6, 1.0)
    repeated = x[:, torch.arange(200) % 12]
    found = kmeans(repeated, k)
    for labels in found.labels:
        assert len(labels.unique()) == k
    if k == 12:
        assert (found.inertia < 1e-6).all()


def test_empty_warm_clusters_are_filled():
    x, _ = blobs(3, 8, 80, 6, 1.0)
    far = torch.full((3, 8, 6), 1e3)
    for labels in kmeans(x, 8, n_init=1, warm=far).labels:
        assert len(labels.unique()) == 8


def test_fewer_distinct_rows_than_clusters_leave_some_empty():
    x, _ = blobs(2, 3, 3, 4, 1.0)
    repeated = x[:, torch.arange(30) % 3]
    found = kmeans(repeated, 5)
    assert (found.inertia < 1e-8).all()
    assert torch.isfinite(found.centroids).all()
    for labels in found.labels:
        assert adjusted_rand_score(torch.arange(30) % 3, labels) == 1


def test_one_cluster_is_the_mean():
    x, _ = blobs(2, 3, 30, 4, 1.0)
    found = kmeans(x, 1)
    assert torch.allclose(found.centroids[:, 0], x.mean(1), atol=1e-5)
    assert (found.labels == 0).all()


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3e4])
def test_constant_rows_are_one_cluster_without_inertia(value):
    x = torch.full((2, 10, 3), value)
    found = kmeans(x, 4)
    assert (found.labels == 0).all()
    assert (found.inertia == 0).all()
    assert torch.allclose(found.centroids, x[:, :4])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_broken_problem_spoils_only_itself_and_not_the_next_step(bad):
    x, _ = blobs(3, 5, 60, 6, 0.5)
    whole = kmeans(x, 5)
    x[1, 7, 2] = bad
    found = kmeans(x, 5)
    assert torch.isnan(found.inertia[1])
    assert (found.labels[1] == 0).all()
    assert torch.isnan(found.centroids[1]).all()
    for other in (0, 2):
        assert torch.equal(found.labels[other], whole.labels[other])
    x[1, 7, 2] = 0
    after = kmeans(x, 5, warm=found.centroids)
    assert torch.isfinite(after.inertia).all()
    assert len(after.labels[1].unique()) == 5


def test_a_problem_does_not_depend_on_its_neighbors_in_the_batch():
    x, _ = blobs(7, 20, 300, 24, 2.0)
    together = kmeans(x, 20)
    warm = kmeans(x, 20, seed=1, warm=together.centroids)
    for at in (slice(0, 1), slice(2, 5), slice(6, 7)):
        assert torch.equal(kmeans(x[at], 20).labels, together.labels[at])
        alone = kmeans(x[at], 20, seed=1, warm=together.centroids[at])
        assert torch.equal(alone.labels, warm.labels[at])
        assert torch.equal(alone.inertia, warm.inertia[at])


def test_labels_do_not_depend_on_the_number_of_threads():
    x, _ = blobs(4, 20, 300, 24, 2.0)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(kmeans(x, 20).labels)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_same_seed_same_labels_whatever_the_global_generator_did():
    x, _ = blobs(3, 8, 80, 10, 2.0)
    first = kmeans(x, 8, seed=3).labels
    torch.manual_seed(123)
    before = torch.get_rng_state()
    assert torch.equal(first, kmeans(x, 8, seed=3).labels)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(first, kmeans(x, 8, seed=4).labels)


def test_a_warm_start_is_never_thrown_away_for_a_worse_one():
    x, _ = blobs(4, 20, 200, 10, 1.5)
    good = kmeans(x, 20, n_init=160)
    warm = kmeans(x, 20, n_init=1, seed=9, warm=good.centroids)
    assert (warm.inertia <= good.inertia * 1.0001).all()


def test_a_warm_start_besides_a_cold_one_ends_no_higher_on_average():
    x, _ = blobs(48, 20, 200, 10, 1.5)
    moved = x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    before = kmeans(moved, 20).centroids
    cold = kmeans(x, 20, n_init=10).inertia
    warm = kmeans(x, 20, n_init=20, warm=before).inertia
    assert (warm / cold - 1).mean() <= 1e-4


def test_more_restarts_end_no_higher_on_average():
    x, _ = blobs(12, 20, 200, 10, 1.5)
    few, many = (kmeans(x, 20, n_init=count).inertia for count in (10, 80))
    assert (many / few - 1).mean() < -1e-4


def test_a_space_gives_what_its_rows_give():
    x, _ = blobs(2, 6, 80, 8, 1.0)
    space = Space.of(x)
    for k in (3, 6):
        assert torch.equal(kmeans(space, k).labels, kmeans(x, k).labels)


def test_half_precision_rows_are_clustered():
    x, labels = blobs(2, 6, 60, 8, 0.05)
    for found in kmeans(x.half(), 6).labels:
        assert adjusted_rand_score(labels, found) == 1


def test_more_clusters_than_packed_indices_can_tell_apart():
    x, labels = blobs(1, 600, 1800, 8, 0.005)
    found = kmeans(x, 600, n_init=1)
    assert adjusted_rand_score(labels, found.labels[0]) > 0.95


@pytest.mark.parametrize("k", [1, 2, 20, 256, 1500])
def test_the_least_cost_is_found_to_the_stated_precision(k):
    costs = torch.rand(2, 3, k, 50, generator=torch.Generator().manual_seed(k))
    index, value = least(costs.clone())
    truth = costs.amin(2)
    assert torch.allclose(costs.gather(2, index[:, :, None])[:, :, 0], truth, rtol=precision(k))
    assert torch.allclose(value, truth, rtol=precision(k))


def test_merging_gives_what_wards_method_gives():
    x, _ = blobs(3, 10, 30, 6, 1.0)
    own = torch.arange(30).expand(3, 1, 30)
    groups = merged(Space.of(x).sums(own, 30), 7)
    for points, found in zip(x, groups[:, 0], strict=True):
        assert found.max() == 6
        expected = AgglomerativeClustering(7, linkage="ward").fit_predict(points.numpy())
        assert adjusted_rand_score(expected, found) == 1


@pytest.mark.parametrize("k", [0, 11])
def test_impossible_k_is_named(k):
    with pytest.raises(BadInput, match=rf"{k} clusters of 10 rows"):
        kmeans(torch.randn(1, 10, 3), k)


def test_other_impossible_requests_are_named():
    x = torch.randn(2, 10, 3)
    with pytest.raises(BadInput, match="n_init 0 finds"):
        kmeans(x, 3, n_init=0)
    with pytest.raises(BadInput, match=r"\[2, 4, 3\] do not fit.*\[2, 3, 3\]"):
        kmeans(x, 3, warm=torch.zeros(2, 4, 3))


def test_seeds_are_rows_far_apart():
    x, labels = blobs(2, 6, 60, 10, 0.01)
    for problem in greedy_seeds(x, 6, starts=4):
        for seeds in problem:
            assert len(labels[seeds].unique()) == 6


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 1000),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
    shift=st.sampled_from([0.0, 50.0]),
)
def test_clear_clusters_survive_rotation_shift_scaling_and_row_order(seed, scale, shift):
    x, labels = blobs(1, 5, 50, 6, 0.02, seed)
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator)).Q
    order = torch.randperm(50, generator=generator)
    plain = kmeans(x, 5)
    found = kmeans(scale * (x @ turn + shift)[:, order], 5, seed=seed)
    assert adjusted_rand_score(labels[order], found.labels[0]) == 1
    assert torch.allclose(found.inertia, scale**2 * plain.inertia, rtol=1e-3)

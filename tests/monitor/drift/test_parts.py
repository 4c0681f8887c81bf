"""Statistics, their joint level, the search for a group, and evidence, against known answers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import binomtest, chi2_contingency, ks_2samp
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

from clouds import Clouds
from nucleate.monitor.drift import DriftSample
from nucleate.monitor.drift._amounts import newcombe
from nucleate.monitor.drift._anytime import evidence, log_e
from nucleate.monitor.drift._joint import Joint
from nucleate.monitor.drift._scan import Pool
from nucleate.monitor.drift._sums import Layout, drawn_sums

CLOUDS = Clouds()


@pytest.fixture(scope="module")
def sums():
    layout = Layout.of(CLOUDS.clusters, 0.05, CLOUDS.rank, seed=0)
    samples = CLOUDS.sample(1, 300), CLOUDS.sample(2, 170, to_first=0.1, spread=1.1)
    values = layout.statistics_of(
        layout.rows(samples[0]).sum(0)[None], 300, layout.rows(samples[1]).sum(0)[None], 170
    )[0]
    return layout, samples, dict(zip(layout.statistics, values, strict=True))


def test_mass_is_the_g_statistic_of_scipy(sums):
    _, samples, found = sums
    table = [np.bincount(each.cluster, minlength=CLOUDS.clusters) for each in samples]
    oracle = chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
    assert found["mass"] == pytest.approx(oracle, rel=1e-5)


def test_regions_are_those_of_centroids_and_see_a_move_that_clusters_share():
    """Two heaps of clusters: a move from one to the other is one number, not one a cluster."""
    rng = np.random.default_rng(8)
    heaps = np.repeat([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]], 4, axis=0)
    centroids = heaps + rng.standard_normal((12, 2))

    def sample(shares, rows):
        cluster = rng.choice(12, rows, p=np.repeat(shares, 4) / 4)
        residual = 0.01 * rng.standard_normal((rows, 2))
        names = tuple(f"c{k}" for k in range(12))
        return DriftSample(
            names, cluster, rng.random(rows), centroids[cluster] + residual, residual
        )

    one, other = sample([0.4, 0.3, 0.3], 400), sample([0.2, 0.5, 0.3], 400)
    layout = Layout.of(12, 0.05, 2, 0).with_regions([one, other])
    assert layout.regions is not None
    together = layout.regions @ layout.regions.T
    assert (together == (np.arange(12)[:, None] // 4 == np.arange(12) // 4)).all()
    table = [np.bincount(each.cluster // 4) for each in (one, other)]
    oracle = chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
    found = layout.statistics_of(
        layout.rows(one).sum(0)[None], 400, layout.rows(other).sum(0)[None], 400
    )[0]
    assert found[layout.statistics.index("regions")] == pytest.approx(oracle, rel=1e-6)
    assert Layout.of(12, 0.05, None, 0).with_regions([one.without_vectors()]).regions is None


def test_outside_is_the_z_test_of_two_shares(sums):
    _, samples, found = sums
    counts = [(each.p <= 0.05).sum() for each in samples[::-1]]
    assert found["outside"] == pytest.approx(proportions_ztest(counts, [170, 300])[0], rel=1e-5)


def test_score_is_the_kolmogorov_smirnov_statistic_on_bins(sums):
    layout, samples, found = sums
    binned = [np.searchsorted(layout.edges, each.p) for each in samples]
    oracle = ks_2samp(*binned).statistic * np.sqrt(170 * 300 / 470)
    assert found["score"] == pytest.approx(oracle, rel=1e-5)


def test_residuals_is_close_to_the_squared_mmd_of_a_gaussian_kernel(sums):
    _, samples, found = sums
    one, other = (each.residual for each in samples)

    def kernel(a, b):
        return np.exp(-cdist(a, b, "sqeuclidean") / 2 / CLOUDS.rank).mean()

    mmd = kernel(one, one) + kernel(other, other) - 2 * kernel(one, other)
    assert found["residuals"] == pytest.approx(mmd * 170 * 300 / 470, rel=0.3)


def test_sums_of_drawn_rows_are_those_of_the_rows_themselves():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((20, 4)).astype(np.float32)
    drawn = rng.integers(20, size=(3, 2, 7))
    assert drawn_sums(rows, drawn) == pytest.approx(rows[drawn].sum(2), abs=1e-5)


def test_rare_clusters_share_a_cell_that_has_enough_rows():
    layout = Layout.of(6, 0.05, None, 0).without_rare(np.array([40, 0, 3, 30, 1, 9]))
    counts = np.zeros(layout.cells)
    np.add.at(counts, layout.cell, [40, 0, 3, 30, 1, 9])
    assert counts.min() >= 5
    assert len({layout.cell[k] for k in (1, 2, 4)}) == 1
    assert layout.cell[0] != layout.cell[3]
    full = Layout.of(3, 0.05, None, 0).without_rare(np.array([9, 9, 9]))
    assert full.cells == 3


@given(seed=st.integers(0, 1000), rate=st.sampled_from([0.05, 0.1, 0.3]))
@settings(max_examples=30, deadline=None)
def test_values_are_beyond_a_limit_just_where_p_is_at_most_the_rate(seed, rate):
    rng = np.random.default_rng(seed)
    joint = Joint(rng.standard_normal((199, 3)).round(1) @ rng.standard_normal((3, 3)))
    limits = joint.critical(rate)
    inside = (joint.draws >= limits).any(1).mean()
    assert inside <= rate
    # As many as are allowed, but for ties.
    assert inside > rate - 0.15
    far = np.full(3, 1e9)
    assert (joint.p_values(far) == 1 / 200).all()
    assert (joint.p_values(-far) == 1).all()


def test_the_joint_level_of_dependent_statistics_is_exact():
    """One statistic three times over costs nothing; three independent ones cost about three."""
    draws = np.random.default_rng(0).standard_normal((1999, 1))
    same = Joint(draws.repeat(3, 1)).critical(0.05)
    assert same[0] == pytest.approx(np.quantile(draws, 0.95), abs=0.05)
    apart = Joint(np.random.default_rng(1).standard_normal((1999, 3))).critical(0.05)
    assert apart[0] == pytest.approx(2.12, abs=0.15)


def test_a_statistic_of_more_weight_has_more_of_the_level():
    draws = np.random.default_rng(2).standard_normal((3999, 2))
    joint = Joint(draws, np.array([3.0, 1.0]))
    limits = joint.critical(0.05)
    beyond = (draws >= limits).mean(0)
    assert beyond[0] == pytest.approx(3 * beyond[1], rel=0.1)
    assert (draws >= limits).any(1).mean() == pytest.approx(0.05, abs=0.003)
    assert (joint.p_values(limits) <= 0.0503).all()
    assert (joint.p_values(limits - 0.05) > 0.0503).all()


def test_the_scan_is_that_of_all_circles_one_by_one():
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((30, 2))
    named = rng.random((4, 30)) < 0.4
    pool = Pool.of(vectors, np.ones(30, dtype=bool), rng)
    order = cdist(vectors, vectors).argsort(1)

    def ratio(inside, size, total):
        beyond, rest = total - inside, 30 - size
        if inside < 5 or inside / size <= beyond / rest:
            return 0.0
        terms = [
            (inside, inside / size), (size - inside, 1 - inside / size),
            (beyond, beyond / rest), (rest - beyond, 1 - beyond / rest),
            (-total, total / 30), (total - 30, 1 - total / 30),
        ]  # fmt: skip
        return sum(count * np.log(share) for count, share in terms if count)

    for one, found in zip(named, pool.highest(named), strict=True):
        oracle = max(
            ratio(one[order[center, :size]].sum(), size, one.sum())
            for center in range(30)
            for size in (5, 8, 12)
        )
        assert found == pytest.approx(oracle, abs=1e-6)


def test_too_few_outside_rows_have_no_group():
    rng = np.random.default_rng(4)
    pool = Pool.of(rng.standard_normal((50, 2)), np.arange(50) < 9, rng)
    assert (pool.highest(np.ones((2, 50), dtype=bool)) == 0).all()


def test_intervals_of_differences_are_newcombes():
    oracle = confint_proportions_2indep(56, 70, 48, 80, method="newcomb", compare="diff")
    found = newcombe(np.array([56.0]), 70.0, np.array([48.0]), 80.0, 0.05)
    assert [each[0] for each in found] == pytest.approx([0.2, *oracle])


def test_evidence_of_one_event_has_mean_one_at_most_whatever_the_share():
    """The mean over all outcomes, exactly: an e-value of both samples, reference included."""
    from scipy.stats import binom

    for share in (0.01, 0.2, 0.5):
        one, other = np.meshgrid(np.arange(13), np.arange(9), indexing="ij")
        chance = binom.pmf(one, 12, share) * binom.pmf(other, 8, share)
        e = np.exp(log_e(one.astype(float), 12.0, other.astype(float), np.full(one.shape, 8.0)))
        assert (chance * e).sum() <= 1


def test_evidence_grows_with_a_shift_and_tells_its_start():
    rng = np.random.default_rng(5)
    counts = np.concatenate([rng.binomial(100, 0.05, 15), rng.binomial(100, 0.2, 15)])
    found = evidence(np.array([50]), 1000, counts[:, None].astype(int), 100, np.array([1.0]))
    assert found.value > 1e3
    assert abs(found.start - 15) <= 2
    quiet = evidence(np.array([50]), 1000, rng.binomial(100, 0.05, (30, 1)), 100, np.array([1.0]))
    assert quiet.value < 20


@pytest.mark.slow
def test_evidence_that_is_looked_at_all_the_time_keeps_its_rate():
    rng, alarms = np.random.default_rng(6), 0
    for _ in range(150):
        reference = rng.binomial(200, 0.1, 1)
        looks = rng.binomial(50, 0.1, (40, 1))
        alarms += any(
            evidence(reference, 200, looks[:done], 50, np.array([1.0])).value >= 20
            for done in range(1, 41)
        )
    assert binomtest(alarms, 150, 0.05, "greater").pvalue > 0.01

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score

from nucleate._core.errors import BadInput
from nucleate.metrics.probes import _linear_probe_solver as solver
from nucleate.metrics.probes._decoding import control_labels, grouped_folds, ranks_within
from nucleate.metrics.probes._linear_probe import linear_probe
from nucleate.metrics.probes._linear_probe_uses import ccgp, mdl_probe, selectivity


def classes_of(gap, rows=240, width=24, classes=6, seed=0, places=1):
    """Class means in random directions at distance `gap` from the origin, noise of sd 1."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % classes
    means = torch.randn(places, classes, width, generator=generator)
    means *= gap / means.norm(dim=-1, keepdim=True)
    x = means[:, labels] + torch.randn(places, rows, width, generator=generator)
    return x, labels, (torch.arange(rows) // classes) % 3


def scikit_learn(x, labels, folds, penalty):
    """Class found and nll of each row, by scikit-learn on states z-scored over all rows."""
    z = x.double().numpy()
    z = (z - z.mean(0)) / z.std(0)
    found, nll = np.zeros(len(z), dtype=int), np.zeros(len(z))
    for fold in range(int(folds.max()) + 1):
        held = (folds == fold).numpy()
        model = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=5_000)
        model.fit(z[~held], labels[~held].numpy())
        scores = model.predict_log_proba(z[held])
        nll[held] = -scores[np.arange(held.sum()), labels[held].numpy()]
        found[held] = scores.argmax(1)
    return found, nll


@pytest.mark.parametrize(
    ("gap", "penalty", "rows", "width"),
    [(0.0, 10.0, 240, 24), (2.0, 1.0, 240, 24), (8.0, 0.5, 240, 24), (2.0, 100.0, 240, 24),
     (4.0, 10.0, 120, 300), (12.0, 1.0, 120, 300)],
)  # fmt: skip
def test_a_probe_is_scikit_learns_with_more_rows_and_with_more_dimensions(
    gap, penalty, rows, width
):
    x, labels, folds = classes_of(gap, rows=rows, width=width)
    found, nll = scikit_learn(x[0], labels, folds, penalty)
    ours = linear_probe(x[0], labels, folds, penalty=penalty)
    assert ours.converged
    assert ours.nll == pytest.approx(nll.mean(), abs=1e-3)
    assert np.mean((ours.correct == 1) == (found == labels.numpy())) > 0.99
    assert ours.accuracy == pytest.approx(ours.correct.mean())


def test_a_looser_tolerance_ends_the_search_earlier_and_moves_the_numbers_little():
    x, labels, folds = classes_of(2.0, rows=600, width=96, classes=20)
    steps, original = [], solver._step
    exact, loose = (linear_probe(x[0], labels, folds, tol=tol) for tol in (1e-8, 1e-4))
    for tol in (1e-8, 1e-4):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(solver, "_step", lambda *a, tol=tol: steps.append(tol) or original(*a))
            linear_probe(x[0], labels, folds, tol=tol)
    assert steps.count(1e-4) <= 0.7 * steps.count(1e-8)
    assert loose.converged
    assert loose.accuracy == pytest.approx(exact.accuracy, abs=0.01)
    assert 0 < abs(loose.nll - exact.nll) < 0.01
    with pytest.raises(BadInput, match="tolerance of 0"):
        linear_probe(x[0], labels, folds, tol=0.0)


def test_one_dominant_direction_does_not_stop_the_search_short():
    x, labels, folds = classes_of(3.0)
    x[0] += 50 * torch.randn(240, 1, generator=torch.Generator().manual_seed(1))
    _, nll = scikit_learn(x[0], labels, folds, 1.0)
    assert linear_probe(x[0], labels, folds, penalty=1.0).nll == pytest.approx(nll.mean(), abs=1e-3)


def test_a_place_has_the_same_value_alone_and_among_others():
    x, labels, folds = classes_of(2.0, places=4)
    x[1] *= 1e3
    x[2] = x[2].round()
    both = linear_probe(x.view(2, 2, *x.shape[1:]), labels, folds)
    assert np.shape(both.accuracy) == (2, 2)
    assert both.correct.shape == (2, 2, 240)
    for place in range(4):
        alone = linear_probe(x[place], labels, folds)
        assert both.nll.flat[place] == pytest.approx(alone.nll, abs=1e-4)


def test_a_probe_climbs_from_66_to_90_percent_where_separation_goes_from_3_to_4():
    accuracy = []
    for gap in (3.0, 4.0):
        x, labels, _ = classes_of(gap, rows=1000, width=128, classes=20)
        folds = grouped_folds(labels, torch.arange(1000), 5)
        accuracy.append(linear_probe(x[0], labels, folds, penalty=1.0).accuracy)
    assert accuracy[0] == pytest.approx(0.66, abs=0.04)
    assert accuracy[1] == pytest.approx(0.90, abs=0.03)


def test_a_probe_reads_the_task_where_a_larger_input_hides_it_from_k_means():
    generator = torch.Generator().manual_seed(0)
    task, given_input = torch.arange(1000) % 20, torch.arange(1000) // 20 % 5
    tasks, inputs = (torch.randn(n, 128, generator=generator) for n in (20, 5))
    noise = torch.randn(1000, 128, generator=generator)
    x = tasks[task] + 1.5**0.5 * inputs[given_input] + 0.7 * noise
    clusters = KMeans(20, n_init=1, random_state=0).fit_predict(x.numpy())
    assert adjusted_rand_score(task.numpy(), clusters) < 0.1
    folds = grouped_folds(task, torch.arange(1000), 5)
    assert linear_probe(x, task, folds).accuracy == 1


def test_folds_by_row_leak_the_string_and_folds_by_string_do_not():
    generator = torch.Generator().manual_seed(0)
    strings = torch.arange(200).repeat_interleave(5)
    x = torch.randn(200, 128, generator=generator)[strings]
    x = x + 2.6 * torch.randn(1000, 128, generator=generator)
    by_row, by_string = [], []
    for seed in range(3):
        labels = control_labels(strings // 10, strings, seed)
        by_row.append(linear_probe(x, labels, torch.arange(1000) % 5).accuracy)
        folds = grouped_folds(labels, strings, 5, seed)
        by_string.append(linear_probe(x, labels, folds, strings).accuracy)
    assert 0.14 <= np.mean(by_row) <= 0.18
    assert np.mean(by_string) == pytest.approx(0.05, abs=0.015)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), scale=st.sampled_from([0.01, 1.0, 100.0]))
def test_a_probe_does_not_depend_on_scale_order_or_names(seed, scale):
    x, labels, folds = classes_of(2.0, rows=90, width=8, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    order, names = torch.randperm(90, generator=generator), torch.randperm(6, generator=generator)
    stretch = scale * (0.5 + torch.rand(8, generator=generator))
    plain = linear_probe(x[0], labels, folds)
    moved = linear_probe((stretch * x[0])[order], names[labels][order], folds[order])
    assert moved.row_nll == pytest.approx(plain.row_nll[order.numpy()], abs=2e-2)
    assert moved.nll == pytest.approx(plain.nll, abs=1e-3)


def test_labels_may_be_texts_and_states_half_precision():
    x, labels, folds = classes_of(4.0)
    texts = np.array([f"task {n}" for n in range(6)])[labels.numpy()]
    plain = linear_probe(x[0].half().float(), labels, folds)
    assert linear_probe(x[0].half().numpy(), texts, folds.numpy()).nll == plain.nll
    assert isinstance(plain.nll, float)


def test_a_class_that_the_other_folds_lack_is_wrong_and_costs_a_uniform_guess():
    x, labels, folds = classes_of(8.0, rows=60, classes=3)
    folds[labels == 2] = 0
    found = linear_probe(x[0], labels, folds)
    alone = (labels == 2).numpy()
    assert (found.correct[alone] == 0).all()
    assert found.row_nll[alone] == pytest.approx(np.log(3))
    held = ((labels != 2) & (folds == 0)).numpy()
    # The two classes that were seen share two thirds of the probability.
    assert found.row_nll[held].min() > np.log(3 / 2) - 1e-6
    assert found.correct[held].all()


def test_constant_states_are_at_chance_and_broken_ones_nan_and_neither_spoils_its_neighbors():
    x, labels, folds = classes_of(8.0, places=4)
    x[1], x[2, 5, 3], x[3] = 0.1, torch.nan, 1e-3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = linear_probe(x, labels, folds)
        general = ccgp(x, labels, folds)
        short = mdl_probe(x, labels)
        picked = selectivity(x, labels, torch.arange(240) // 12)
    assert found.accuracy[[0, 1, 3]] == pytest.approx([1, 1 / 6, 1 / 6], abs=0.01)
    assert found.nll[1] == pytest.approx(np.log(6), abs=1e-3)
    assert general[[0, 1]] == pytest.approx([1, 1 / 6], abs=0.01)
    assert short.bits[1] == pytest.approx(np.log2(6), abs=0.2)
    assert picked.task[1] < 0.3
    for values in (found.accuracy, found.nll, general, short.bits, short.compression, picked.task):
        assert np.isnan(values[2])
        assert not np.isnan(values[[0, 1, 3]]).any()


def test_a_broken_place_of_more_dimensions_than_rows_is_nan_beside_constant_and_good_ones():
    x, labels, folds = classes_of(12.0, rows=90, width=200, places=3)
    x[0], x[1, 2, 3] = 0.1, torch.inf
    accuracy = linear_probe(x, labels, folds).accuracy
    assert accuracy[0] == pytest.approx(1 / 6)
    assert np.isnan(accuracy[1])
    assert accuracy[2] == linear_probe(x[2], labels, folds).accuracy > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.zeros(239)}, "labels of shape"),
        ({"labels": torch.zeros(240, dtype=torch.long)}, "all 240 rows have one label"),
        ({"labels": torch.zeros(2, 240, dtype=torch.long)}, "several labelings"),
        ({"folds": torch.zeros(240)}, "in one fold"),
        ({"folds": torch.zeros(3)}, "folds of shape"),
        ({"groups": torch.zeros(240)}, "rows in two folds"),
        ({"penalty": 0.0}, "penalty of 0.0"),
    ],
)
def test_what_cannot_be_probed_is_refused_in_a_sentence(change, message):
    x, labels, folds = classes_of(1.0)
    given_here = {"labels": labels, "folds": folds, "groups": None, "penalty": 1.0} | change
    with pytest.raises(BadInput, match=message):
        linear_probe(x[0], **given_here)


def strings_of(task_gap, string_gap, seed=0, width=96):
    """Four tasks of 15 strings, of 6 rows each: a task's part, a string's part, noise of sd 1."""
    generator = torch.Generator().manual_seed(seed)
    strings = torch.arange(60).repeat_interleave(6)
    labels = strings % 4
    parts = task_gap * torch.randn(4, width, generator=generator)[labels]
    parts = parts + string_gap * torch.randn(60, width, generator=generator)[strings]
    return parts + torch.randn(360, width, generator=generator), labels, strings


def test_selectivity_is_high_for_tasks_and_zero_for_strings_that_are_memorized():
    memorized = selectivity(*strings_of(0.0, 3.0))
    assert memorized.task > 0.95
    assert memorized.control > 0.95
    assert abs(memorized.selectivity) < 0.05
    x, labels, strings = strings_of(0.5, 0.0)
    told = selectivity(x, labels, strings)
    assert told.task > 0.95
    assert told.control < 0.4
    assert told.selectivity == told.task - told.control
    assert told.control == pytest.approx(told.draws.mean())
    # New strings of meaningless classes stay at chance.
    folds = grouped_folds(labels, strings, 3)
    assert linear_probe(strings_of(0.0, 3.0)[0], labels, folds, strings).accuracy < 0.4


def test_selectivity_is_nan_where_every_string_is_a_row_and_leaves_single_rows_out_elsewhere():
    x, labels, strings = strings_of(0.5, 0.0)
    nothing = selectivity(x[None], labels, torch.arange(360), n_draws=3)
    assert np.isnan(nothing.task).all()
    assert np.isnan(nothing.selectivity).all()
    assert nothing.draws.shape == (1, 3)
    strings[300:] = torch.arange(60, 120)
    assert selectivity(x, labels, strings).task > 0.95
    # Folds by string test no string that has been seen.
    folds = grouped_folds(labels, strings, 3)
    assert np.isnan(selectivity(x, labels, strings, folds).task)
    with pytest.raises(BadInput, match="0 draws"):
        selectivity(x, labels, strings, n_draws=0)


def conditions_of(shared, seed=0):
    """Three conditions; a class has one direction in all, or one of its own in each."""
    generator = torch.Generator().manual_seed(seed)
    labels, conditions = torch.arange(360) % 4, torch.arange(360) // 4 % 3
    centers = 1.5 * torch.randn(3, 4, 32, generator=generator)
    if shared:
        centers[:] = centers[0].clone()
    offset = torch.randn(3, 32, generator=generator)
    x = centers[conditions, labels] + offset[conditions]
    return x + torch.randn(360, 32, generator=generator), labels, conditions


def test_ccgp_tells_a_shared_code_from_one_for_each_condition_where_both_are_decodable():
    for shared in (True, False):
        x, labels, conditions = conditions_of(shared)
        folds = torch.arange(360) // 12 % 3
        assert linear_probe(x, labels, folds).accuracy > 0.95
        found = ccgp(x, labels, conditions)
        assert found > 0.95 if shared else found < 0.5


def test_ccgp_is_a_probe_with_conditions_as_folds_and_bundles_many_of_them():
    x, labels, conditions = conditions_of(True)
    x = x + 3 * torch.randn(360, 32, generator=torch.Generator().manual_seed(5))
    assert ccgp(x, labels, conditions) == pytest.approx(
        linear_probe(x, labels, conditions).accuracy
    )
    many = torch.arange(360) // 4 % 9
    assert ccgp(x, labels, many, n_splits=3) == pytest.approx(
        linear_probe(x, labels, many % 3).accuracy
    )


def test_ccgp_is_nan_for_nested_conditions_until_they_are_ranked_within_their_class():
    x, labels, conditions = conditions_of(True)
    nested = np.array([f"{a}.{b}" for a, b in zip(labels, conditions, strict=True)])
    assert np.isnan(ccgp(x, labels, nested))
    ranks = ranks_within(labels, nested)
    assert (ranks == conditions.numpy()).all()
    assert ccgp(x, labels, ranks) > 0.95
    with pytest.raises(BadInput, match="1 conditions"):
        ccgp(x, labels, torch.zeros(360))


def test_code_length_is_that_of_the_probes_that_send_it():
    x, labels, _ = classes_of(2.0, rows=96)
    found = mdl_probe(x[0], labels, seed=3)
    turn = np.random.default_rng(3).permutation(96)
    nats = 6 * np.log(6)
    for start, end in ((6, 12), (12, 24), (24, 48), (48, 96)):
        inside = torch.from_numpy(turn < end)
        sent = torch.from_numpy((turn >= start) & (turn < end)).long()
        z = (x[0] - x[0].mean(0)) / x[0].std(0, unbiased=False)
        seen = np.unique(labels[torch.from_numpy(turn < start)].numpy())
        model = LogisticRegression(C=0.1, tol=1e-8, max_iter=5_000)
        model.fit(z[inside & (sent == 0)].numpy(), labels[inside & (sent == 0)].numpy())
        scores = model.predict_log_proba(z[sent == 1].numpy()) + np.log(len(seen) / 6)
        for row, own in zip(scores, labels[sent == 1].tolist(), strict=True):
            nats -= row[list(seen).index(own)] if own in seen else -np.log(6)
    assert found.bits == pytest.approx(nats / np.log(2) / 96, abs=2e-3)
    assert found.compression == pytest.approx(np.log2(6) / found.bits)


def test_code_length_falls_with_separation_and_meaningless_labels_are_not_compressed():
    lengths = [mdl_probe(*classes_of(gap, rows=480)[:2]).bits[0] for gap in (0.0, 2.0, 4.0, 12.0)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] < 0.35 * np.log2(6)
    assert mdl_probe(*classes_of(0.0, rows=480)[:2]).compression[0] < 1
    # Strings go together: what a string tells of its own rows does not shorten the code.
    x, labels, strings = strings_of(0.0, 3.0)
    assert mdl_probe(x, labels).compression > 1.2
    assert mdl_probe(x, labels, strings).compression < 1
    with pytest.raises(BadInput, match="one instruction string"):
        mdl_probe(x, labels, torch.zeros(360))


def test_the_global_generators_are_neither_read_nor_moved():
    x, labels, strings = strings_of(0.5, 1.0)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = selectivity(x, labels, strings, seed=1), mdl_probe(x, labels, strings, seed=1)
    torch.manual_seed(5)
    again = selectivity(x, labels, strings, seed=1), mdl_probe(x, labels, strings, seed=1)
    assert (first[0].draws == again[0].draws).all()
    assert first[1] == again[1]
    torch.set_rng_state(before[0])
    selectivity(x, labels, strings, seed=2)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()

"""The traps of measuring clusters, as simulations: each springs in the naive number, and the
number that the panel guards does not fall for it. Width 128, 1,000 rows, 20 classes unless said.
"""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score

from nucleate.findings import cluster_verdict
from nucleate.metrics import (
    agreement,
    class_separation,
    condition,
    kmeans,
    linear_probe,
    standardize,
)
from nucleate.panel import (
    Permuted,
    SurfaceText,
    Untrained,
    measure,
)
from nucleate.runs import States

ROWS, WIDTH, TASKS = 1000, 128, 20


def directions(count: int, length: float, generator: torch.Generator) -> torch.Tensor:
    """Vectors of one length in random directions."""
    found = torch.randn(count, WIDTH, generator=generator, dtype=torch.float64)
    return length * found / found.norm(dim=1, keepdim=True)


def blobs(separation: float, *, rows: int = ROWS, tasks: int = TASKS, seed: int = 0):
    """Class means of norm `separation`, noise of sd 1 in every dimension."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % tasks
    means = directions(tasks, separation, generator)
    noise = torch.randn(rows, WIDTH, generator=generator, dtype=torch.float64)
    return (means[labels] + noise).float(), labels


def ari(x: torch.Tensor, labels: torch.Tensor, k: int = TASKS) -> float:
    """As the panel has it: standardized states, the engine's clusters."""
    found = kmeans(standardize(x)[None], k, n_init=20).labels
    return float(agreement(found, labels[None]).ari[0, 0])


def probe_accuracy(x: torch.Tensor, labels: torch.Tensor) -> float:
    folds = np.random.default_rng(0).permutation(len(x)) % 3
    return float(linear_probe(standardize(x), labels, folds).accuracy)


@pytest.mark.parametrize(("rows", "classes", "floor"), [(200, 20, 0.29), (1000, 100, 0.45)])
def test_trap_1_unadjusted_scores_have_floors_and_adjusted_ones_have_none(rows, classes, floor):
    nmi, adjusted = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = torch.from_numpy(rng.standard_normal((rows, WIDTH))).float()
        found = kmeans(x[None], classes, n_init=2, seed=seed).labels
        labels = rng.integers(classes, size=rows)
        nmi.append(normalized_mutual_info_score(labels, found[0]))
        scores = agreement(found, torch.from_numpy(labels)[None])
        adjusted += [scores.ari[0, 0], scores.ami[0, 0]]
    assert np.mean(nmi) == pytest.approx(floor, abs=0.06)
    assert np.quantile(np.abs(adjusted), 0.95) < 0.04


def test_trap_2_ari_leaps_where_separation_climbs():
    at_3, at_4 = blobs(3.0), blobs(4.0)
    leap = [ari(*at_3), ari(*at_4)]
    assert leap[0] < 0.25
    assert leap[1] > 0.6
    climb = [class_separation(x, labels) for x, labels in (at_3, at_4)]
    assert climb[0] == pytest.approx(2 * 2 * 9 / (2 * WIDTH), rel=0.1)
    assert climb[1] / climb[0] == pytest.approx(16 / 9, rel=0.1)
    accuracy = [probe_accuracy(*at_3), probe_accuracy(*at_4)]
    assert accuracy[0] == pytest.approx(0.66, abs=0.1)
    assert accuracy[1] == pytest.approx(0.90, abs=0.06)


def test_trap_2_local_optima_hide_perfect_clusters_from_few_starts_not_from_ours():
    naive, ours, separation = [], [], []
    for distance in (6.0, 10.0, 20.0):
        x, labels = blobs(distance, seed=1)
        found = KMeans(TASKS, n_init=5, init="random", random_state=0).fit_predict(x.numpy())
        naive.append(adjusted_rand_score(labels, found))
        ours.append(ari(x, labels))
        separation.append(class_separation(x, labels))
    assert min(naive) < 0.97
    assert min(ours) > 0.99
    # What ARI cannot tell apart lies a factor of eleven apart.
    assert separation[-1] / separation[0] == pytest.approx(400 / 36, rel=0.1)


def test_trap_2_silhouettes_of_decodable_classes_are_low():
    x, labels = blobs(5.0)
    assert silhouette_score(x.numpy(), labels.numpy()) < 0.15
    assert probe_accuracy(x, labels) > 0.97


def crossed(seed: int = 0, inputs: int = 10, task: float = 8.0):
    """Task and input crossed, the input with half as much variance again."""
    generator = torch.Generator().manual_seed(seed)
    row = torch.arange(ROWS)
    labels, given = row % TASKS, row // TASKS % inputs
    x = directions(TASKS, task, generator)[labels]
    x = x + directions(inputs, task * 1.5**0.5, generator)[given]
    x = x + torch.randn(ROWS, WIDTH, generator=generator, dtype=torch.float64)
    return x.float(), labels, given


def test_trap_3_inputs_hide_tasks_until_their_means_are_taken_away():
    x, labels, given = crossed()
    assert ari(x, labels) < 0.1
    assert ari(x, given, k=10) > 0.9
    assert probe_accuracy(x, labels) > 0.99
    assert ari(condition(x, given), labels) > 0.98


def test_trap_3_one_rogue_dimension_hides_tasks_until_states_are_standardized():
    x, labels = blobs(6.0)
    x[:, 0] = 10 * torch.randn(ROWS, generator=torch.Generator().manual_seed(5))
    naive = kmeans(x[None], TASKS, n_init=20).labels
    assert float(agreement(naive, labels[None]).ari[0, 0]) < 0.5
    assert ari(x, labels) > 0.95


@pytest.mark.parametrize(("telling", "naive"), [(True, True), (False, False)])
def test_trap_4_surface_text_fakes_clusters_and_is_not_called_clusters(make_probe, telling, naive):
    """An untrained mean of random embeddings of the instruction's tokens."""
    prompts = make_probe(tasks=8, strings=4, inputs=2, telling=telling)

    def embedded(seed: int) -> States:
        generator = torch.Generator().manual_seed(seed)
        table = torch.randn(int(prompts.ids.max()) + 1, 64, generator=generator)
        table[0] = 0
        means = torch.stack(
            [
                table[torch.from_numpy(row[:end].astype(np.int64))].mean(0)
                for row, end in zip(prompts.ids, prompts.ends("instruction_end"), strict=True)
            ]
        )
        return States(means[None, None].repeat(1, 2, 1, 1), ("block.0",), tuple(prompts.positions))

    nulls = (Permuted(99), Untrained([embedded(seed) for seed in range(1, 6)]), SurfaceText())
    table = measure(embedded(0), prompts, nulls=nulls, metrics=["agreement"], n_bootstraps=50).table
    row = table[
        (table.position == "instruction_end") & (table.label == "task") & (table.metric == "ari")
        & (table.half == "report") & (table["view"] == "raw")
    ].iloc[0]  # fmt: skip
    assert (row.value > 0.7) == naive
    assert (row.value > row.n0_q99) == naive
    assert cluster_verdict(row) != "clusters"


def test_row_wise_permutation_is_too_easy_where_rows_of_a_string_are_alike():
    """The 99 % point of the null is .05 over strings, .002 over rows."""
    rng = np.random.default_rng(0)
    strings = np.repeat(np.arange(200), 5)
    x = torch.from_numpy(rng.standard_normal((200, 32))[strings]).float()
    x += 0.01 * torch.from_numpy(rng.standard_normal(x.shape)).float()
    found = kmeans(x[None], TASKS, n_init=5).labels
    of_string = np.arange(200) % TASKS
    over_strings = np.stack([rng.permutation(of_string)[strings] for _ in range(199)])
    over_rows = np.stack([rng.permutation(of_string[strings]) for _ in range(199)])
    strict, easy = (
        np.quantile(agreement(found, torch.from_numpy(labels)).ari, 0.99)
        for labels in (over_strings, over_rows)
    )
    assert strict > 3 * easy

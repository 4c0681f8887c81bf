"""The ten claims: known answers, and what must not decide them."""

import math

import numpy as np
import pytest

from nucleate._core.errors import BadInput
from nucleate.findings import RunNumbers, judge_claim
from nucleate.studies import read_claims

SEEDS = range(201, 207)
CLAIMS = read_claims()

GOOD = {
    "ari": 0.9, "n0": 0.2, "n1": 0.3, "n2": 0.2, "cdnv_fold": 8.0,
    "depth.ari": 0.9, "depth.separation": 0.8, "depth.peak_inside": 0.0,
    "depth.last_ari": 0.9, "depth.last_ari_output": 0.2, "embedding_change": 0.0,
    "abrupt.probe_nll.margin": 20.0, "abrupt.probe_nll.width": 0.1,
    "abrupt.separation.margin": 20.0, "abrupt.separation.width": 0.1,
    "abrupt.ari": 1.0, "abrupt.ari.margin": 30.0,
    "onset.ari": 3.0, "onset.separation": 2.0, "onset.rankme": 5.0, "onset.accuracy.seen": 7.0,
    "ari.seen": 0.9, "ari.held_out": 0.85, "ncm.seen": 1.0, "ncm.held_out": 0.95,
    "auc.margin": 0.85, "auc.max_softmax": 0.75, "auc.edit_distance": 0.6,
    "blind_gap": 0.05, "erase_onward": 0.8, "random_onward": 0.01, "displaced_onward": 0.02,
    "knn_erased": 0.1, "knn_erased.null": 0.15,
    "shift": 0.8, "shift.chance": 0.09, "shift.control": 0.1, "shift.beyond": 0.1,
}  # fmt: skip


def base(change=None, seeds=SEEDS):
    rng = np.random.default_rng(0)
    tasks = []
    for index, step in enumerate((50, 100, 150, 200)):
        for task in range(12):
            margin, loss = rng.normal(size=2)
            tasks.append(
                {"step": step, "task": f"t{task}", "margin": margin, "loss": loss,
                 "accuracy": 0.5 + 0.1 * margin + 0.01 * rng.normal() + 0.01 * index}
            )  # fmt: skip
    return {seed: RunNumbers({**GOOD, **(change or {})}, tasks) for seed in seeds}


def arms(change=None, seeds=SEEDS):
    found = {"base": base(change, seeds), "plain": base(change, seeds)}
    found["scrambled"] = {seed: RunNumbers({"ari": 0.1}) for seed in seeds}
    return found


def learning(effects, seeds=SEEDS):
    """Arms of C10 from what each adds to the accuracy on unseen cells."""
    rng = np.random.default_rng(1)
    found = {}
    for arm, (gain, separation) in {"plain": (0.0, 2.0), **effects}.items():
        found[arm] = {
            seed: RunNumbers(
                {"accuracy.unseen_cell": 0.6 + gain + 0.01 * rng.normal(),
                 "separation.block.1": separation, "ari": 0.5, "n0": 0.1, "n1": 0.2}
            )
            for seed in seeds
        }  # fmt: skip
    return found


EFFECTS = {
    **{f"contrastive {w}": (0.1 + 0.05 * i, 5.0 + i) for i, w in enumerate((0.03, 0.1, 0.3, 1))},
    **{f"contrastive {w} shuffled": (-0.1, 1.0) for w in (0.03, 0.1, 0.3, 1)},
    **{f"scatter {w}": (-0.05 - 0.05 * i, 1.0 - 0.1 * i) for i, w in enumerate((0.3, 1, 3, 10))},
    **{f"scatter {w} shuffled": (0.05, 2.0) for w in (0.3, 1, 3, 10)},
    "lazy": (-0.3, 1.0),
    "gelu": (-0.3, 1.0),
}


def diversity(families, strings, surface=0.5, seeds=SEEDS):
    rng = np.random.default_rng(2)
    found = {}
    for kind, counts, values in (
        ("families", (1, 2, 4, 8), families),
        ("strings", (32, 64, 128), strings),
    ):
        for count, value in zip(counts, values, strict=True):
            found[f"{kind} {count}"] = {
                seed: RunNumbers(
                    {"accuracy.unseen_family": value + 0.01 * rng.normal(),
                     "ccgp.unseen_family": value + 0.1 + 0.01 * rng.normal(),
                     "surface.unseen_family": surface}
                )
                for seed in seeds
            }  # fmt: skip
    return found


def judged(name, found):
    return judge_claim(name, CLAIMS.says[name], CLAIMS.thresholds[name], found)


@pytest.mark.parametrize("name", ["C1", "C2", "C3", "C4", "C5", "C6", "C8", "C9"])
def test_a_claim_whose_conditions_are_all_met_is_supported(name):
    assert judged(name, arms()).verdict == "supported", judged(name, arms()).conditions


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("C1", {"ari": 0.4}),
        ("C1", {"cdnv_fold": 2.0}),
        ("C1", {"n1": 0.95}),
        ("C1", {"n2": 0.95}),
        ("C2", {"depth.ari": -0.2}),
        ("C2", {"embedding_change": 0.1}),
        ("C2", {"depth.peak_inside": 1.0, "depth.last_ari_output": 0.95}),
        ("C2", {"ari": 0.1}),
        ("C3", {"abrupt.probe_nll.width": 0.5}),
        ("C3", {"abrupt.separation.margin": 5.0, "abrupt.probe_nll.margin": 5.0}),
        ("C4", {"onset.accuracy.seen": 2.0}),
        ("C4", {"onset.rankme": 1.0}),
        ("C6", {"ari.held_out": 0.3}),
        ("C6", {"auc.margin": 0.76}),
        ("C6", {"auc.edit_distance": 0.9}),
        ("C8", {"blind_gap": 0.4}),
        ("C8", {"displaced_onward": 0.5}),
        ("C8", {"knn_erased": 0.6}),
        ("C8", {"erase_onward": 0.0, "blind_gap": 0.0}),
        ("C9", {"shift": 0.2}),
        ("C9", {"shift.control": 0.5}),
        ("C9", {"shift.beyond": 0.9}),
    ],
)
def test_one_failed_condition_or_falsifier_is_enough_against_a_claim(name, change):
    assert judged(name, arms(change)).verdict == "not supported"


def test_a_twin_without_task_information_that_clusters_half_as_much_falsifies_c1():
    found = arms()
    found["scrambled"] = {seed: RunNumbers({"ari": 0.5}) for seed in SEEDS}
    result = judged("C1", found)
    assert result.verdict == "not supported"
    assert "falsified: without task information" in result.reason


@pytest.mark.parametrize("name", ["C1", "C2", "C3", "C4", "C5", "C6", "C8", "C9"])
def test_five_seeds_decide_nothing(name):
    assert judged(name, arms(seeds=range(5))).verdict == "undecided"


@pytest.mark.parametrize("name", [f"C{number}" for number in range(1, 11)])
def test_a_claim_whose_runs_are_not_done_is_undecided(name):
    result = judged(name, {})
    assert (result.verdict, result.seeds) == ("undecided", 0)


def test_four_of_six_seeds_leave_a_claim_undecided():
    found = arms()
    for seed in (201, 202):
        found["base"][seed] = RunNumbers({**GOOD, "shift": 0.1})
    assert judged("C9", found).verdict == "undecided"


def test_an_unknown_number_never_counts_as_met():
    assert judged("C6", arms({"auc.margin": math.nan})).verdict == "undecided"


def test_margins_that_only_repeat_the_loss_do_not_support_c5():
    found = arms()
    rng = np.random.default_rng(3)
    for seed, run in found["base"].items():
        tasks = [
            {**record, "margin": -record["loss"] + 0.3 * rng.normal(),
             "accuracy": 0.5 - 0.1 * record["loss"] + 0.02 * rng.normal()}
            for record in run.tasks
        ]  # fmt: skip
        found["base"][seed] = RunNumbers(run.numbers, tasks)
    assert judged("C5", found).verdict == "not supported"


def test_c10_is_supported_by_opposite_effects_that_grow_with_the_weight():
    result = judged("C10", learning(EFFECTS))
    assert result.verdict == "supported", result.conditions


@pytest.mark.parametrize(
    "change",
    [
        {"contrastive 1 shuffled": (0.2, 1.0)},
        {f"scatter {w} shuffled": (-0.2, 2.0) for w in (0.3, 1, 3)},
        {"contrastive 1": (0.02, 8.0)},
        {"scatter 10": (-0.01, 0.7)},
        {"contrastive 1": (0.25, 1.0)},
    ],
    ids=[
        "twin does the same",
        "twins of small weights do",
        "no gain",
        "no loss",
        "clusters did not move",
    ],
)
def test_c10_falls_by(change):
    assert judged("C10", learning({**EFFECTS, **change})).verdict == "not supported"


def test_c7_is_supported_only_if_families_do_what_strings_do_not():
    good = diversity((0.2, 0.3, 0.4, 0.6), (0.2, 0.2, 0.25))
    assert judged("C7", good).verdict == "supported", judged("C7", good).conditions
    strings = diversity((0.2, 0.3, 0.4, 0.6), (0.3, 0.4, 0.6))
    assert judged("C7", strings).verdict == "not supported"
    surface = diversity((0.2, 0.3, 0.4, 0.6), (0.2, 0.2, 0.25), surface=0.9)
    assert judged("C7", surface).verdict == "not supported"


def nothing(rng):
    """The numbers of a run in which nothing is there: each is like its own null."""
    near = {name: 0.2 + 0.1 * rng.normal() for name in ("ari", "n0", "n1", "n2", "ari.seen")}
    seen = {"ari.held_out": near["ari.seen"] + 0.02, "ncm.seen": 0.2, "ncm.held_out": 0.2}
    auc = {name: 0.5 + 0.1 * rng.normal() for name in GOOD if name.startswith("auc.")}
    small = {
        name: 0.1 + 0.05 * rng.normal()
        for name in GOOD
        if name.startswith(("shift", "random_", "displaced", "erase", "blind", "knn"))
    }
    depth = {name: rng.uniform(-1, 1) for name in ("depth.ari", "depth.separation")}
    onsets = {name: float(rng.integers(1, 20)) for name in GOOD if name.startswith("onset.")}
    curves = {name: rng.normal(0, 5) for name in GOOD if name.startswith("abrupt.")}
    learned = {
        name: 0.5 + 0.1 * rng.normal()
        for name in ("accuracy.unseen_cell", "accuracy.unseen_family", "ccgp.unseen_family",
                     "surface.unseen_family", "separation.block.1")
    }  # fmt: skip
    numbers = {**GOOD, **near, **seen, **auc, **small, **depth, **onsets, **curves, **learned}
    numbers["cdnv_fold"] = 2 ** rng.normal()
    tasks = [
        {"step": step, "task": f"t{task}", "margin": rng.normal(), "loss": rng.normal(),
         "accuracy": rng.normal()}
        for step in (50, 100, 150, 200)
        for task in range(12)
    ]  # fmt: skip
    return RunNumbers(numbers, tasks)


def test_no_claim_is_supported_where_every_number_is_like_its_null():
    rng = np.random.default_rng(4)
    names = [arm for arm in CLAIMS.arms if not arm.endswith(", scrambled")]
    for _ in range(8):
        found = {arm: {seed: nothing(rng) for seed in SEEDS} for arm in names}
        for name in CLAIMS.says:
            assert judged(name, found).verdict != "supported", judged(name, found)


def test_a_claim_that_is_none_is_refused():
    with pytest.raises(BadInput, match="no claim is named 'C11'"):
        judge_claim("C11", "", {}, {})


def test_a_missing_threshold_is_named():
    with pytest.raises(BadInput, match="C9 has no threshold 'shift'"):
        judge_claim("C9", "", {}, arms())

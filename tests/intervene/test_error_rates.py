"""What keeps the words true: nothing that is no task information may pass for it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import binom

from intervene.handmade import handmade, rows
from nucleate import BadInput, PromptSet, causal_map
from nucleate.findings import FEWEST_STRINGS_USED, judge_places, use_verdict
from nucleate.intervene import EDITS, CausalMap
from nucleate.intervene._cast import cast
from nucleate.intervene._causal_table import Mean, Resampled, Simultaneous
from nucleate.intervene._controls import Editor
from nucleate.intervene._presence import presence

# Removal works about the mean of the row's own input.


def states_without_tasks(prompts: PromptSet, seed: int, width: int = 24) -> torch.Tensor:
    """Inputs far apart, strings a little; nothing of tasks [stream, all, width]."""
    random = torch.Generator().manual_seed(seed)
    codes = [
        np.unique(prompts.labels[name], return_inverse=True)[1] for name in ("input", "instruction")
    ]
    inputs, strings = (torch.randn(int(c.max()) + 1, width, generator=random) for c in codes)
    return (3 * inputs[codes[0]] + strings[codes[1]] / 2)[None]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("edit", ["erase", "ablate", "random_erase", "displaced"])
def test_removal_leaves_a_row_with_its_own_input_where_there_is_no_task(seed, edit):
    prompts = rows()
    states = states_without_tasks(prompts, seed)
    roles = cast(prompts, None, np.random.default_rng(seed))
    editor = Editor(states, roles, seed)
    edited = editor.edited(0)[:, list(EDITS).index(edit)]
    inputs = torch.as_tensor(roles.input)
    means = torch.stack([states[0][inputs == x].mean(0) for x in range(4)])
    moved = (edited - means[inputs[torch.as_tensor(roles.tested)]]).norm(dim=-1)
    apart = torch.pdist(means).min()
    # About the mean of the other inputs LEACE moves rows by a large part of that distance.
    assert moved.max() < 0.35 * apart


def test_removal_takes_the_task_whatever_the_input():
    prompts = rows()
    roles = cast(prompts, None, np.random.default_rng(0))
    task = torch.nn.functional.one_hot(torch.as_tensor(roles.task), 24).float()
    states = states_without_tasks(prompts, 0) + 4 * task
    edited = Editor(states, roles, 0).edited(0)
    tasks = torch.as_tensor(roles.task[roles.tested])
    for edit in ("erase", "ablate"):
        erased = edited[:, list(EDITS).index(edit)]
        means = torch.stack([erased[tasks == t].mean(0) for t in range(4)])
        before = torch.stack(
            [states[0][torch.as_tensor(roles.task) == t].mean(0) for t in range(4)]
        )
        assert torch.pdist(means).max() < 0.1 * torch.pdist(before).min()


def test_an_input_that_many_rows_of_one_task_have_is_centered_by_task_and_not_by_row():
    prompts = rows()
    roles = cast(prompts, None, np.random.default_rng(0))
    # One row of each other task at input 0, five of task 0.
    first = np.unique(np.stack([roles.task, roles.input]), axis=1, return_index=True)[1]
    there = np.isin(np.arange(len(prompts)), first) | (roles.task == 0) | (roles.input != 0)
    fitted = np.flatnonzero(there)
    roles = replace(roles, fitted=fitted)
    states = torch.nn.functional.one_hot(torch.as_tensor(roles.task), 24).float()[None]
    center = Editor(states, roles, 0).fitted[0].centers[0]
    torch.testing.assert_close(center[:4], torch.full((4,), 0.25))


def test_where_no_input_is_shared_what_removal_costs_decides_nothing():
    prompts = rows()
    pairs = zip(prompts.labels["task"], prompts.labels["input"], strict=True)
    apart = replace(prompts, labels=prompts.labels | {"input": tuple(map(" ".join, pairs))})
    table = judge_places(causal_map(handmade(), apart))
    assert table["erase"].notna().all()
    assert table[["erase_excess_low", "ablate_excess_high"]].isna().all().all()
    assert (table["erase_strings"] == 0).all()
    assert set(table["use"]) == {"undecided"}


# Few strings.


def row(strings: int, **changes: float) -> dict[str, float]:
    names = ("shift", "erase", "ablate", "patch")
    ends = {f"{name}_excess_{end}": 0.0 for name in names for end in ("low", "high")}
    return {**ends, "shift_strings": strings, "erase_strings": strings, **changes}


def test_an_interval_over_few_strings_says_nothing_firm():
    sure = {"shift_excess_low": 0.2, "shift_excess_high": 0.2}
    assert use_verdict(row(1, **sure)) == "undecided"
    assert use_verdict(row(FEWEST_STRINGS_USED - 1, **sure)) == "undecided"
    assert use_verdict(row(FEWEST_STRINGS_USED, **sure)) == "used"
    assert use_verdict(row(FEWEST_STRINGS_USED - 1)) == "undecided"
    assert use_verdict(row(FEWEST_STRINGS_USED)) == "not used"


def test_a_question_that_few_strings_can_answer_leaves_the_verdict_to_the_other():
    sure = {"shift_excess_low": 0.2, "shift_excess_high": 0.2}
    assert use_verdict(row(FEWEST_STRINGS_USED, shift_strings=1, **sure)) == "not used"
    assert use_verdict(row(FEWEST_STRINGS_USED, erase_strings=1, **sure)) == "used"


@pytest.mark.slow
def test_from_the_fewest_strings_on_nine_of_ten_intervals_cover_the_truth():
    rng = np.random.default_rng(0)

    def covered(strings: int) -> float:
        resampled = Resampled(np.repeat(np.arange(strings), 4), rng).fewer()
        chance = np.repeat(rng.beta(0.4, 3.6, (400, strings)), 4, axis=1)
        hits = (rng.random(chance.shape) < chance).astype(float)
        bounds = [resampled.mean(each).interval() for each in hits]
        return float(np.mean([low <= 0.1 <= high for low, high in bounds]))

    assert covered(4) < 0.8
    assert covered(FEWEST_STRINGS_USED) > 0.88


def test_rows_without_an_instruction_are_units_by_their_prompts():
    prompts = rows()
    bare = ["" if t == "task 0" else i for t, i in
            zip(prompts.labels["task"], prompts.labels["instruction"], strict=True)]  # fmt: skip
    labels = prompts.labels | {"instruction": tuple(bare)}
    strings = cast(replace(prompts, labels=labels), None, np.random.default_rng(0)).string
    named = cast(prompts, None, np.random.default_rng(0)).string
    empty = np.array([text == "" for text in bare])
    assert len(set(strings[empty])) == len({ids[:4].tobytes() for ids in prompts.ids[empty]}) == 20
    assert len(set(strings[~empty])) == len(set(named[~empty]))
    assert not set(strings[empty]) & set(strings[~empty])


def test_the_interval_of_accuracy_is_over_strings():
    # Right for every row of one task and for no other: five of twenty strings.
    table = causal_map(handmade(copies=False), rows()).table
    assert (table["accuracy"] == 0.25).all()
    # Over 80 rows it would be [.16, .36].
    assert table["accuracy_low"].max() <= 0.1
    assert table["accuracy_high"].min() >= 0.4


# Presence.


@pytest.mark.slow
@pytest.mark.parametrize("strings", [2, 3])
def test_tasks_are_not_called_decodable_where_states_hold_none(strings):
    cells = [(t, s, x) for t in range(10) for s in range(strings) for x in range(2)]
    count, sets = len(cells), 60
    prompts = PromptSet(
        ids=np.array([[t * strings + s, x, t] for t, s, x in cells], dtype=np.int32),
        prompt_lengths=np.full(count, 2), lengths=np.full(count, 3),
        positions={"last": np.full(count, 1)},
        labels={"task": tuple(f"t{t}" for t, _, _ in cells),
                "instruction": tuple(f"t{t} s{s}" for t, s, _ in cells),
                "input": tuple(f"x{x}" for _, _, x in cells)},
        chance=np.full(count, 0.1), tokenizer_hash="",
    )  # fmt: skip
    roles = cast(prompts, None, np.random.default_rng(0))
    found = 0
    for seed in range(sets):
        random = torch.Generator().manual_seed(seed)
        vectors = torch.randn(2, 1, 10 * strings, 8, generator=random)
        noise = torch.randn(2, 1, count, 8, generator=random)
        shares, bar = presence(
            vectors[:, :, torch.as_tensor(roles.string)] + noise / 2, roles, seed
        )
        found += bool((shares > bar).any())
    assert found <= binom.ppf(0.999, sets, 0.05)


# Answers against each other.


def test_by_likelihood_rows_without_a_rival_answer_are_left_out():
    prompts = rows()
    inputs = np.array(prompts.labels["input"])
    ids = prompts.ids.copy()
    ids[inputs == "x0", 4] = ids[0, 4]  # every task answers alike
    alike = replace(prompts, ids=ids)
    likely = causal_map(handmade(), alike, scored="likelihood")
    assert set(likely.table["rows"]) == {60}
    assert not np.isin(likely.answers.rows, np.flatnonzero(inputs == "x0")).any()
    greedy = causal_map(handmade(), alike)
    assert set(greedy.table["rows"]) == {80}
    code = likely.table[
        (likely.table["stream"] == "block.1") & (likely.table["position"] == "last")
    ]
    # Three of four answers are lost (ties of three known answers are shared), and not diluted.
    assert code["erase"].item() >= 2 / 3


def test_likelihood_without_any_rival_is_refused_in_a_sentence():
    prompts = rows()
    ids = prompts.ids.copy()
    ids[:, 4] = ids[0, 4]
    with pytest.raises(BadInput, match=r'nothing to compare by likelihood.*scored="greedy"'):
        causal_map(handmade(), replace(prompts, ids=ids), scored="likelihood")


# The best of many places.


def test_the_interval_of_the_best_place_covers_its_effect_though_it_was_chosen():
    rng = np.random.default_rng(0)
    places, strings, sets = 16, 40, 150
    resampled = Resampled(np.repeat(np.arange(strings), 3), rng)
    covered = {"alone": 0, "simultaneous": 0}
    for _ in range(sets):
        hits = (rng.random((places, strings * 3)) < 0.3).astype(float)
        means = [resampled.mean(of_place) for of_place in hits]
        best = max(means, key=lambda mean: mean.value)
        covered["alone"] += best.interval()[0] <= 0.3
        covered["simultaneous"] += Simultaneous(means, strings).interval(best)[0] <= 0.3
    assert covered["alone"] < 0.85 * sets
    assert covered["simultaneous"] >= 0.95 * sets


def test_means_that_go_together_cost_less_than_independent_ones():
    rng = np.random.default_rng(1)
    base = rng.normal(size=10_000)
    together = [Mean(0.0, base + 0.05 * rng.normal(size=10_000)) for _ in range(16)]
    apart = [Mean(0.0, rng.normal(size=10_000)) for _ in range(16)]
    ends = {
        name: Simultaneous(means, 10_000).interval(means[0])[1] / means[0].draws.std()
        for name, means in (("together", together), ("apart", apart))
    }
    assert ends["together"] == pytest.approx(1.96, abs=0.15)
    assert ends["apart"] == pytest.approx(2.95, abs=0.15)  # the maximum of 16 normal deviates
    still = Mean(0.4, np.full(10_000, 0.4))
    assert Simultaneous([still], 40).interval(still) == pytest.approx((0.4, 0.4))


def test_the_best_place_is_named_with_the_interval_that_holds_everywhere():
    found = causal_map(handmade(), rows())
    for effect in ("shift", "erase"):
        best = found.best(effect)
        assert best is not None
        assert (best.stream, best.position) in {("block.0", "last"), ("block.1", "last")}
        table = found.table.set_index(["stream", "position"])
        line = table.loc[best.stream, best.position]
        assert (best.value, best.low, best.high) == (
            line[effect], line[f"{effect}_simultaneous_low"], line[f"{effect}_simultaneous_high"],
        )  # fmt: skip
        assert best.low <= line[f"{effect}_low"] <= best.value
    assert found.strongest == (found.best("shift").stream, found.best("shift").position)
    nowhere = CausalMap(found.table.assign(shift=np.nan), found.edits)
    assert nowhere.best() is None is nowhere.strongest

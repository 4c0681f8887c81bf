import inspect
import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import astuple
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate._core.errors import BadInput
from nucleate.tasks import SPLITS, _synthetic, synthetic


def test_the_default_set_has_the_published_sizes(own):
    taskset = own
    counts = Counter(row.split for row in taskset.examples)
    # 20 x 3 x 8 x 5 rows less one cell of 8 strings a task, and so on.
    assert counts == {
        "train": 2240,
        "seen": 2240,
        "unseen_string": 1120,
        "unseen_cell": 160,
        "unseen_family": 400,
    }
    assert len(taskset.tasks) == 20
    assert taskset.crossed
    assert taskset.overlaps == ()
    lengths = [len(row.instruction) for row in taskset.examples]
    assert (min(lengths), max(lengths)) == (5, 8)


def test_splits_are_new_in_exactly_what_they_are_called_after():
    taskset = synthetic(seed=3, held_out_cells=2)
    train = taskset.split("train")
    strings = {(row.task, row.instruction) for row in train}
    cells = {(row.task, row.family, row.input) for row in train}
    families = {row.family for row in train}
    assert {astuple(row)[:5] for row in taskset.split("seen")} == {
        astuple(row)[:5] for row in train
    }
    for row in taskset.split("unseen_string"):
        assert (row.task, row.instruction) not in strings
        assert (row.task, row.family, row.input) in cells
    for row in taskset.split("unseen_cell"):
        assert (row.task, row.instruction) in strings
        assert (row.task, row.family, row.input) not in cells
    for row in taskset.split("unseen_family"):
        assert row.family not in families


def test_a_held_out_cell_was_seen_by_the_other_families_of_its_task():
    taskset = synthetic(seed=1, held_out_cells=4)
    held_out = {(row.task, row.input): row.family for row in taskset.split("unseen_cell")}
    assert len(held_out) == 20 * 4  # hence one family an input at most
    seen = defaultdict(set)
    for row in taskset.split("train"):
        seen[row.task, row.input].add(row.family)
    assert all(
        len(seen[cell]) == 2 and family not in seen[cell] for cell, family in held_out.items()
    )


def test_one_seed_gives_one_set_in_another_process_too():
    code = "from nucleate.tasks import synthetic; print(synthetic(seed=7).content_hash())"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert synthetic(seed=7).content_hash() == other
    assert synthetic(seed=8).content_hash() != other


def test_a_set_prints_as_one_line_and_equals_its_like(own):
    like, other = synthetic(seed=0), synthetic(seed=1)
    assert own == like != other
    assert len({own, like, other}) == 2
    assert own != "own"
    assert repr(own) == (
        "TaskSet('synthetic, own outputs': 20 tasks, 5 inputs; rows: 2240 train, 2240 seen, "
        f"1120 unseen_string, 160 unseen_cell, 400 unseen_family; hash {own.content_hash()[:10]})"
    )
    assert own._repr_html_().startswith("<code>TaskSet(&#x27;synthetic")


def test_strings_and_splits_do_not_depend_on_the_outputs(own, shared):
    without_output = [(r.task, r.family, r.instruction, r.input, r.split) for r in own.examples]
    assert without_output == [
        (r.task, r.family, r.instruction, r.input, r.split) for r in shared.examples
    ]
    assert own.content_hash() != shared.content_hash()


@pytest.mark.parametrize("stem", [0.0, 0.5, 1.0])
def test_no_string_fits_two_families(stem):
    taskset = synthetic(seed=2, stem=stem)
    strings = {(row.family, row.instruction) for row in taskset.examples}
    for family, string in strings:
        fitting = [name for name, regex in taskset.patterns.items() if re.fullmatch(regex, string)]
        assert fitting == [family]


@pytest.mark.parametrize("keys", [1, 2, 4])
def test_the_key_symbols_of_a_task_stand_in_all_of_its_instructions_and_in_no_fixed_order(keys):
    taskset = synthetic(tasks=8, families=4, keys=keys, seed=3)
    most_orders = 0
    for task in taskset.tasks:
        own = {row.instruction for row in taskset.examples if row.task == task}
        common = set.intersection(*(set(text) for text in own))
        assert len(common) == keys
        most_orders = max(most_orders, len({tuple(sorted(common, key=t.index)) for t in own}))
    assert (most_orders > 1) == (keys > 1)


@pytest.mark.parametrize("key_at", ["early", "late"])
def test_key_symbols_stand_where_they_are_asked_to_and_all_else_stays(key_at):
    asked = {"tasks": 8, "families": 4, "keys": 2, "seed": 3}
    moved, anywhere = synthetic(**asked, key_at=key_at), synthetic(**asked)
    for task in moved.tasks:
        own, before = (
            [row.instruction for row in made.examples if row.task == task]
            for made in (moved, anywhere)
        )
        ends = {text[:2] if key_at == "early" else text[-2:] for text in own}
        keys = {frozenset(end) for end in ends}
        assert len(keys) == 1
        assert keys <= {frozenset.intersection(*map(frozenset, before))}
    assert synthetic(**asked, key_at="anywhere") == anywhere != moved


def test_a_place_for_key_symbols_without_any_is_refused():
    with pytest.raises(BadInput, match="key_at is 'early' and keys is 0"):
        synthetic(key_at="early", seed=0)


def test_no_two_tasks_have_the_same_key_symbols():
    taskset = synthetic(tasks=20, keys=1, seed=0)
    common = [
        frozenset.intersection(
            *(frozenset(row.instruction) for row in taskset.examples if row.task == task)
        )
        for task in taskset.tasks
    ]
    assert len(set(common)) == 20


def test_more_tasks_than_sets_of_key_symbols_are_refused():
    with pytest.raises(BadInput, match="1 key symbols cannot tell 27 tasks apart"):
        synthetic(tasks=27, keys=1, seed=0)


@pytest.mark.parametrize(("stem", "low", "high"), [(0.0, 0.1, 0.45), (1.0, 0.999, 1.0)])
def test_stem_sets_how_many_symbols_the_families_of_a_task_share(stem, low, high):
    taskset = synthetic(seed=2, stem=stem)
    content = {
        name: set(re.sub(r"\{.*?\}|\W", "", regex)) for name, regex in taskset.patterns.items()
    }
    overlap = [
        len(content[a] & content[b]) / len(content[a] | content[b])
        for a, b in combinations(content, 2)
        if a.split(".")[0] == b.split(".")[0]
    ]
    assert low <= np.mean(overlap) <= high


def test_own_outputs_belong_to_one_task_each(own):
    assert len(set(own.answers.values())) == len(own.answers) == 100


def test_shared_outputs_are_balanced_and_tell_all_tasks_apart(shared):
    taskset = shared
    inputs = taskset.common_inputs
    for name in inputs:
        counts = Counter(taskset.answers[task, name] for task in taskset.tasks)
        assert len(counts) == 12
        assert set(counts.values()) <= {1, 2}
    for a, b in combinations(taskset.tasks, 2):
        assert sum(taskset.answers[a, x] == taskset.answers[b, x] for x in inputs) <= 2


def test_noise_touches_the_asked_share_of_training_rows_and_nothing_else(shared):
    clean = shared
    noisy = synthetic(seed=0, outputs="shared", label_noise=0.1, instruction_noise=0.2)
    pairs = list(zip(clean.split("train"), noisy.split("train"), strict=True))
    assert sum(a.output != b.output for a, b in pairs) == 224
    changed = [(a, b) for a, b in pairs if a.instruction != b.instruction]
    assert len(changed) == 448
    assert all(
        sum(x != y for x, y in zip(a.instruction, b.instruction, strict=True)) == 1
        for a, b in changed
    )
    trained = {(b.task, b.instruction, b.input) for _, b in pairs}
    strings = {(b.task, b.instruction) for _, b in pairs}
    still_true = {
        "seen": lambda r: (r.task, r.instruction, r.input) in trained,
        "unseen_cell": lambda r: (r.task, r.instruction) in strings,
    }
    assert [r for r in noisy.examples if r.split != "train"] == [
        r for r in clean.examples
        if r.split != "train" and still_true.get(r.split, lambda r: True)(r)
    ]  # fmt: skip


def test_imbalance_weighs_tasks_by_zipf_and_zero_weighs_none(own):
    assert list(own.weights.values()) == pytest.approx([0.05] * 20)
    weights = sorted(synthetic(seed=0, imbalance=1.0).weights.values(), reverse=True)
    assert sum(weights) == pytest.approx(1)
    np.testing.assert_allclose(weights[0] / np.array(weights), np.arange(1, 21))


def test_the_users_own_patterns_are_taken_as_they_are():
    patterns = {
        "up": ["a[bc]{2,3}", "d[ef]{3}", "g[hi]{3}"],
        "down": ["j[kl]+", "m[no]{3}", "p[qr]{3}"],
    }
    taskset = synthetic(
        patterns=patterns, inputs=3, strings=4, unseen_strings=2, max_repeat=4, seed=0
    )
    assert taskset.tasks == ("up", "down")
    assert {row.family for row in taskset.split("unseen_family")} == {"up.f2", "down.f2"}
    assert taskset.patterns["down.f0"] == "j[kl]+"
    for row in taskset.split("train"):
        assert re.fullmatch(taskset.patterns[row.family], row.instruction)


def test_tasks_with_a_string_in_common_are_refused_or_recorded():
    patterns = {"a": ["x[yz]{4}", "u[vw]{4}"], "b": ["[xt]y{4}[yz]{0,3}", "s[vw]{4}"]}
    settings = {"patterns": patterns, "strings": 2, "unseen_strings": 1, "seed": 0}
    settings |= {"held_out_families": 0, "inputs": 2}
    with pytest.raises(BadInput, match=r"families a\.f0 .* and b\.f0 .* 'xyyyy'"):
        synthetic(**settings)
    assert synthetic(**settings, allow_overlap=True).overlaps == (("a", "b"),)


def test_atoms_keep_clear_of_digits_in_patterns():
    patterns = {"a": ["x[0-4]{3}", "b[0-4]{3}"], "b": ["c[0-4]{3}", "y[0-4]{3}"]}
    taskset = synthetic(patterns=patterns, held_out_families=0, seed=0)
    assert taskset.atoms[0] == "<x0>"


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"tasks": 1}, "tasks is 1"),
        ({"families": 0}, "families is 0"),
        ({"stem": 1.5}, "stem is 1.5"),
        ({"label_noise": float("nan")}, "label_noise is nan"),
        ({"imbalance": -1.0}, "imbalance is -1.0"),
        ({"seed": -1}, "seed is -1"),
        ({"held_out_cells": 5}, "held_out_cells is 5"),
        ({"families": 1}, "has one trained family"),
        ({"outputs": "shared", "inputs": 2, "output_symbols": 2}, "output_symbols is 2"),
        ({"strings": 500}, "different strings and 504 are needed"),
        ({"patterns": {"a": ["ab"]}}, "patterns name 1 task"),
        ({"patterns": {"a": ["ab"], "b": ["cd", "ef"]}}, "task 'a' has too few patterns"),
        ({"patterns": {"a": "ab", "b": ["cd"]}, "held_out_families": 0}, "task 'a' has too few"),
        ({"patterns": {"a": ["a*"], "b": ["cd"]}, "held_out_families": 0}, "'a\\*' is unbounded"),
        ({"max_repeat": 0}, "max_repeat is 0"),
    ],
)
def test_settings_that_cannot_work_are_named(settings, match):
    with pytest.raises(BadInput, match=match):
        synthetic(**{"seed": 0, **settings})


def test_values_that_are_not_of_the_asked_kind_are_named_without_type_checks_too():
    check_whole = inspect.unwrap(_synthetic._check_whole)
    with pytest.raises(BadInput, match=r"inputs is 2\.5"):
        check_whole(inputs=(2.5, 1))
    with pytest.raises(BadInput, match="order is 'amid': use one of before, after"):
        _synthetic._check_choice("order", "amid", ("before", "after"))


def test_many_strings_a_family_widen_the_families():
    taskset = synthetic(tasks=4, strings=64, unseen_strings=8, held_out_cells=0, seed=0)
    assert len({row.instruction for row in taskset.split("train")}) == 4 * 3 * 64


@given(
    st.integers(2, 8),
    st.integers(2, 4),
    st.integers(0, 2),
    st.integers(2, 6),
    st.sampled_from(["own", "shared"]),
    st.sampled_from(["before", "after"]),
    st.sampled_from([0.0, 0.4, 1.0]),
    st.integers(0, 1000),
)
@settings(deadline=None, max_examples=12)
def test_any_small_set_is_complete_and_clean(T, M, held_out, inputs, outputs, order, stem, seed):
    taskset = synthetic(
        tasks=T,
        families=M,
        held_out_families=held_out,
        inputs=inputs,
        outputs=outputs,
        order=order,
        stem=stem,
        seed=seed,
    )
    assert taskset.crossed
    assert {row.split for row in taskset.examples} <= set(SPLITS)
    assert all(taskset.answers[row.task, row.input] == row.output for row in taskset.examples)
    assert len(taskset.patterns) == T * (M + held_out)
    assert taskset.cue == (order == "after")


def test_bags_of_tokens_do_not_give_the_tasks_away(own):
    cluster = pytest.importorskip("sklearn.cluster")
    metrics = pytest.importorskip("sklearn.metrics")
    scores = {}
    for stem, taskset in ((0.0, own), (1.0, synthetic(seed=0, stem=1.0))):
        strings = {}
        for split in ("seen", "unseen_string"):
            for row in taskset.split(split):
                strings.setdefault((row.family, split), row)
        letters = sorted({char for row in strings.values() for char in row.instruction})
        bags = np.array(
            [[row.instruction.count(char) for char in letters] for row in strings.values()]
        )
        found = cluster.KMeans(20, n_init=5, random_state=0).fit_predict(bags)
        scores[stem] = metrics.adjusted_rand_score([r.task for r in strings.values()], found)
    assert scores[0.0] < 0.2
    assert scores[1.0] > 0.3


def test_tasks_load_without_torch_transformers_or_scikit_learn():
    code = (
        "import sys, json, nucleate.tasks as tasks; tasks.synthetic(seed=0);"
        "print(json.dumps([m for m in ('torch', 'transformers', 'sklearn') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []

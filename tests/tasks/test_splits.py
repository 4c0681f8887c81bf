"""Each split keeps exactly its promise, whatever the settings."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nucleate._core.errors import BadInput
from nucleate.prompts import Encoder, PromptSet
from nucleate.tasks import Example, TaskSet, from_jsonl, geo, synthetic, train_tokenizer

_PATTERNS = {
    "a": ["[xy]{3}", "p[qr]{3}", "k[lm]{3}"],
    "b": ["[xy]{2}x", "s[tu]{3}", "m[no]{3}"],
    "c": ["x[yz]{2}", "[pq]{4}[rs]", "[vw]{4}"],
}


def _broken(rows: Iterable[Example], train: Iterable[Example], *, natural: bool) -> list[Example]:
    """Rows that break the promise of their split, by looking at every training row for each."""
    train = list(train)

    def none(true: Callable[[Example], bool]) -> bool:
        return not any(map(true, train))

    found = []
    for row in rows:
        own = [other for other in train if other.task == row.task]
        string_known = any(other.instruction == row.instruction for other in own)
        input_known = any(other.input == row.input for other in own)
        family_known = natural or any(other.family == row.family for other in own)
        new_string = none(lambda other, row=row: other.instruction == row.instruction)
        new_pair = none(
            lambda other, row=row: (other.instruction, other.input) == (row.instruction, row.input)
        )
        new_cell = not any((o.family, o.input) == (row.family, row.input) for o in own)
        together = any((o.instruction, o.input) == (row.instruction, row.input) for o in own)
        kept = {
            "seen": together,
            "unseen_string": new_string and family_known and input_known,
            "unseen_cell": string_known and input_known and new_cell and new_pair,
            "unseen_family": new_string and not family_known and input_known,
            "unseen_input": string_known and not input_known,
        }
        if not kept[row.split]:
            found.append(row)
    return found


def _rows_of(prompts: PromptSet) -> list[Example]:
    names = ("task", "family", "instruction", "input", "output", "split")
    return [Example(*row) for row in zip(*(prompts.labels[name] for name in names), strict=True)]


def _prompts(taskset: TaskSet, rows: int, seed: int) -> PromptSet:
    encoder = Encoder.for_taskset(train_tokenizer(taskset, 400), taskset)
    return PromptSet.from_taskset(taskset, encoder, rows=rows, seed=seed)


_SETTINGS = st.fixed_dictionaries(
    {
        "families": st.integers(2, 3),
        "tasks": st.integers(2, 5),
        "held_out_families": st.integers(0, 2),
        "inputs": st.integers(3, 5),
        "strings": st.integers(1, 6),
        "unseen_strings": st.integers(0, 4),
        "outputs": st.sampled_from(["own", "shared"]),
        "order": st.sampled_from(["before", "after"]),
        "stem": st.sampled_from([0.0, 0.5, 1.0]),
        "label_noise": st.sampled_from([0.0, 0.2]),
        "instruction_noise": st.sampled_from([0.0, 0.1, 0.5, 1.0]),
        "imbalance": st.sampled_from([0.0, 1.0]),
        "held_out_cells": st.integers(0, 2),
        "seed": st.integers(0, 10_000),
    }
)


@given(_SETTINGS, st.integers(4, 120))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_no_row_of_a_synthetic_set_breaks_its_splits_promise(options, rows):
    taskset = synthetic(**options)
    train = taskset.split("train")
    assert not _broken(
        [row for row in taskset.examples if row.split != "train"], train, natural=False
    )
    held_out = {row.family for row in taskset.split("unseen_family")}
    for family in held_out:
        assert not any(re.fullmatch(taskset.patterns[family], row.instruction) for row in train)
    try:
        prompts = _prompts(taskset, rows, options["seed"])
    except BadInput as error:
        if not options["instruction_noise"] or "instruction_noise" not in str(error):
            raise
        return
    asked = _rows_of(prompts)
    assert not _broken(asked, train, natural=False)
    assert all(row.output == taskset.answers[row.task, row.input] for row in asked)
    inputs = Counter((r.family, r.instruction) for r in asked if r.split != "unseen_input")
    assert len(set(inputs.values())) == 1  # crossed: every string with every input


@given(
    _SETTINGS,
    st.lists(st.sampled_from(sorted(_PATTERNS)), min_size=2, unique=True),
    st.lists(st.permutations(range(3)), min_size=3, max_size=3),
)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_tasks_that_overlap_train_no_row_that_a_split_holds_out(options, names, orders):
    patterns = {
        name: [_PATTERNS[name][place] for place in order]
        for name, order in zip(names, orders, strict=False)
    }
    options = options | {"patterns": patterns, "allow_overlap": True}
    options["held_out_families"] = min(options["held_out_families"], 1)
    options["strings"] = min(options["strings"], 2)
    options["unseen_strings"] = min(options["unseen_strings"], 2)
    options["instruction_noise"] = min(options["instruction_noise"], 0.1)
    try:
        taskset = synthetic(**options)
    except BadInput as error:
        assume("a held-out family must share no string" not in str(error))
        raise
    train = taskset.split("train")
    assert train
    assert not _broken(
        [row for row in taskset.examples if row.split != "train"], train, natural=False
    )


@pytest.mark.parametrize("other", ["[ab]c{2}", "a{1,2}c[bc]"])
def test_families_of_one_task_never_share_a_string(other):
    patterns = {"one": ["[ab]c{2}", other], "two": ["d[ef]{3}", "g[ef]{3}"]}
    for allow in (False, True):
        with pytest.raises(BadInput, match=r"one\.f0 .* and one\.f1 .* families of one task"):
            synthetic(patterns=patterns, held_out_families=1, allow_overlap=allow, seed=0)


def test_a_held_out_family_shares_no_string_with_another_tasks():
    patterns = {"one": ["[ab]c{3}", "d[ef]{3}"], "two": ["g[ef]{3}", "a[bc]{3}"]}
    with pytest.raises(BadInput, match=r"one\.f0 .* and two\.f1 .* a held-out family"):
        synthetic(patterns=patterns, held_out_families=1, allow_overlap=True, seed=0)


def test_noise_that_can_only_lead_to_held_out_strings_is_refused_with_what_could_be_set():
    patterns = {"one": ["a[ab]", "b[ab]"], "two": ["[cd]{5}", "[ef]{6}"]}
    options = {"patterns": patterns, "inputs": 2, "strings": 1, "unseen_strings": 1, "seed": 0}
    options |= {"held_out_families": 0, "held_out_cells": 0}
    taskset = synthetic(**options, instruction_noise=1.0)
    assert not _broken(taskset.split("unseen_string"), taskset.split("train"), natural=False)
    patterns = {"one": ["a[ab]"], "two": ["b[ab]"]}
    with pytest.raises(BadInput, match=r"instruction_noise asks for 4 .* only \d can"):
        synthetic(**options | {"patterns": patterns}, instruction_noise=1.0)


# --- natural text


@given(st.integers(1, 3), st.sampled_from([0.0, 0.15, 0.9]), st.integers(0, 10_000))
@settings(deadline=None, max_examples=3)
def test_no_row_of_the_places_breaks_its_splits_promise(each, held_out, seed):
    taskset = geo(wordings_per_pair=each, held_out_wordings=held_out, evaluation_rows=10, seed=seed)
    train = taskset.split("train")
    rows = [row for row in taskset.examples if row.split != "train"]
    assert not _broken(rows[:: max(1, len(rows) // 60)], train, natural=True)
    asked = _rows_of(_prompts(taskset, 90, seed))
    assert not _broken(asked[::3], train, natural=True)


_LINE = st.builds(
    dict,
    task=st.sampled_from(["one", "two", "three"]),
    instruction=st.sampled_from(["do it", "now", "please", "", "go", "tell me", "say"]),
    input=st.sampled_from([f"thing {i}" for i in range(8)]),
    split=st.sampled_from(["train", "train", "train", "valid", "test"]),
)


@given(
    st.lists(_LINE, min_size=10, max_size=80),
    st.sampled_from([0.0, 0.3, 0.7]),
    st.booleans(),
    st.integers(0, 100),
)
@settings(deadline=None, max_examples=60)
def test_no_row_of_a_file_breaks_its_splits_promise(
    tmp_path_factory, lines, held_out, own_words, seed
):
    for line in lines:
        line["output"] = f"{line['task']} {line['input']}"
        if own_words:
            line["instruction"] += line["task"]
    path = tmp_path_factory.mktemp("file") / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    try:
        taskset = from_jsonl(path, held_out_wordings=held_out, seed=seed)
    except BadInput:
        assume(False)
    train = taskset.split("train")
    rows = [row for row in taskset.examples if row.split != "train"]
    assert not _broken(rows, train, natural=True)
    assert not _broken(_rows_of(_prompts(taskset, 40, seed)), train, natural=True)


def test_a_wording_of_two_tasks_is_trained_by_both(tmp_path):
    lines = [
        {"task": task, "instruction": wording, "input": f"x{i}", "output": f"{task}{i}"}
        | {"split": "train"}
        for task in ("one", "two")
        for wording in ("answer", f"{task} a", f"{task} b", f"{task} c")
        for i in range(3)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    for seed in range(10):
        taskset = from_jsonl(path, held_out_wordings=0.5, seed=seed)
        held_out = {row.instruction for row in taskset.split("unseen_string")}
        assert len(held_out) == 4
        assert "answer" not in held_out


def test_a_tested_pair_of_a_known_instruction_and_a_known_input_is_a_cell(tmp_path):
    lines = [
        {"task": task, "instruction": f"{task} {w}", "input": f"x{i}", "output": f"{task}{i}"}
        | {"split": "train" if w != i else "test"}
        for task in ("one", "two")
        for w in range(3)
        for i in range(3)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    taskset = from_jsonl(path, held_out_wordings=0.0, seed=0)
    assert Counter(row.split for row in taskset.examples) == {
        "train": 12, "seen": 12, "unseen_cell": 6,
    }  # fmt: skip

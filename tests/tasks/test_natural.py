import json
from collections import defaultdict
from pathlib import Path

import pandas as pd
import pytest

from nucleate._core.errors import BadInput
from nucleate.prompts import Encoder, PromptSet
from nucleate.tasks import from_jsonl, geo, train_tokenizer
from nucleate.tasks._geo import read_table

DATA = Path(__file__).parents[3] / "shared" / "data"
ROW = {"task": "a", "instruction": "do a", "input": "x", "output": "y", "split": "train"}


def _write(folder: Path, rows: list[object]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def _two_tasks(wordings: int = 10, inputs: int = 20) -> list[object]:
    return [
        {
            "task": task,
            "instruction": f"{task} wording {(index + shift) % wordings}",
            "input": f"thing {index}",
            "output": f"{task} of {index}",
            "split": "train" if index % 10 else "test",
        }
        for task in ("one", "two")
        for index in range(inputs)
        for shift in range(2)
    ]


# --- geo


def test_every_row_of_the_source_is_in_the_tables(places):
    source = DATA / "geo_locations" / "data.jsonl"
    if not source.exists():
        pytest.skip("the source of the tables is not here")
    rows = {(row["place"], row["kind"]): row for row in read_table("geo_places.tsv")}
    wordings = {(row["task"], row["wording"]) for row in read_table("geo_wordings.tsv")}
    answers = places.answers
    count = 0
    for row in map(json.loads, source.read_text(encoding="utf-8").splitlines()):
        task = row["task"].removeprefix("loc_")
        place = rows[row["input"], row["kind"]]
        assert place[task] == row["output"]
        assert place["split"] == row["split"]
        assert (task, row["instruction"]) in wordings
        if (row["input"], row["kind"]) != ("Armenia", "city"):
            assert answers[task, row["input"]] == row["output"]
        count += 1
    assert count == 10021
    assert len(wordings) == 322


def test_a_name_of_a_country_and_a_city_means_the_country(places):
    answers = places.answers
    assert answers["continent", "Armenia"] == "Asia"
    assert ("country", "Armenia") not in answers


def test_geo_splits_are_new_in_exactly_what_they_are_called_after(places):
    taskset = places
    train = taskset.split("train")
    wordings = {(row.task, row.instruction) for row in train}
    pairs = {(row.task, row.input) for row in train}
    prompts = {(row.task, row.instruction, row.input) for row in train}
    assert len(prompts) == len(train)  # four different wordings a pair
    assert all((r.task, r.instruction, r.input) in prompts for r in taskset.split("seen"))
    for row in taskset.split("unseen_string"):
        assert (row.task, row.instruction) not in wordings
        assert (row.task, row.input) in pairs
    for row in taskset.split("unseen_input"):
        assert (row.task, row.instruction) in wordings
        assert (row.task, row.input) not in pairs
    held_out = {(r.task, r.instruction) for r in taskset.split("unseen_string")}
    assert 0.1 < len(held_out) / 322 < 0.2


def test_geo_is_the_same_places_under_nine_tasks(places):
    assert len(places.tasks) == 9
    assert len(places.common_inputs) == 898


def test_one_seed_gives_one_set_of_places():
    one, again, other = (geo(wordings_per_pair=1, seed=seed).content_hash() for seed in (3, 3, 4))
    assert one == again != other


def test_geo_settings_out_of_range_are_named():
    with pytest.raises(BadInput, match="wordings_per_pair is 0"):
        geo(wordings_per_pair=0, seed=0)
    with pytest.raises(BadInput, match=r"held_out_wordings is 1\.0"):
        geo(held_out_wordings=1.0, seed=0)
    with pytest.raises(BadInput, match="seed is -1"):
        geo(seed=-1)
    assert geo(held_out_wordings=0.0, wordings_per_pair=1, seed=0).split("unseen_string") == ()


# --- files


def test_a_file_of_two_tasks_is_split_by_what_is_new(tmp_path):
    taskset = from_jsonl(_write(tmp_path, _two_tasks()), held_out_wordings=0.2, seed=0)
    train = taskset.split("train")
    wordings = {(row.task, row.instruction) for row in train}
    pairs = {(row.task, row.input) for row in train}
    assert len(wordings) == 2 * 8
    assert taskset.split("unseen_string")
    assert all((r.task, r.instruction) not in wordings for r in taskset.split("unseen_string"))
    assert all((r.task, r.input) in pairs for r in taskset.split("unseen_string"))
    assert {row.input for row in taskset.split("unseen_input")} <= {"thing 0", "thing 10"}
    assert all((r.task, r.instruction) in wordings for r in taskset.split("unseen_input"))
    for row in taskset.examples:
        assert row.output == f"{row.task} of {row.input.split()[1]}"


def test_slots_become_named_lines_and_their_marks_stay(tmp_path):
    rows = [{**ROW, "instruction": "Is {a} in {b}?", "input": {"a": "fig", "b": ["x", "y"]}}]
    taskset = from_jsonl(_write(tmp_path, [*rows, {**ROW, "task": "b"}]), seed=0)
    assert taskset.examples[0].input == "a: fig\nb: x\ny"
    assert taskset.examples[0].instruction == "Is {a} in {b}?"


def test_a_whole_prompt_is_all_input(tmp_path):
    rows = [{**ROW, "prompt": "p"}, {**ROW, "task": "b", "prompt": "q"}]
    taskset = from_jsonl(_write(tmp_path, rows), seed=0)
    assert {(row.instruction, row.input) for row in taskset.examples} == {("", "p"), ("", "q")}
    assert taskset.overlaps == (("a", "b"),)


def test_unusual_line_breaks_inside_a_text_do_not_break_lines(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{**ROW, "input": "a\u2028b\x85c"}, {**ROW, "task": "b", "instruction": "do b"}]
    path.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows), encoding="utf-8")
    assert from_jsonl(path, seed=0).examples[0].input == "a\u2028b\x85c"


@pytest.mark.parametrize("key", ["task", "instruction", "input", "output", "split"])
def test_a_missing_key_is_named_with_file_and_line(tmp_path, key):
    bad = {name: value for name, value in ROW.items() if name != key}
    with pytest.raises(BadInput, match=rf"line 3 of .*rows\.jsonl has no key '{key}'"):
        from_jsonl(_write(tmp_path, [ROW, "", bad]), seed=0)


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([], "is empty"),
        (["", "  "], "is empty"),
        ([ROW, '{"task": '], "line 2 of .* is not JSON"),
        ([ROW, [1]], "line 2 of .* is a list"),
        ([{**ROW, "output": 3}], "output = 3"),
        ([{**ROW, "split": "mine"}], "split = 'mine': use one of train, training, valid"),
        ([{**ROW, "input": 3}], "input = 3"),
        ([{**ROW, "input": {"a": 3}}], "slot 3"),
        ([ROW, {**ROW, "input": "z"}], "only task 'a'"),
        ([{**ROW, "split": "test"}], "no row with split 'train'"),
        ([{**ROW, "output": ""}, {**ROW, "task": "b", "output": ""}], "empty output in every row"),
        ([ROW, {**ROW, "task": "b", "output": "z"}], "'a' and 'b' cannot be distinguished"),
    ],
)
def test_files_that_cannot_be_used_are_refused_by_name(tmp_path, rows, match):
    with pytest.raises(BadInput, match=match):
        from_jsonl(_write(tmp_path, rows), seed=0)


@pytest.mark.parametrize("word", ["validation", "val", "dev", "Test", "eval", "holdout"])
def test_a_files_own_words_for_its_splits_evaluate(tmp_path, word):
    rows = [{**ROW, "task": task, "instruction": f"do {task}"} for task in "ab"]
    found = []
    for name, split in (("own", word), ("known", "test")):
        path = tmp_path / f"{name}.csv"
        table = pd.DataFrame([*rows, *({**row, "split": split} for row in rows)])
        table.replace({"split": {"train": "Training"}}).to_csv(path, index=False)
        found.append(from_jsonl(path, seed=0).examples)
    assert found[0] == found[1]
    assert {row.split for row in found[0]} == {"train", "seen"}


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        from_jsonl(tmp_path / "none.jsonl", seed=0)
    path = tmp_path / "binary.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="is not UTF-8"):
        from_jsonl(path, seed=0)


@pytest.mark.parametrize(
    "folder",
    [
        "banking77",
        "bias_audit",
        "facts_relations",
        "seed_instructions",
        "t0_prompts",
        "word_prompts",
    ],
)
def test_real_files_become_sets_and_probes(folder):
    path = DATA / folder / "data.jsonl"
    if not path.exists():
        pytest.skip("this file is not here")
    taskset = from_jsonl(path, seed=0)
    encoder = Encoder.for_taskset(train_tokenizer(taskset, 1024), taskset)
    prompts = PromptSet.from_taskset(taskset, encoder, rows=300, seed=0)
    clustered = [s for s in prompts.labels["split"] if s not in ("unseen_family", "unseen_input")]
    assert 0 < len(clustered) <= max(300, len(taskset.tasks))
    rows = defaultdict(set)
    for row in taskset.examples:
        rows[row.task, row.input].add(row.output)
    columns = (prompts.labels[name] for name in ("task", "input", "output"))
    assert all(output in rows[task, name] for task, name, output in zip(*columns, strict=True))

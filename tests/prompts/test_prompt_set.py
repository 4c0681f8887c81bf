import json
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from nucleate._core.errors import BadInput
from nucleate.prompts import Encoder, PromptSet, TextEncoder
from nucleate.tasks import (
    TaskSet,
    from_jsonl,
    synthetic,
    train_tokenizer,
)
from tasks.made import CHAT, Slow, fast


def _probe(taskset: TaskSet, rows: int = 600, seed: int = 0) -> PromptSet:
    encoder = Encoder.for_taskset(train_tokenizer(taskset), taskset)
    return PromptSet.from_taskset(taskset, encoder, rows=rows, seed=seed)


@pytest.fixture(scope="module")
def prompts(own) -> PromptSet:
    return _probe(own)


def test_the_default_probe_crosses_task_family_string_and_input(prompts):
    counts = Counter(prompts.labels["split"])
    assert counts == {"seen": 280, "unseen_string": 300, "unseen_cell": 20, "unseen_family": 100}
    strings = defaultdict(set)
    for family, string, name in zip(
        *(prompts.labels[key] for key in ("family", "instruction", "input")), strict=True
    ):
        strings[family, string].add(name)
    assert all(len(inputs) == 5 for inputs in strings.values())
    per_family = Counter(family for family, _ in strings)
    assert {per_family[f"t{t:02d}.f{f}"] for t in range(20) for f in range(3)} == {2}


def test_a_prompt_set_prints_as_one_line_and_equals_its_like(own, prompts):
    like, other = _probe(own), _probe(own, seed=1)
    assert prompts == like != other
    assert len({prompts, like, other}) == 2
    assert prompts != "prompts"
    assert repr(prompts) == (
        "PromptSet(700 rows of 8-11 tokens; positions instruction_end, last; labels (distinct "
        "values) task (20), family (80), instruction (140), input (5), output (100), split (4); "
        f"hash {prompts.content_hash()[:10]})"
    )
    assert prompts._repr_html_() == f"<code>{prompts!r}</code>"


def test_tokens_decode_to_what_the_labels_say(own, prompts):
    encoder = Encoder.for_taskset(train_tokenizer(own), own)
    for row in range(0, len(prompts), 37):
        length = int(prompts.lengths[row])
        text = "".join(prompts.labels[name][row] for name in ("instruction", "input", "output"))
        assert encoder.decode(prompts.ids[row, :length].tolist()) == text
        assert not prompts.ids[row, length:].any()
        assert prompts.ids[row, prompts.positions["instruction_end"][row]] == encoder.sep_id
        assert prompts.positions["last"][row] == prompts.prompt_lengths[row] - 1


def test_rows_that_are_taken_keep_their_tokens_places_labels_and_chance(prompts):
    rows = np.array([7, 3, 3])
    some = prompts.take(rows)
    for name in ("ids", "prompt_lengths", "lengths", "chance"):
        assert np.array_equal(getattr(some, name), getattr(prompts, name)[rows])
    for name, index in prompts.positions.items():
        assert np.array_equal(some.positions[name], index[rows])
    for name, texts in prompts.labels.items():
        assert some.labels[name] == (texts[7], texts[3], texts[3])


def test_a_held_out_cell_is_marked_under_trained_strings_only(own, prompts):
    held_out = {(row.family, row.input) for row in own.split("unseen_cell")}
    trained = {row.instruction for row in own.split("train")}
    columns = (prompts.labels[name] for name in ("family", "instruction", "input", "split"))
    for family, string, name, split in zip(*columns, strict=True):
        cell = (family, name) in held_out and string in trained
        assert cell == (split == "unseen_cell")


@pytest.mark.parametrize("order", ["before", "after"])
def test_rows_with_the_same_beginning_stand_together(order):
    prompts = _probe(synthetic(seed=0, order=order))
    first = prompts.ids[:, 0] if order == "after" else prompts.prefix_groups("instruction_end")
    runs = [key for key, _ in groupby(first.tolist())]
    assert len(runs) == len(set(runs))


def test_prefix_groups_are_instruction_strings_and_at_the_end_whole_prompts(prompts):
    groups = prompts.prefix_groups("instruction_end")
    pairs = set(zip(groups.tolist(), prompts.labels["instruction"], strict=True))
    assert len(pairs) == groups.max() + 1 == len(set(prompts.labels["instruction"])) == 140
    assert len(set(prompts.prefix_groups("last").tolist())) == len(prompts)
    with pytest.raises(BadInput, match="position 'mean'"):
        prompts.prefix_groups("mean")


def test_chance_is_how_often_a_task_drawn_at_random_is_right(shared, prompts):
    assert set(prompts.chance.tolist()) == {1 / 20}
    other = _probe(shared)
    for row in range(0, len(other), 41):
        name, output = other.labels["input"][row], other.labels["output"][row]
        right = [shared.answers[task, name] == output for task in shared.tasks]
        assert other.chance[row] == np.mean(right)


def test_one_seed_gives_one_probe_and_outputs_do_not_change_its_strings(own, shared, prompts):
    assert _probe(own).content_hash() == prompts.content_hash()
    assert _probe(own, seed=1).content_hash() != prompts.content_hash()
    other = _probe(shared)
    for name in ("instruction", "input", "split"):
        assert other.labels[name] == prompts.labels[name]


def test_a_probe_comes_back_from_its_folder(prompts, tmp_path):
    prompts.save(tmp_path / "run")
    loaded = PromptSet.load(tmp_path / "run")
    assert loaded.content_hash() == prompts.content_hash()
    assert loaded.tokenizer_hash == prompts.tokenizer_hash
    assert loaded.labels == prompts.labels
    np.testing.assert_array_equal(loaded.ids, prompts.ids)
    assert loaded.ids.dtype == np.int32


@pytest.mark.parametrize("file", ["prompts.safetensors", "prompts.jsonl"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "changed"])
def test_a_damaged_probe_is_refused_not_read(prompts, tmp_path, file, damage):
    prompts.save(tmp_path)
    path = tmp_path / file
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        changed = content[:-40] + bytes([content[-40] ^ 1]) + content[-39:]
        path.write_bytes({"empty": b"", "cut": content[:-100], "changed": changed}[damage])
    with pytest.raises(BadInput, match="the prompt set in"):
        PromptSet.load(tmp_path)


def test_fewer_rows_than_asked_for_are_never_more(own):
    for rows in (40, 130, 300, 1000):
        labels = _probe(own, rows=rows).labels["split"]
        clustered = [split for split in labels if split != "unseen_family"]
        assert rows / 2 <= len(clustered) <= rows


def test_an_input_that_one_task_never_trained_is_not_read_as_trained(tmp_path):
    rows = [
        {
            "task": task,
            "instruction": f"{task} please",
            "input": f"thing {index}",
            "output": f"{task} {index}",
            "split": "test" if (task, index) in {("one", 0), ("two", 1)} else "train",
        }
        for task in ("one", "two")
        for index in range(8)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    prompts = _probe(from_jsonl(path, seed=0))
    columns = (prompts.labels[name] for name in ("input", "split"))
    assert not {"thing 0", "thing 1"} & {
        name for name, s in zip(*columns, strict=True) if s == "seen"
    }


def test_a_probe_of_places_crosses_common_inputs_and_puts_new_places_on_top(places):
    taskset, prompts = places, _probe(places)
    splits = np.array(prompts.labels["split"])
    names = np.array(prompts.labels["input"])
    clustered = splits != "unseen_input"
    assert len(set(names[clustered])) == 5
    assert set(names) <= set(taskset.common_inputs)
    trained = {row.input for row in taskset.split("train")}
    assert set(names[clustered]) <= trained
    assert not set(names[~clustered]) & trained
    tasks = np.array(prompts.labels["task"])
    assert {(tasks[clustered] == task).sum() for task in taskset.tasks} == {65}
    # A place met four of some thirty wordings of a task, so most crossed pairs are new.
    assert {"seen", "unseen_cell", "unseen_string", "unseen_input"} == set(splits)
    pairs = {(row.instruction, row.input) for row in taskset.split("train")}
    asked = zip(prompts.labels["instruction"], names, splits, strict=True)
    assert all(((string, name) in pairs) == (split == "seen") for string, name, split in asked)


def _by_hand(**changes: object) -> PromptSet:
    parts = {
        "ids": np.array([[5, 6, 7, 8], [5, 6, 9, 0]], dtype=np.int32),
        "prompt_lengths": np.array([3, 2]),
        "lengths": np.array([4, 3]),
        "positions": {"instruction_end": np.array([1, 1]), "last": np.array([2, 1])},
        "labels": dict.fromkeys(
            ["task", "family", "instruction", "input", "output", "split"], ("a", "b")
        ),
        "chance": np.array([0.5, 0.25]),
        "tokenizer_hash": "0" * 64,
    }
    return PromptSet(**parts | changes)


def test_a_probe_of_the_first_version_keeps_its_hash_and_still_loads(tmp_path):
    prompts = _by_hand()
    known = "2bf7187480835bbc5085c73f35f62251784b41785486166ad6ff2ce9566a3c57"
    assert prompts.content_hash() == known
    prompts.save(tmp_path)
    file = tmp_path / "prompts.safetensors"
    with safe_open(file, framework="np") as opened:
        metadata = opened.metadata()
    assert metadata.pop("positions") == '["instruction_end", "last"]'
    save_file(load_file(file), file, metadata=metadata)
    assert PromptSet.load(tmp_path).content_hash() == known


@st.composite
def parts_of_probes(draw) -> dict[str, object]:
    rows, places = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    lengths = np.array([draw(st.integers(1, places)) for _ in range(rows)])
    prompts = np.array([draw(st.integers(1, length)) for length in lengths])
    positions = {}
    for name in draw(st.lists(st.text(max_size=4), max_size=4, unique=True)):
        tokens = [draw(st.integers(0, prompt - 1)) for prompt in prompts]
        spans = [(draw(st.integers(0, token)), token + 1) for token in tokens]
        positions[name] = np.array(spans if draw(st.booleans()) else tokens)
    texts = st.lists(st.text(max_size=5), min_size=rows, max_size=rows).map(tuple)
    return {
        "ids": np.array(draw(st.lists(st.lists(
            st.integers(0, 2**31 - 1), min_size=places, max_size=places,
        ), min_size=rows, max_size=rows)), dtype=np.int32),
        "prompt_lengths": prompts,
        "lengths": lengths,
        "positions": positions,
        "labels": draw(st.dictionaries(st.text(max_size=5), texts, max_size=3)),
        "chance": np.array(draw(st.lists(
            st.floats(0, 1) | st.just(np.nan), min_size=rows, max_size=rows
        ))),
        "tokenizer_hash": draw(st.sampled_from(["", "0" * 64])),
    }  # fmt: skip


@given(parts_of_probes())
@settings(max_examples=150, deadline=None)
def test_any_probe_comes_back_from_its_folder_with_all_it_had(tmp_path_factory, parts):
    prompts = PromptSet(**parts)
    folder = tmp_path_factory.mktemp("prompts")
    prompts.save(folder)
    loaded = PromptSet.load(folder)
    assert loaded.content_hash() == prompts.content_hash()
    assert list(loaded.positions) == list(prompts.positions)
    assert loaded.labels == prompts.labels
    assert loaded.tokenizer_hash == prompts.tokenizer_hash
    for name, array in prompts._tensors().items():
        np.testing.assert_array_equal(loaded._tensors()[name], array)
        assert loaded._tensors()[name].dtype == array.dtype


def test_the_order_of_positions_is_part_of_a_probe():
    index = np.array([1, 1])
    orders = [{"a": index, "b": index}, {"b": index, "a": index}]
    assert len({_by_hand(positions=order).content_hash() for order in orders}) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"positions": {"x": np.array([0, 3])}}, "position 'x' is 3 in row 1 .* has 3 tokens"),
        ({"positions": {"x": np.array([-1, 0])}}, "position 'x' is -1 in row 0"),
        ({"positions": {"x": np.array([[0, 1], [2, 4]])}}, "row 1 .* has 3 tokens"),
        ({"positions": {"x": np.array([[0, 1], [2, 2]])}}, r"position 'x' is \[2 2\] in row 1"),
        ({"lengths": np.array([4, 5])}, "row 1 of the prompt set has 5 tokens, .* in 4 places"),
        ({"prompt_lengths": np.array([5, 2])}, "row 0 .* 4 tokens, of which 5 are its prompt"),
        ({"prompt_lengths": np.array([3, 0])}, "row 1 .* of which 0 are its prompt"),
        ({"labels": {"task": ("a",)}}, "label 'task' has 1 texts for 2 prompts"),
    ],
)
def test_a_probe_whose_parts_do_not_fit_is_refused(changes, said):
    with pytest.raises(BadInput, match=said):
        _by_hand(**changes)


def test_groups_of_a_span_have_the_same_beginning_and_the_same_tokens():
    spans = np.array([[0, 2], [1, 2]])
    prompts = _by_hand(positions={"a": np.array([[0, 2], [0, 2]]), "b": spans, "c": spans[:, 1]})
    assert prompts.prefix_groups("a").tolist() == [0, 0]
    assert prompts.prefix_groups("b").tolist() == [0, 1]
    assert prompts.prefix_groups("c").tolist() == [0, 1]
    assert prompts.ends("a").tolist() == [2, 2]
    assert prompts.ends("c").tolist() == [3, 3]


@pytest.mark.parametrize("make", [fast, Slow])
def test_only_the_probes_own_tokenizer_passes_whatever_its_padding(make):
    prompts = PromptSet.from_records([{"instruction": "the", "input": "x"}], make())
    padded = make(padding_side="left")
    padded.pad_token = "</s>"
    padded(["a", "b c"], padding=True)
    for tokenizer in (make(), padded, make(chat_template=CHAT), TextEncoder(make())):
        prompts.check_tokenizer(tokenizer)
    others = (Slow(("th",)), fast(bos=True), fast("words"), train_tokenizer(synthetic(seed=0)))
    for tokenizer in others:
        with pytest.raises(BadInput, match="not the one that the prompts were made with"):
            prompts.check_tokenizer(tokenizer)
    with pytest.raises(BadInput, match="give a Hugging Face tokenizer"):
        prompts.check_tokenizer("gpt2")


def test_a_chat_probe_wants_the_same_chat_template():
    rows = [{"instruction": "the", "input": "x"}]
    prompts = PromptSet.from_records(rows, fast(chat_template=CHAT), template="chat")
    prompts.check_tokenizer(fast(chat_template=CHAT, padding_side="left"))
    for tokenizer in (fast(chat_template=CHAT + "!"), fast()):
        with pytest.raises(BadInput, match="not the one"):
            prompts.check_tokenizer(tokenizer)


def test_a_probe_that_does_not_know_its_tokenizer_passes_any():
    prompts = PromptSet.from_records([{"ids": [1, 2]}], None, positions="last")
    prompts.check_tokenizer(fast())
    prompts.check_tokenizer(None)


def test_a_probe_of_our_own_tokenizer_knows_it_and_its_encoder(own, prompts):
    tokenizer = train_tokenizer(own)
    prompts.check_tokenizer(tokenizer)
    prompts.check_tokenizer(Encoder.for_taskset(tokenizer, own))
    with pytest.raises(BadInput, match="not the one"):
        prompts.check_tokenizer(train_tokenizer(synthetic(tasks=5, seed=0)))


def test_a_prompt_set_is_saved_and_loaded_by_any_kind_of_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    prompts = PromptSet.from_records([{"ids": [1, 2]}], None, positions="last")
    for place in (tmp_path / "a", str(tmp_path / "b"), "~/c"):
        prompts.save(place)
        assert PromptSet.load(place) == prompts
    assert (tmp_path / "c" / "prompts.jsonl").exists()
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"cannot be saved in .*file"):
        prompts.save(tmp_path / "file")


WRONG = """
import tempfile
import nucleate as nc
from nucleate.checkpoints import Checkpoint, Series, check_series, load_prompts
from nucleate.tasks import from_jsonl, synthetic, train_tokenizer
rows = [{"ids": [1, 2]}]
make = nc.PromptSet.from_records
folder = tempfile.mkdtemp()
for call in (
    lambda: make(rows, None, positions="last", limit="3"),
    lambda: make(rows, None, positions="last", limit=2.5),
    lambda: make(rows, None, positions="last", max_length="5"),
    lambda: make(rows, None, positions="last", truncate=3),
    lambda: make(rows, None, positions=None),
    lambda: make(rows, None, positions=2.5),
    lambda: make(rows, None, positions=b"last"),
    lambda: make([{"instruction": "a"}], "gpt2"),
    lambda: make(None, None),
    lambda: nc.PromptSet.load(None),
    lambda: nc.PromptSet.from_taskset(3, None, seed=0),
    lambda: Series.find(None),
    lambda: Series.find([3]),
    lambda: Series.find(folder, revisions="main"),
    lambda: Series((1, 2)),
    lambda: Checkpoint.find(folder, step="5"),
    lambda: Checkpoint.find(folder, step=-1),
    lambda: check_series(folder),
    lambda: load_prompts(3, None),
    lambda: from_jsonl(None, seed=0),
    lambda: from_jsonl("x", seed="0"),
    lambda: train_tokenizer(3),
):
    try:
        call()
    except nc.BadInput as error:
        assert len(str(error).splitlines()) == 1
    else:
        raise AssertionError("taken")
"""


def test_arguments_of_the_wrong_kind_are_refused_in_a_sentence():
    """In a process of its own: within the tests, annotations are checked before the code is."""
    done = subprocess.run(
        [sys.executable, "-c", WRONG], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

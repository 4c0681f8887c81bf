import json
from collections import Counter, defaultdict
from itertools import groupby

import numpy as np
import pytest

from nucleate._errors import BadInput
from nucleate.tasks import Encoder, Probe, TaskSet, from_jsonl, synthetic, train_tokenizer


def _probe(taskset: TaskSet, rows: int = 600, seed: int = 0) -> Probe:
    encoder = Encoder.for_taskset(train_tokenizer(taskset), taskset)
    return Probe.from_taskset(taskset, encoder, rows=rows, seed=seed)


@pytest.fixture(scope="module")
def probe(own) -> Probe:
    return _probe(own)


def test_the_default_probe_crosses_task_family_string_and_input(probe):
    counts = Counter(probe.labels["split"])
    assert counts == {"seen": 280, "unseen_string": 280, "unseen_cell": 40, "unseen_family": 100}
    strings = defaultdict(set)
    for family, string, name in zip(
        *(probe.labels[key] for key in ("family", "instruction", "input")), strict=True
    ):
        strings[family, string].add(name)
    assert all(len(inputs) == 5 for inputs in strings.values())
    per_family = Counter(family for family, _ in strings)
    assert {per_family[f"t{t:02d}.f{f}"] for t in range(20) for f in range(3)} == {2}


def test_tokens_decode_to_what_the_labels_say(own, probe):
    encoder = Encoder.for_taskset(train_tokenizer(own), own)
    for row in range(0, len(probe), 37):
        length = int(probe.lengths[row])
        text = "".join(probe.labels[name][row] for name in ("instruction", "input", "output"))
        assert encoder.decode(probe.ids[row, :length].tolist()) == text
        assert not probe.ids[row, length:].any()
        assert probe.ids[row, probe.positions["instruction_end"][row]] == encoder.sep_id
        assert probe.positions["last"][row] == probe.prompt_lengths[row] - 1


def test_a_held_out_cell_is_marked_whatever_its_string(own, probe):
    held_out = {(row.family, row.input) for row in own.split("unseen_cell")}
    columns = (probe.labels[name] for name in ("family", "input", "split"))
    for family, name, split in zip(*columns, strict=True):
        assert ((family, name) in held_out) == (split == "unseen_cell")


@pytest.mark.parametrize("order", ["before", "after"])
def test_rows_with_the_same_beginning_stand_together(order):
    probe = _probe(synthetic(seed=0, order=order))
    first = probe.ids[:, 0] if order == "after" else probe.prefix_groups("instruction_end")
    runs = [key for key, _ in groupby(first.tolist())]
    assert len(runs) == len(set(runs))


def test_prefix_groups_are_instruction_strings_and_at_the_end_whole_prompts(probe):
    groups = probe.prefix_groups("instruction_end")
    pairs = set(zip(groups.tolist(), probe.labels["instruction"], strict=True))
    assert len(pairs) == groups.max() + 1 == len(set(probe.labels["instruction"])) == 140
    assert len(set(probe.prefix_groups("last").tolist())) == len(probe)
    with pytest.raises(BadInput, match="position 'mean'"):
        probe.prefix_groups("mean")


def test_chance_is_how_often_a_task_drawn_at_random_is_right(shared, probe):
    assert set(probe.chance.tolist()) == {1 / 20}
    other = _probe(shared)
    for row in range(0, len(other), 41):
        name, output = other.labels["input"][row], other.labels["output"][row]
        right = [shared.answers[task, name] == output for task in shared.tasks]
        assert other.chance[row] == np.mean(right)


def test_one_seed_gives_one_probe_and_outputs_do_not_change_its_strings(own, shared, probe):
    assert _probe(own).content_hash() == probe.content_hash()
    assert _probe(own, seed=1).content_hash() != probe.content_hash()
    other = _probe(shared)
    for name in ("instruction", "input", "split"):
        assert other.labels[name] == probe.labels[name]


def test_a_probe_comes_back_from_its_folder(probe, tmp_path):
    probe.save(tmp_path / "run")
    loaded = Probe.load(tmp_path / "run")
    assert loaded.content_hash() == probe.content_hash()
    assert loaded.tokenizer_hash == probe.tokenizer_hash
    assert loaded.labels == probe.labels
    np.testing.assert_array_equal(loaded.ids, probe.ids)
    assert loaded.ids.dtype == np.int32


@pytest.mark.parametrize("file", ["probe.safetensors", "probe.jsonl"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "changed"])
def test_a_damaged_probe_is_refused_not_read(probe, tmp_path, file, damage):
    probe.save(tmp_path)
    path = tmp_path / file
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        changed = content[:-40] + bytes([content[-40] ^ 1]) + content[-39:]
        path.write_bytes({"empty": b"", "cut": content[:-100], "changed": changed}[damage])
    with pytest.raises(BadInput, match="the probe in"):
        Probe.load(tmp_path)


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
    probe = _probe(from_jsonl(path, seed=0))
    columns = (probe.labels[name] for name in ("input", "split"))
    assert not {"thing 0", "thing 1"} & {
        name for name, s in zip(*columns, strict=True) if s == "seen"
    }


def test_a_probe_of_places_crosses_common_inputs_and_puts_new_places_on_top(places):
    taskset, probe = places, _probe(places)
    splits = np.array(probe.labels["split"])
    names = np.array(probe.labels["input"])
    clustered = splits != "unseen_input"
    assert len(set(names[clustered])) == 5
    assert set(names) <= set(taskset.common_inputs)
    trained = {row.input for row in taskset.split("train")}
    assert set(names[clustered]) <= trained
    assert not set(names[~clustered]) & trained
    tasks = np.array(probe.labels["task"])
    assert {(tasks[clustered] == task).sum() for task in taskset.tasks} == {65}
    assert {"seen", "unseen_string", "unseen_input"} == set(splits)

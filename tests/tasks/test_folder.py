"""Folders of data as task sets: requests among them, and tokenizers that suit both."""

from pathlib import Path

import pytest

from folders import INTENTS, requests, with_inputs, write
from nucleate import BadInput
from nucleate.prompts import Encoder
from nucleate.tasks import adapt_tokenizer, folder_tasks, from_folder, from_jsonl, train_tokenizer
from tasks.made import backend

DATA = Path(__file__).parents[3] / "shared" / "data"


def test_a_folder_with_inputs_is_the_set_of_its_file_under_the_folders_name(tmp_path):
    folder = with_inputs(tmp_path / "mine")
    found, plain = from_folder(folder, seed=3), from_jsonl(folder / "data.jsonl", seed=3)
    assert found.name == "folder mine"
    assert found.examples == plain.examples
    assert {"unseen_string", "unseen_input"} <= {row.split for row in found.examples}
    assert found.atoms == ()


def test_requests_that_are_held_out_are_trained_nowhere_and_trained_ones_are_seen(tmp_path):
    found = from_folder(requests(tmp_path / "r"), held_out_wordings=0.25, seed=0)
    trained = {row.instruction for row in found.split("train")}
    held_out = {row.instruction for row in found.split("unseen_string")}
    assert not trained & held_out
    assert len(held_out) == 4 * (4 + 4)  # those that the folder tests, and a quarter of the others
    assert {row.instruction for row in found.split("seen")} == trained
    assert found.outputs == "natural"


def test_the_answer_to_a_request_is_one_token_and_no_word_of_the_request_is_it(tmp_path):
    found = from_folder(requests(tmp_path / "r"), seed=0)
    assert found.atoms == ("<pay>", "<owe>", "<fly>", "<stay>")
    for tokenizer in (train_tokenizer(found, 300), adapt_tokenizer(backend("pieces"), found)):
        encoder = Encoder.for_taskset(tokenizer, found)
        answers = [encoder.answer_part(atom) for atom in found.atoms]
        assert {len(answer) for answer in answers} == {1}
        assert len({answer[0] for answer in answers}) == 4
        ids, _ = encoder.prompt("please pay and fly", "")
        assert not {answer[0] for answer in answers} & set(ids)
        assert encoder.decode(answers[0]).strip() == "<pay>"


def test_a_trained_tokenizer_keeps_its_ids_and_is_left_as_it_was(tmp_path):
    found = from_folder(with_inputs(tmp_path / "m"), seed=0)
    own = backend("pieces")
    before, size = own.to_str(), own.get_vocab_size()
    adapted = adapt_tokenizer(own, found)
    assert own.to_str() == before
    text = "the Paris"
    assert adapted.encode(text, add_special_tokens=False).ids == own.encode(text).ids
    assert adapted.get_vocab_size() == size + 4  # it has <unk>, and lacks the four others
    assert adapted.token_to_id("<unk>") == own.token_to_id("<unk>")


def test_only_takes_tasks_and_categories_and_names_the_nearest_where_there_is_none(tmp_path):
    folder = requests(tmp_path / "r")
    assert [task.category for task in folder_tasks(folder)] == list(INTENTS.values())
    assert from_folder(folder, only=["money"], seed=0).tasks == ("pay", "owe")
    assert from_folder(folder, only=["stay", "money"], seed=0).tasks == ("pay", "owe", "stay")
    with pytest.raises(BadInput, match=r"named 'mony' \(did you mean 'money'"):
        from_folder(folder, only=["mony"], seed=0)


def test_a_folder_that_is_none_and_requests_with_two_answers_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"has no data\.jsonl"):
        from_folder(tmp_path, seed=0)
    rows = [
        {"task": t, "instruction": f"{t}{k}", "input": "", "output": str(k), "split": "train"}
        for t in "ab" for k in range(2)
    ]  # fmt: skip
    with pytest.raises(BadInput, match=r"task 'a' .* the answers '0' and '1'"):
        from_folder(write(tmp_path / "two", rows), seed=0)
    folder = write(tmp_path / "three", rows, [{"tsk": "a"}])
    with pytest.raises(BadInput, match="task and category are texts"):
        folder_tasks(folder)


@pytest.mark.skipif(not DATA.exists(), reason="the shared data is not here")
@pytest.mark.parametrize("name", ["geo_locations", "function_tasks", "instruction_induction"])
def test_kept_data_hold_out_wordings_and_inputs(name):
    found = from_folder(DATA / name, seed=0)
    trained = {(row.task, row.instruction) for row in found.split("train")}
    inputs = {(row.task, row.input) for row in found.split("train")}
    for split in ("unseen_string", "unseen_input"):
        assert len(found.split(split)) > 500
    assert not trained & {(r.task, r.instruction) for r in found.split("unseen_string")}
    assert not inputs & {(r.task, r.input) for r in found.split("unseen_input")}

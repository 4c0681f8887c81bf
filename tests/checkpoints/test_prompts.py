"""The prompts of a series come from whatever holds rows, with the tokenizer beside the weights."""

import json

import pytest

from nucleate._core.errors import BadInput
from nucleate.checkpoints import Series, load_prompts
from nucleate.prompts import PromptSet
from tasks.made import CHAT, fast

ROWS = [{"instruction": "Name the capital", "output": "Paris"}, {"instruction": "Count"}]


@pytest.fixture
def series(tmp_path) -> Series:
    for step in (1, 2):
        (tmp_path / "out" / f"step{step}").mkdir(parents=True)
    fast(chat_template=CHAT).save_pretrained(tmp_path / "out")
    return Series.find(tmp_path / "out")


def test_rows_come_from_files_saved_data_sets_and_saved_prompt_sets(series, tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = [{"output": "", **row} for row in ROWS]
    wanted = PromptSet.from_records(rows, fast(chat_template=CHAT))
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "data")
    wanted.save(tmp_path / "saved")
    for name in ("rows.json", "data", "saved"):
        assert load_prompts(tmp_path / name, series) == wanted
        assert load_prompts(str(tmp_path / name), series) == wanted


def test_chats_are_rendered_by_the_template_beside_the_weights(series, tmp_path):
    chat = [{"role": "user", "content": "Count"}, {"role": "assistant", "content": "7"}]
    (tmp_path / "chats.jsonl").write_text(json.dumps({"messages": chat}))
    found = load_prompts(tmp_path / "chats.jsonl", series)
    assert found == PromptSet.from_records([{"messages": chat}], fast(chat_template=CHAT))


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("none.jsonl", {}, "do not exist; name a file of rows"),
        ("out", {}, "cannot be read"),
        ("rows.jsonl", {"tokenizer": "./nowhere/at/all"}, "nowhere/at/all is no folder"),
        ("rows.jsonl", {"template": "{x}"}, "other fields than"),
        ("rows.jsonl", {"positions": ["end"]}, "'end' is not a position"),
    ],
)
def test_prompts_that_cannot_be_had_are_said_in_one_sentence(
    series, tmp_path, name, settings, said
):
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROWS[0]))
    with pytest.raises(BadInput, match=said) as raised:
        load_prompts(tmp_path / name, series, **settings)
    assert "\n" not in str(raised.value)

"""Prompt sets of rows that people bring: files, lists, data sets, of four forms."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate._core.errors import BadInput
from nucleate.prompts import Encoder, PromptSet, TextEncoder
from nucleate.tasks import synthetic, tokenizer_hash, train_tokenizer
from tasks.made import CHAT, Slow, fast

ROWS = [
    {"task": "capital", "instruction": "Name the capital.", "input": "France", "output": "Paris"},
    {"task": "count", "instruction": "Count the letters.", "input": "France", "output": "6"},
    {"task": "capital", "instruction": "Name the capital.", "input": "Chad", "output": ""},
    {"task": "count", "instruction": "Count, the \"letters\"\nof", "input": "", "output": "0"},
]  # fmt: skip


def _probe(rows: object, tokenizer: object = None, **settings: object) -> PromptSet:
    return PromptSet.from_records(rows, fast() if tokenizer is None else tokenizer, **settings)


def _said(prompts: PromptSet, row: int, start: int, stop: int) -> str:
    return TextEncoder(fast()).decode(prompts.ids[row, start:stop].tolist())


def _jsonl(folder: Path, rows: list[dict[str, object]]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def _csv(folder: Path, rows: list[dict[str, str]]) -> Path:
    path = folder / "rows.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_list_json_lines_csv_and_a_dataset_give_the_same_probe(tmp_path):
    datasets = pytest.importorskip("datasets")
    prompts = _probe(ROWS)
    for source in (
        _jsonl(tmp_path, ROWS), str(_jsonl(tmp_path, ROWS)), _csv(tmp_path, ROWS),
        datasets.Dataset.from_list(ROWS), (row for row in ROWS),
    ):  # fmt: skip
        assert _probe(source).content_hash() == prompts.content_hash()
    assert _probe(ROWS, limit=2).labels["output"] == ("Paris", "6")


def test_rows_are_prompt_and_answer_with_every_column_a_label():
    prompts = _probe(ROWS)
    whole = [_said(prompts, row, 0, int(prompts.lengths[row])) for row in range(4)]
    assert whole == [
        "Name the capital.\nFrance\nParis", "Count the letters.\nFrance\n6",
        "Name the capital.\nChad", "Count, the \"letters\"\nof\n0",
    ]  # fmt: skip
    assert {name: list(texts) for name, texts in prompts.labels.items()} == {
        name: [row[name] for row in ROWS] for name in ("task", "instruction", "input", "output")
    }
    assert (prompts.lengths[2], prompts.lengths[0]) == (
        prompts.prompt_lengths[2],
        prompts.prompt_lengths[0] + len(TextEncoder(fast()).answer_part("Paris")),
    )
    assert list(prompts.positions) == ["instruction_end", "last"]
    assert prompts.tokenizer_hash == tokenizer_hash(fast())
    np.testing.assert_array_equal(prompts.positions["last"], prompts.prompt_lengths - 1)


def test_all_positions_at_once_in_the_users_order():
    asked = ["mean", -2, "instruction_end", 1, "mean:instruction", "last", "first"]
    prompts = _probe(ROWS, fast(bos=True), positions=asked)
    assert list(prompts.positions) == [str(name) for name in asked]
    for row, record in enumerate(ROWS):
        length = int(prompts.prompt_lengths[row])
        at = {name: index[row].tolist() for name, index in prompts.positions.items()}
        assert at["mean"] == [0, length]
        assert (at["first"], at["1"], at["-2"], at["last"]) == (0, 1, length - 2, length - 1)
        start, stop = at["mean:instruction"]
        # The token that opens every text is no part of the instruction.
        assert start == 1
        assert _said(prompts, row, start, stop).rstrip() == record["instruction"]
        assert at["instruction_end"] == stop - 1


@pytest.mark.parametrize(
    ("positions", "said"),
    [("end", "'end' is not a position"), ((), "positions is empty"),
     (True, "True is not a position"),
     (("last", "1.5"), "'1.5' is not a position"), (("last", "last"), "'last' is named twice"),
     ((3, "3"), "'3' is named twice"), ("-", "'-' is not a position")],
)  # fmt: skip
def test_what_is_no_position_is_refused(positions, said):
    with pytest.raises(BadInput, match=said):
        _probe(ROWS, positions=positions)


@pytest.mark.parametrize("index", [12, -13])
def test_a_position_beyond_a_row_names_the_row_and_its_length(index):
    rows = [{"ids": list(range(20))}, {"ids": list(range(12))}]
    assert _probe(rows[:1], positions=[index]).positions[str(index)] == index % 20
    with pytest.raises(BadInput, match=f"position {index} is beyond row 1, .* has 12 tokens"):
        _probe(rows, positions=[index])


@pytest.mark.parametrize("position", ["instruction_end", "mean:instruction"])
@pytest.mark.parametrize("row", [{"text": "the then"}, {"ids": [3, 4]}])
def test_a_row_without_an_instruction_has_no_end_of_it(position, row):
    with pytest.raises(BadInput, match=f"row 0 has no instruction, so position '{position}'"):
        _probe([row], positions=("last", position))


def test_raw_text_is_what_the_tokenizer_makes_of_it():
    tokenizer = fast(bos=True, eos=True)
    rows = [{"text": " the \n", "output": "x", "n": 3}, {"text": "then", "output": "", "n": None}]
    prompts = _probe(rows, tokenizer, positions="last")
    for row, record in enumerate(rows):
        ids = tokenizer(record["text"])["input_ids"]
        assert prompts.ids[row, : prompts.lengths[row]].tolist() == ids
    assert prompts.labels == {"text": (" the \n", "then"), "output": ("x", ""), "n": ("3", "")}
    np.testing.assert_array_equal(prompts.lengths, prompts.prompt_lengths)


@pytest.mark.parametrize("write", [lambda folder, rows: rows, _jsonl])
def test_a_chat_is_rendered_and_answered_by_its_output_or_its_last_message(tmp_path, write):
    tokenizer = fast(bos=True, chat_template=CHAT)
    system = {"role": "system", "content": "Be short."}
    user = {"role": "user", "content": "Name the capital."}
    chats = [
        {"messages": [system, user], "output": "Paris"},
        {"messages": [user, {"role": "assistant", "content": "Paris"}], "output": ""},
        {"messages": [user]},
    ]
    prompts = _probe(write(tmp_path, chats), tokenizer)
    for row, messages in enumerate(([system, user], [user], [user])):
        rendered = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
        assert prompts.ids[row, : prompts.prompt_lengths[row]].tolist() == rendered["input_ids"]
        end = prompts.positions["instruction_end"][row] + 1
        assert _said(prompts, row, 0, end).endswith("<|user|>\nName the capital.")
    answers = prompts.lengths - prompts.prompt_lengths
    assert answers[0] == answers[1] > answers[2] == 0
    assert prompts.labels["output"] == ("Paris", "Paris", "")
    assert set(prompts.labels["instruction"]) == {"Name the capital."}
    assert prompts.tokenizer_hash == tokenizer_hash(tokenizer, chat=True)


def test_instructions_go_into_the_chat_template_when_that_is_asked_for():
    tokenizer = fast(chat_template=CHAT)
    prompts = _probe(ROWS, tokenizer, template="chat")
    message = {"role": "user", "content": "Name the capital.\nFrance"}
    rendered = tokenizer.apply_chat_template([message], add_generation_prompt=True)["input_ids"]
    assert prompts.ids[0, : prompts.prompt_lengths[0]].tolist() == rendered


def test_ids_need_no_tokenizer_and_csv_holds_them_as_json(tmp_path):
    rows = [{"ids": [5, 0, 7], "instruction_end": 1, "task": "a"}, {"ids": (9,), "task": "b"}]
    prompts = PromptSet.from_records(rows, None, positions=["last", 0])
    assert prompts.ids.tolist() == [[5, 0, 7], [9, 0, 0]]
    assert prompts.lengths.tolist() == [3, 1]
    assert prompts.labels["task"] == ("a", "b")
    assert prompts.tokenizer_hash == ""
    ended = PromptSet.from_records(rows[:1], None)
    assert ended.positions["instruction_end"].tolist() == [1]
    arrays = [{"ids": np.array([5, 0, 7]), "instruction_end": np.int64(1), "task": "a"}]
    assert PromptSet.from_records(arrays, None).content_hash() == ended.content_hash()
    path = tmp_path / "rows.csv"
    path.write_text('ids,instruction_end,task\n"[5, 0, 7]",1,a\n')
    assert PromptSet.from_records(path, None).content_hash() == ended.content_hash()
    nameless = PromptSet.from_records([{"ids": [1, 2]}, {"ids": [3]}], None, positions="last")
    assert nameless.labels == {}


def test_a_task_set_gives_the_probe_that_from_taskset_gives(own):
    encoder = Encoder.for_taskset(train_tokenizer(own), own)
    whole = PromptSet.from_taskset(own, encoder, seed=0)
    assert PromptSet.from_records(own, encoder).content_hash() == whole.content_hash()
    small = PromptSet.from_records(own, encoder, limit=40, seed=2, positions=["mean", "last"])
    assert list(small.positions) == ["mean", "last"]
    assert 20 <= sum(split != "unseen_family" for split in small.labels["split"]) <= 40


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_hugging_face_tokenizer_reads_a_task_set_in_the_sets_order(order):
    taskset = synthetic(seed=0, order=order)
    tokenizer = fast(bos=True)
    prompts = PromptSet.from_taskset(
        taskset, tokenizer, rows=40, seed=0, positions=["mean:instruction"]
    )
    assert prompts.tokenizer_hash == tokenizer_hash(tokenizer)
    for row in range(0, len(prompts), 7):
        instruction, name, output = (
            prompts.labels[column][row] for column in ("instruction", "input", "output")
        )
        first, second = (instruction, name) if order == "before" else (name, instruction)
        assert _said(prompts, row, 0, int(prompts.lengths[row])) == f"{first}\n{second}\n{output}"
        start, stop = prompts.positions["mean:instruction"][row]
        assert _said(prompts, row, start, stop).strip("\n") == instruction
    own = PromptSet.from_taskset(taskset, Encoder.for_taskset(train_tokenizer(taskset), taskset),
                             rows=40, seed=0)  # fmt: skip
    assert own.labels == prompts.labels
    np.testing.assert_array_equal(own.chance, prompts.chance)


def test_chance_is_the_share_of_tasks_with_the_rows_output_for_its_input():
    cells = [
        ("a", "x", "1"), ("b", "x", "1"), ("c", "x", "2"), ("c", "x", "3"), ("a", "y", "1"),
        ("d", "x", ""),
    ]  # fmt: skip
    rows = [
        {"instruction": "do", "task": task, "input": name, "output": output}
        for task, name, output in cells
    ]
    expected = [2 / 3, 2 / 3, 1 / 3, 1 / 3, 1.0, math.nan]
    np.testing.assert_array_equal(_probe(rows).chance, expected)
    without = [{name: row[name] for name in row if name != "task"} for row in rows]
    assert np.isnan(_probe(without).chance).all()
    prompts = [{name: row[name] for name in row if name != "output"} for row in rows]
    assert np.isnan(_probe(prompts).chance).all()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("bos", "eos"), [(False, False), (True, False), (True, True)])
@given(text=st.text("the Paris.\n", min_size=1).filter(str.strip), room=st.integers(4, 12))
@settings(max_examples=40, deadline=None)
def test_truncation_keeps_the_tokens_that_the_tokenizer_itself_would_keep(
    side, bos, eos, text, room
):
    tokenizer = fast(bos=bos, eos=eos, truncation_side=side)
    prompts = _probe(
        [{"text": text}], fast(bos=bos, eos=eos), positions="last", max_length=room, truncate=side
    )
    expected = tokenizer(text, truncation=True, max_length=room)["input_ids"]
    assert prompts.ids[0].tolist() == expected


@pytest.mark.parametrize("tokenizer", [fast(), Slow()])
def test_a_row_that_is_too_long_is_refused_unless_truncation_is_asked_for(tokenizer):
    rows = [{"instruction": "the", "input": ""}, {"instruction": "the" * 20, "input": "x"}]
    length = int(_probe(rows, tokenizer).lengths[1])
    assert len(_probe(rows, tokenizer, max_length=length)) == 2
    with pytest.raises(BadInput, match=f"row 1 has {length} tokens .* max_length {length - 1}"):
        _probe(rows, tokenizer, max_length=length - 1)
    before, tokenizer.model_max_length = tokenizer.model_max_length, length - 1
    try:
        with pytest.raises(BadInput, match=f"row 1 has {length} tokens"):
            _probe(rows, tokenizer)
        assert _probe(rows, tokenizer, truncate="left").prompt_lengths[1] == length - 1
        assert _probe(rows, tokenizer, max_length=length).prompt_lengths[1] == length
    finally:
        tokenizer.model_max_length = before


def test_a_truncated_prompt_makes_room_for_its_answer_and_moves_its_positions():
    rows = [{"instruction": "the then them there", "input": "Paris", "output": "yes"}]
    whole = _probe(rows, fast(bos=True), positions=["instruction_end", "mean:instruction", "last"])
    answer = int(whole.lengths[0] - whole.prompt_lengths[0])
    cut = _probe(
        rows, fast(bos=True), positions=["instruction_end", "mean:instruction", "last"],
        max_length=int(whole.lengths[0]) - 2, truncate="left",
    )  # fmt: skip
    assert cut.ids[0].tolist() == whole.ids[0, [0, *range(3, whole.lengths[0])]].tolist()
    assert cut.positions["instruction_end"] == whole.positions["instruction_end"] - 2
    assert cut.positions["mean:instruction"][0].tolist() == [
        1, whole.positions["mean:instruction"][0, 1] - 2
    ]  # fmt: skip
    assert cut.lengths[0] - cut.prompt_lengths[0] == answer
    with pytest.raises(BadInput, match="row 0 has lost the end of its instruction"):
        _probe(rows, max_length=4, truncate="right")
    with pytest.raises(BadInput, match="leaves its prompt no room"):
        _probe(rows, fast(bos=True), max_length=answer + 1, truncate="left")
    with pytest.raises(BadInput, match="truncate is 'middle'"):
        _probe(rows, truncate="middle")
    with pytest.raises(BadInput, match="max_length is 0"):
        _probe(rows, max_length=0)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "the source has no rows"),
        ([["a"]], "row 0 is a list: give each row as a mapping"),
        ([{"question": "x", "answer": "y"}], "row 0 has the columns question, answer"),
        ([{}], "row 0 has the columns"),
        ([{"text": "a", "task": "t"}, {"text": "b"}], "row 1 has no column 'task', which row 0"),
        ([{"text": "a"}, {"text": "b", "task": "t"}], "row 0 has no column 'task', which row 1"),
        ([{"text": "a"}, {"instruction": "b"}], "no column 'instruction'"),
        ([{"text": " \n"}], "row 0 has an empty text"),
        ([{"text": None}], "row 0 has text = None"),
        ([{"text": 3}], "row 0 has text = 3"),
        ([{"text": "a\ud800"}], "row 0 has half a character in text"),
        ([{"text": "a", "note": "\udfff"}], "row 0 has half a character in note"),
        ([{"instruction": ""}], "row 0 has an empty instruction"),
        ([{"instruction": "a", "input": 3}], "row 0 has input = 3"),
        ([{"instruction": "a", "output": 3}], "row 0 has output = 3"),
        ([{"ids": []}], "row 0 gives no tokens"),
        ([{"ids": [1, -1]}], "row 0 has the token -1, outside of 0"),
        ([{"ids": [1, 10**6]}], "row 0 has the token 1000000, outside of 0..339"),
        ([{"ids": [1.0]}], "row 0 has ids that are not a list of whole numbers"),
        ([{"ids": [True]}], "row 0 has ids that are not a list"),
        ([{"ids": 7}], "row 0 has ids that are not a list"),
        ([{"ids": "7 8"}], "row 0 has ids = '7 8', which is not JSON"),
        ([{"ids": [1], "instruction_end": 1}], "instruction_end 1 is beyond row 0"),
        ([{"ids": [1], "instruction_end": "x"}], "row 0 has instruction_end = 'x'"),
        ([{"ids": [1], "instruction_end": 0.5}], "row 0 has instruction_end = 0.5"),
        ([{"messages": []}], "row 0 has messages that are not a list"),
        ([{"messages": "hello"}], "row 0 has messages = 'hello', which is not JSON"),
        ([{"messages": ["hello"]}], "row 0 has a message 'hello'"),
        ([{"messages": [{"role": "user"}]}], "row 0 has content = None"),
        ([{"messages": [{"role": "system", "content": "x"}]}], "row 0 has no instruction, so"),
        (
            [{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}],
              "output": "z"}],
            "row 0 has an output and ends with a message of the assistant",
        ),
        ({"train": ROWS, "test": ROWS}, "the source is a dict of train, test"),
        (7, "the source is a int"),
        (b"rows.jsonl", "the source is a bytes"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_used_are_named(rows, said):
    with pytest.raises(BadInput, match=said) as raised:
        _probe(rows, fast(chat_template=CHAT))
    assert "\n" not in str(raised.value)


def test_text_of_which_no_token_remains_is_refused():
    tokenizer = fast("words", bos=True)
    tokenizer.backend_tokenizer.normalizer = _nothing()
    with pytest.raises(BadInput, match="row 0 gives no tokens"):
        _probe([{"text": "x"}], tokenizer, positions="last")


def _nothing():
    from tokenizers import Regex, normalizers

    return normalizers.Replace(Regex("x"), "")


@pytest.mark.parametrize(
    ("row", "settings", "said"),
    [
        ({"text": "a"}, {"tokenizer": None}, "rows of text need a tokenizer"),
        ({"text": "a"}, {"template": "chat"}, "rows of text are used as they are"),
        ({"ids": [1]}, {"template": "{instruction}"}, "rows of ids are used as they are"),
        ({"messages": [{"role": "user", "content": "a"}]}, {}, "no chat template"),
        (
            {"messages": [{"role": "user", "content": "a"}]},
            {"template": "{instruction}"},
            "messages need the chat template",
        ),
        (
            {"messages": [{"role": "user", "content": "a"}]},
            {"tokenizer": TextEncoder(fast())},
            "set template='chat'",
        ),
        ({"instruction": "a", "input": "b"}, {"template": "{instruction}"}, "row 0: the template"),
        (
            {"instruction": "a"},
            {"tokenizer": TextEncoder(fast()), "template": "chat"},
            "the encoder has a form of its own",
        ),
        ({"text": "a"}, {"limit": 0}, "limit is 0"),
        ({"text": "a"}, {"tokenizer": "gpt2"}, "give a Hugging Face tokenizer"),
    ],
)
def test_settings_that_do_not_go_with_the_rows_are_refused(row, settings, said):
    settings = {"tokenizer": fast(), **settings}
    with pytest.raises(BadInput, match=said):
        PromptSet.from_records([row], **settings)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b"", "has no rows"),
        ("a.jsonl", b"\n \n", "has no rows"),
        ("a.csv", b"", "has no rows"),
        ("a.csv", b"text\n", "has no rows"),
        ("a.jsonl", b'{"text": "a"}\n\n{"text": \n', "line 3 of .*a.jsonl is not JSON"),
        ("a.jsonl", b'{"text": "a"}\n["b"]', "line 2 of .* is a list"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xe9"}', "line 2 of .* is not UTF-8"),
        ("a.jsonl", b'{"text": "a"}\n{"text": ""}', "line 2 of .* has an empty text"),
        ("a.csv", b"text,task\na,b\n\xe9,c\n", "line 3 of .* is not UTF-8"),
        ("a.csv", b"text,task\na,b\nc\n", "line 3 of .* has 1 cells and the header 2"),
        ("a.csv", b"text\na,b\n", "line 2 of .* has 2 cells and the header 1"),
        ("a.csv", b"text,text\na,b\n", "names the column 'text' not once"),
        ("a.csv", b"text,\na,b\n", "names the column '' not once"),
        ("a.csv", b'text\n"a\n', "line 2 of .* is not CSV"),
        ("a.csv", b'text,task\n"a\nb",c\n,d\n', "line 4 of .* has an empty text"),
        ("a.txt", b"text\na\n", "a.txt has a form that is not read"),
        ("a.jsonl", None, "cannot be read"),
    ],
)
def test_files_that_cannot_be_used_are_named_with_the_line(tmp_path, name, content, said):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=said) as raised:
        _probe(path, positions="last")
    assert "\n" not in str(raised.value)


def test_a_folder_and_a_missing_file_are_no_rows(tmp_path):
    (tmp_path / "a.csv").mkdir()
    for path, said in (("a.csv", "is a folder"), ("none.csv", "cannot be read")):
        with pytest.raises(BadInput, match=said):
            _probe(tmp_path / path)


def test_inputs_of_named_texts_are_lines_as_in_a_task_set():
    row = {"instruction": "do", "input": {"a": "x", "b": ["y", "z"]}, "output": None}
    prompts = _probe([row])
    assert prompts.labels["input"] == ("a: x\nb: y\nz",)
    assert _said(prompts, 0, 0, int(prompts.lengths[0])) == "do\na: x\nb: y\nz"


words = st.text("ab \n", min_size=1).filter(str.strip)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"instruction": words, "mark": st.none() | st.text(max_size=3) | st.integers()},
            optional={"input": words, "output": words},
        ),
        min_size=1, max_size=6,
    )
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_no_row_depends_on_the_rows_beside_it(rows):
    positions = ["mean", "instruction_end", "last", "first"]
    together = _probe(rows, positions=positions)
    for row, record in enumerate(rows):
        alone = _probe([record], positions=positions)
        length = int(together.lengths[row])
        assert alone.ids[0].tolist() == together.ids[row, :length].tolist()
        assert not together.ids[row, length:].any()
        for name in positions:
            assert alone.positions[name][0].tolist() == together.positions[name][row].tolist()

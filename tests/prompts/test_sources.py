"""Rows come in from the files and tables that people have."""

import bz2
import csv
import gzip
import json
import lzma
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nucleate._core.errors import BadInput
from nucleate.prompts import PromptSet
from tasks.made import fast

ROWS = [
    {"instruction": "Name the capital, please.", "input": "France; south", "output": "Paris",
     "task": "capital"},
    {"instruction": "Count the\nletters.", "input": "", "output": "", "task": "count"},
]  # fmt: skip


def _set(source: object, **settings: object) -> PromptSet:
    return PromptSet.from_records(source, fast(), **settings)


def _csv(delimiter: str, ending: str = "\r\n") -> str:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    lines = [delimiter.join(ROWS[0]), *(delimiter.join(map(cell, row.values())) for row in ROWS)]
    return ending.join(lines) + ending


LINES = "\n\n".join(map(json.dumps, ROWS)) + "\n\n"
FRAME = pd.DataFrame(ROWS, index=[9, 4])
FILES = {
    "commas.csv": _csv(",").encode(),
    "semicolons.csv": _csv(";", "\n").encode(),
    "tabs.csv": _csv("\t").encode(),
    "tabs.tsv": _csv("\t").encode(),
    "mark.csv": _csv(",").encode("utf-8-sig"),
    "wide.csv": _csv(";").encode("utf-16"),
    "wide.tsv": _csv("\t").encode("utf-16-be").join([b"\xfe\xff", b""]),
    "blank.jsonl": LINES.encode(),
    "crlf.jsonl": LINES.replace("\n", "\r\n").encode("utf-8-sig"),
    "wide.jsonl": LINES.encode("utf-16"),
    "packed.jsonl.gz": gzip.compress(LINES.encode()),
    "packed.csv.bz2": bz2.compress(_csv(",").encode()),
    "packed.ndjson.xz": lzma.compress(LINES.encode()),
    "packed.jsonl": gzip.compress(LINES.encode()),
    "list.json": json.dumps(ROWS, indent=2).encode(),
    "list.jsonl": json.dumps(ROWS, indent=2).encode(),
    "lines.json": LINES.encode(),
    "columns.json": json.dumps({name: [r[name] for r in ROWS] for name in ROWS[0]}).encode(),
    "frame.json": FRAME.to_json().encode(),
    "named.json": json.dumps({"version": 1, "data": ROWS}).encode(),
}


@pytest.mark.parametrize("name", list(FILES))
def test_a_file_gives_its_rows_whatever_its_form(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FILES[name])
    assert _set(path) == _set(ROWS)
    assert _set(str(path)) == _set(ROWS)


def test_one_object_in_json_is_a_row(tmp_path):
    path = tmp_path / "one.json"
    path.write_text(json.dumps({"ids": [3, 4], "task": "a"}, indent=1))
    assert PromptSet.from_records(path, None, positions="last").ids.tolist() == [[3, 4]]
    path.write_text(json.dumps({"ids": [[3, 4], [5]], "task": ["a", "b"]}))
    assert len(PromptSet.from_records(path, None, positions="last")) == 2


def test_cells_of_any_length_are_read_and_the_csv_module_stays_as_it_was(tmp_path):
    path, long = tmp_path / "long.csv", "x" * 140_000
    path.write_text(f'ids,document\n"[3, 4]",{long}\n')
    before = csv.field_size_limit()
    assert PromptSet.from_records(path, None, positions="last").labels["document"] == (long,)
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        (FRAME.reset_index(drop=True).to_csv(), {"index": ("0", "1")}),
        (FRAME.to_csv(), {"index": ("9", "4")}),
        (FRAME.to_csv(index_label="number"), {"number": ("9", "4")}),
        (FRAME.to_csv(index=False), {}),
        (FRAME.assign(index=["a", "b"]).to_csv(index=False), {"index": ("a", "b")}),
        (FRAME.to_csv(index=False).replace("task\n", "task,,\n").replace("capital\n", "capital,,\n")
         .replace("count\n", "count,,\n"), {}),
    ],
)  # fmt: skip
def test_the_index_that_pandas_writes_is_a_label(tmp_path, content, labels):
    path = tmp_path / "rows.csv"
    path.write_text(content)
    found = _set(path)
    np.testing.assert_array_equal(found.ids, _set(ROWS).ids)
    own = _set(ROWS).labels
    assert {name: texts for name, texts in found.labels.items() if name not in own} == labels


def test_a_data_frame_gives_its_rows_and_what_is_missing_is_empty():
    assert _set(FRAME) == _set(ROWS)
    frame = pd.DataFrame(
        {"ids": [[3, 4], [5], [6]], "instruction_end": [1, None, 0], "task": ["a", None, pd.NA],
         "score": [0.5, np.nan, 1], "kind": pd.Categorical(["x", "y", None]),
         "when": pd.to_datetime(["2024-01-02", None, "2024-01-03"])}
    )  # fmt: skip
    prompts = PromptSet.from_records(frame, None, positions="last")
    assert prompts.labels["instruction_end"] == ("1", "", "0")
    assert prompts.labels["task"] == ("a", "", "")
    assert prompts.labels["score"] == ("0.5", "", "1.0")
    assert prompts.labels["kind"] == ("x", "y", "")
    assert prompts.labels["when"][1] == ""
    ended = PromptSet.from_records(frame.iloc[[0, 2]], None)
    assert ended.positions["instruction_end"].tolist() == [1, 0]
    twice = pd.concat([FRAME, FRAME["task"]], axis=1)
    with pytest.raises(BadInput, match="names the column 'task' not once"):
        _set(twice)
    with pytest.raises(BadInput, match="no rows"):
        _set(FRAME.iloc[:0])


def test_numbers_and_arrays_of_numpy_are_texts_like_their_own():
    row = {"ids": np.array([3, 4]), "n": np.int64(3), "x": np.float32(0.5), "no": np.nan,
           "flag": np.bool_(True), "many": np.array([1, 2]), "text_": np.str_("a")}  # fmt: skip
    labels = PromptSet.from_records([row], None, positions="last").labels
    assert {name: texts[0] for name, texts in labels.items()} == {
        "n": "3", "x": "0.5", "no": "", "flag": "True", "many": "[1, 2]", "text_": "a"
    }  # fmt: skip


def test_columns_in_memory_are_rows_and_splits_are_not():
    assert _set({name: [row[name] for row in ROWS] for name in ROWS[0]}) == _set(ROWS)
    with pytest.raises(BadInput, match=r"different lengths .*text 2, task 1"):
        _set({"text": ["a", "b"], "task": ["c"]})
    with pytest.raises(BadInput, match="and text holds no list"):
        _set({"text": "a", "task": "c"})
    with pytest.raises(
        BadInput, match=r"of train, test: give one of them, as in source\['train'\]"
    ):
        _set({"train": ROWS, "test": ROWS})


def _dataset():
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "task": datasets.ClassLabel(names=["up", "down"]),
         "note": {"by": datasets.Value("string")}}
    )  # fmt: skip
    rows = {"text": ["the", "then", "Paris"], "task": [1, 0, -1], "note": [{"by": "me"}] * 3}
    return datasets.Dataset.from_dict(rows, features=features)


@pytest.mark.parametrize("form", [None, "numpy", "torch", "pandas", "arrow"])
def test_class_labels_of_a_data_set_are_their_names_in_every_format(form):
    prompts = _set(_dataset().with_format(form), positions="last")
    assert prompts.labels["task"] == ("down", "up", "")
    assert prompts.labels["note"] == ('{"by": "me"}',) * 3
    assert prompts.labels["text"] == ("the", "then", "Paris")


def test_saved_data_sets_are_read_and_their_splits_are_named(tmp_path):
    datasets = pytest.importorskip("datasets")
    source = _dataset()
    wanted = _set(source, positions="last")
    source.save_to_disk(tmp_path / "saved")
    source.to_parquet(tmp_path / "a.parquet")
    assert _set(tmp_path / "saved", positions="last") == wanted
    assert _set(tmp_path / "a.parquet", positions="last") == wanted
    shard = next((tmp_path / "saved").glob("*.arrow"))
    assert _set(shard, positions="last") == wanted
    assert _set(source.to_iterable_dataset(), positions="last") == wanted
    assert _set(source.data.table, positions="last") == wanted
    parts = datasets.DatasetDict({"train": source, "test": source})
    parts.save_to_disk(tmp_path / "parts")
    assert _set(tmp_path / "parts" / "test", positions="last") == wanted
    with pytest.raises(BadInput, match=r"splits test, train: name one of them, as in .*parts/test"):
        _set(tmp_path / "parts")
    with pytest.raises(BadInput, match=r"of train, test: give one of them"):
        _set(parts)
    with pytest.raises(BadInput, match=r"is a folder: name a file of rows in it. It holds"):
        _set(tmp_path)


def test_a_frame_in_parquet_and_feather_gives_its_rows(tmp_path):
    pytest.importorskip("pyarrow")
    FRAME.to_parquet(tmp_path / "a.parquet", index=False)
    FRAME.reset_index(drop=True).to_feather(tmp_path / "a.feather")
    assert _set(tmp_path / "a.parquet") == _set(ROWS)
    assert _set(tmp_path / "a.feather") == _set(ROWS)
    chats = pd.DataFrame({"ids": [[3, 4], [5]]})
    chats.to_parquet(tmp_path / "ids.parquet")
    assert PromptSet.from_records(
        pd.read_parquet(tmp_path / "ids.parquet"), None, positions="last"
    ).ids.tolist() == [[3, 4], [5, 0]]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"text": "a"}\n{"te', "line 2 of .* the file ends within it"),
        ("a.jsonl", b'{"te', "line 1 of .* is not JSON .*: write one object per line"),
        ("a.json", b"[3]", "entry 0 of .* is a int: write a list of objects"),
        ("a.json", b"{", "line 1 of .* is not JSON"),
        ("a.json", b"[]", "has no rows"),
        ("a.json", b'{"text": ["a"], "task": []}', "columns of different lengths"),
        ("a.csv", b'text,task\na,"b\n', "is not CSV"),
        ("a.csv", "text\na\n".encode("utf-16-le"), "not text in UTF-8"),
        ("a.csv", b"text;task\na;b;c\n", "has 3 cells and the header 2"),
        ("a.csv", b",,text\n1,2,a\n", "names the column '' not once"),
        ("a.csv.gz", b"\x1f\x8bnothing", "cannot be read"),
        ("a.csv.gz", gzip.compress(b"text\na\n", mtime=0)[:-9], "cannot be read"),
        ("a.parquet", b"PAR1", r"cannot be read .*give a whole file"),
        ("a.parquet", b"", r"cannot be read .*give a whole file"),
        ("a.arrow", b"ARROW1", r"cannot be read .*give a whole file"),
        ("a.xlsx", b"PK", "has a form that is not read: save it as one of .jsonl"),
        ("a", b"text\n", "has a form that is not read"),
    ],
)  # fmt: skip
def test_a_file_that_is_cut_or_of_another_form_is_said_in_one_sentence(
    tmp_path, name, content, said
):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadInput, match=said) as raised:
        _set(path, positions="last")
    assert "\n" not in str(raised.value)


def test_a_path_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.jsonl").write_text(LINES)
    assert _set("~/a.jsonl") == _set(Path("~/a.jsonl")) == _set(ROWS)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (["the"], "row 0 is a str: give each row as a mapping"),
        (None, "the source is a NoneType"),
        (b"a.jsonl", "the source is a bytes"),
        ({}, "the source is a dict"),
        (pd.Series(["the"]), "is a Series, which is no table: give rows"),
        (np.array(["the"]), "row 0 is a str_"),
    ],
)
def test_what_holds_no_rows_is_named(source, said):
    with pytest.raises(BadInput, match=said):
        _set(source)

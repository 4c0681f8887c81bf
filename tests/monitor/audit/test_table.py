"""Reading what was scored: what is taken, and what is refused by name."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from nucleate._core.errors import BadInput
from nucleate.monitor.atlas import scored_table, text_hash
from nucleate.monitor.audit import AuditTable, read_scored
from nucleate.monitor.audit._table import file_hash
from served_atlas import make_atlas, vectors_of

HEAD = "request,cluster,lang,wrong,outside"
ROWS = ["h1,a,en,0,False", "h2,b,ja,1,True", "h1,a,en,1,False"]


def scored(folder, rows=ROWS, head=HEAD):
    path = folder / "scores.csv"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def test_a_scored_folder_is_read_with_its_vectors_and_hashes(tmp_path):
    file = scored(tmp_path)
    save_file({"vectors": np.ones((3, 4), np.float16)}, tmp_path / "vectors.safetensors")
    table = read_scored(tmp_path, groups=["lang"], errors=["wrong"])
    assert table.cluster.tolist() == ["a", "b", "a"]
    assert table.groups["lang"].tolist() == ["en", "ja", "en"]
    assert {name: each.tolist() for name, each in table.outcomes.items()} == {
        "wrong": [False, True, True], "outside": [False, True, False],
    }  # fmt: skip
    assert table.own_texts.tolist() == ["h1", "h2", "h1"]
    assert table.vectors.shape == (3, 4)
    assert table.inputs["scored"] == file_hash(file)
    assert set(table.inputs) == {"scored", "vectors"}


def test_lines_of_json_are_read_with_numbers_and_truth_values(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"cluster": 3, "lang": "en", "wrong": 1}, {"cluster": 4, "lang": None, "wrong": False},
            {"cluster": 4, "lang": "ja", "wrong": 0.0}]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = read_scored(path, groups=["lang"], errors=["wrong"])
    assert table.cluster.tolist() == ["3", "4", "4"]
    assert table.groups["lang"].tolist() == ["en", "", "ja"]
    assert table.outcomes["wrong"].tolist() == [True, False, False]
    assert table.own_texts.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"groups": ["langs"]}, r"no column 'langs' \(did you mean 'lang'\?\)"),
        ({"errors": ["wrongs"]}, r"no column 'wrongs' \(did you mean 'wrong'\?\)"),
        ({"task": "tasks"}, "no column 'tasks'"),
        ({"cluster": "clusters"}, r"no column 'clusters' \(did you mean 'cluster'\?\)"),
        ({"errors": ["lang"]}, "line 2 of .* has neither 0 nor 1"),
    ],
)
def test_a_column_that_does_not_serve_is_named(tmp_path, columns, sentence):
    with pytest.raises(BadInput, match=sentence):
        read_scored(scored(tmp_path), **columns)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [("2", "neither 0 nor 1"), ("0.5", "neither 0 nor 1"), ("", "nothing"), ("nan", "neither")],
)
def test_errors_that_are_not_0_or_1_are_refused_with_their_line(tmp_path, value, sentence):
    path = scored(tmp_path, [*ROWS, f"h4,a,en,{value},False"])
    with pytest.raises(BadInput, match=f"line 5 of .* has {sentence}"):
        read_scored(path, errors=["wrong"])


def test_what_an_error_column_holds_is_not_repeated(tmp_path):
    path = scored(tmp_path, [*ROWS, "h4,a,en,what I wrote,False"])
    with pytest.raises(BadInput) as refused:
        read_scored(path, errors=["wrong"])
    assert "I wrote" not in str(refused.value)


def test_a_row_without_a_cluster_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"line 5 of .* has no 'cluster'"):
        read_scored(scored(tmp_path, [*ROWS, "h4,,en,0,False"]))


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (["h,a,en,0,0"] * 3, "only the value 'en'"),
        (["h,a,,0,0"] * 3, "has no values"),
        ([f"h,a,user{number},0,0" for number in range(51)], "has 51 values"),
        (["h,a,en,0,0", f"h,a,{'x' * 81},0,0"], "up to 81 characters"),
    ],
)
def test_groups_of_one_and_columns_that_are_no_groups_are_refused(tmp_path, rows, sentence):
    with pytest.raises(BadInput, match=sentence):
        read_scored(scored(tmp_path, rows), groups=["lang"])


def test_texts_as_clusters_are_refused_and_not_repeated(tmp_path):
    with pytest.raises(BadInput, match="these are texts") as refused:
        read_scored(scored(tmp_path, [*ROWS, f"h,{'my secret ' * 9},en,0,0"]))
    assert "secret" not in str(refused.value)


def test_missing_files_and_empty_tables_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"holds no scores\.csv"):
        read_scored(tmp_path)
    with pytest.raises(BadInput, match="does not exist"):
        read_scored(tmp_path / "nowhere.csv")
    with pytest.raises(BadInput, match="has no rows"):
        read_scored(scored(tmp_path, []))


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({"vectors": np.ones((2, 4), np.float32)}, "the table has 3 rows"),
        ({"states": np.ones((3, 4), np.float32)}, "holds {'states': "),
        ({"vectors": np.full((3, 4), np.nan, np.float32)}, "3 of 3 vectors hold NaN"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(tmp_path, tensors, sentence):
    scored(tmp_path)
    save_file(tensors, tmp_path / "vectors.safetensors")
    with pytest.raises(BadInput, match=sentence):
        read_scored(tmp_path)


def test_damaged_vectors_are_refused(tmp_path):
    scored(tmp_path)
    (tmp_path / "vectors.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(BadInput, match="is damaged"):
        read_scored(tmp_path)


def test_no_rows_are_refused():
    with pytest.raises(BadInput, match="no rows"):
        AuditTable(np.array([], str))


def test_a_table_that_an_atlas_scored_is_read_with_the_atlas_version(tmp_path):
    atlas = make_atlas(tmp_path / "atlas")
    vectors, texts = vectors_of(40, seed=1), [f"request {row}" for row in range(120)]
    labels = {"lang": ["en", "ja"] * 60, "wrong": ["0", "1", "0"] * 40}
    table = scored_table(atlas.score(vectors, texts), texts, labels, keep_text=True)
    scored_folder = tmp_path / "scored"
    scored_folder.mkdir()
    table.to_csv(scored_folder / "scores.csv", index=False)
    (scored_folder / "scores.json").write_text(json.dumps({"atlas": atlas.version}))
    save_file({"vectors": vectors}, scored_folder / "vectors.safetensors")
    found = read_scored(scored_folder, groups=["lang"], errors=["wrong"])
    assert set(found.cluster) <= set(atlas.clusters)
    assert found.own_texts.tolist() == [text_hash(text) for text in texts]
    assert found.outcomes["wrong"].sum() == 40
    assert found.outcomes["outside"].tolist() == table["outside"].tolist()
    assert found.inputs["atlas"] == atlas.version
    (scored_folder / "scores.json").write_text("{")
    with pytest.raises(BadInput, match="is damaged"):
        read_scored(scored_folder)

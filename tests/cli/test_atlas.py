"""`nucleate atlas` and `nucleate score` as a user meets them."""

import csv
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import requests_of
from in_process import runner
from nucleate.monitor.atlas import Atlas, fit_atlas, text_hash


@pytest.fixture
def nucleate(capfd, monkeypatch):
    return runner(capfd, monkeypatch)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("atlas")
    requests_of.write(folder)
    return folder


@pytest.fixture
def fitted(world, nucleate):
    if not (world / "atlas").exists():
        done = nucleate("atlas", "fit", world / "model", world / "rows.jsonl", "--out",
                        world / "atlas", "--positions", "mean,last", "--quiet")  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "Detector in use" in done.stdout
    return world / "atlas"


def test_requests_get_a_cluster_a_p_value_and_keep_their_columns_but_no_text(
    fitted, world, nucleate
):
    given = requests_of.rows(seed=3, each=20)
    requests = requests_of.lines(world / "new.jsonl", given)
    done = nucleate("score", fitted, requests, "--model", world / "model", "--out", world / "s",
                    "--keep-vectors", "--json", "-q")  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["atlas"] == Atlas.load(fitted).version
    assert report["rows"] == len(given)
    table = list(csv.DictReader((world / "s" / "scores.csv").read_text().splitlines()))
    assert list(table[0]) == ["request", "cluster", "probability", "p", "p_states", "p_surface",
                              "margin", "outside", "task", "group"]  # fmt: skip
    assert [row["request"] for row in table] == [text_hash(row["text"]) for row in given]
    assert np.mean([row["cluster"] == row["task"] for row in table]) > 0.8
    assert b"c0w" not in (world / "s" / "scores.csv").read_bytes()
    assert load_file(world / "s" / "vectors.safetensors")["vectors"].shape == (len(given), 32)


def test_texts_are_written_where_they_are_asked_for(fitted, world, nucleate):
    requests = requests_of.lines(world / "few.jsonl", requests_of.rows(seed=4, each=2))
    done = nucleate("score", fitted, requests, "--model", world / "model", "--out", world / "t",
                    "--keep-text", "-q")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"c0w" in (world / "t" / "scores.csv").read_bytes()


def test_vectors_are_scored_without_a_model(fitted, world, nucleate):
    save_file({"vectors": np.zeros((4, 32), dtype=np.float32)}, world / "v.safetensors")
    done = nucleate("score", fitted, world / "v.safetensors", "--out", world / "u", "-q")
    assert done.returncode == 0, done.stderr
    assert "4 requests" in done.stdout
    save_file({"vectors": np.zeros((4, 7), dtype=np.float32)}, world / "w.safetensors")
    done = nucleate("score", fitted, world / "w.safetensors", "--out", world / "u", "-q")
    assert done.returncode == 2
    assert "width 7" in done.stderr


def test_an_atlas_of_words_scores_a_file_without_a_model(world, nucleate):
    given = requests_of.rows()
    noise = np.random.default_rng(0).normal(size=(len(given), 4)).astype(np.float32)
    fit_atlas(noise, [r["task"] for r in given], [r["text"] for r in given]).save(world / "words")
    done = nucleate("score", world / "words", world / "rows.jsonl", "--out", world / "x", "-q")
    assert done.returncode == 0, done.stderr
    assert "detector: surface" in done.stdout


def test_show_says_what_an_atlas_knows(fitted, nucleate):
    shown = json.loads(nucleate("atlas", "show", fitted, "--json").stdout)
    assert {each["cluster"] for each in shown["clusters"]} == {f"task {k}" for k in range(5)}
    words = nucleate("atlas", "show", fitted).stdout
    assert "5 clusters, read at" in words


@pytest.mark.slow
def test_diff_says_nothing_of_an_atlas_and_itself(fitted, nucleate):
    done = nucleate("atlas", "diff", fitted, fitted, "--common-basis", "--json")
    assert not any(each["words"] for each in json.loads(done.stdout)["clusters"])


def cases(world):
    code = np.repeat(np.arange(3), 80)
    vectors = np.eye(3, 32)[code] * 20 + np.random.default_rng(0).normal(size=(240, 32))
    fit_atlas(vectors.astype(np.float32), [f"t{k}" for k in code]).save(world / "states")
    long, empty = dict(requests_of.rows(each=1)[0]), dict(requests_of.rows(each=1)[0])
    long["text"], empty["text"] = "a" * 10_000_000, " "
    requests_of.lines(world / "long.jsonl", [long])
    requests_of.lines(world / "empty.jsonl", [empty])
    requests_of.lines(world / "one.jsonl", requests_of.rows(each=60)[:60])
    requests_of.lines(world / "few.jsonl", requests_of.rows(each=12))
    save_file({"vectors": np.full((2, 32), np.nan, dtype=np.float32)}, world / "nan.safetensors")
    save_file({"states": np.zeros((2, 32), dtype=np.float32)}, world / "key.safetensors")
    model, rows, out = world / "model", world / "rows.jsonl", world / "out"
    score = ("score", world / "atlas")
    fit = ("atlas", "fit", model)
    return {
        "another model's atlas": ((*score, rows, "--model", world / "other"), "model is another"),
        "no model": (("score", world / "states", rows), "--model"),
        "a text of 10 MB": ((*score, world / "long.jsonl", "--model", model), "10,000,000"),
        "an empty text": ((*score, world / "empty.jsonl", "--model", model), "row 0 is empty"),
        "vectors that are NaN": ((*score, world / "nan.safetensors"), "first row 0"),
        "vectors by another name": ((*score, world / "key.safetensors"), "no 'vectors'"),
        "a rate of 0": ((*score, rows, "--model", model, "--rate", "0"), "rate is 0.0"),
        "a rate above 1": ((*score, rows, "--model", model, "--rate", "5"), "rate is 5.0"),
        "no atlas": (("score", world, rows, "--model", model), "no atlas"),
        "one cluster": ((*fit, world / "one.jsonl"), "two are needed"),
        "too few rows": ((*fit, world / "few.jsonl"), "needed"),
        "no such column": ((*fit, rows, "--label", "intent"), "no column 'intent'"),
        "no such detector": ((*fit, rows, "--detector", "best"), "'best'"),
        "no prompts": (fit, "name prompts as well"),
        "no encoder": ((*fit, rows, "--encoder", world / "none"), "cannot be loaded"),
    }, out  # fmt: skip


CASES = (
    "another model's atlas", "no model", "a text of 10 MB", "an empty text",
    "vectors that are NaN", "vectors by another name", "a rate of 0", "a rate above 1", "no atlas",
    "one cluster", "too few rows", "no such column", "no such detector", "no prompts", "no encoder",
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_used_leaves_with_2_and_a_sentence(case, fitted, world, nucleate):
    known, out = cases(world)
    assert set(known) == set(CASES)
    words, says = known[case]
    done = nucleate(*words, "--out", out, "-q")
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < 600


def test_a_damaged_or_foreign_folder_is_no_atlas(fitted, world, nucleate):
    whole = (fitted / "atlas.safetensors").read_bytes()
    try:
        (fitted / "atlas.safetensors").write_bytes(whole[:-50])
        done = nucleate("atlas", "show", fitted)
    finally:
        (fitted / "atlas.safetensors").write_bytes(whole)
    assert done.returncode == 2
    assert "cannot be read" in done.stderr

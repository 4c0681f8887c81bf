"""`nucleate audit` and `nucleate audit verify` as a user meets them."""

import hashlib
import json
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from in_process import runner


@pytest.fixture
def nucleate(capfd, monkeypatch):
    return runner(capfd, monkeypatch)


def scored(folder, *, bad=0.45, count=1200, seed=0):
    """A scored folder in which one language fares worse in one cluster."""
    rng = np.random.default_rng(seed)
    cluster, lang = rng.integers(0, 3, count), rng.choice(["en", "ja"], count)
    worse = (cluster == 1) & (lang == "ja")
    wrong = (rng.random(count) < np.where(worse, bad, 0.1)).astype(int)
    lines = [
        f"{number:016x},task {each},{of},{one},{rng.random() < 0.05}"
        for number, (each, of, one) in enumerate(zip(cluster, lang, wrong, strict=True))
    ]
    folder.mkdir(exist_ok=True)
    head = "request,cluster,lang,wrong,outside"
    (folder / "scores.csv").write_text("\n".join([head, *lines]) + "\n")
    return folder


ASKED = ("--group", "lang", "--error", "wrong")


def test_a_gap_leaves_with_1_words_a_report_and_a_line_in_the_journal(nucleate, tmp_path):
    folder, out, journal = scored(tmp_path / "scored"), tmp_path / "audit.json", tmp_path / "j"
    done = nucleate("audit", folder, *ASKED, "--out", out, "--journal", journal)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "verdict: gap"
    assert any(line.startswith("wrong: lang ja in cluster task 1: 0.") for line in lines)
    report = json.loads(out.read_text())
    assert (report["kind"], report["verdict"], report["n"]) == ("audit", "gap", 1200)
    assert report["gaps"] >= 1
    seal = hashlib.sha256(out.read_bytes()).hexdigest()
    entry = json.loads(journal.read_text().partition(" ")[2])
    assert entry["hashes"] == {"report": seal, **report["inputs"]}
    assert (entry["verdict"], entry["counts"]["rows"]) == ("gap", 1200)
    head = lines[-1].rpartition(" ")[2]
    assert nucleate("audit", "verify", journal, "--head", head).returncode == 0


def test_no_gap_leaves_with_0_and_run_may_be_written(nucleate, tmp_path):
    folder = scored(tmp_path, bad=0.1)
    arguments = (*ASKED, "--matters", "0.2", "--json")
    direct, written = (
        nucleate("audit", folder, *arguments),
        nucleate("audit", "run", folder, *arguments),
    )
    assert direct.returncode == written.returncode == 0
    assert direct.stdout == written.stdout
    assert json.loads(direct.stdout)["verdict"] == "no gap found"


def test_vectors_and_pairs_are_taken_in(nucleate, tmp_path):
    folder = scored(tmp_path / "scored", bad=0.1)
    vectors = np.random.default_rng(0).normal(size=(1200, 6)).astype(np.float32)
    save_file({"vectors": vectors}, folder / "vectors.safetensors")
    lines = ["pair,variant,size,cluster,answer"]
    for pair in range(100):
        lines += [f"{pair},base,0,a,x", f"{pair},attribute,1,{'b' if pair < 25 else 'a'},x",
                  f"{pair},null,1,a,x"]  # fmt: skip
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("\n".join(lines) + "\n")
    done = nucleate(
        "audit", folder, *ASKED, "--pairs", pairs, "--answer", "answer", "--permutations", "39",
        "--json",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert [each["word"] for each in report["pairs"]] == [
        "flips beyond a null edit", "no more than a null edit",
    ]  # fmt: skip
    assert report["leakage"][0]["question"] == "decodable"
    assert set(report["inputs"]) == {"scored", "vectors", "pairs"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--group", "langs"], "has no column 'langs' (did you mean 'lang'?)"),
        (["--error", "lang"], "line 2 of"),
        (["--group", "request"], "has 1200 values"),
        ([*ASKED, "--level", "0"], "level is 0.0"),
        ([*ASKED, "--level", "2"], "level is 2.0"),
        ([*ASKED, "--least", "1"], "least is 1"),
        ([*ASKED, "--matters", "1"], "matters is 1.0"),
        ([*ASKED, "--permutations", "3"], "permutations is 3"),
        ([*ASKED, "--journal", "j"], "give --out audit.json as well"),
        ([*ASKED, "--answer", "x"], "give --pairs as well"),
        ([*ASKED, "--pairs", "nowhere.csv"], "nowhere.csv does not exist"),
        (["--least", "many"], "'many'"),
    ],
)
def test_bad_input_leaves_with_2_and_one_sentence(nucleate, tmp_path, arguments, sentence):
    done = nucleate("audit", scored(tmp_path), *arguments)
    assert done.returncode == 2, done.stdout
    assert sentence in done.stderr
    assert done.stderr.startswith("nucleate: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_what_is_not_there_leaves_with_2(nucleate, tmp_path):
    assert nucleate("audit", tmp_path / "nowhere").returncode == 2
    assert nucleate("audit", tmp_path).returncode == 2
    assert nucleate("audit", "verify", tmp_path / "j").returncode == 2


def test_without_fairlearn_the_extra_is_named(nucleate, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fairlearn.metrics", None)
    done = nucleate("audit", scored(tmp_path), *ASKED)
    assert done.returncode == 2
    assert "pip install 'nucleate[audit]'" in done.stderr


def test_a_journal_that_was_changed_leaves_with_1_and_says_where(nucleate, tmp_path):
    from nucleate.monitor.audit import append_entry

    journal = tmp_path / "j"
    for _ in range(3):
        head = append_entry(journal, "audit", verdict="gap", hashes={}).head
    assert nucleate("audit", "verify", journal).returncode == 0
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[1:]))
    done = nucleate("audit", "verify", journal)
    assert done.returncode == 1
    assert done.stdout.startswith("line 1 says that it is number 2")
    journal.write_bytes(b"".join(lines[:2]))
    assert nucleate("audit", "verify", journal).returncode == 0
    done = nucleate("audit", "verify", journal, "--head", head, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["ok"] is False


def test_help_names_both_verbs(nucleate):
    said = nucleate("audit", "--help").stdout
    assert "verify" in said
    assert "run" in said

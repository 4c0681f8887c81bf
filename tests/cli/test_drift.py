"""`nucleate drift`: scored folders in, a verdict and an exit code out."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from in_process import runner
from nucleate.monitor.atlas import Atlas, fit_atlas
from served_atlas import CLUSTERS, make_atlas, vectors_of


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An atlas, and folders with scored requests: like its reference, moved, and new."""
    from nucleate.cli._score import score

    folder = tmp_path_factory.mktemp("drift")
    labels = [name for name in CLUSTERS for _ in range(300)]
    shares = {"place": 0.05, "fit": 0.2, "detector": 0.05, "calibration": 0.3, "reference": 0.4}
    fit_atlas(vectors_of(300, seed=0), labels, shares=shares).save(folder / "atlas")
    for name, vectors in {
        "same": vectors_of(60, seed=5),
        "moved": vectors_of(60, seed=6)[:100],
        "away": vectors_of(60, seed=7) + 3,
    }.items():
        mixed = np.random.default_rng(0).permutation(vectors)
        save_file({"vectors": mixed}, folder / f"{name}.safetensors")
        score(
            folder / "atlas", str(folder / f"{name}.safetensors"), folder / name,
            keep_vectors=True, quiet=True,
        )  # fmt: skip
    return folder


@pytest.fixture
def run(capfd, monkeypatch, world):
    monkeypatch.chdir(world)
    nucleate = runner(capfd, monkeypatch)

    def run(*words):
        done = nucleate(*words)
        return done.returncode, done.stdout, done.stderr

    return run


def test_like_the_reference_is_exit_0_and_moved_is_exit_1(run):
    code, out, _ = run("drift", "atlas", "same")
    assert code == 0, out
    assert "180 requests against" in out
    code, out, _ = run("drift", "atlas", "moved")
    assert code == 1
    assert out.startswith("drift (p ")
    assert "shares of clusters moved" in out
    assert "weather" in out


def test_json_and_the_file_hold_the_same_report(run, world):
    code, out, _ = run("drift", "atlas", "away", "--json", "--out", "found", "--per-day", "50")
    assert code == 1
    printed = json.loads(out)
    assert printed == json.loads((world / "found" / "drift.json").read_text())
    assert (printed["kind"], printed["verdict"], printed["method"]) == (
        "drift",
        "drift",
        "one look",
    )
    assert printed["inputs"]["atlas"] == Atlas.load(world / "atlas").version
    run("drift", "atlas", "away", "--out", "elsewhere.json")
    assert json.loads((world / "elsewhere.json").read_text())["verdict"] == "drift"


def test_looks_go_on_from_call_to_call_by_a_state_file(run, world):
    call = ("--looks", "20", "--horizon", "20", "--state", "looks.json", "--json")
    code, out, _ = run("drift", "atlas", "same", *call)
    first = json.loads(out)
    assert (code, first["looks"]["done"], first["method"]) == (0, 9, "scan")
    code, out, _ = run("drift", "atlas", "away", *call)
    second = json.loads(out)
    assert (code, second["looks"]["done"]) == (1, 18)
    assert second["looks"]["first_alarm"] >= 10
    whole = json.loads(run("drift", "atlas", "same", "away", *call[:4], "--json")[1])
    assert whole["looks"] == second["looks"]


def test_anytime_evidence_is_asked_for(run):
    code, out, _ = run("drift", "atlas", "away", "--looks", "20", "--anytime")
    assert code == 1
    assert "evidence" in out


def test_a_table_alone_says_what_it_cannot_see(run, world):
    table = pd.read_csv(world / "moved" / "scores.csv")
    table["time"] = [f"2026-01-{1 + row // 50:02d}T00:00:00" for row in range(len(table))]
    table.to_csv(world / "alone.csv", index=False)
    code, out, _ = run("drift", "atlas", "alone.csv")
    assert code == 1
    assert "vectors were not kept" in out
    assert "expected false alarms a month at this traffic: 1.5" in out


def bad_table(world, name, change):
    table = pd.read_csv(world / "same" / "scores.csv")
    change(table).to_csv(world / name, index=False)
    return name


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop(columns="p"), "has no value for 'p'"),
        (lambda t: t.assign(p=["x", *t.p[1:]]), "has the p 'x'"),
        (lambda t: t.assign(p=[np.nan, *t.p[1:]]), "has no value for 'p'"),
        (lambda t: t.assign(p=t.p + 1), "p has the value"),
        (lambda t: t.assign(cluster="other"), "names the cluster 'other'"),
        (lambda t: t.assign(time="soon"), "has the time 'soon'"),
        (lambda t: t[:0], "has no rows"),
    ],
)
def test_tables_that_are_none_exit_2(run, world, change, says):
    code, _, err = run("drift", "atlas", bad_table(world, "bad.csv", change))
    assert code == 2
    assert says in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere"], "is not there"),
        (["same", "--rate", "0"], "rate is 0.0"),
        (["same", "--rate", "1.5", "--looks", "20"], "rate is 1.5"),
        (["same", "--outside", "nan"], "outside is nan"),
        (["same", "--per-day", "-3"], "per_day is -3"),
        (["same", "--looks", "5"], "size is 5"),
        (["same", "--anytime"], "--anytime is given without --looks"),
        (["same", "--state", "s.json"], "--state is given without --looks"),
        (["same", "--looks", "20", "--state", "same/scores.csv"], "is no state of drift"),
        (["same", "--looks", "20", "--state", "same/scores.json"], "no state of a drift monitor"),
        (["same", "alone2.csv"], "some requests have vectors"),
    ],
)
def test_what_cannot_be_used_exits_2(run, world, words, says):
    bad_table(world, "alone2.csv", lambda table: table)
    code, _, err = run("drift", "atlas", *words)
    assert code == 2
    assert says in err


def test_requests_of_another_atlas_or_of_another_width_exit_2(run, world):
    make_atlas(world / "other", seed=3)
    code, _, err = run("drift", "other", "same")
    assert code == 2
    assert "was scored by the atlas" in err
    wide = world / "wide"
    wide.mkdir(exist_ok=True)
    (wide / "scores.csv").write_bytes((world / "same" / "scores.csv").read_bytes())
    for vectors, says in (
        (np.zeros((180, 7), np.float32), "vectors of width 7"),
        (np.full((180, 12), np.nan, np.float32), "hold NaN"),
        (np.zeros((9, 12), np.float32), "has vectors [9, 12] for 180 rows"),
    ):
        save_file({"vectors": vectors}, wide / "vectors.safetensors")
        code, _, err = run("drift", "atlas", "wide")
        assert code == 2
        assert says in err
    code, _, err = run("drift", "same", "same")
    assert code == 2
    assert "is no atlas" in err

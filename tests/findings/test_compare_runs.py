"""Runs side by side: which are replicates, which setting differs, and what is said of it."""

import json
import shutil

import numpy as np
import pytest

import nucleate as nc
from any_runs import STREAMS, make, prompts_of, quick
from nucleate import BadInput
from nucleate.findings._factor import find_factor

SEEDS = 4


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two learning rates with four seeds each; the high one forms clusters, the low one none."""
    folder = tmp_path_factory.mktemp("runs")
    prompts = prompts_of()
    for lr, rises, accuracy in ((0.001, 6.0, 0.9), (0.0001, 0.5, 0.4)):
        for seed in range(SEEDS):
            path = folder / f"lr{lr}-seed{seed}"
            settings = {"lr": lr, "seed": seed, "output_dir": str(path), "width": 16}
            make(path, prompts, seed=10 * seed + int(rises), rises=rises, accuracy=accuracy,
                 settings=settings, measured=True)  # fmt: skip
    return folder


def runs_of(root, lr="*", seeds=range(SEEDS)):
    return [p for seed in seeds for p in sorted(root.glob(f"lr{lr}-seed{seed}"))]


@pytest.fixture(scope="module")
def whole(root):
    return nc.compare(runs_of(root))


def gap(found, metric, where="last"):
    return next(d for d in found.differences if (d.metric, d.where) == (metric, where))


def test_the_setting_that_differs_is_found_and_seeds_are_replicates(whole):
    assert whole.factor.name == "lr"
    assert whole.factor.settings == ("0.0001", "0.001")
    assert [whole.factor.labels.count(label) for label in whole.factor.settings] == [4, 4]
    assert set(whole.runs["seed"]) == {"0", "1", "2", "3"}


def test_differences_are_those_of_the_means_over_paired_seeds(whole):
    ari = gap(whole, "ARI (task)")
    numbers = whole.numbers[(whole.numbers["metric"] == "ARI (task)")]
    by_seed = numbers.pivot(index="seed", columns="setting", values="value")
    pairs = by_seed["0.001"] - by_seed["0.0001"]
    assert ari.difference == pytest.approx(pairs.mean())
    assert ari.over == "pairs of seeds"
    assert ari.pairs == SEEDS
    assert ari.low < pairs.mean() < ari.high
    assert ari.verdict == "higher"
    assert ari.p <= 0.04
    assert gap(whole, "onset of ARI").verdict == "earlier"
    assert gap(whole, "accuracy", "all").verdict == "higher"


def test_every_number_stands_beside_its_null_and_every_onset_has_an_interval(whole):
    numbers = whole.numbers
    shown = numbers[numbers["metric"].isin(["ARI (task)", "accuracy"])]
    assert shown["null"].notna().all()
    onsets = numbers[(numbers["metric"] == "onset of ARI") & np.isfinite(numbers["value"])]
    assert onsets[["low", "high"]].notna().all().all()
    told = " ".join(whole.words())
    assert "by chance at most" in told
    assert "4 pairs of seeds" in told


def test_three_seeds_a_side_are_said_to_be_too_few(root):
    found = nc.compare(runs_of(root, seeds=range(3)))
    ari = gap(found, "ARI (task)")
    assert ari.verdict == "undecided"
    assert "3 and 3 seeds are too few" in ari.reason
    assert ari.low > 0


def test_one_run_a_side_has_an_interval_over_strings_and_says_nothing_of_seeds(root):
    found = nc.compare(runs_of(root, seeds=[0]))
    ari, accuracy = gap(found, "ARI (task)"), gap(found, "accuracy", "all")
    assert ari.over == accuracy.over == "strings"
    assert ari.low < ari.difference < ari.high + 0.05
    assert accuracy.low < accuracy.difference < accuracy.high
    assert ari.verdict == "one run a side"
    told = " ".join(found.words())
    assert told.count("One seed a side says nothing of other seeds.") == 1
    assert "higher" not in told


def test_runs_that_differ_in_their_seed_alone_are_one_setting(root):
    found = nc.compare(runs_of(root, lr="0.001"))
    assert found.differences == ()
    assert len(found.factor.settings) == 1
    row = found.settings[found.settings["metric"] == "accuracy"].iloc[0]
    assert row["seeds"] == SEEDS
    assert row["low"] < row["value"] < row["high"]
    assert "differ in nothing but their seeds" in found.words()[0]


def test_groups_and_settings_can_be_named(root):
    good, bad = runs_of(root, lr="0.001"), runs_of(root, lr="0.0001")
    named = nc.compare({"bad": bad, "good": good})
    assert named.factor.settings == ("bad", "good")
    assert gap(named, "ARI (task)").verdict == "higher"
    assert nc.compare([*good, *bad], by="lr").factor.labels == ("0.001",) * 4 + ("0.0001",) * 4
    each = nc.compare([good[0], bad[0]], by="run")
    assert set(each.factor.labels) == {good[0].name, bad[0].name}
    with pytest.raises(BadInput, match=r"'l_r'.*did you mean 'lr'"):
        nc.compare([*good, *bad], by="l_r")


def test_other_steps_depths_prompts_and_missing_numbers_are_named(root, tmp_path):
    mine = runs_of(root, lr="0.001", seeds=[0])[0]
    streams = (*STREAMS[:3], "block.2", "final_norm")
    other = make(tmp_path / "deep", prompts_of(answers=False), steps=(0, 4, 16), streams=streams,
                 settings={"lr": 0.1, "seed": 0})  # fmt: skip
    quick(other)
    found = nc.compare([mine, other.path])
    told = " ".join(found.notes)
    assert "end at different steps" in told
    assert "compared at step 4" in told
    assert "2 different prompt sets" in told
    assert "accuracy at all is not compared: deep has none" in told
    assert "2 and 3 blocks" in told
    assert set(found.runs["step"]) == {4}


def test_runs_without_settings_stand_each_for_itself(tmp_path):
    runs = [make(tmp_path / name, seed=k, measured=True) for k, name in enumerate("ab")]
    found = nc.compare(runs)
    assert found.factor.labels == ("a", "b")
    assert "not known which of them are replicates" in " ".join(found.notes)


def test_unmeasured_runs_are_measured_and_those_without_tasks_named(root, tmp_path):
    copy = shutil.copytree(runs_of(root)[0], tmp_path / "copy")
    for path in copy.glob("panel*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    bare = make(tmp_path / "bare", prompts_of(labels=("instruction",)), settings={"lr": 5})
    ticks = []
    found = nc.compare([copy, bare.path], progress=lambda at, total: ticks.append(at))
    assert ticks
    assert (copy / "panel.csv").exists()
    assert "bare: nothing is measured of it: the prompts have no label 'task'" in " ".join(
        found.notes
    )


def test_json_has_no_nan_and_says_the_same(whole):
    said = json.loads(whole.to_json(), parse_constant=pytest.fail)
    assert said["words"] == whole.words()
    assert len(said["differences"]) == len(whole.differences)
    assert said["factor"]["name"] == "lr"


@pytest.mark.parametrize(
    ("given", "said"), [((), "nothing to be"), (("lr0.001-seed0",), "nothing to be"),
                        (("lr0.001-seed0",) * 2, "named twice"), (("x", "y"), "no such folder")],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_in_a_sentence(root, given, said):
    with pytest.raises(BadInput, match=said):
        nc.compare([root / name for name in given])


def test_settings_that_change_together_are_one_factor_and_places_are_none():
    def settings(width, heads, seed):
        places = {"output_dir": f"out{seed}", "logging_dir": "x" * seed}
        sizes = {"model.width": width, "model.heads": heads, "parameters": width * 10}
        return {**sizes, **places, "seed": seed, "data_seed": seed}

    found = find_factor([settings(w, w // 8, s) for w in (16, 32) for s in (0, 1)], "abcd", None)
    assert found.name == "model.width"
    assert found.labels == ("16", "16", "32", "32")
    assert found.seeds == ("0", "1", "0", "1")
    assert "model.heads, parameters go together with model.width" in found.notes[0]
    crossed = find_factor([settings(w, h, 0) for w in (16, 32) for h in (2, 4)], "abcd", None)
    assert len(crossed.settings) == 4
    by = find_factor([settings(w, h, 0) for w in (16, 32) for h in (2, 4)], "abcd", "width")
    assert by.settings == ("16", "32")
    assert len(set(by.pairs)) == 2

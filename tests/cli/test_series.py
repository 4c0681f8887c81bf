"""`nucleate series check` as a user meets it."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from in_process import runner
from trained import adam, trained, weights


@pytest.fixture
def nucleate(capfd, monkeypatch):
    return runner(capfd, monkeypatch)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("sound"), {0, 1, 2, 4, 8, 16, 32}, adam)


def test_a_sound_series_leaves_with_0_and_a_table(nucleate, sound, tmp_path):
    done = nucleate("series", "check", sound, "--out", tmp_path / "report.json")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["step", "weights", "norm", "moved", "flags"]
    assert [line.split()[0] for line in lines[1:-2]] == ["0", "1", "2", "4", "8", "16", "32"]
    assert lines[-1] == "7 checkpoints, nothing wrong"
    assert lines[-2].startswith("note: no tokenizer stands beside")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["ok"] is True
    assert report["checkpoints"][3]["sha256"].startswith(lines[4].split()[1])
    assert report["checkpoints"][3]["tensors"].keys() == load_file(weights(sound, 4)).keys()
    assert "weights read, MiB: 1/1, took" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_a_flagged_series_leaves_with_1_and_a_sentence_a_flag(nucleate, sound, tmp_path):
    folder = shutil.copytree(sound, tmp_path / "series")
    shutil.copy(weights(folder, 0), weights(folder, 1))
    done = nucleate("series", "check", "--quiet", folder)
    assert done.returncode == 1
    assert done.stderr == ""
    assert "duplicate: steps 0 and 1 hold the same weights, bit for bit" in done.stdout
    table = {line.split()[0]: line for line in done.stdout.splitlines()[1:8]}
    assert [step for step, line in table.items() if line.endswith("duplicate")] == ["0", "1"]
    listed = [folder / f"checkpoint-{step}" for step in (2, 1, 0)]
    done = nucleate("series", "check", "--quiet", "--json", *listed)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert [one["step"] for one in report["checkpoints"]] == [0, 1, 2]
    assert [flag["kind"] for flag in report["flags"]] == ["duplicate"]


def test_stages_are_shown_by_name_and_what_is_left_out_is_said(nucleate, sound, tmp_path):
    for old, new in ((8, "stage1-step8"), (16, "stage1-step16"), (32, "stage2-step4")):
        shutil.copytree(sound / f"checkpoint-{old}", tmp_path / new)
    shutil.copytree(sound / "checkpoint-32", tmp_path / "final")
    done = nucleate("series", "check", "--quiet", tmp_path)
    assert done.returncode == 0, done.stdout
    table = [line.split() for line in done.stdout.splitlines()[:4]]
    assert [line[:2] for line in table] == [
        ["step", "name"], ["8", "stage1-step8"], ["16", "stage1-step16"], ["20", "stage2-step4"],
    ]  # fmt: skip
    assert done.stderr == (
        f"nucleate: final in {tmp_path} left out of the series, since no step can be told: name "
        "the folder like checkpoint-500\n"
    )


def test_bad_input_leaves_with_2_and_one_sentence(nucleate, sound, tmp_path):
    broken = shutil.copytree(sound, tmp_path / "broken")
    weights(broken, 8).write_bytes(weights(broken, 8).read_bytes()[:1000])
    pickled = shutil.copytree(sound, tmp_path / "pickled")
    tensors = load_file(weights(pickled, 4))
    weights(pickled, 4).unlink()
    torch.save(tensors, pickled / "checkpoint-4" / "pytorch_model.bin")
    for arguments, sentence in [
        ([broken / "checkpoint-8"], "checkpoint-8/model.safetensors is damaged"),
        ([tmp_path / "nowhere"], "nowhere"),
        ([tmp_path], "holds no checkpoints"),
        (["some/model@step1"], "some/model@step1 is no folder here"),
    ]:
        done = nucleate("series", "check", "--quiet", *arguments)
        assert done.returncode == 2, done.stderr
        assert sentence in done.stderr
        assert done.stderr.startswith("nucleate: ")
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
    for folder, sentence in [
        (broken, "checkpoint-8/model.safetensors is damaged"),
        (pickled, "checkpoint-4 holds its weights as a pickle only (pytorch_model.bin)"),
    ]:
        done = nucleate("series", "check", "--quiet", folder)
        assert done.returncode == 1
        assert f"unreadable: {folder}/{sentence}" in done.stdout
        table = [line.split() for line in done.stdout.splitlines()[1:8]]
        assert [line[0] for line in table if line[-1] == "unreadable"] == [sentence[11]]
        assert sum(line[1] == "-" for line in table) == 1
    assert nucleate("series", "check", "--quiet", "--allow-pickle", pickled).returncode == 0

"""Which folder a study takes: one a configuration, found again by the same command."""

import json

import pytest

from nucleate import BadInput
from nucleate.studies import check_settings, default_folder, resolve


def folder_of(*settings: str, preset="smoke", **options):
    return default_folder(preset, resolve(preset, settings=settings, **options))


def leave_run(folder, config, outputs="own"):
    run = folder / outputs
    run.mkdir(parents=True)
    manifest = {"schema_version": 2, "config": config.resolved(outputs)}
    (run / "manifest.json").write_text(json.dumps(manifest))


def test_settings_that_differ_take_a_folder_of_their_own_and_find_it_again(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    plain, wide = folder_of(), folder_of("model.width=64")
    assert plain.name == "synthetic-smoke-seed0"
    assert wide.name == "synthetic-smoke-seed0-width-64"
    assert folder_of("model.width=64") == wide
    assert folder_of("model.width=48") == plain, "a preset's own value is no difference"
    leave_run(plain, resolve("smoke"))
    leave_run(wide, resolve("smoke", settings=["model.width=64"]))
    assert folder_of() == plain
    assert folder_of("model.width=64") == wide
    check_settings(resolve("smoke", settings=["model.width=64"]), wide)


def test_a_folder_that_holds_another_configuration_is_not_taken(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    leave_run(folder_of(), resolve("smoke", settings=["model.width=64"]))
    other = folder_of()
    assert other.name.startswith("synthetic-smoke-seed0-")
    assert folder_of() == other


def test_many_settings_make_a_name_of_bearable_length(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    many = [f"synthetic.{name}" for name in (
        "tasks=5", "families=4", "held_out_families=2", "inputs=3", "strings=65",
        "unseen_strings=3", "output_symbols=13", "stem=.4", "label_noise=.1")]  # fmt: skip
    name = folder_of(*many).name
    assert len(name) < 130
    assert folder_of(*many[:-1], "synthetic.label_noise=.3").name != name


def test_a_file_or_a_run_is_no_folder_for_a_study(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="cannot be written"):
        check_settings(resolve("smoke"), tmp_path / "file")
    leave_run(tmp_path, resolve("smoke"))
    with pytest.raises(BadInput, match="a run itself"):
        check_settings(resolve("smoke"), tmp_path / "own")


@pytest.mark.parametrize(
    ("setting", "said"),
    [("model.arch=lama", "did you mean 'llama'"), ("model.arch=no_such", "no architecture"),
     ("training.device=cdua", "did you mean 'cuda'"), ("training.device=cuda:x", "'cuda:x'")],
)  # fmt: skip
def test_an_architecture_or_device_that_is_none_is_refused_before_the_work(tmp_path, setting, said):
    with pytest.raises(BadInput, match=said):
        check_settings(resolve("smoke", settings=[setting]), tmp_path)


@pytest.mark.parametrize("arch", ["llama", "gpt_neox", "gemma3_text", "qwen2_moe", "nemotron"])
def test_architectures_of_the_installed_transformers_are_let_through(tmp_path, arch):
    check_settings(resolve("smoke", settings=[f"model.arch={arch}"]), tmp_path)

import json

import pytest

from nucleate import BadInput
from nucleate.studies import ReproduceConfig, resolve


def test_settings_weigh_more_than_options_than_the_file_than_the_preset(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("seed: 1\nmodel: {width: 32, depth: 2}\ntraining:\n  steps: 7\n")
    config = resolve("smoke", file=file, settings=["model.depth=5", "seed=3"], seed=2)
    assert (config.model.width, config.model.depth) == (32, 5)
    assert config.training.steps == 7
    assert config.seed == 3
    assert config.training.batch_size == resolve("smoke").training.batch_size


def test_numbers_with_an_exponent_are_numbers():
    assert resolve(settings=["training.learning_rate=3e-4"]).training.learning_rate == 3e-4


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.width", "not of the form key=value"),
        ("model.widht=3", r"no setting is named 'model.widht' \(did you mean 'model.width'\?\)"),
        ("model.width=wide", "'model.width' is 'wide'"),
        ("training.steps=0", "'training.steps' is 0"),
        ("outputs=[both]", "'outputs"),
    ],
)
def test_a_bad_setting_is_refused_by_name_and_value(setting, message):
    with pytest.raises(BadInput, match=message):
        resolve(settings=[setting])


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "\xff"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text):
    file = tmp_path / "c.yaml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput, match=r"c\.yaml"):
        resolve(file=file)


@pytest.mark.parametrize("preset", ["smoke", "default", "large"])
@pytest.mark.parametrize("tasks", ["synthetic", "geo", "some/file.jsonl"])
def test_every_preset_is_a_valid_configuration_that_survives_json(preset, tasks):
    config = resolve(preset, tasks=tasks)
    assert ReproduceConfig.model_validate(json.loads(config.model_dump_json())) == config
    assert config.recording.points >= 30


def test_components_have_seeds_of_their_own():
    config = resolve(seed=5)
    seeds = {config.seed_of(name) for name in ("tasks", "weights", "batches", "prompts")}
    assert len(seeds) == 4
    assert config.seed_of("tasks") == resolve(seed=5).seed_of("tasks")
    assert config.seed_of("tasks") != resolve(seed=6).seed_of("tasks")


@pytest.mark.parametrize(("config", "known"), [
    (resolve(), "86eaea2a7d94e7e7"),
    (resolve("smoke", seed=3), "444c58431beac5b8"),
    (resolve("large", tasks="geo", null="scrambled"), "0c9f73c9250f324d"),
])  # fmt: skip
def test_runs_of_earlier_versions_keep_the_hash_under_which_they_are_known(config, known):
    assert config.content_hash().startswith(known)


@pytest.mark.parametrize("setting", [
    "training.optimizer=muon", "training.momentum=0.5", "training.hard_negatives=0.5",
    "training.curriculum=short", "training.curriculum_until=0.3", "synthetic.key_at=early",
    "training.schedule=wsd",
])  # fmt: skip
def test_a_setting_that_is_set_makes_another_run(setting):
    assert resolve(settings=[setting]).content_hash() != resolve().content_hash()

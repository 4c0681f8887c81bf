import enum
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nucleate import Run
from nucleate.runs._hyperparameters import flat_settings
from small import material


class Kind(enum.Enum):
    LINEAR = "linear"


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", material()[2], {"name": "a", "config": {"a": {"b": 1}}})


def test_settings_become_one_flat_mapping_of_json_values():
    given = {
        "lr": 1e-3, "kind": Kind.LINEAR, "out": Path("a/b"), "betas": (0.9, np.float32(0.5)),
        "nested": {"deep": {1: torch.tensor(3)}}, "dtype": torch.bfloat16, "cls": dict,
        "names": {"b", "a"}, "nothing": None, "flag": True, "inf": float("inf"),
        "object": object(), "call": flat_settings,
    }  # fmt: skip
    flat = flat_settings(given)
    assert json.loads(json.dumps(flat, allow_nan=False)) == flat
    assert flat == {
        "lr": 1e-3, "kind": "linear", "out": "a/b", "betas": [0.9, 0.5], "nested.deep.1": 3,
        "dtype": "torch.bfloat16", "cls": "dict", "names": ["a", "b"], "nothing": None,
        "flag": True, "inf": "inf", "object": "object", "call": "flat_settings",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["hub_token", "token", "push_to_hub_token", "wandb.api_key", "password", "client_secret",
     "auth_token", "aws_secret_access_key"],
)  # fmt: skip
def test_no_secret_gets_into_a_manifest_by_its_name(name):
    nested = {"deep": {name: "open sesame"}}
    assert "sesame" not in json.dumps(flat_settings({name: "open sesame", **nested}))


def test_no_secret_gets_into_a_manifest_by_its_value():
    flat = flat_settings(
        {"note": "hf_abcdefghijklmnopqrst", "url": "https://me:pw@host/x", "eos_token": "</s>",
         "num_tokens": 5}
    )  # fmt: skip
    assert flat == {"url": "https://host/x", "eos_token": "</s>", "num_tokens": 5}


def test_hyperparameters_stand_in_the_manifest_and_changes_in_the_journal(run):
    assert run.hyperparameters == {"a.b": 1}
    run.save_hyperparameters({"lr": 0.1, "seed": 1})
    run.save_hyperparameters({"lr": 0.1, "seed": 1})
    assert not list(run.journal.live("event"))
    run.save_hyperparameters({"lr": 0.2, "decay": 0.0})
    again = Run(run.path)
    assert again.hyperparameters == run.hyperparameters == {"a.b": 1, "lr": 0.2, "decay": 0.0}
    assert again.manifest == run.manifest
    [event] = again.journal.live("event")
    assert event["changed"] == {"lr": [0.1, 0.2], "seed": [1, None], "decay": [None, 0.0]}

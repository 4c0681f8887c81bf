"""An atlas of a model: what is read where, what belongs together, and whose it is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid

import requests_of
from nucleate._core.errors import BadInput
from nucleate.activations import capture
from nucleate.monitor.atlas import (
    fingerprints_of,
    fit_model_atlas,
    read_vectors,
    request_texts,
    text_hash,
)
from nucleate.monitor.atlas._model import units_of, weights_hash
from nucleate.monitor.atlas._place import Places
from nucleate.prompts import PromptSet
from nucleate.runs import States
from small import material, model

POSITIONS = ("mean", "last")


@pytest.fixture(scope="module")
def read():
    prompts = PromptSet.from_records(
        requests_of.rows(), requests_of.tokenizer(), positions=POSITIONS
    )
    network = requests_of.model()
    return network, prompts, fit_model_atlas(network, prompts)


def test_vectors_are_the_models_states_at_the_chosen_place(read):
    network, prompts, atlas = read
    few = prompts.take(np.arange(40))
    wanted = capture(network, few).at(atlas.stream, atlas.position).numpy()
    assert np.allclose(read_vectors(atlas, network, few), wanted, atol=1e-5)


def test_the_mean_over_the_words_tells_more_than_the_last_word(read):
    _, _, atlas = read
    assert atlas.position == "mean"
    assert set(atlas.settings["place"]["accuracy"]) == {
        f"{s} @ {p}" for s in ("embed", "block.0", "block.1", "final_norm") for p in POSITIONS
    }


def test_places_are_judged_as_by_scikit_learns_nearest_centroid():
    rng = np.random.default_rng(0)
    code = np.repeat(np.arange(4), 30)
    values = rng.normal(size=(2, 1, 120, 6)) + rng.normal(size=(4, 6))[code]
    states = States(torch.from_numpy(values).float(), ("embed", "block.0"), ("last",))
    fit, own = np.arange(0, 120, 2), np.arange(1, 120, 2)

    def rows(chosen):
        return States(states.values[:, :, chosen], states.streams, states.positions)

    table = Places(4)
    table.fit(rows(fit[:30]), code[fit[:30]])
    table.fit(rows(fit[30:]), code[fit[30:]])
    table.judge(rows(own), code[own])
    accuracy = table.best()[2]["accuracy"]
    for k, name in enumerate(states.streams):
        x = values[k, 0].astype(np.float32)
        means = np.array([x[fit][code[fit] == c].mean(0) for c in range(4)])
        spread = np.square(x[fit] - means[code[fit]]).mean(0) ** 0.5
        oracle = NearestCentroid().fit(x[fit] / spread, code[fit])
        assert accuracy[f"{name} @ last"] == (oracle.predict(x[own] / spread) == code[own]).mean()


def test_a_place_that_is_not_finite_is_not_chosen():
    values = torch.ones(2, 1, 4, 3)
    values[1] = torch.nan
    states = States(values, ("embed", "block.0"), ("last",))
    table = Places(2)
    table.fit(states, np.array([0, 0, 1, 1]))
    table.judge(states, np.array([0, 0, 1, 1]))
    assert table.best()[0] == "embed"


def test_another_models_states_and_another_tokenizers_tokens_are_refused(read):
    _, prompts, atlas = read
    few = prompts.take(np.arange(3))
    with pytest.raises(BadInput, match="the model is another one"):
        read_vectors(atlas, requests_of.model(1), few)
    with pytest.raises(BadInput, match="the tokenizer is another one"):
        read_vectors(atlas, requests_of.model(), replace(few, tokenizer_hash="f" * 64))
    rows = requests_of.rows(each=2)
    other = PromptSet.from_records(rows, requests_of.tokenizer(), positions="last")
    with pytest.raises(BadInput, match="the atlas reads mean"):
        read_vectors(atlas, requests_of.model(), other)


def test_one_changed_weight_is_another_model():
    network = requests_of.model()
    before = weights_hash(network)
    assert weights_hash(requests_of.model()) == before
    with torch.no_grad():
        network.lm_head.weight[0, 0] += 1e-3
    assert weights_hash(network) != before
    assert weights_hash(requests_of.model().half()) != before


def test_the_template_is_one_of_the_fingerprints():
    network, prompts = model(), material()[2]
    found = fingerprints_of(network, prompts, "{instruction} {input}")
    assert found["template"] == "{instruction} {input}"
    assert found["tokenizer"] == prompts.tokenizer_hash


def test_rows_of_one_instruction_are_in_one_split_and_trained_ones_are_never_held_out():
    prompts = material()[2]
    units = units_of(prompts)
    homes = dict(zip(request_texts(prompts), units, strict=True))
    assert len(set(units)) == len(set(prompts.labels["instruction"]))
    assert len(homes) > len(set(units))


def test_rows_that_the_split_column_calls_trained_are_fitted_to():
    rows = requests_of.rows()
    for number, row in enumerate(rows):
        row["split"] = "train" if number % 2 else "valid"
    prompts = PromptSet.from_records(rows, requests_of.tokenizer(), positions=POSITIONS)
    atlas = fit_model_atlas(requests_of.model(), prompts)
    seen = {text_hash(row["text"]) for row in rows if row["split"] == "train"}
    assert not seen & set(atlas.reference.hashes)
    assert atlas.settings["rows"]["fit"] == len(rows) / 2
    assert atlas.settings["trained_texts"] == len(seen)


def test_a_column_that_is_not_there_is_refused():
    prompts = PromptSet.from_records(
        requests_of.rows(each=2), requests_of.tokenizer(), positions="last"
    )
    with pytest.raises(BadInput, match="no column 'intent'"):
        fit_model_atlas(requests_of.model(), prompts, label="intent")

"""Texts, read by a tiny model in the process of the service."""

import itertools

import numpy as np
import pytest

import doc_world
from nucleate._core.errors import BadInput
from nucleate.monitor.atlas import Atlas, fit_model_atlas, text_hash
from nucleate.monitor.service import Limits, ModelReader, Service, Sources
from nucleate.prompts import PromptSet
from served_atlas import client_of

WORDS = ("sky", "grass", "coal", "snow")


def records():
    parts = itertools.product(
        ("name", "give", "tell", "say", "write"), ("the", "its"), ("color", "size", "place"),
        WORDS, WORDS,
    )  # fmt: skip
    return [
        {"text": f"{verb} {the} {task} of {one} {other}", "task": task}
        for verb, the, task, one, other in parts
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Model, tokenizer and the folder of their atlas."""
    folder = tmp_path_factory.mktemp("texts") / "atlas"
    words = doc_world.tokenizer()
    model = doc_world.model(len(words))
    prompts = PromptSet.from_records(records(), words, positions=["last", "mean"])
    fit_model_atlas(model, prompts).save(folder)
    return model, words, folder


def test_texts_are_scored_as_their_states_are(made):
    model, words, folder = made
    service = Service(Sources(folder), reader=ModelReader(model, words))
    texts = [record["text"] for record in records()[:7]]
    with client_of(service) as client:
        body = {"rows": [{"text": text} for text in texts]}
        said = client.post("/v1/score", json=body).json()["rows"]
        schema = client.get("/openapi.json").json()["components"]["schemas"]["Rows"]
    atlas = Atlas.load(folder)
    prompts = PromptSet.from_records(records()[:7], words, positions=[atlas.position])
    from nucleate.monitor.atlas import read_vectors

    scores = atlas.score(read_vectors(atlas, model, prompts), texts)
    assert [row["cluster"] for row in said] == [atlas.clusters[k] for k in scores.cluster]
    assert np.allclose([row["p"] for row in said], scores.p)
    assert all(row["p_surface"] is not None for row in said)
    assert [row["request"] for row in said] == [text_hash(text) for text in texts]
    assert len(schema["properties"]["rows"]["anyOf"]) == 3


def test_texts_that_the_model_cannot_read_are_refused(made):
    model, words, folder = made
    service = Service(Sources(folder), limits=Limits(text=100), reader=ModelReader(model, words))
    with client_of(service) as client:
        for text in ("sky " * 80, "x" * 101, "\u3000"):
            said = client.post("/v1/score", json={"rows": [{"text": text}]})
            assert said.status_code == 422, text
            assert "error" in said.json()


def test_an_atlas_of_another_model_or_tokenizer_is_refused(made):
    model, words, folder = made
    import torch

    changed = doc_world.model(len(words))
    with torch.no_grad():
        next(changed.parameters())[0] += 1
    with pytest.raises(BadInput, match="model is another"):
        Service(Sources(folder), reader=ModelReader(changed, words))
    more = doc_world.tokenizer()
    more.add_tokens(["another"])
    with pytest.raises(BadInput, match="tokenizer is another"):
        Service(Sources(folder), reader=ModelReader(model, more))
    with pytest.raises(BadInput, match="no tokenizer"):
        ModelReader(model, None)

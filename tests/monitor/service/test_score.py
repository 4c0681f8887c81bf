"""What is answered to bodies of score requests, good and bad."""

import json

import numpy as np
import pytest

from nucleate.monitor.atlas import Atlas
from nucleate.monitor.service import Limits
from served_atlas import CLUSTERS, WIDTH, client_of, listed, packed, service_of, vectors_of

ROW = [0.5] * WIDTH


def score(client, **request):
    return client.post("/v1/score", **request)


@pytest.mark.parametrize("body", [listed, packed])
def test_answers_are_the_scores_of_the_atlas(client, atlas_folder, body):
    atlas = Atlas.load(atlas_folder)
    vectors = np.concatenate([vectors_of(3, seed=5), 100 + vectors_of(1, seed=6)])
    said = score(client, **body(vectors)).json()
    scores = atlas.score(vectors)
    assert said["atlas"] == atlas.version
    assert [row["cluster"] for row in said["rows"]] == [atlas.clusters[k] for k in scores.cluster]
    assert [row["outside"] for row in said["rows"]] == scores.outside(0.05).tolist()
    assert all(row["outside"] for row in said["rows"][-3:])
    for name in ("p", "probability", "margin"):
        assert np.allclose([row[name] for row in said["rows"]], getattr(scores, name), rtol=1e-5)
    assert [row["nearest"] for row in said["rows"]] == scores.nearest.tolist()


def test_a_batch_that_a_thread_scores_is_scored_as_row_by_row(client):
    vectors = vectors_of(500, seed=8)  # 72 kB
    whole = score(client, **packed(vectors)).json()["rows"]
    rows = [score(client, **packed(vectors[[k]])).json()["rows"][0] for k in range(0, 1500, 250)]
    assert [row["cluster"] for row in whole[::250]] == [row["cluster"] for row in rows]
    assert np.allclose([r["p"] for r in whole[::250]], [r["p"] for r in rows])


def test_texts_come_back_as_hashes_only(client):
    said = score(client, **listed(vectors_of(1, seed=5), ["my name is Ann"] * 3)).text
    assert '"request":"' in said
    assert "Ann" not in said


BAD = {
    "no json": (b"{", 400),
    "a lone surrogate": (b'{"rows": [{"vector": [], "text": "\\ud800"}]}', 400),
    "nothing": (b"", 400),
    "a NaN": (b'{"rows": [{"vector": [NaN]}]}', 400),
    "deep nesting": (b"[" * 100_000, 400),
    "not utf-8": (b'{"rows": "\xff"}', 400),
    "a list": ([], 422),
    "another field": ({"rows": [{"vector": ROW}], "rate": 1}, 422),
    "no rows": ({"rows": []}, 422),
    "rows that are none": ({"rows": {"vector": ROW}}, 422),
    "a row that is none": ({"rows": [ROW]}, 422),
    "unlike rows": ({"rows": [{"vector": ROW}, {"vector": ROW, "text": "x"}]}, 422),
    "an unknown field": ({"rows": [{"vector": ROW, "label": "x"}]}, 422),
    "too narrow": ({"rows": [{"vector": ROW[1:]}]}, 422),
    "too wide": ({"rows": [{"vector": [*ROW, 0]}]}, 422),
    "ragged": ({"rows": [{"vector": ROW}, {"vector": ROW[1:]}]}, 422),
    "words for numbers": ({"rows": [{"vector": ["1.5"] * WIDTH}]}, 422),
    "truth for numbers": ({"rows": [{"vector": [True] * WIDTH}]}, 422),
    "null for numbers": ({"rows": [{"vector": [None] * WIDTH}]}, 422),
    "lists for numbers": ({"rows": [{"vector": [ROW] * WIDTH}]}, 422),
    "too large numbers": ({"rows": [{"vector": [1e300] * WIDTH}]}, 422),
    "whole numbers past 64 bits": ({"rows": [{"vector": [10**30] * WIDTH}]}, 422),
    "a vector that is none": ({"rows": [{"vector": "x"}]}, 422),
    "an empty text": ({"rows": [{"vector": ROW, "text": ""}]}, 422),
    "a blank text": ({"rows": [{"vector": ROW, "text": " \n"}]}, 422),
    "a text that is none": ({"rows": [{"vector": ROW, "text": 3}]}, 422),
    "a long text": ({"rows": [{"vector": ROW, "text": "x" * 20_001}]}, 422),
    "10 MB of text": ({"rows": [{"vector": ROW, "text": "x" * 10_000_000}]}, 413),
    "text without a model": ({"rows": [{"text": "hello"}]}, 422),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_body_is_refused_in_one_sentence(client, name):
    given, status = BAD[name]
    data = given if isinstance(given, bytes) else json.dumps(given).encode()
    said = score(client, content=data, headers={"content-type": "application/json"})
    assert said.status_code == status
    assert set(said.json()) == {"error"}
    sentence = said.json()["error"]
    assert 10 < len(sentence) < 250
    assert "\n" not in sentence


def test_numbers_that_are_not_finite_are_refused_by_row(client):
    vectors = vectors_of(2, seed=1)
    vectors[4, 3] = np.nan
    said = score(client, **packed(vectors))
    assert said.status_code == 422
    assert "rows[4]" in said.json()["error"]
    vectors[4, 3] = -np.inf
    assert score(client, **packed(vectors)).status_code == 422


@pytest.mark.parametrize("width", [None, "0", "-12", "13", "x" * 10_000, "12.0"])
def test_packed_bodies_of_another_width_are_refused(client, width):
    headers = {"content-type": "application/octet-stream"}
    headers |= {} if width is None else {"x-nucleate-width": width}
    said = score(client, content=bytes(4 * WIDTH), headers=headers)
    assert said.status_code == 422
    assert str(WIDTH) in said.json()["error"]


@pytest.mark.parametrize("size", [0, 1, 4 * WIDTH - 1, 4 * WIDTH + 4])
def test_packed_bodies_of_parts_of_rows_are_refused(client, size):
    body = packed(vectors_of(1, seed=0))
    assert score(client, **body | {"content": bytes(size)}).status_code == 422


@pytest.mark.parametrize("kind", ["", "text/plain", "application/xml", "multipart/form-data"])
def test_other_content_types_are_refused(client, kind):
    assert score(client, content=b"x", headers={"content-type": kind}).status_code == 415


def test_a_json_body_may_name_its_charset(client):
    body = json.dumps({"rows": [{"vector": ROW}]}).encode()
    kind = "Application/JSON; charset=utf-8"
    assert score(client, content=body, headers={"content-type": kind}).status_code == 200


def test_limits_of_rows_bytes_and_requests_hold(atlas_folder):
    limits = Limits(rows=5, body=5 * 4 * WIDTH, at_once=1)
    service = service_of(atlas_folder, limits=limits)
    with client_of(service) as client:
        assert score(client, **packed(vectors_of(2, seed=0)[:5])).status_code == 200
        assert score(client, **packed(vectors_of(2, seed=0))).status_code == 413
        with service.admitted():
            busy = score(client, **packed(vectors_of(1, seed=0)))
        assert busy.status_code == 429
        assert busy.headers["retry-after"] == "1"
        assert score(client, **packed(vectors_of(1, seed=0))).status_code == 200
    few = service_of(atlas_folder, limits=Limits(rows=5))
    with client_of(few) as client:
        assert score(client, **packed(vectors_of(2, seed=0))).status_code == 422


def test_head_options_and_unknown_paths(client):
    head, get = client.head("/healthz"), client.get("/healthz")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(get.content))
    for method, path in (("OPTIONS", "/v1/score"), ("GET", "/v1/score"), ("DELETE", "/healthz")):
        said = client.request(method, path)
        assert said.status_code == 405
        assert said.headers["allow"] in ("GET", "POST")
    for path in ("/", "/v1", "/docs", "/v1/score/x", "/%00", "/../etc/passwd"):
        assert client.get(path).status_code == 404, path


def test_a_service_without_drift_or_gate_says_so(client):
    assert client.get("/v1/drift").json()["verdict"] == "off"
    said = client.get("/v1/gate")
    assert said.status_code == 404
    assert "--gate" in said.json()["error"]


def test_clusters_are_those_of_the_rows(client):
    said = score(client, **packed(vectors_of(10, seed=3))).json()["rows"]
    assert [row["cluster"] for row in said] == [name for name in CLUSTERS for _ in range(10)]

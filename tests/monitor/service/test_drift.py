"""Rows on their way to the drift monitor, in a process of its own."""

import json
import time

import numpy as np
import pytest

from nucleate._core.errors import BadInput
from nucleate.monitor.service import DriftFeed, Watching
from served_atlas import client_of, make_atlas, packed, service_of, vectors_of

SMALL = Watching(look=30, horizon=20)


def made(how=SMALL):
    return lambda atlas, file, metrics: DriftFeed(atlas, file, metrics, how)


def mixed(per_cluster, seed):
    """Rows of all clusters in random order, as traffic has them."""
    vectors = vectors_of(per_cluster, seed=seed)
    return vectors[np.random.default_rng(seed).permutation(len(vectors))]


def looks(client, wanted, seconds=100.0):
    """The report once it has so many looks."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        said = client.get("/v1/drift").json()
        if (said.get("looks") or {}).get("done", 0) >= wanted or said["verdict"] == "failed":
            return said
        time.sleep(0.05)
    raise AssertionError(f"no {wanted} looks in {seconds} s: {said}")


@pytest.mark.slow
def test_moved_rows_are_drift_and_the_state_outlives_the_service(tmp_path):
    make_atlas(tmp_path / "a", per_cluster=600)
    file = tmp_path / "drift.json"
    with client_of(service_of(tmp_path / "a", drift_state=file, feed=made())) as client:
        assert client.get("/v1/drift").json()["verdict"] == "too few"
        client.post("/v1/score", **packed(mixed(100, seed=100)))
        quiet = looks(client, 10)
        assert quiet["verdict"] in ("no drift seen", "undecided")
        assert quiet["false_alarms_a_month"] > 0
    assert json.loads(file.read_bytes())["kind"] == "drift state"
    with client_of(service_of(tmp_path / "a", drift_state=file, feed=made())) as client:
        kept = client.get("/v1/drift").json()
        assert kept["looks"]["done"] == 10
        client.post("/v1/score", **packed(mixed(50, seed=200) + 3))
        moved = looks(client, 15)
        assert moved["verdict"] == "drift"
        assert 'nucleate_drift_state{state="drift"} 1.0' in client.get("/metrics").text
        make_atlas(tmp_path / "a", per_cluster=600, seed=1)
    with client_of(service_of(tmp_path / "a", drift_state=file, feed=made())) as client:
        assert client.get("/v1/drift").json()["verdict"] == "too few"
    assert len(list(tmp_path.glob("drift.json.*"))) == 1  # that of the other atlas, put aside


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"reference": 3}'])
def test_what_is_no_drift_state_is_refused_at_the_start_or_put_aside(
    atlas_folder, tmp_path, content
):
    from nucleate.monitor.atlas import Atlas
    from nucleate.monitor.service._watcher import _read_state

    file = tmp_path / "drift.json"
    file.write_bytes(content)
    reference = Atlas.load(atlas_folder).version
    if b"reference" in content:
        assert _read_state(file, reference) is None
        assert not file.exists()
    else:
        with pytest.raises(BadInput, match=r"drift\.json"):
            _read_state(file, reference)


@pytest.mark.slow
def test_a_state_that_cannot_be_read_stops_the_start(atlas_folder, tmp_path):
    (tmp_path / "drift.json").write_bytes(b"{")
    with pytest.raises(BadInput, match="drift state"):
        service_of(atlas_folder, drift_state=tmp_path / "drift.json", feed=made())


def test_a_watcher_that_dies_is_told_and_requests_are_answered(atlas_folder):
    service = service_of(atlas_folder, feed=made())
    with client_of(service) as client:
        service.held.feed._process.kill()
        body = packed(np.tile(vectors_of(10, seed=3), (5, 1)))
        assert client.post("/v1/score", **body).status_code == 200
        assert looks(client, 1)["verdict"] == "failed"
        assert client.post("/v1/score", **body).status_code == 200
        text = client.get("/metrics").text
    assert 'nucleate_drift_state{state="failed"} 1.0' in text
    assert "nucleate_drift_rows_left_out_total 150.0" in text

"""What Prometheus reads: right numbers, bounded series, names of any kind."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from nucleate.monitor.service import Token
from nucleate.monitor.service._metrics import label_names
from served_atlas import TOKEN, client_of, make_atlas, packed, service_of, vectors_of

HOSTILE = (
    'x"} 1\nnucleate_ready 0\n#', "back\\slash\ttab", "plain", "\u202eturned", "", "é" * 5_000,
    "same", "\x00 nul", "{{7*7}} ${x} `x`", "É" + "é" * 4_999,
)  # fmt: skip


def numbers(text):
    """Values by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_rows_are_counted_by_cluster_and_outside(client):
    vectors = np.concatenate([vectors_of(10, seed=3)[:25], 50 + vectors_of(1, seed=4)])
    rows = client.post("/v1/score", **packed(vectors)).json()["rows"]
    found = numbers(client.get("/metrics").text)
    by_cluster = {labels[0][1]: value for (name, labels), value in found.items()
                  if name == "nucleate_rows_total"}  # fmt: skip
    named = [row["cluster"] for row in rows]
    assert by_cluster == {name: named.count(name) for name in ("book", "cancel", "weather")}
    assert found["nucleate_rows_outside_total", ()] == sum(row["outside"] for row in rows) >= 3
    for edge in ("0.05", "0.5", "1.0", "+Inf"):
        below = sum(row["p"] <= float(edge) for row in rows)
        assert found["nucleate_row_p_bucket", (("le", edge),)] == below
    assert found["nucleate_row_p_sum", ()] == pytest.approx(sum(row["p"] for row in rows))


def test_requests_are_counted_by_route_and_status(client):
    client.post("/v1/score", **packed(vectors_of(1, seed=0)))
    client.post("/v1/score", content=b"x")
    client.get("/somewhere/else")
    client.request("BREW", "/healthz")
    found = numbers(client.get("/metrics").text)
    for route, status in (("/v1/score", "200"), ("/v1/score", "415"), ("other", "404"),
                          ("/healthz", "405")):  # fmt: skip
        assert found["nucleate_requests_total", (("route", route), ("status", status))] == 1
    assert found["nucleate_request_seconds_count", (("route", "/v1/score"),)] == 2
    assert found["nucleate_requests_in_flight", ()] == 0


def test_names_of_any_kind_stay_values_of_labels(tmp_path):
    """Names come from data: none may end a line, add a series of its own, or fail to encode."""
    clusters = HOSTILE[:2] + HOSTILE[7:8]
    make_atlas(tmp_path / "a", names=clusters)
    with client_of(service_of(tmp_path / "a")) as client:
        rows = client.post("/v1/score", **packed(vectors_of(2, seed=3))).json()["rows"]
        found = numbers(client.get("/metrics").text)
    shown = {labels[0][1] for name, labels in found if name == "nucleate_rows_total"}
    assert shown == {row["cluster"] for row in rows}
    assert set(clusters) == shown
    assert found["nucleate_ready", ()] == 1


@pytest.mark.parametrize("names", [HOSTILE[3:6], ("é" * 5_000, HOSTILE[9], "é" * 4_999 + "x")])
def test_long_and_odd_names_are_cut_and_stay_apart(tmp_path, names):
    make_atlas(tmp_path / "a", names=names)
    with client_of(service_of(tmp_path / "a")) as client:
        text = client.get("/metrics").text
    shown = [labels[0][1] for name, labels in numbers(text) if name == "nucleate_rows_total"]
    assert len(shown) == len(set(shown)) == 3
    assert max(map(len, shown)) < 120


def test_names_that_cannot_be_encoded_are_written_out():
    assert label_names(["\ud800 lone", "a", "a"]) == ("\\ud800 lone", "a #1", "a #2")


def test_series_do_not_grow_with_requests_or_reloads(atlas_folder, tmp_path):
    folder = shutil.copytree(atlas_folder, tmp_path / "atlas")
    with client_of(service_of(folder), token=Token(TOKEN)) as client:
        client.headers["authorization"] = f"Bearer {TOKEN}"

        def everything():
            client.post("/v1/reload")
            for k in range(20):
                client.get(f"/{k}")
                client.request(f"M{k}", f"/v1/{k}?x={k}")
                client.post("/v1/score", **packed(k * vectors_of(1, seed=k)))
            return len(client.get("/metrics").text.splitlines())

        everything()
        before = everything()
        for names in (("a", "b", "c"), ("d", "e", "f")):
            make_atlas(folder, names=names)
            assert client.post("/v1/reload").status_code == 200
        assert everything() == before
        text = client.get("/metrics").text
    assert 'cluster="a"' not in text
    assert 'cluster="d"' in text


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_wrong_with_the_metrics(client):
    client.post("/v1/score", **packed(vectors_of(3, seed=0)))
    text = client.get("/metrics").text
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    assert not [line for line in said if re.search(r"^nucleate_", line)], said

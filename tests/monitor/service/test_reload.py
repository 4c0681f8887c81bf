"""A new atlas, whole or broken, while requests are under way."""

import json
import shutil
import threading

import numpy as np
import pytest

from nucleate._core.errors import BadInput
from nucleate.monitor.atlas import Atlas
from nucleate.monitor.service import Service, Sources, Token
from served_atlas import TOKEN, client_of, make_atlas, packed, service_of, vectors_of

ALLOWED = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def folder(atlas_folder, tmp_path):
    return shutil.copytree(atlas_folder, tmp_path / "atlas")


@pytest.fixture
def client(folder):
    with client_of(service_of(folder), token=Token(TOKEN)) as client:
        client.headers.update(ALLOWED)
        yield client


def reload(client):
    return client.post("/v1/reload")


def test_a_new_atlas_answers_from_the_next_request_on(client, folder):
    before = Atlas.load(folder).version
    after = make_atlas(folder, seed=1).version
    assert after != before
    assert client.get("/readyz").json()["atlas"] == before
    assert reload(client).json() == {"atlas": after, "before": before}
    assert client.post("/v1/score", **packed(vectors_of(1, seed=0))).json()["atlas"] == after
    text = client.get("/metrics").text
    assert f'version="{after}"' in text
    assert f'version="{before}"' not in text
    assert 'nucleate_reloads_total{outcome="swapped"} 1.0' in text


def damage_json(folder):
    (folder / "atlas.json").write_text("{")


def damage_numbers(folder):
    path = folder / "atlas.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def change_a_number(folder):
    path = folder / "atlas.safetensors"
    data = bytearray(path.read_bytes())
    data[-9] ^= 0x40
    path.write_bytes(bytes(data))


def leave_a_field_out(folder):
    path = folder / "atlas.json"
    held = json.loads(path.read_text())
    held.pop("clusters")
    path.write_text(json.dumps(held))


def write_another_kind(folder):
    (folder / "atlas.json").write_text("[1, 2]")


def remove(folder):
    shutil.rmtree(folder)


def widen(folder):
    make_atlas(folder, width=20)


def of_another_model(folder):
    make_atlas(folder, fingerprints={"model": "b" * 64})


BROKEN = [
    damage_json, damage_numbers, change_a_number, leave_a_field_out, write_another_kind, remove,
    widen,
]  # fmt: skip


@pytest.mark.parametrize("breakage", BROKEN)
def test_a_broken_atlas_is_refused_and_the_old_one_stays(client, folder, breakage):
    before = Atlas.load(folder).version
    breakage(folder)
    said = reload(client)
    assert said.status_code == 409
    assert before in said.json()["error"]
    assert client.get("/readyz").status_code == 200
    answered = client.post("/v1/score", **packed(vectors_of(1, seed=0)))
    assert answered.json()["atlas"] == before
    assert 'nucleate_reloads_total{outcome="refused"} 1.0' in client.get("/metrics").text


def test_an_atlas_of_another_model_is_refused(tmp_path):
    make_atlas(tmp_path / "a", fingerprints={"model": "a" * 64})
    with client_of(service_of(tmp_path / "a"), token=Token(TOKEN)) as client:
        client.headers.update(ALLOWED)
        of_another_model(tmp_path / "a")
        said = reload(client)
    assert said.status_code == 409
    assert "of another model" in said.json()["error"]


def test_what_cannot_be_loaded_is_refused_at_the_start(folder):
    damage_numbers(folder)
    with pytest.raises(BadInput):
        Service(Sources(folder))


def test_no_request_is_lost_while_atlases_are_swapped(client, folder):
    before = Atlas.load(folder).version
    after = make_atlas(folder, seed=1).version
    body, answers, done = packed(vectors_of(2, seed=0)), [], threading.Event()

    def ask():
        while not done.is_set():
            answers.append(client.post("/v1/score", **body))

    asking = threading.Thread(target=ask)
    asking.start()
    for seed in (1, 0, 1):
        make_atlas(folder, seed=seed)
        assert reload(client).status_code == 200
    done.set()
    asking.join()
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["atlas"] for answer in answers} == {before, after}


def test_reloading_needs_a_token_that_the_service_has(folder):
    with client_of(service_of(folder)) as client:
        said = reload(client)
    assert said.status_code == 403
    assert "SIGHUP" in said.json()["error"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"verdict": "good"}',
        '{"kind": "gate", "verdict": ["pass"]}',
        '{"kind": "drift", "verdict": "pass"}',
        "[" * 100_000,
    ],
)
def test_a_file_that_is_no_gate_report_is_refused(folder, tmp_path, content):
    (tmp_path / "gate.json").write_text(content)
    with pytest.raises(BadInput, match=r"gate\.json"):
        Service(Sources(folder, gate=tmp_path / "gate.json"))


def test_the_gate_is_read_again_and_says_whether_it_is_of_this_atlas(folder, tmp_path):
    file, version = tmp_path / "gate.json", Atlas.load(folder).version
    file.write_text(json.dumps({"kind": "gate", "verdict": "pass", "inputs": {"atlas": version}}))
    with client_of(service_of(folder, gate=file), token=Token(TOKEN)) as client:
        client.headers.update(ALLOWED)
        said = client.get("/v1/gate").json()
        assert (said["report"]["verdict"], said["of_this_atlas"]) == ("pass", True)
        file.write_text(
            json.dumps({"kind": "gate", "verdict": "fail", "inputs": {"atlas": "another"}})
        )
        assert reload(client).status_code == 200
        said = client.get("/v1/gate").json()
        assert (said["report"]["verdict"], said["of_this_atlas"]) == ("fail", False)
        text = client.get("/metrics").text
    assert 'nucleate_gate_verdict{verdict="fail"} 1.0' in text
    assert 'nucleate_gate_verdict{verdict="pass"} 0.0' in text
    assert f'nucleate_gate_of_this_atlas{{version="{version}"}} 0.0' in text


def test_the_plausible_outside_share_is_that_of_simulated_calibrations(folder):
    """Of p values calibrated anew, one calibration in 1,000 has a larger false-alarm rate."""
    held = service_of(folder).held
    rows = len(held.atlas.calibration)
    rng = np.random.default_rng(0)
    k = int(0.05 * (rows + 1))
    realized = np.sort(rng.uniform(size=(20_000, rows)), axis=1)[:, k - 1]
    assert np.mean(realized > held.outside_upper()) == pytest.approx(0.001, abs=0.001)
    assert held.outside_upper() > 0.05

"""The server shows runs, and neither changes nor gives away anything else."""

import asyncio
import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import any_runs
from nucleate._core.errors import BadInput
from nucleate.app import find_runs, make_app
from nucleate.app._events import Events
from nucleate.app._listing import line_of
from nucleate.app._server import _Runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    any_runs.make(folder / "first", measured=True)
    any_runs.make(folder / "deep" / "er" / "second")
    return folder


def _client(folder: Path, **more) -> TestClient:
    return TestClient(make_app([folder], hosts=["testserver"], **more))


def _runs(client: TestClient) -> dict[str, dict]:
    return {run["name"]: run for run in client.get("/api/runs.json").json()["runs"]}


def _bytes(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_runs_are_found_below_a_folder_and_shown_without_changing_a_byte(folder):
    before = _bytes(folder)
    client = _client(folder)
    runs = _runs(client)
    assert set(runs) == {"first", "second"}
    for run in runs.values():
        assert client.get(f"/api/run/{run['id']}/view.json").json()["name"] == run["name"]
        cloud = client.get(f"/api/run/{run['id']}/cloud/block.1/last/tasks.json").json()
        step = cloud["frames"][-1]["step"]
        frame = client.get(f"/api/run/{run['id']}/frames/block.1/last/tasks/{step}.i16")
        assert len(frame.content) == 2 * cloud["rows"] * cloud["k"]
    assert _bytes(folder) == before


@pytest.mark.parametrize(
    "path",
    ["/api/run/{id}/../manifest.json", "/api/run/{id}/%2e%2e%2fmanifest.json",
     "/api/run/{id}/tables/..%2f..%2fmanifest.json", "/api/run/../view.json",
     "/api/run/nobody/view.json", "/manifest.json", "/../pyproject.toml", "/api/run/{id}/"],
)  # fmt: skip
def test_nothing_but_parts_of_runs_can_be_asked_for(folder, path):
    client = _client(folder)
    found = client.get(path.format(id=_runs(client)["first"]["id"]))
    assert found.status_code == 404
    assert b"schema_version" not in found.content


def test_a_page_of_another_host_is_refused(folder):
    client = _client(folder)
    assert client.get("/api/runs.json", headers={"host": "evil.example"}).status_code == 400


def test_nothing_can_be_sent(folder):
    client = _client(folder)
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, "/api/runs.json").status_code == 405


def test_a_token_is_asked_for_and_then_kept_in_a_cookie(folder):
    client = _client(folder, token="secret")
    assert client.get("/api/runs.json").status_code == 403
    assert client.get("/api/runs.json?token=wrong").status_code == 403
    first = client.get("/?token=secret", follow_redirects=False)
    assert first.status_code == 307
    assert "secret" not in first.headers["location"]
    assert "HttpOnly" in first.headers["set-cookie"]
    assert client.get("/api/runs.json").status_code == 200


def test_every_answer_forbids_scripts_and_requests_of_others(folder):
    for path in ("/", "/api/runs.json", "/api/run/x/view.json"):
        headers = _client(folder).get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_a_foreign_a_broken_and_a_future_run_are_listed_with_their_fault(tmp_path):
    any_runs.make(tmp_path / "sound")
    for name, text in {"broken": "{", "foreign": "[]", "future": '{"schema_version": 99}'}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(text)
    torn = any_runs.make(tmp_path / "torn")
    journal = torn.path / "journal.jsonl"
    journal.write_bytes(b"00000000 {}\n" + journal.read_bytes())
    client = _client(tmp_path)
    runs = _runs(client)
    assert {name for name, run in runs.items() if run["fault"]} == {
        "broken", "foreign", "future", "torn",
    }  # fmt: skip
    assert "schema version 99" in runs["future"]["fault"]
    assert client.get(f"/api/run/{runs['sound']['id']}/view.json").status_code == 200
    assert client.get(f"/api/run/{runs['torn']['id']}/view.json").status_code == 404


def test_a_run_that_is_deleted_while_it_is_shown_is_named_and_the_others_go_on(tmp_path):
    import shutil

    for name in ("stays", "goes"):
        any_runs.make(tmp_path / name)
    client = _client(tmp_path)
    runs = _runs(client)
    address = f"/api/run/{runs['goes']['id']}/view.json"
    assert client.get(address).status_code == 200
    shutil.rmtree(tmp_path / "goes")
    gone = client.get(address)
    assert gone.status_code == 404
    assert "goes" in gone.json()["error"]
    assert set(_runs(client)) == {"stays"}


def test_what_is_recorded_later_is_shown(tmp_path):
    run = any_runs.make(tmp_path / "grows", steps=(0, 2))
    client = _client(tmp_path)
    address = f"/api/run/{_runs(client)['grows']['id']}/view.json"
    assert client.get(address).json()["steps"] == [0, 2]
    run.save_snapshot(4, any_runs.states_of(run.prompts, 3.0, 4), {})
    assert client.get(address).json()["steps"] == [0, 2, 4]


def test_a_run_that_falls_silent_is_stale_and_then_stopped(tmp_path, monkeypatch):
    run = any_runs.make(tmp_path / "silent", steps=(0, 2))
    run.journal.append("step", step=3, loss=1.0)  # beyond the end that is on record
    now = run.last_sign
    assert now is not None
    seen = {}
    for later in (1, 45, 1000):
        monkeypatch.setattr("time.time", lambda at=now + later: at)
        line = line_of(run.path)
        seen[later] = (line["status"], line["stale"])
    assert seen == {1: ("running", False), 45: ("running", True), 1000: ("stopped", False)}


def test_hostile_names_are_data(tmp_path):
    name = '<script>alert("x")</script>'
    run = any_runs.make(tmp_path / "odd")
    manifest = run.path / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"name": name}))
    found = _client(tmp_path).get("/api/runs.json")
    assert found.headers["content-type"] == "application/json"
    assert found.json()["runs"][0]["name"] == name
    assert found.json()["runs"][0]["id"].startswith("odd-")


def test_a_place_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no such folder"):
        find_runs([tmp_path / "nowhere"])
    assert find_runs([tmp_path]) == []


async def _take(stream, wanted: int) -> list[str]:
    got: list[str] = []
    async for text in stream:
        got += [line for line in text.splitlines() if line.startswith(("id: ", "data: "))]
        if sum(line.startswith("data: ") for line in got) >= wanted:
            break
    return got


def test_a_line_of_the_journal_is_an_event_and_a_page_that_comes_back_misses_none(tmp_path):
    run = any_runs.make(tmp_path / "live", steps=(0,))

    async def follow() -> tuple[list[str], list[str], int]:
        events = Events(lambda: {"run": run.path})
        watching = asyncio.create_task(events.watch())
        await asyncio.sleep(0.2)
        stream = events.stream(None)
        first = asyncio.create_task(_take(stream, 1))
        await asyncio.sleep(0.1)
        run.journal.append("step", step=1, loss=1.0)
        got = await asyncio.wait_for(first, 10)
        run.journal.append("step", step=2, loss=1.0)
        await asyncio.sleep(1.2)
        last = next(line for line in reversed(got) if line.startswith("id: "))[4:]
        again = await asyncio.wait_for(_take(events.stream(last), 1), 10)
        watching.cancel()
        return got, again, len(run.journal.newest(1000))

    got, again, lines = asyncio.run(follow())
    data = [json.loads(line[6:]) for line in (*got, *again) if line.startswith("data: ")]
    assert [set(each) for each in data] == [{"run", "lines"}] * 2
    assert [each["lines"] for each in data] == [lines - 1, lines]


def test_a_torn_line_is_no_line_until_it_is_whole(tmp_path):
    run = any_runs.make(tmp_path / "torn", steps=(0,))
    events = Events(lambda: {"torn": run.path})
    assert events.look() == []
    whole = len(run.journal.newest(1000))
    with (run.path / "journal.jsonl").open("ab") as file:
        file.write(b"0000")
    assert events.look() == [("torn", whole)]
    with (run.path / "journal.jsonl").open("ab") as file:
        file.write(b"\n")
    assert events.look() == [("torn", whole + 1)]
    assert events.look() == []


def test_a_run_that_comes_is_told_to_the_list(tmp_path):
    run = any_runs.make(tmp_path / "new", steps=(0,))
    runs: dict[str, Path] = {}
    events = Events(lambda: dict(runs))
    assert events.look() == []
    runs["new"] = run.path
    assert events.look() == [("", 0), ("new", len(run.journal.newest(1000)))]


def test_a_token_leads_nowhere_else(folder):
    found = _client(folder, token="secret").get(
        "http://testserver//evil.example/?token=secret", follow_redirects=False
    )
    assert found.headers["location"] == "./"


def test_clouds_are_not_made_anew_for_a_line_of_loss(tmp_path):
    run = any_runs.make(tmp_path / "live", steps=(0, 2))
    runs = _Runs([tmp_path])
    (place,) = runs.folders.items()
    before = runs._view(*place, "cloud/x.json"), runs._view(*place, "view.json")
    run.journal.append("step", step=3, loss=1.0)
    after = runs._view(*place, "cloud/x.json"), runs._view(*place, "view.json")
    assert after[0] is before[0]
    assert after[1] is not before[1]
    run.save_snapshot(4, any_runs.states_of(run.prompts, 3.0, 4), {})
    assert runs._view(*place, "cloud/x.json") is not before[0]


def test_a_thousand_runs_are_listed_and_read_again_only_where_one_changed(tmp_path, monkeypatch):
    seed = any_runs.make(tmp_path / "seed", steps=(0,))
    for number in range(999):
        folder = tmp_path / f"group{number % 10}" / f"run{number}"
        folder.mkdir(parents=True)
        for name in ("manifest.json", "journal.jsonl"):
            (folder / name).hardlink_to(seed.path / name)
    read: list[Path] = []

    def counted(folder: Path) -> dict:
        read.append(folder)
        return line_of(folder)

    monkeypatch.setattr("nucleate.app._listing.line_of", counted)
    client = _client(tmp_path)
    assert len(client.get("/api/runs.json").json()["runs"]) == len(read) == 1000
    (tmp_path / "group3" / "run13" / "summary.json").write_text("{}")
    assert len(client.get("/api/runs.json").json()["runs"]) == 1000
    assert read[1000:] == [tmp_path / "group3" / "run13"]

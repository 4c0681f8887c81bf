"""Who may ask, under which name, and what the log keeps of it."""

import logging
import subprocess
import sys

import anyio
import pytest

from nucleate._core.errors import BadInput
from nucleate.monitor.service import Limits, Service, Token, make_app, read_token
from served_atlas import TOKEN, client_of, listed, packed, service_of, vectors_of

PROTECTED = ["/metrics", "/v1/drift", "/v1/gate", "/openapi.json", "/nowhere"]
WRONG = [
    "",
    "Bearer",
    "Bearer ",
    f"Basic {TOKEN}",
    f"Bearer {TOKEN}x",
    TOKEN,
    "Bearer \xe9",
    "x" * 9000,
]


@pytest.fixture
def guarded(atlas_folder):
    with client_of(service_of(atlas_folder), token=Token(TOKEN)) as client:
        yield client


@pytest.mark.parametrize("given", WRONG)
def test_a_wrong_token_gets_nothing_but_health(guarded, given):
    headers = {"authorization": given.encode("latin-1")}
    for path in PROTECTED:
        said = guarded.get(path, headers=headers)
        assert said.status_code == 401, path
        assert said.headers["www-authenticate"] == "Bearer"
    assert guarded.post("/v1/score", content=b"x", headers=headers).status_code == 401
    assert guarded.post("/v1/reload", headers=headers).status_code == 401
    for path in ("/healthz", "/readyz"):
        assert guarded.get(path, headers=headers).status_code == 200


def test_the_token_opens_everything(guarded):
    guarded.headers["authorization"] = f"bearer {TOKEN}"
    assert guarded.get("/metrics").status_code == 200
    assert guarded.post("/v1/score", **listed(vectors_of(1, seed=0))).status_code == 200
    security = guarded.get("/openapi.json").json()["paths"]["/v1/score"]["post"]["security"]
    assert security == [{"bearer": []}]


def test_the_token_itself_is_nowhere_in_the_object():
    assert TOKEN not in repr(vars(Token(TOKEN)))


def test_tokens_are_read_from_a_file_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("NUCLEATE_TOKEN", raising=False)
    assert read_token() is None
    monkeypatch.setenv("NUCLEATE_TOKEN", f"{TOKEN}\n")
    from_environment = read_token()
    assert from_environment is not None
    assert from_environment.allows(f"Bearer {TOKEN}")
    (tmp_path / "token").write_text("another-token-that-is-long\nnot this line\n")
    from_file = read_token(tmp_path / "token")
    assert from_file is not None
    assert from_file.allows("Bearer another-token-that-is-long")
    assert not from_file.allows(f"Bearer {TOKEN}")


@pytest.mark.parametrize(("content", "said"), [("", "0 characters"), ("short\n", "5 characters")])
def test_short_tokens_are_refused(tmp_path, content, said):
    (tmp_path / "token").write_text(content)
    with pytest.raises(BadInput, match=said):
        read_token(tmp_path / "token")


def test_token_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(BadInput, match="nowhere"):
        read_token(tmp_path / "nowhere")
    (tmp_path / "bytes").write_bytes(b"\xff" * 40)
    with pytest.raises(BadInput, match="no text"):
        read_token(tmp_path / "bytes")


def test_another_host_name_is_refused(atlas_folder):
    with client_of(service_of(atlas_folder), hosts=["127.0.0.1"]) as client:
        for host, status in (("127.0.0.1:8770", 200), ("evil.example", 400), ("", 400)):
            assert client.get("/readyz", headers={"host": host}).status_code == status, host


def test_the_log_keeps_neither_text_nor_path_nor_query_nor_address(guarded, caplog):
    caplog.set_level(logging.DEBUG)
    secret = "Ann-Smith-7741"
    guarded.headers["authorization"] = f"Bearer {TOKEN}"
    rows = listed(vectors_of(1, seed=0), [secret] * 3)
    for path in ("/v1/score", f"/v1/score?who={secret}", f"/{secret}"):
        guarded.post(path, **rows, headers={"user-agent": secret})
    guarded.post("/v1/score", content=f'{{"rows": "{secret}"}}'.encode(),
                 headers={"content-type": "application/json"})  # fmt: skip
    guarded.post("/v1/score", content=b"x", headers={"content-type": f"x/{secret}"})
    ours = [record for record in caplog.records if not record.name.startswith("httpx")]
    lines = [record.getMessage() for record in ours]
    assert len(lines) == 5
    assert lines[0].startswith("POST /v1/score 200 rows=3 ms=")
    assert lines[2].startswith("POST other 404")
    assert secret not in "\n".join(lines)
    assert secret not in guarded.get("/metrics").text


def test_an_unforeseen_error_is_told_without_its_message(atlas_folder, caplog, monkeypatch):
    service = service_of(atlas_folder)
    secret = "Ann-Smith-7741"

    def fail(_: object) -> None:
        raise ValueError(f"could not convert string to float: {secret!r}")

    # As a bug in what a request meets would: nothing of the service is replaced by a double.
    monkeypatch.setattr(Service, "drift", fail)
    with client_of(service) as client:
        said = client.get("/v1/drift")
        assert said.status_code == 500
        assert secret not in said.text
        assert 'route="/v1/drift",status="500"' in client.get("/metrics").text
        assert client.get("/readyz").status_code == 200
    assert "ValueError on /v1/drift" in caplog.text
    assert "in fail" in caplog.text
    assert secret not in caplog.text


@pytest.mark.parametrize("name", ["body", "rows", "text", "at_once", "connections"])
@pytest.mark.parametrize("value", [0, -1])
def test_limits_below_one_are_refused(name, value):
    with pytest.raises(BadInput, match=name):
        Limits(**{name: value})


def test_a_slow_body_is_given_up(atlas_folder):
    """A client that announces a body and sends half of it holds a place for a bounded time."""
    app = make_app(service_of(atlas_folder, limits=Limits(body_seconds=0.05)))
    sent = []

    async def run():
        first = iter([{"type": "http.request", "body": b"{", "more_body": True}])

        async def receive():
            try:
                return next(first)
            except StopIteration:
                await anyio.sleep(30)

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": "/v1/score", "raw_path": b"/v1/score",
            "query_string": b"", "headers": [(b"content-type", b"application/json")],
            "http_version": "1.1", "scheme": "http", "server": ("test", 80),
        }  # fmt: skip
        await app(scope, receive, send)

    anyio.run(run)
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


def test_the_extra_is_named_where_it_is_missing():
    code = (
        "import sys; sys.modules['fastapi'] = None; sys.argv = ['nucleate', 'serve', 'x'];"
        "from nucleate.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "fastapi" in done.stderr
    assert "nucleate[serve]" in done.stderr
    assert done.stderr.count("\n") == 1


def test_packed_rows_need_the_token_too(guarded):
    assert guarded.post("/v1/score", **packed(vectors_of(1, seed=0))).status_code == 401

"""`nucleate serve` as a process: signals, reload and an end that lose no request."""

import http.client
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from nucleate.cli._serve import _OnceAMinute
from served_atlas import TOKEN, make_atlas, packed, vectors_of

COMMAND = [sys.executable, "-c", "from nucleate.cli import main; main()", "serve"]


@contextmanager
def serving(*words, **environment):
    """The process and the port that it says it serves at."""
    with subprocess.Popen(
        [*COMMAND, *map(str, words), "--port", "0"], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, **environment},
    ) as process:  # fmt: skip
        try:
            line = process.stdout.readline()
            assert line.startswith("serving  http://127.0.0.1:"), line + process.stderr.read()
            yield process, int(line.split()[1].rpartition(":")[2])
        finally:
            process.kill()


def ask(port, method, path, body=b"", headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def test_it_serves_reloads_on_a_signal_and_stops_without_losing_a_request(tmp_path):
    before = make_atlas(tmp_path / "a").version
    body = packed(vectors_of(1, seed=0))
    statuses, atlases, told = [], set(), []

    def keep_asking(port, done):
        """As a balancer: one connection, no more once it is told to close."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while not done.is_set():
            connection.request("POST", "/v1/score", body["content"], body["headers"])
            answer = connection.getresponse()
            statuses.append(answer.status)
            atlases.add(json.loads(answer.read())["atlas"])
            if answer.getheader("connection") == "close":
                told.append(True)
                break
        connection.close()

    with serving(tmp_path / "a", "--drain", "0.5", "--drift-look", "0") as (process, port):
        done = threading.Event()
        asking = [threading.Thread(target=keep_asking, args=(port, done)) for _ in range(3)]
        for one in asking:
            one.start()
        after = make_atlas(tmp_path / "a", seed=1).version
        process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 60
        while after not in atlases and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        while True:
            status, _, said = ask(port, "GET", "/readyz")
            if status == 503:
                break
        assert json.loads(said)["status"] == "stopping"
        for one in asking:
            one.join(60)
        assert process.wait(60) == 0
        errors = process.stderr.read()
    assert set(statuses) == {200}
    assert atlases == {before, after}
    assert len(told) == 3
    assert "Traceback" not in errors
    assert "POST /v1/score 200 rows=3" in errors


@pytest.mark.slow
def test_a_token_from_the_environment_is_asked_for(tmp_path):
    make_atlas(tmp_path / "a")
    words = (tmp_path / "a", "--drift-look", "0", "--quiet", "--drain", "0")
    with serving(*words, NUCLEATE_TOKEN=TOKEN) as (process, port):
        assert ask(port, "GET", "/metrics")[0] == 401
        allowed = {"authorization": f"Bearer {TOKEN}"}
        status, _, said = ask(port, "POST", "/v1/reload", headers=allowed)
        assert status == 200, said
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert "POST" not in process.stderr.read()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name the folder of an atlas"),
        (["{}/nowhere"], "nowhere"),
        (["{}/a", "--host", "0.0.0.0"], "there is no token"),
        (["{}/a", "--token-file", "{}/none"], "none"),
        (["{}/a", "--rate", "1.5"], "1.5"),
        (["{}/a", "--rate", "0"], "--rate is 0"),
        (["{}/a", "--gate", "{}/none.json"], "none.json"),
        (["{}/a", "--port", "70000"], "70000"),
        (["{}/a", "--max-rows", "0"], "--max-rows"),
        (["{}/a", "--write-monitoring", "{}/a/atlas.json"], "cannot be written"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(tmp_path, capfd, monkeypatch, words, said):
    from in_process import runner

    make_atlas(tmp_path / "a")
    monkeypatch.delenv("NUCLEATE_TOKEN", raising=False)
    run = runner(capfd, monkeypatch)
    port = [] if "--port" in words else ["--port", "0"]
    done = run("serve", *(word.replace("{}", str(tmp_path)) for word in words), *port)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_monitoring_files_are_written_by_the_command(tmp_path, capfd, monkeypatch):
    from in_process import runner

    done = runner(capfd, monkeypatch)("serve", "--write-monitoring", tmp_path / "m")
    assert done.returncode == 0
    assert [Path(line).name for line in done.stdout.split()] == [
        "dashboard.json", "alerts.yml", "alerts_test.yml",
    ]  # fmt: skip
    assert all(Path(line).is_file() for line in done.stdout.split())


def test_scoring_takes_one_thread_unless_more_are_asked_for():
    """With two, which wait for each other, 32 rows 200 times a second were too many."""
    said = (
        "from nucleate.cli._serve import _limit_threads; _limit_threads({}); "
        "from threadpoolctl import threadpool_info; "
        "import torch; print(torch.get_num_threads(), "
        "*[p['num_threads'] for p in threadpool_info() if p['user_api'] == 'blas'])"
    )
    for count in (1, 2):
        done = subprocess.run(
            [sys.executable, "-c", said.format(count)], capture_output=True, text=True, check=True,
            env={**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
        )  # fmt: skip
        assert set(done.stdout.split()) == {str(count)}


def test_refused_connections_do_not_fill_the_log():
    only = _OnceAMinute()

    def record(message, created, error=None):
        found = logging.LogRecord("uvicorn.error", logging.WARNING, "", 0, message, None, error)
        found.created = created
        return found

    passed = [only.filter(record("Exceeded concurrency limit.", at)) for at in (0, 1, 59, 61, 62)]
    assert passed == [True, False, False, True, False]
    assert only.filter(record("Invalid HTTP request received.", 62))
    wrong = (ValueError, ValueError("bad"), None)
    assert all(only.filter(record("Exception in ASGI application\n", 63, wrong)) for _ in range(2))

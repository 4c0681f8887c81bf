"""`nucleate app` as a user runs it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

import any_runs

COMMAND = [sys.executable, "-c", "from nucleate.cli import main; main()", "app"]


def _start(*arguments: str | Path) -> "subprocess.Popen[str]":
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=environment,
    )  # fmt: skip


def test_the_address_is_printed_and_serves_until_the_process_is_told_to_end(tmp_path):
    any_runs.make(tmp_path / "mine")
    with _start(tmp_path, "--port", "0") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        address = re.fullmatch(r"open  (http://127\.0\.0\.1:\d+/)\n", process.stdout.readline())
        assert address
        # The socket listens from the start: a request waits until the server answers.
        with urllib.request.urlopen(address[1] + "api/runs.json", timeout=60) as found:
            assert b'"mine"' in found.read()
        process.send_signal(signal.SIGTERM)
        assert "Traceback" not in process.stderr.read()
        process.wait(timeout=20)


def test_it_ends_at_once_while_a_page_follows_and_lists_runs_without_torch(tmp_path):
    run = any_runs.make(tmp_path / "mine")
    with _start(tmp_path, "--port", "0", "--lang", "ja") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        address = process.stdout.readline().split()[1]
        assert address.endswith("/#lang=ja")
        address = address.partition("#")[0]
        with urllib.request.urlopen(address + "api/events", timeout=30) as stream:
            assert stream.readline().startswith(b"retry")
            urllib.request.urlopen(address + "api/runs.json", timeout=30).close()
            maps = Path(f"/proc/{process.pid}/maps")
            assert not maps.exists() or "libtorch" not in maps.read_text()
            time.sleep(1.5)  # the first look has been taken
            run.journal.append("step", step=99, loss=1.0)
            lines = [stream.readline() for _ in range(5)]
            assert b"event: run\n" in lines
            process.send_signal(signal.SIGTERM)
            said = process.stderr.read()
            assert process.wait(timeout=20) in (0, -signal.SIGTERM)
    assert "Traceback" not in said


def test_another_address_than_this_machines_own_asks_for_a_token(tmp_path):
    any_runs.make(tmp_path / "mine")
    with _start(tmp_path, "--host", "0.0.0.0", "--port", "0") as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[1].replace("0.0.0.0", "127.0.0.1")
        plain, _, token = address.partition("?token=")
        assert len(token) >= 24
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(plain + "api/runs.json", timeout=30)
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with suppress(urllib.error.HTTPError):  # the page may not be built; the cookie is set
            opener.open(address, timeout=30).close()
        with opener.open(plain + "api/runs.json", timeout=30) as found:
            assert b'"mine"' in found.read()
        process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("case", ["empty", "nowhere", "port"])
def test_what_cannot_be_served_ends_with_2_and_a_sentence(tmp_path, case):
    if case == "port":
        any_runs.make(tmp_path / "mine")
        with socket.socket() as busy:
            busy.bind(("127.0.0.1", 0))
            busy.listen()
            port = busy.getsockname()[1]
            process = _start(tmp_path, "--port", port)
            _, said = process.communicate(timeout=60)
        assert f"port {port}" in said
    else:
        process = _start(tmp_path if case == "empty" else tmp_path / "nowhere")
        _, said = process.communicate(timeout=60)
        assert ("nucleate reproduce" in said) == (case == "empty")
    assert process.returncode == 2
    assert "Traceback" not in said

"""`nucleate app` as a user runs it."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
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

"""A webhook sends each alarm once, tries again within bounds, and nobody waits for it."""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from made_trainings import healthy, series
from nucleate._core.errors import BadInput
from nucleate.monitor.alarms import Webhook, alarms_of, standard


class Server(ThreadingHTTPServer):
    """Answers with the given codes, one a request, then with 200."""

    def __init__(self, codes: list[int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.codes, self.got = list(codes), []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.address = f"http://127.0.0.1:{self.server_address[1]}/alarms"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["content-length"]))
        self.server.may_answer.wait(20)
        self.server.got.append((self.headers["content-type"], json.loads(data)))
        self.send_response(self.server.codes.pop(0) if self.server.codes else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(*codes: int) -> Iterator[Server]:
    server = Server(list(codes))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def alarm():
    return alarms_of(series(1000, "forgotten"), standard(healthy()))[0]


def test_an_alarm_arrives_as_json_with_the_name_of_the_run(alarm):
    with serving() as server:
        hook = Webhook(server.address, run="first")
        hook(alarm)
        hook.close()
        ((kind, data),) = server.got
    assert kind == "application/json"
    assert data == json.loads(json.dumps({"run": "first", **alarm.json()}))
    assert (hook.sent, hook.lost) == (1, 0)


def test_a_refusal_is_tried_again_and_the_next_alarm_still_sent(alarm):
    with serving(500, 503) as server:
        hook = Webhook(server.address, pause=0.01)
        hook(alarm)
        hook(alarm)
        hook.close()
        assert len(server.got) == 4
    assert (hook.sent, hook.lost) == (2, 0)


def test_it_gives_up_after_the_last_attempt_and_says_so_without_the_address(alarm, caplog):
    with serving(*[500] * 9) as server, caplog.at_level(logging.WARNING, "nucleate"):
        hook = Webhook(server.address + "?token=secret", attempts=2, pause=0.01)
        hook(alarm)
        hook.close()
        assert len(server.got) == 2
    assert (hook.sent, hook.lost) == (0, 1)
    assert "could not be sent" in caplog.text
    assert "secret" not in caplog.text


def test_nobody_waits_while_the_other_side_does(alarm):
    with serving() as server:
        server.may_answer.clear()
        hook = Webhook(server.address)
        for _ in range(150):
            hook(alarm)  # returns, though nothing has been answered
        assert hook.sent == 0
        assert hook.lost >= 49  # more than may wait are dropped and counted
        server.may_answer.set()
        hook.close()
    assert hook.sent + hook.lost == 150


def test_an_address_that_nobody_listens_at_ends_within_its_bounds(alarm):
    with serving() as server:
        address = server.address
    hook = Webhook(address, attempts=2, pause=0.01, timeout=1.0)
    hook(alarm)
    hook.close()
    assert (hook.sent, hook.lost) == (0, 1)


@pytest.mark.parametrize("url", ["", "example.org", "ftp://example.org", "file:///etc/passwd"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(BadInput, match="is no address"):
        Webhook(url)


@pytest.mark.parametrize("setting", [{"attempts": 0}, {"timeout": 0.0}, {"pause": -1.0}])
def test_numbers_out_of_range_are_refused(setting):
    with pytest.raises(BadInput, match=next(iter(setting))):
        Webhook("http://127.0.0.1:1/", **setting)

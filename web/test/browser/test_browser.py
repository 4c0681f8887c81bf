"""What only a browser can tell: pixels, a lost graphics card, a stream of events that breaks off.

Run with `pytest web/test/browser` after `npm ci` in `web`. With `NUCLEATE_TIMES=1` the time of a
frame is printed for 5,000 to 100,000 rows.
"""

# ruff: noqa: D103, T201
from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

sync_api = pytest.importorskip("playwright.sync_api")
WEB = Path(__file__).parents[2]
NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
pytestmark = pytest.mark.skipif(
    None in (CHROMIUM, NODE) or not (WEB / "node_modules" / "vite").exists(),
    reason="needs chromium, node, and `npm ci` in web",
)


class Server(BaseHTTPRequestHandler):
    """Serves the page, and a stream that breaks off once and fails once."""

    page: ClassVar[bytes] = b""
    resumed_from: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        """Answer."""
        if self.path != "/api/events":
            return self.answer(200, "text/html; charset=utf-8", self.page)
        self.resumed_from.append(self.headers.get("Last-Event-ID"))
        turn = len(self.resumed_from)
        if turn == 2:
            return self.answer(502, "text/html", b"the proxy is busy")
        text = f'retry: 50\nid: {turn}\nevent: run\ndata: {{"run": "a", "lines": {turn}}}\n\n'
        return self.answer(200, "text/event-stream", text.encode())

    def answer(self, status: int, kind: str, body: bytes) -> None:
        """Send one whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page with the checks, in a browser that draws in software."""
    folder = tmp_path_factory.mktemp("page")
    subprocess.run([str(NODE), "test/browser/bundle.mjs", str(folder)], cwd=WEB, check=True)
    script = folder / "page.js"
    Server.page = b"<!doctype html><body style='margin:0'><script>%s</script>" % script.read_bytes()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened = browser.new_page(viewport={"width": 1000, "height": 800})
        opened.goto(f"http://127.0.0.1:{server.server_port}/")
        yield opened
        browser.close()
    server.shutdown()
    server.server_close()


def test_pixels_are_the_same_each_time_and_follow_the_view(page: Any) -> None:
    found = page.evaluate("checks.digests()")
    assert found["first"] == found["again"]
    others = [found[name]["hash"] for name in ("first", "mixed", "dimmed", "moved", "away")]
    assert len(set(others)) == len(others)
    assert found["away"]["colored"] == 0
    for name in ("first", "mixed", "dimmed", "moved", "plain"):
        assert found[name]["colored"] > 0.01
    assert abs(found["plain"]["colored"] - found["first"]["colored"]) < 0.03


@pytest.mark.parametrize(("k", "true_scale"), [(8, "false"), (16, "true")])
def test_the_card_draws_a_row_where_the_reckoning_says(page: Any, k: int, true_scale: str) -> None:
    assert page.evaluate(f"checks.agrees({k}, {true_scale})") < 1


def test_a_click_and_a_lasso_find_the_rows(page: Any) -> None:
    found = page.evaluate("checks.choose()")
    assert 0 < found["chosen"] < 5000
    assert found["chosen"] == found["expected"]
    assert found["hits"] == 200
    assert found["nowhere"] == -1
    assert found["faint"] == [-1, 0]


def test_one_canvas_outside_the_page_draws_several_pictures(page: Any) -> None:
    first, second, again = page.evaluate("checks.copies()")
    assert first == again
    assert first["hash"] != second["hash"]
    assert (first["width"], first["height"]) == (150, 100)
    assert min(first["colored"], second["colored"]) > 0.01


def test_a_lost_card_comes_back_with_the_same_picture(page: Any) -> None:
    found = page.evaluate("checks.lost()")
    assert found["during"] == {"hash": "", "colored": 0}
    assert found["after"] == found["before"]


def test_a_trail_is_drawn_and_goes_away(page: Any) -> None:
    found = page.evaluate("checks.trails()")
    assert found["without"]["colored"] == 0
    assert found["during"]["colored"] > 0
    assert found["after"] == found["without"]


def test_eight_coordinates_after_sixteen(page: Any) -> None:
    found = page.evaluate("checks.switched()")
    assert found["error"] == 0
    assert found["colored"] > 0


def test_events_resume_and_a_failed_stream_is_opened_again(page: Any) -> None:
    Server.resumed_from.clear()
    heard = page.evaluate("checks.changes(3)")
    # The first stream ended; the browser asked on from its last event and was refused; a new
    # stream was opened, and all counts as changed.
    assert heard == [
        {"run": "a", "lines": 1},
        {"run": "", "lines": 0},
        {"run": "a", "lines": 3},
    ]
    assert Server.resumed_from[:3] == [None, "1", None]


@pytest.mark.skipif("NUCLEATE_TIMES" not in os.environ, reason="NUCLEATE_TIMES=1 asks for it")
@pytest.mark.parametrize(
    "arguments",
    ["5000,8,true,40", "25000,8,true,20", "100000,8,true,20", "100000,8,false,10"],
)
def test_times(page: Any, arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = page.evaluate(f"checks.timed({arguments})")
    with capsys.disabled():
        print(f"\n{arguments}: {found}")
    assert found["median"] < 1000

"""The same 5,000 rows x 30 steps in the app, in TensorBoard's Projector and in jupyter-scatter.

Each is given the coordinates that the app draws (eight of each row; jupyter-scatter, which is flat,
the first two), each is asked for the same: show the points, drag them, go to another step.
"""

import functools
import json
import subprocess
import tempfile
import threading
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from browser import Chromium
from opening import app, show_run
from playwright.sync_api import Page

HERE = Path(__file__).parent
QUIET = 600  # milliseconds without a drawn frame: the picture is at rest
STEPS = (5, 20, 12, 29)


class Peer(ABC):
    """One way to look at points: how it is started, and how it is moved to another step."""

    label: str
    version = ""
    viewport: tuple[int, int]  # of a size that gives all of them a canvas of about 750 x 400

    @abstractmethod
    def show(self, page: Page) -> None:
        """Go to the page that shows the first step."""

    @abstractmethod
    def go(self, page: Page, step: int) -> float:
        """Ask for another step; the page's clock when it was asked."""

    def arrived(self, page: Page, asked: float) -> float:
        """Wait until the step that was asked for is drawn; the page's clock at that frame."""
        del asked
        return at_rest(page)

    def touch(self, page: Page) -> None:
        """Click in the middle, and wait until nothing moves: the Projector turns till then."""
        for _ in range(20):
            page.mouse.click(*middle(page))
            page.wait_for_timeout(2 * QUIET)
            if page.evaluate("performance.now() - drawn().at") > QUIET:
                return
        raise RuntimeError(f"{self.label} does not come to rest")


class Ours(Peer):
    label = "nucleate app"
    viewport = (1440, 900)

    def __init__(self, address: str, stream: str) -> None:
        from nucleate import __version__

        self._address, self._stream, self.version = address, stream, __version__

    def show(self, page: Page) -> None:
        show_run(page, self._address, self._stream)

    def go(self, page: Page, step: int) -> float:
        return float(page.evaluate(
            "step => { const asked = performance.now(); location.hash = "
            "location.hash.replace(/&step=\\d+/, '') + `&step=${step}`; return asked; }", step
        ))  # fmt: skip


class Projector(Peer):
    label = "TensorBoard's Projector"
    viewport = (1350, 460)

    def __init__(self, address: str, version: str) -> None:
        self._address, self.version = address, version

    def show(self, page: Page) -> None:
        page.goto(f"{self._address}data/plugin/projector/projector_binary.html")

    def go(self, page: Page, step: int) -> float:
        page.locator("paper-dropdown-menu").first.click()
        item = page.locator("paper-item").filter(has_text=f"step {step:02}").first
        item.wait_for()
        page.wait_for_timeout(600)  # the menu unfolds
        asked = float(page.evaluate("performance.now()"))
        item.click()
        return asked

    def arrived(self, page: Page, asked: float) -> float:
        # It turns again, and sends the same arrays for every frame: new ones are waited for.
        page.wait_for_function(
            f"t => drawn().uploaded > t && performance.now() - drawn().uploaded > {QUIET}",
            arg=asked,
        )
        seen = float(page.evaluate("drawn().fresh"))
        self.touch(page)
        return seen


class Scatter(Peer):
    label = "jupyter-scatter's widget"
    viewport = (1000, 600)

    def __init__(self, address: str, version: str) -> None:
        self._address, self.version = address, version

    def show(self, page: Page) -> None:
        page.goto(f"{self._address}scatter.html")

    def go(self, page: Page, step: int) -> float:
        return float(page.evaluate(
            "step => { const asked = performance.now(); void show(step); return asked; }", step
        ))  # fmt: skip


def middle(page: Page) -> tuple[float, float]:
    """The middle of the largest canvas that is shown, in pixels of the page."""
    boxes = [canvas.bounding_box() for canvas in page.locator("canvas").all()]
    box = max((box for box in boxes if box), key=lambda box: box["width"] * box["height"])
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def at_rest(page: Page) -> float:
    """Wait until nothing is drawn any more; the page's clock at the last drawn frame."""
    page.wait_for_function(
        f"() => drawn().frames > 0 && performance.now() - drawn().at > {QUIET}", timeout=60_000
    )
    return float(page.evaluate("drawn().at"))


def look(chromium: Chromium, peer: Peer, moves: int = 40) -> dict[str, Any]:
    """One look: milliseconds until points are drawn, CPU a frame of a drag, and other steps."""
    width, height = peer.viewport
    page = chromium.page(width=width, height=height, count=True)
    page.emulate_media(reduced_motion="reduce")
    with chromium.cost() as opening:
        peer.show(page)
        page.wait_for_function("() => drawn().frames > 0", timeout=60_000)
    first = page.evaluate("drawn().first")
    page.wait_for_timeout(1500)
    peer.touch(page)
    before = page.evaluate("drawn().frames")
    x, y = middle(page)
    with chromium.cost() as drag:
        page.mouse.move(x, y)
        page.mouse.down()
        for at in range(moves):
            page.mouse.move(x + 2 * at, y + at)
            page.wait_for_timeout(25)
        page.mouse.up()
    frames = page.evaluate("drawn().frames") - before
    if frames < moves / 4:
        raise RuntimeError(f"{peer.label}: {moves} moves of the pointer drew {frames} frames")
    at_rest(page)
    steps = []
    for step in STEPS:
        page.wait_for_timeout(300)
        seen = page.evaluate("drawn().frames")
        asked = peer.go(page, step)
        page.wait_for_function("n => drawn().frames > n", arg=seen, timeout=60_000)
        steps.append(peer.arrived(page, asked) - asked)
    page.close()
    return {
        "first": first, "first_cpu": 1e3 * opening.drawing, "frames": frames,
        "frame_cpu": 1e3 * drag.drawing / frames,
        "frame_page_cpu": 1e3 * drag.cpu["renderer"] / frames,
        "step": median(steps),
    }  # fmt: skip


@contextmanager
def projector(python: str, x: np.ndarray, task: np.ndarray) -> Iterator[Projector | str]:
    """TensorBoard on a folder of tables, one a step; a sentence where it is not installed."""
    asked = "import importlib.metadata as m; print(m.version('tensorboard'))"
    found = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=False)
    if found.returncode:
        yield "tensorboard is not installed"
        return
    with tempfile.TemporaryDirectory() as name:
        folder, parts = Path(name), []
        (folder / "metadata.tsv").write_text("".join(f"t{code}\n" for code in task))
        for step, rows in enumerate(x):
            np.savetxt(folder / f"{step}.tsv", rows, fmt="%.5g", delimiter="\t")
            parts.append(
                f'embeddings {{ tensor_name: "step {step:02}" tensor_path: "{step}.tsv" '
                'metadata_path: "metadata.tsv" }'
            )
        (folder / "projector_config.pbtxt").write_text("\n".join(parts))
        port = _free_port()
        process = subprocess.Popen(
            [python, "-m", "tensorboard.main", "--logdir", name, "--host", "127.0.0.1",
             "--port", str(port), "--load_fast", "false"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            address = f"http://127.0.0.1:{port}/"
            _wait_for(f"{address}data/plugin/projector/runs")
            yield Projector(address, found.stdout.strip())
        finally:
            process.terminate()
            process.wait(timeout=30)


@contextmanager
def scatter(python: str, x: np.ndarray, task: np.ndarray) -> Iterator[Scatter | str]:
    """The widget of jupyter-scatter in a bare page; a sentence where it is not installed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "points.npz", x=x, task=task)
        code = [python, str(HERE / "scatter_state.py"), str(folder / "points.npz"), name]
        found = subprocess.run(code, capture_output=True, text=True, check=False)
        if found.returncode:
            yield f"jupyter-scatter: {found.stderr.strip().splitlines()[-1]}"
            return
        (folder / "scatter.html").write_bytes((HERE / "scatter.html").read_bytes())
        handler = functools.partial(_Quiet, directory=name)
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            version = json.loads(found.stdout.splitlines()[-1])["version"]
            yield Scatter(f"http://127.0.0.1:{server.server_port}/", version)
        finally:
            server.shutdown()
            server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing."""


def _free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(address: str, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def side_by_side(
    chromium: Chromium, folder: Path, stream: str, x: np.ndarray, task: np.ndarray,
    python: str, rounds: int,
) -> dict[str, Any]:  # fmt: skip
    """All of them in turns, so that a machine whose speed drifts is fair to all; the first turn is
    not kept: it fills the caches of servers."""
    found: dict[str, Any] = {}
    with (
        app(folder) as (address, _),
        projector(python, x, task) as tensorboard,
        scatter(python, x, task) as jupyter,
    ):
        peers = (Ours(address, stream), tensorboard, jupyter)
        for turn in range(rounds + 1):
            for peer in peers:
                if isinstance(peer, str):
                    found[peer] = {}
                    continue
                one = look(chromium, peer)
                kept = found.setdefault(f"{peer.label} {peer.version}", {})
                for name, value in one.items() if turn else ():
                    kept.setdefault(name, []).append(value)
    return found


def peers_table(found: dict[str, Any]) -> str:
    lines = [
        "| | points on screen, ms | its CPU ms | dragged: CPU ms a frame | of it the page | "
        "another step, ms |",
        "|---|---|---|---|---|---|",
    ]
    ours = next(iter(found.values()))
    names = ("first", "first_cpu", "frame_cpu", "frame_page_cpu", "step")
    for label, one in found.items():
        if not one:
            lines.append(f"| {label} | | | | | |")
            continue
        cells = [
            f"{median(one[name]):.0f}"
            + ("" if one is ours else f" ({median(one[name]) / median(ours[name]):.1f} x)")
            for name in names
        ]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)

"""The app from its start: address printed, list on screen, a run on screen, a slider moved."""

import gzip
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

from browser import Chromium
from materials import POSITION
from playwright.sync_api import Page

from nucleate.runs import Run

_APP = [sys.executable, "-c", "from nucleate.cli import main; main()", "app"]
_PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
_LISTED = "n => document.querySelectorAll('tbody tr').length >= n"
_DRAWN = "() => drawn().frames > 0"


@contextmanager
def app(folder: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """The app on a folder, at a free port: its address, and what its start took in seconds."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [*_APP, str(folder), "--no-open", "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline().split()
        if len(line) != 2:
            raise RuntimeError(f"the app ended with {process.wait()} before it gave an address")
        printed = time.perf_counter() - began
        cpu = time.clock_gettime((~process.pid << 3) | 2)
        urllib.request.urlopen(f"{line[1]}api/runs.json", timeout=60).read()
        listed = time.perf_counter() - began
        yield line[1], {"printed": printed, "printed_cpu": cpu, "answered": listed}
    finally:
        process.terminate()
        process.wait(timeout=30)


def first_paint(chromium: Chromium, address: str, count: int) -> dict[str, float]:
    """Milliseconds until something, and until all of the list is on screen; no cache."""
    page = chromium.page(width=1440, height=900, count=True)
    with chromium.cost() as cost:
        began = time.perf_counter()
        page.goto(address)
        page.wait_for_function(_LISTED, arg=count)
        listed = 1e3 * (time.perf_counter() - began)
    page.wait_for_function(f"() => {_PAINTED} > 0")
    painted = page.evaluate(_PAINTED)
    nodes = page.evaluate("document.getElementsByTagName('*').length")
    page.close()
    return {"painted": painted, "listed": listed, "cpu": 1e3 * cost.drawing, "nodes": nodes}


def starts(chromium: Chromium, folders: dict[int, Path], rounds: int) -> Iterator[dict[str, Any]]:
    """Address and first paint with each number of runs; the first round is not kept."""
    for count, folder in folders.items():
        found: list[dict[str, float]] = []
        for _ in range(rounds + 1):
            with app(folder) as (address, took):
                found.append(took | first_paint(chromium, address, count))
        yield {"runs": count, **{name: [one[name] for one in found[1:]] for name in found[0]}}


def starts_table(found: list[dict[str, Any]]) -> str:
    lines = [
        "| runs in the folder | address printed, s | its CPU s | list answered, s | "
        "first paint, ms | all listed, ms | CPU ms of the browser |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found:
        seconds = " | ".join(
            _spread(one[name], 2) for name in ("printed", "printed_cpu", "answered")
        )
        milli = " | ".join(_spread(one[name], 0) for name in ("painted", "listed", "cpu"))
        lines.append(f"| {one['runs']:,} | {seconds} | {milli} |")
    script = (files("nucleate.views") / "web" / "app.js").read_bytes()
    size = f"The app's script: {len(gzip.compress(script)) / 1e3:.0f} KB in gzip (asked < 150)."
    asked = "Asked: address < .5 s, first paint < 1 s with 100 runs."
    return "\n".join([*lines, "", f"{asked} {size}"])


def _spread(values: list[float], digits: int) -> str:
    return f"{median(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


def show_run(page: Page, address: str, stream: str) -> dict[str, float]:
    """Open a run and wait until its points are drawn: milliseconds from the start of the page."""
    with urllib.request.urlopen(f"{address}api/runs.json", timeout=60) as answer:
        run = json.load(answer)["runs"][0]["id"]
    page.goto(f"{address}#screen=run&run={run}&stream={stream}&position={POSITION}")
    return points_drawn(page)


def points_drawn(page: Page) -> dict[str, float]:
    page.wait_for_function(_DRAWN, timeout=60_000)
    page.wait_for_function(f"() => {_PAINTED} > 0")
    return {
        "drawn": page.evaluate("drawn().first"),
        "painted": page.evaluate(_PAINTED),
        "nodes": page.evaluate("document.getElementsByTagName('*').length"),
    }


def scrub(chromium: Chromium, page: Page, steps: int, pace: float = 250) -> dict[str, float]:
    """Press the arrow key through all steps: frames drawn, CPU time of a frame and of a step."""
    page.wait_for_timeout(1500)
    page.keyboard.press("Escape")
    page.evaluate("window.scrollTo(0, 0)")
    page.locator("[role=slider]").first.focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(1500)
    before = page.evaluate("drawn()")
    with chromium.cost() as cost:
        for _ in range(steps - 1):
            page.keyboard.press("ArrowRight")
            page.wait_for_timeout(pace)
        page.wait_for_timeout(300)
    drawn = page.evaluate("drawn()")["frames"] - before["frames"]
    if drawn < steps - 1:
        raise RuntimeError(
            f"{drawn} frames were drawn in {steps - 1} steps: the slider did not move"
        )
    return {
        "frames": drawn,
        "frame_cpu": 1e3 * cost.drawing / drawn,
        "page_cpu": 1e3 * cost.cpu["renderer"] / drawn,
        "step_cpu": 1e3 * cost.drawing / (steps - 1),
        "frames_a_second": drawn / cost.wall,
    }


def whole_run(
    chromium: Chromium, folder: Path, stream: str, steps: int, rounds: int
) -> dict[str, Any]:
    """The app on a run of 5,000 rows: opened, and scrubbed."""
    opened, moved = [], []
    with app(folder) as (address, _):
        for _ in range(rounds):
            page = chromium.page(width=1440, height=900, count=True)
            opened.append(show_run(page, address, stream))
            moved.append(scrub(chromium, page, steps))
            page.close()
    return {
        **{name: [one[name] for one in opened] for name in opened[0]},
        **{name: [one[name] for one in moved] for name in moved[0]},
    }


def run_lines(found: dict[str, Any]) -> str:
    first, *later = found["drawn"]
    return "\n".join([
        f"- points on screen after {first:.0f} ms where nothing is held yet"
        + (f", {_spread(later, 0)} ms after that" if later else ""),
        f"- moved by the arrow key, four steps a second: {_spread(found['frames_a_second'], 0)} "
        f"frames a second, CPU ms a frame of page and GPU process {_spread(found['frame_cpu'], 1)} "
        f"(of it the page {_spread(found['page_cpu'], 1)}), a step {_spread(found['step_cpu'], 0)}",
    ])  # fmt: skip


def written(run: Run, path: Path, max_mb: float) -> float:
    """Write the report of a run; seconds that it took."""
    from nucleate.views import RunView, write_report

    began = time.perf_counter()
    write_report([RunView(run)], path, max_mb=max_mb)
    return time.perf_counter() - began


def report(chromium: Chromium, path: Path, rounds: int) -> dict[str, Any]:
    """Open a report from the disk: milliseconds until its points are drawn, nodes, requests."""
    found: list[dict[str, float]] = []
    for _ in range(rounds):
        page = chromium.page(width=1440, height=900, count=True)
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        with chromium.cost() as cost:
            page.goto(path.as_uri())
            one = points_drawn(page)
        outside = [url for url in asked if not url.startswith((path.as_uri(), "data:", "blob:"))]
        found.append(one | {"cpu": 1e3 * cost.drawing, "requests": len(outside)})
        page.close()
    return {name: [one[name] for one in found] for name in found[0]}


def report_lines(found: dict[str, Any], size: int, took: float) -> str:
    return (
        f"{size / 1e6:.1f} MB, written in {took:.1f} s. Points on screen after "
        f"{_spread(found['drawn'], 0)} ms (asked < 2,000), first paint after "
        f"{_spread(found['painted'], 0)} ms, CPU ms {_spread(found['cpu'], 0)}, "
        f"{max(found['nodes'])} nodes (asked < 3,000), {max(found['requests'])} requests that "
        "leave the file."
    )

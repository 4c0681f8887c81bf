"""The point renderer alone: frames while scrubbing, lasso and pick, memory while a run plays."""

import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from browser import Chromium, heap

WEB = Path(__file__).parents[2] / "web"
PAGE = Path(__file__).parent / "page.ts"
K = 8
MIB = 2**20
CACHE = 96 * MIB  # as web/src/run/scene.svelte.ts asks for, and web/src/core/gl.ts on the card

_BUNDLE = """
import { build } from "vite";
const [entry, outDir] = process.argv.slice(1);
await build({
  configFile: false,
  logLevel: "warn",
  build: {
    outDir,
    emptyOutDir: true,
    lib: { entry, formats: ["iife"], name: "page", fileName: () => "page.js" },
  },
});
"""
# Rows, whether the picture moves (of more than 25,000 rows a part is drawn), CPU asked for in ms.
FRAMES = [
    (5_000, True, 25.0),
    (25_000, True, None),
    (100_000, True, 120.0),
    (100_000, False, 400.0),
]


@contextmanager
def renderer_page() -> Iterator[str]:
    """The address of the page, bundled from the sources of the app."""
    with tempfile.TemporaryDirectory() as folder:
        code = ["node", "--input-type=module", "--eval", _BUNDLE, str(PAGE), folder]
        subprocess.run(code, cwd=WEB, check=True)
        script = (Path(folder) / "page.js").read_bytes()
    with served(script) as address:
        yield address


@contextmanager
def served(script: bytes, rows: int = 100_000) -> Iterator[str]:
    """A server of one page, and of frames of as many rows as `rows`."""

    class Server(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path.startswith("/frames/"):
                self.answer("application/octet-stream", _frame(int(self.path[8:]), rows))
            else:
                body = b"<!doctype html><body style='margin:0'><script>%s</script>" % script
                self.answer("text/html; charset=utf-8", body)

        def answer(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            for name, value in (("Type", kind), ("Length", str(len(body)))):
                self.send_header(f"Content-{name}", value)
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def _frame(step: int, rows: int) -> bytes:
    """Coordinates of one step: int16, little-endian, `[row k]`."""
    drawn = np.random.default_rng(step).integers(-8000, 8000, (rows, K))
    return drawn.astype("<i2").tobytes()


def frames(chromium: Chromium, address: str, rounds: int, draws: int) -> Iterator[dict[str, Any]]:
    """CPU and wall time of a frame: of the drawing call alone, and as the screen asks for it."""
    page = chromium.page()
    page.goto(address)
    for rows, moving, asked in FRAMES:
        some = max(8, draws if rows < 100_000 else draws // 3)
        page.evaluate(f"bench.setUp({rows}, 10)")
        page.evaluate(f"bench.drawn({some}, {str(moving).lower()})")  # buffers are uploaded once
        calls, screens = [], []
        for _ in range(rounds):
            with chromium.cost() as cost:
                took = page.evaluate(f"bench.drawn({some}, {str(moving).lower()})")
            calls.append((1e3 * cost.drawing / some, took["median"], took["least"]))
            with chromium.cost() as cost:
                wall = page.evaluate(f"bench.played({some}, {str(moving).lower()})")
            screens.append((1e3 * cost.drawing / some, wall))
        yield {
            "rows": rows, "moving": moving, "asked_cpu": asked,
            "call_cpu": [one[0] for one in calls], "call_wall": [one[1] for one in calls],
            "call_least": min(one[2] for one in calls),
            "screen_cpu": [one[0] for one in screens], "screen_wall": [one[1] for one in screens],
        }  # fmt: skip
    page.close()


def frames_table(found: list[dict[str, Any]]) -> str:
    lines = [
        "| rows | CPU ms a frame, drawing call | its wall ms | CPU ms a frame on screen | asked |",
        "|---|---|---|---|---|",
    ]
    for one in found:
        name = f"{one['rows']:,} {'moving' if one['moving'] else 'at rest'}"
        asked = f"{one['asked_cpu']:.0f}" if one["asked_cpu"] else ""
        lines.append(
            f"| {name} | {_spread(one['call_cpu'])} | {_spread(one['call_wall'])} | "
            f"{_spread(one['screen_cpu'])} | {asked} |"
        )
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    return f"{median(values):.1f} [{min(values):.1f}, {max(values):.1f}]"


def choosing(chromium: Chromium, address: str, times: int) -> Iterator[dict[str, Any]]:
    """Milliseconds of a lasso and of a pick: after the view has changed, and again in the same."""
    page = chromium.page()
    page.goto(address)
    for rows in (5_000, 100_000):
        page.evaluate(f"bench.setUp({rows}, 2)")
        page.evaluate("bench.chosen(3)")
        yield {"rows": rows, **page.evaluate(f"bench.chosen({times})")}
    page.close()


def choosing_table(found: list[dict[str, Any]]) -> str:
    lines = [
        "| rows | lasso ms, view changed | again | pick, changed | again | in the lasso |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        times = " | ".join(
            f"{one[name]['median']:.1f} (least {one[name]['least']:.1f})"
            for name in ("lasso", "again", "pick", "hover")
        )
        lines.append(f"| {one['rows']:,} | {times} | {one['found']:,} |")
    return "\n".join(lines)


def playing(
    chromium: Chromium, address: str, steps: int, rows: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Memory while steps play, forward twice, at ten points of each pass."""
    page = chromium.page()
    page.goto(address)
    page.evaluate(f"bench.setUp({rows}, 2)")
    page.evaluate(f"bench.open({CACHE})")
    seen = [{"step": 0, "held": 0, "heap": heap(page), "memory": dict(chromium.memory())}]
    part = max(1, steps // 10)
    for begin in range(0, 2 * steps, part):
        found = page.evaluate(f"bench.play({begin}, {begin + part}, {steps})")
        if found["glError"]:
            raise RuntimeError(f"the card said error {found['glError']} at step {begin + part}")
        memory = dict(chromium.memory())
        seen.append(
            {"step": begin + part, "held": found["held"], "heap": heap(page), "memory": memory}
        )
        say(f"played {begin + part} of {2 * steps} steps")
    page.close()
    return seen


def playing_table(found: list[dict[str, Any]], steps: int, rows: int) -> str:
    total = steps * rows * K * 2 / MIB
    lines = [
        f"{steps} steps of {rows:,} rows x {K} coordinates ({total:.0f} MiB) played twice; MiB:",
        "",
        "| steps played | frames kept | scripts | page | GPU process | whole browser |",
        "|---|---|---|---|---|---|",
    ]
    chosen = [
        found[at]
        for at in sorted({0, 1, 2, 3, 5, 7, 10, 13, 17, len(found) - 1})
        if at < len(found)
    ]
    for one in chosen:
        memory = one["memory"]
        numbers = [
            one["held"],
            one["heap"],
            memory["renderer"],
            memory["GPU"],
            sum(memory.values()),
        ]
        lines.append(f"| {one['step']} | " + " | ".join(f"{n / MIB:.0f}" for n in numbers) + " |")
    half = found[len(found) // 2 :]
    totals = [sum(one["memory"].values()) / MIB for one in half]
    lines += [
        "",
        f"In the second pass the browser held {min(totals):.0f} to {max(totals):.0f} MiB.",
    ]
    return "\n".join(lines)

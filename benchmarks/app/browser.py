"""A browser that draws in software, and what its processes cost: CPU time, memory, frames drawn."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
# Headless Chromium draws 60 frames a second at most, as a screen would.
DRAWING = ("renderer", "GPU")
# Calls that draw a thousand points or more belong to the cloud; axes and labels are not counted.
_COUNT_DRAWS = """(() => {
  let [frames, first, at, drawing] = [0, null, 0, false];
  // When arrays came to the card that were not there before, and the first frame after that.
  let [uploaded, fresh] = [0, 0];
  const known = new Set();
  const count = (points) => {
    if (points < 1000) return;
    at = performance.now();
    first ??= at;
    if (fresh < uploaded) fresh = at;
    if (drawing) return;
    // All that is drawn in one task is one frame.
    drawing = true;
    frames += 1;
    setTimeout(() => (drawing = false));
  };
  const points = {
    drawElements: (mode, n) => n, drawArrays: (mode, from, n) => n,
    drawElementsInstanced: (mode, n, kind, at, times) => n * times,
    drawArraysInstanced: (mode, from, n, times) => n * times,
  };
  for (const kind of [globalThis.WebGLRenderingContext, globalThis.WebGL2RenderingContext])
    for (const name of Object.keys(points)) {
      const real = kind?.prototype[name];
      if (!real) continue;
      kind.prototype[name] = function (...rest) {
        count(points[name](...rest));
        return real.apply(this, rest);
      };
    }
  for (const kind of [globalThis.WebGLRenderingContext, globalThis.WebGL2RenderingContext])
    for (const [name, where] of [["bufferData", 1], ["bufferSubData", 2]]) {
      const real = kind?.prototype[name];
      if (!real) continue;
      kind.prototype[name] = function (...rest) {
        const data = rest[where];
        if (data?.length >= 3000) {
          const far = Math.floor(data.length / 5);
          const key = [0, 1, 2, 3, 4].map((at) => data[at * far + at]).join();
          if (!known.has(key)) uploaded = performance.now();
          known.add(key);
        }
        return real.apply(this, rest);
      };
    }
  globalThis.drawn = () => ({ frames, first, at, uploaded, fresh });
})();"""


@dataclass
class Cost:
    """What a stretch of time cost: seconds by the clock, CPU seconds by kind of process."""

    wall: float
    cpu: Counter[str]

    @property
    def drawing(self) -> float:
        """CPU seconds of the page and of the process that draws for it."""
        return sum(self.cpu[kind] for kind in DRAWING)


class Chromium:
    """Chromium; its CPU time is read from the clocks of its processes, to the microsecond."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._line: CDPSession = browser.new_browser_cdp_session()
        self.version = browser.version

    def page(self, *, width: int = 1000, height: int = 800, count: bool = False) -> Page:
        page = self._browser.new_page(viewport={"width": width, "height": height})
        if count:
            page.add_init_script(_COUNT_DRAWS)
        return page

    def processes(self) -> dict[int, str]:
        found = self._line.send("SystemInfo.getProcessInfo")["processInfo"]
        return {one["id"]: one["type"] for one in found}

    def cpu(self) -> Counter[str]:
        """CPU seconds so far by kind of process."""
        spent: Counter[str] = Counter()
        for pid, kind in self.processes().items():
            # Linux names the CPU clock of a process by its id, threads that ended included.
            spent[kind] += time.clock_gettime((~pid << 3) | 2)  # type: ignore[assignment]
        return spent

    @contextmanager
    def cost(self) -> Iterator[Cost]:
        """What the block costs; filled in when it ends."""
        before, found = self.cpu(), Cost(0.0, Counter())
        began = time.perf_counter()
        yield found
        found.wall = time.perf_counter() - began
        after = self.cpu()
        found.cpu = Counter({kind: after[kind] - before[kind] for kind in after})

    def memory(self) -> Counter[str]:
        """Bytes of memory by kind of process; what several share is shared out among them."""
        held: Counter[str] = Counter()
        for pid, kind in self.processes().items():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
                if line.startswith("Pss:"):
                    held[kind] += int(line.split()[1]) * 1024
        return held


@contextmanager
def chromium(executable: str = "/usr/bin/chromium") -> Iterator[Chromium]:
    """A fresh browser: no cache, no page."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=executable, args=FLAGS)
        try:
            yield Chromium(browser)
        finally:
            browser.close()


def heap(page: Page) -> int:
    """Bytes that scripts hold, the arrays outside of the script engine's heap included."""
    line = page.context.new_cdp_session(page)
    line.send("HeapProfiler.collectGarbage")
    found: dict[str, Any] = line.send("Runtime.getHeapUsage")
    line.detach()
    return int(found["usedSize"] + found.get("backingStorageSize", 0))

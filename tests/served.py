"""The app as a process of its own, and a browser in front of it."""

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of an app that shows the runs below a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "from nucleate.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "app", str(folder), "--port", str(port), "--no-open"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}/"
    for _ in range(100):
        try:
            urllib.request.urlopen(address, timeout=10).close()
            break
        except OSError:
            time.sleep(0.2)
    try:
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)


@contextmanager
def browsing() -> Iterator[Browser]:
    """Debian's chromium, drawing in software."""
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-background-networking", "--use-gl=angle",
                  "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
        )  # fmt: skip
        yield browser
        browser.close()


@contextmanager
def watched(browser: Browser, width: int = 1280, height: int = 900) -> Iterator[Page]:
    """A page in which nothing may go wrong unseen."""
    page = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    yield page
    page.close()
    assert faults == []

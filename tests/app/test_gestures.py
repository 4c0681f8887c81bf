"""What hands do on the cloud, in a real browser: the picture of a link, paths, lasso, keys."""

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

import any_runs

SIZE = {"width": 1280, "height": 900}
# read in the task that draws: later, a canvas of a graphics card is blank
DIGEST = """(canvas) => {
    const found = {};
    canvas.dispatchEvent(new CustomEvent("nucleate:digest", { detail: found }));
    return found;
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("shown")
    any_runs.make(folder / "first", measured=True)
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
    yield address
    process.terminate()
    process.wait(timeout=20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-background-networking", "--use-gl=angle",
                  "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
        )  # fmt: skip
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def start(browser, address) -> str:
    """The address of the run's screen."""
    page = browser.new_page(viewport=SIZE)
    page.goto(address)
    page.get_by_role("button", name="first").click()
    page.locator("canvas").first.wait_for()
    page.wait_for_timeout(500)
    url = str(page.url)
    page.close()
    return url


@pytest.fixture
def page(browser, start) -> Iterator[Page]:
    """The run's screen, at rest."""
    page = browser.new_page(viewport=SIZE)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    page.goto(start)
    _digest(page)
    yield page
    page.close()
    assert faults == []


def _digest(page: Page) -> str:
    """The hash of the picture once nothing moves and nothing is on its way."""
    page.locator("canvas[data-rest=true]").first.wait_for()
    found: Any = page.locator("canvas").first.evaluate(DIGEST)
    assert found["colored"] > 0.01
    return str(found["hash"])


def _url(page: Page) -> str:
    """The address once all changes are written to it."""
    page.wait_for_timeout(500)
    return str(page.url)


def _same_in_a_new_page(page: Page, browser: Browser) -> bool:
    again = browser.new_page(viewport=SIZE)
    again.goto(_url(page))
    found = _digest(again)
    again.close()
    return found == _digest(page)


def test_a_link_gives_the_same_picture_whatever_was_looked_at_before(page, browser):
    seen = [_digest(page)]
    acts = (
        lambda: page.keyboard.press("ArrowLeft"),
        lambda: page.keyboard.press("ArrowUp"),
        lambda: page.locator(".task").first.click(),
        lambda: page.get_by_label("Axes").select_option("variance"),
        lambda: page.get_by_label("Color by").select_option("instruction"),
        lambda: page.keyboard.press("s"),
        lambda: page.mouse.wheel(0, -300),
        lambda: page.get_by_label("Theme").select_option("dark"),
        lambda: page.get_by_label("Color by").select_option("task"),
        lambda: page.keyboard.press("p"),
        lambda: page.get_by_role("button", name="True scale").click(),
        lambda: page.keyboard.press("ArrowDown"),
    )
    for turn, act in enumerate(acts, 1):
        page.locator(".stage").first.hover()
        act()
        page.mouse.move(2, 2)
        page.wait_for_timeout(50)
        seen.append(_digest(page))
        if turn % 3 == 0:
            assert _same_in_a_new_page(page, browser), page.url
    assert len(set(seen)) > len(seen) / 2


def test_the_picture_is_another_at_each_step_and_the_same_on_return(page):
    first = _digest(page)
    seen = {first}
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(50)
        seen.add(_digest(page))
    assert len(seen) == 4
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(50)
    assert _digest(page) == first

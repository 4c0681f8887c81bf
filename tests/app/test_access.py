"""Whether everybody can use the app: by keyboard, by ear, in either language, on a phone."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

import any_runs
from served import browsing, serving, watched

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
SCREENS = ("runs", "run", "compare", "story", "evidence")


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("shown")
    any_runs.make(folder / "first", measured=True)
    any_runs.make(folder / "second")
    with serving(folder) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


@pytest.fixture
def page(browser) -> Iterator[Page]:
    with watched(browser) as page:
        yield page


def _runs(address: str) -> dict[str, str]:
    with urllib.request.urlopen(f"{address}api/runs.json", timeout=60) as answer:
        return {run["name"]: run["id"] for run in json.load(answer)["runs"]}


def _show(page: Page, address: str, screen: str, **view: Any) -> None:
    """Open a screen by its address, and wait until it has what it shows."""
    runs = _runs(address)
    state = {"screen": screen, "run": runs["first"], "other": runs.get("second", ""), **view}
    page.goto("about:blank")
    page.goto(f"{address}#" + "&".join(f"{name}={value}" for name, value in state.items()))
    page.locator("main h1:not(.wait)").first.wait_for()
    if screen in ("run", "compare"):
        page.locator("canvas").first.wait_for()


def _violations(page: Page) -> list[str]:
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[str] = page.evaluate(
        "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.flatMap("
        "one => one.nodes.map(node => `${one.id}: ${node.target} ${node.failureSummary}`)))"
    )
    return found


@pytest.mark.parametrize(
    ("theme", "lang", "width"), [("light", "en", 1280), ("dark", "ja", 390)], ids=["light", "dark"]
)
@pytest.mark.parametrize("screen", SCREENS)
def test_axe_finds_nothing(browser, address, screen, theme, lang, width):
    with watched(browser, width) as page:
        _show(page, address, screen, theme=theme, lang=lang)
        for closed in page.locator("summary").all():
            closed.click()
        if screen == "evidence":
            page.locator("details table").first.wait_for()
        assert _violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0

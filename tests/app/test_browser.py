"""The app in a real browser: what a user sees and can reach, and that nothing runs by itself."""

import io
import json
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Page

import any_runs
from served import serving

NAME = '<img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("shown")
    any_runs.make(folder / "first", measured=True)
    odd = any_runs.make(folder / "second")
    any_runs.make(folder / "bare", steps=())
    manifest = odd.path / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"name": NAME}))
    with serving(folder) as address:
        yield address


def _open(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("button", name="first").click()
    page.locator("canvas").first.wait_for()
    page.wait_for_timeout(1500)  # frames, and the agreement that is seen in the view


def _picture(page: Page) -> np.ndarray:
    from matplotlib.image import imread

    shot = page.locator("canvas").first.screenshot()
    return np.asarray(imread(io.BytesIO(shot)))[..., :3]


def test_runs_are_listed_and_hostile_names_are_text(page, address):
    page.goto(address)
    page.get_by_text(NAME).wait_for()
    assert page.locator("img").count() == 0
    assert page.title() != "1"


def test_a_run_opens_with_its_finding_and_a_cloud_that_is_not_blank(page, address):
    _open(page, address)
    assert page.get_by_text("The states group by task").first.is_visible()
    picture = _picture(page)
    colored = (picture.max(axis=2) - picture.min(axis=2)) > 0.15
    assert colored.mean() > 0.002


def test_a_run_without_a_step_shows_its_prompts_and_says_that_there_are_no_states(page, address):
    page.goto(address)
    page.get_by_role("button", name="bare").click()
    page.get_by_text("No step was recorded yet").wait_for()
    page.get_by_role("cell", name="do 0 x0").first.wait_for()
    assert page.locator("canvas").count() == 0
    assert "ARI (" not in page.locator("main").inner_text()


@pytest.mark.parametrize("screen", ["Story", "Evidence"])
def test_every_screen_opens_in_both_languages(page, address, screen):
    _open(page, address)
    page.get_by_role("button", name=screen).or_(page.get_by_role("link", name=screen)).click()
    page.wait_for_timeout(500)
    english = page.locator("main").inner_text()
    page.goto(page.url + "&lang=ja")
    page.reload()
    page.wait_for_timeout(800)
    japanese = page.locator("main").inner_text()
    assert english != japanese
    assert any("ぁ" <= letter <= "ん" for letter in japanese)


def test_the_page_fits_a_phone(browser, address):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    _open(page, address)
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    page.close()
    assert wide <= 0


def test_nothing_outside_is_asked_for(page, address):
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    _open(page, address)
    assert asked
    assert all(url.startswith((address, "data:", "blob:")) for url in asked)

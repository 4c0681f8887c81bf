"""Whether everybody can use the app: by keyboard, by ear, in either language, on a phone."""

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

import any_runs
from nucleate.panel import measure
from nucleate.views import RunView
from served import serving, watched

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
LANGUAGES = Path(__file__).parents[2] / "web" / "src" / "lang"
ALARMS = (
    {"alarm": "forgetting", "statistic": "right", "step": 4, "tasks": ["t2"], "now": 0.1,
     "before": 0.9, "value": 0.8, "threshold": 0.3, "seen": 0, "healthy": 240, "rate": 0.05},
    {"alarm": "not finite", "statistic": "finite", "step": 5, "tasks": ["states"], "seen": 0,
     "healthy": 240, "rate": 0.05, "loss_alarm": 4},
)  # fmt: skip
SCREENS = ("runs", "run", "compare", "story", "evidence")


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("shown")
    first = any_runs.make(folder / "first", measured=True)
    for alarm in ALARMS:
        first.journal.append("event", name="alarm", place="", **alarm)
    any_runs.make(folder / "second")
    with serving(folder) as address:
        yield address


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


@pytest.mark.parametrize(
    ("lang", "said"),
    [("en", ("Alarms of this training: 2", "Forgetting t2", "0 of 240", "1 steps earlier")),
     ("ja", ("この学習の警報:2 件", "忘却 t2", "240 回中 0 回", "1 ステップ早い"))],
)  # fmt: skip
def test_alarms_are_listed_and_lead_to_their_step(page, address, lang, said):
    _show(page, address, "run", lang=lang)
    listed = page.locator("section[aria-labelledby=alarms-title]")
    text = " ".join(listed.inner_text().split())
    assert all(each in text for each in said), text
    listed.get_by_role("button").click()
    _until(page, step="4")


def _focused(page: Page) -> str:
    said: str = page.evaluate(
        "(document.activeElement.getAttribute('aria-label') || document.activeElement.innerText"
        " || document.activeElement.tagName).trim()"
    )
    return said


def _tab_to(page: Page, name: str, most: int = 80) -> list[str]:
    """Press Tab until something of this name has the focus; every stop on the way shows it."""
    passed: list[str] = []
    while not passed or passed[-1] != name:
        assert len(passed) < most, f"{name!r} is not among {passed}"
        page.keyboard.press("Tab")
        passed.append(_focused(page))
        ring = page.evaluate(
            "document.activeElement === document.body || ['outlineStyle', 'outlineWidth'].map("
            "one => getComputedStyle(document.activeElement)[one]).join(' ')"
        )
        assert ring is True or not ring.startswith("none"), f"{passed[-1]!r} hides its focus"
    return passed


def _view(page: Page) -> dict[str, str]:
    written = page.evaluate("location.hash.slice(1)")
    return dict(entry.split("=", 1) for entry in written.split("&"))


def _until(page: Page, **view: str | None) -> None:
    """Wait until the address says so; None: the address says nothing of it."""
    for name, value in view.items():
        page.wait_for_function(
            "([name, value]) => (new URLSearchParams(location.hash.slice(1)).get(name)) === value",
            arg=[name, value], timeout=5000,
        )  # fmt: skip


def test_the_keyboard_alone_goes_from_the_runs_to_the_story_and_back(page, address):
    page.goto(address)
    page.get_by_role("button", name="first").wait_for()
    _tab_to(page, "first")
    page.keyboard.press("Enter")
    page.locator("canvas").first.wait_for()
    page.keyboard.press("ArrowLeft")
    _until(page, step="4")
    page.keyboard.press("ArrowLeft")
    _until(page, step="2")
    stream = _view(page).get("stream")
    page.keyboard.press("ArrowDown")
    page.wait_for_function("old => !location.hash.includes(`stream=${old}&`)", arg=stream)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("e")
    _until(page, erased="1")
    page.keyboard.down("n")
    _until(page, nulls="1")
    page.keyboard.up("n")
    _until(page, nulls=None)
    _tab_to(page, "To task")
    _tab_to(page, "Pull")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    _until(page, pull="t0,t1", dose="1")
    page.keyboard.press("ArrowLeft")
    _until(page, dose="0.95")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Escape")
    _until(page, pull=None, erased=None, dose=None)


def test_the_keyboard_opens_and_leaves_the_story(page, address):
    _show(page, address, "run")
    _tab_to(page, "Story")
    page.keyboard.press("Enter")
    _until(page, screen="story")
    page.get_by_role("heading", name="What was trained").wait_for()
    _tab_to(page, "4")  # a number leads to what it rests on
    page.keyboard.press("Enter")
    page.wait_for_function("() => !location.hash.includes('screen=story')")
    page.go_back()
    _until(page, screen="story")


def test_keys_play_list_themselves_and_close(page, address):
    _show(page, address, "run", step=0)
    page.keyboard.press(" ")
    page.wait_for_function("() => !/step=0(&|$)/.test(location.hash)", timeout=5000)
    page.keyboard.press("?")
    listed = page.get_by_role("region", name="Keyboard")
    listed.wait_for()
    page.keyboard.press("Escape")
    listed.wait_for(state="detached")


def test_no_tab_stop_jumps_the_queue(page, address):
    _show(page, address, "run")
    assert page.locator("[tabindex]:not([tabindex='0']):not([tabindex='-1'])").count() == 0
    passed = _tab_to(page, "Search text, target or task")
    order = [name for name in passed if name in ("Axes", "Step of the training", "Position")]
    assert order == ["Axes", "Step of the training", "Position"]


@pytest.mark.parametrize("screen", SCREENS)
def test_no_english_sentence_is_left_in_japanese(page, address, screen):
    _show(page, address, screen, lang="ja")
    words = page.locator("body").inner_text()
    sentence = re.compile(r"[A-Za-z][a-z]+(?:[ ,]+[a-z]+){3,}")
    assert sentence.findall(words) == []


def test_texts_that_come_from_python_are_known_to_the_languages(tmp_path):
    """Where a sentence is changed here, Japanese would fall back to English unseen."""
    known = json.loads((LANGUAGES / "en.json").read_text(encoding="utf-8"))
    sentences = [
        re.compile(re.sub(r"\\{\w+\\}", "(.+)", re.escape(text)) + "$", re.DOTALL)
        for name, text in known.items() if name.startswith("text.")
    ]  # fmt: skip
    plain = any_runs.prompts_of(answers=False)
    runs = [
        any_runs.make(tmp_path / "bare", plain, steps=(4,)),
        any_runs.make(tmp_path / "same", steps=(0, 4), measured=True),
        any_runs.make(tmp_path / "broken", steps=(0, 4), broken=(4,)),
        any_runs.make(tmp_path / "nothing", any_runs.prompts_of(labels=("instruction",)), steps=()),
    ]
    measure(runs[2], nulls=(), n_bootstraps=5, n_init=1, metrics=["agreement"])
    told: list[str] = []
    for run in runs:
        view = RunView(run)
        shown = json.loads(view.get("view.json"))
        told += [*shown["notes"], shown["summary"]["model"], shown["summary"]["tasks"]]
        if run is runs[1]:
            for basis in ("tasks", "variance"):
                told.append(json.loads(view.get(f"cloud/block.1/last/{basis}.json"))["method"])
    assert len(told) > 12
    assert [said for said in told if not any(one.match(said) for one in sentences)] == []


@pytest.mark.parametrize("name", ["first", "second"])
def test_the_headline_says_what_the_summary_says(page, address, name):
    run = _runs(address)[name]
    with urllib.request.urlopen(f"{address}api/run/{run}/view.json", timeout=60) as answer:
        said = json.load(answer)["headline"]
    _show(page, address, "run", run=run)
    assert page.locator("main h1").inner_text() == said


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_story_prints_on_one_light_page_without_the_app_around_it(page, address, lang):
    _show(page, address, "story", theme="dark", card=2, lang=lang)
    assert page.locator("article:visible").count() == 1
    page.emulate_media(media="print")
    assert page.locator("article:visible").count() == 5
    assert page.locator("header:visible, nav:visible, button:visible").count() == 0
    color = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(color) == "rgb(255, 255, 255)"
    printed = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1


def test_a_card_has_an_address_and_its_numbers_lead_to_their_evidence(page, address):
    _show(page, address, "story")
    page.get_by_role("link", name="When it learnt").click()
    _until(page, card="1")
    assert page.locator("article:visible h2").inner_text() == "2 When it learnt"
    page.reload()
    page.get_by_role("link", name="all five cards").wait_for()
    assert page.locator("article:visible").count() == 1
    page.get_by_role("link", name="all five cards").click()
    _until(page, card=None)
    # what stands outside of links has no number but those that explain a scale
    loose = page.evaluate(
        "() => [...document.querySelectorAll('article p')].map(p => [...p.childNodes].filter("
        "one => one.nodeType === 3).map(one => one.data).join('|'))"
    )
    allowed = re.compile(r"95 %|1 is perfect|\(--null")
    assert [line for line in loose if re.search(r"\d", allowed.sub("", line))] == []

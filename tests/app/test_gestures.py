"""What hands do on the cloud, in a real browser: the picture of a link, paths, lasso, keys."""

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

import any_runs
from served import serving, watched

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
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
    with serving(folder) as address:
        yield address


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
    with watched(browser, **SIZE) as page:
        page.goto(start)
        _digest(page)
        yield page


def _digest(page: Page) -> str:
    """The hash of the picture once nothing moves and nothing is on its way."""
    page.locator("canvas[data-rest=true]").first.wait_for()
    found: Any = page.locator("canvas").first.evaluate(DIGEST)
    assert found["colored"] > 0.01
    return str(found["hash"])


def _url(page: Page) -> str:
    """The address once all changes are written to it: the camera's pause, then the address's."""
    page.wait_for_timeout(800)
    return str(page.url)


def _same_in_a_new_page(page: Page, browser: Browser) -> bool:
    again = browser.new_page(viewport=SIZE, reduced_motion="reduce")
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


def test_paths_are_drawn_through_all_steps_and_said(page):
    before = _digest(page)
    page.keyboard.press("p")
    page.get_by_text("farthest at step 8").wait_for()
    during = _digest(page)
    assert during != before
    page.locator("tbody button.link").first.click()
    page.get_by_text("Lines: paths of 1 of 1 selected rows through 4 steps, 0 to 8").wait_for()
    assert _digest(page) != during
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    page.wait_for_timeout(100)
    assert _digest(page) == before


def test_the_rows_that_moved_most_are_those_farthest_from_their_first_states(page, address):
    page.get_by_role("button", name="Moved most").click()
    page.wait_for_timeout(300)
    shown = _selected(_url(page))
    assert len(shown) == 20
    far = _moved(page, address)
    # only the tasks in focus are asked, and here all three are
    assert set(shown) == set(np.argsort(-far)[:20].tolist())
    page.locator("#step, input[type=range]").first.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(200)
    assert page.get_by_role("button", name="Moved most").is_disabled()


def _selected(url: str) -> list[int]:
    """The rows that a link selects."""
    found: list[int] = []
    for part in re.search(r"select=([\d,-]+)", url).group(1).split(","):
        low, _, high = part.partition("-")
        found += range(int(low), int(high or low) + 1)
    return found


def _moved(page: Page, address: str) -> np.ndarray:
    """How far each row is at the last step from where it was at the first."""
    run = re.search(r"run=([^&]+)", page.url).group(1)
    title = page.locator(".stage").first.locator("xpath=..").locator("h2").inner_text()
    stream = re.search(r"States at (\S+),", title).group(1)
    place = f"{address}api/run/{run}/cloud/{stream}/last/tasks"
    with urllib.request.urlopen(place + ".json") as got:
        about = json.load(got)
    ends = []
    for frame in (about["frames"][0], about["frames"][-1]):
        path = place.replace("/cloud/", "/frames/") + f"/{frame['step']}.i16"
        with urllib.request.urlopen(path) as got:
            ends.append(np.frombuffer(got.read(), "<i2").reshape(-1, about["k"]) * frame["unit"])
    return np.linalg.norm(ends[1] - ends[0], axis=1)


def test_small_pictures_show_every_layer_with_its_numbers_and_lead_there(page, address, browser):
    before = _digest(page)
    page.keyboard.press("g")
    tiles = page.locator(".tile")
    page.locator(".tile canvas[data-drawn=true]").nth(3).wait_for()
    assert tiles.count() == 4
    page.wait_for_timeout(800)  # the agreement that is seen is reckoned at rest
    for tile in tiles.all():
        said = tile.locator(".hidden").text_content()
        about = _about(page, address, tile.locator("b").first.text_content())
        last = about["frames"][-1]
        values = [value and f"{value:.2f}" for value in (last["ari_k"], last["ari_full"])]
        found = re.findall(r"ARI [^;]*? (-?[\d.]+|–), null (-?[\d.]+|–)", said)
        assert [one for one, _ in found[1:]] == values
        assert found[1][1] == f"{last['null_ari_k']:.2f}"
        assert all(chance != "–" for _, chance in found)
    pictures = page.locator(".tile canvas").evaluate_all("all => all.map(one => one.toDataURL())")
    assert len(set(pictures)) == 4
    assert _digest(page) == before
    assert _same_in_a_new_page(page, browser)
    tiles.nth(1).click()
    page.get_by_role("heading", name="States at block.0").wait_for()
    assert tiles.nth(1).get_attribute("aria-current") == "true"


def test_small_pictures_of_steps_follow_the_selection_and_lead_to_their_step(page):
    page.get_by_label("Small pictures").select_option("steps")
    page.locator(".tile canvas[data-drawn=true]").nth(3).wait_for()
    read = "all => all.map(one => one.toDataURL())"
    before = page.locator(".tile canvas").evaluate_all(read)
    assert len(set(before)) == 4
    page.keyboard.press("m")
    page.wait_for_timeout(300)
    after = page.locator(".tile canvas").evaluate_all(read)
    assert all(one != other for one, other in zip(before, after, strict=True))
    page.locator(".tile").nth(1).click()
    page.get_by_role("heading", name="token, step 2").wait_for()
    assert "step=2" in _url(page)


def _about(page: Page, address: str, stream: str) -> Any:
    run = re.search(r"run=([^&]+)", page.url).group(1)
    with urllib.request.urlopen(f"{address}api/run/{run}/cloud/{stream}/last/tasks.json") as got:
        return json.load(got)


def _around(page: Page) -> list[tuple[float, float]]:
    """The corners of the stage, a little inside."""
    page.locator(".stage").first.scroll_into_view_if_needed()
    box = page.locator(".stage").first.bounding_box()
    left, top = box["x"] + 4, box["y"] + 4
    right, low = box["x"] + box["width"] - 4, box["y"] + box["height"] - 4
    return [(left, top), (right, top), (right, low), (left, low), (left, top)]


def _drag(page: Page, corners: list[tuple[float, float]]) -> None:
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner, steps=4)
    page.mouse.up()


def test_a_drag_with_shift_selects_what_it_encloses_and_the_drawer_lists_it(page, browser):
    before = _digest(page)
    page.keyboard.down("Shift")
    _drag(page, _around(page))
    page.keyboard.up("Shift")
    page.mouse.move(2, 2)
    everything = _selected(_url(page))
    assert len(everything) >= 46  # one in a hundred may lie outside at each side
    assert "camera" not in page.url
    assert page.locator(".selected b").first.inner_text() == f"{len(everything)} rows selected"
    assert page.get_by_text("Right at step 8:").is_visible()
    rows = page.locator("section[aria-label=Rows] tbody tr")
    assert rows.count() == len(everything)
    assert _digest(page) != before
    assert _same_in_a_new_page(page, browser)
    # a half of the stage has a part of them
    corners = _around(page)
    middle = (corners[0][0] + corners[1][0]) / 2
    half = [(min(x, middle), y) for x, y in corners]
    page.keyboard.down("Shift")
    _drag(page, half)
    page.keyboard.up("Shift")
    part = _selected(_url(page))
    assert 0 < len(part) < len(everything)
    assert set(part) < set(everything)
    page.keyboard.press("Escape")
    page.mouse.move(2, 2)
    assert "select" not in _url(page)
    assert _digest(page) == before


def test_escape_drops_a_lasso_that_is_being_drawn(page):
    page.keyboard.press("l")
    page.get_by_text("Draw a line around points").wait_for()
    corners = _around(page)
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:4]:
        page.mouse.move(*corner, steps=3)
    assert page.locator(".loop").count() == 1
    page.keyboard.press("Escape")
    page.mouse.up()
    assert page.locator(".loop").count() == 0
    assert "select" not in _url(page)
    assert "camera" not in page.url


def test_a_finger_lassoes_and_two_fingers_zoom(browser, start):
    page = browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    page.goto(start)
    _digest(page)
    page.get_by_role("button", name="Lasso").tap()
    page.locator(".stage").first.scroll_into_view_if_needed()
    client = page.context.new_cdp_session(page)

    def touch(kind: str, *spots: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(spots)]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    corners = _around(page)
    touch("touchStart", corners[0])
    for corner in corners[1:]:
        touch("touchMove", corner)
    touch("touchEnd")
    assert len(_selected(_url(page))) > 40
    (left, top), _, (right, low) = corners[:3]
    x, y = (left + right) / 2, (top + low) / 2
    touch("touchStart", (x - 30, y), (x + 30, y))
    for far in (40, 50, 60):
        touch("touchMove", (x - far, y), (x + far, y))
    touch("touchEnd")
    zoom = float(re.search(r"camera=([\d.]+)", _url(page)).group(1))
    before = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    page.close()
    assert before <= 0
    assert zoom > 1.5


def test_keys_select_zoom_move_and_fit(page):
    before = _digest(page)
    page.keyboard.press("s")
    assert _selected(_url(page)) == list(range(48))  # all three tasks are in focus
    page.keyboard.press("Escape")
    page.keyboard.press("+")
    page.keyboard.press("Shift+ArrowLeft")
    assert "step" not in _url(page)
    assert "camera" in page.url
    assert _digest(page) != before
    page.keyboard.press("f")
    assert "camera" not in _url(page)
    assert _digest(page) == before


def test_a_row_has_neighbors_beside_chance_and_its_way_through_the_training(page, address):
    run = re.search(r"run=([^&]+)", page.url).group(1)
    page.locator("section[aria-label=Rows] tbody button.link").nth(5).click()
    drawer = page.locator("section[aria-label=Rows] .chosen")
    drawer.get_by_text("Answers at 4 of 4 recorded steps").wait_for()
    text = drawer.inner_text()
    # fifteen of the other 47 rows have its task
    assert "Among the 10 nearest" in text
    assert re.search(r"\d+ have its task, t2, of 15 .* \(by chance 3\.19\)", text)
    assert int(re.search(r"(\d+) have its task", text).group(1)) == _neighbors(page, address, 5)
    right = []
    for step in (0, 2, 4, 8):
        with urllib.request.urlopen(f"{address}api/run/{run}/answers/{step}.json") as got:
            right.append(json.load(got)["correct"][5])
    shown = drawer.locator("svg g").evaluate_all(
        "all => all.map(one => one.classList.contains('right') ? 1 : 0)"
    )
    assert shown == right
    assert drawer.get_by_text("From 4 to 8:").is_visible()
    drawer.locator("ol button").first.click()
    assert "step=0" in _url(page)
    drawer.get_by_text("Close").click()
    assert "select" not in _url(page)


def _neighbors(page: Page, address: str, row: int) -> int:
    """How many of the ten nearest rows have the row's task, reckoned anew."""
    run = re.search(r"run=([^&]+)", page.url).group(1)
    title = page.locator("section[aria-label='Cloud of states'] h2").first.inner_text()
    place = f"{run}/frames/{re.search(r'States at (.+),', title).group(1).split(',')[0]}/last/tasks"
    with urllib.request.urlopen(f"{address}api/run/{place}/8.i16") as got:
        points = np.frombuffer(got.read(), "<i2").reshape(48, -1).astype(float)
    with urllib.request.urlopen(f"{address}api/run/{run}/rows.json") as got:
        task = np.array(json.load(got)["labels"]["task"]["codes"])
    far = ((points - points[row]) ** 2).sum(1)
    far[row] = np.inf
    return int((task[np.argsort(far, kind="stable")[:10]] == task[row]).sum())


def test_a_step_or_a_drag_reads_nothing_but_its_frame_and_answers(page):
    page.keyboard.press("ArrowLeft")
    _digest(page)
    page.wait_for_timeout(300)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(300)
    corners = _around(page)
    _drag(page, [corners[0], (corners[0][0] + 90, corners[0][1] + 60)])
    assert "camera" in _url(page)
    assert any("/answers/" in url for url in asked)
    # the list of runs is asked for by the clock
    own = ("/frames/", "/answers/", "/runs.json")
    assert [url for url in asked if not any(part in url for part in own)] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_small_pictures_selections_and_rows(page, theme):
    page.get_by_label("Theme").select_option(theme)
    page.keyboard.press("g")
    page.keyboard.press("s")
    page.locator(".tile canvas[data-drawn=true]").nth(3).wait_for()
    page.locator("section[aria-label=Rows] tbody button.link").first.click()
    page.get_by_text("Answers at 4 of 4 recorded steps").wait_for()
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(
        "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.flatMap("
        "one => one.nodes.map(node => `${one.id}: ${node.target} ${node.failureSummary}`)))"
    )
    assert found == []


def test_on_paper_the_panels_are_blocks_and_nothing_that_acts_is_printed(page):
    wide = page.locator(".chart svg").first.evaluate("(node) => node.getBoundingClientRect().width")
    page.emulate_media(media="print")
    # a page is narrower than the screen that the charts were drawn for
    found = page.evaluate("""() => {
        const all = (what) => [...document.querySelectorAll(what)];
        const panel = document.querySelector(".chart").parentElement;
        panel.style.width = "500px";
        return {
            blocks: all(".regions, .regions > div").map((one) => getComputedStyle(one).display),
            whole: all(".panel").every((one) => getComputedStyle(one).breakInside === "avoid"),
            chart: document.querySelector(".chart svg").getBoundingClientRect().width,
            inputs: all("input, .tools button").filter((one) => one.checkVisibility()).length,
            rows: all("td button").every((one) => one.checkVisibility()),
        };
    }""")
    assert found["blocks"] == ["block"] * 3
    assert found["whole"]
    assert wide > 500 > found["chart"] > 400
    assert found["inputs"] == 0
    assert found["rows"]


def test_shuffled_tasks_are_named_as_tasks_whatever_the_color_was(page):
    page.get_by_label("Color by").select_option("instruction")
    _digest(page)
    assert page.locator(".task").first.inner_text().startswith("do ")
    page.keyboard.down("n")
    _digest(page)
    assert page.get_by_label("Color by").input_value() == "task"
    assert page.locator(".task").first.inner_text() in ("t0", "t1", "t2")
    page.keyboard.up("n")
    _digest(page)
    assert page.get_by_label("Color by").input_value() == "instruction"


def test_words_of_an_onset_stand_only_beside_the_curve_they_were_read_from(page, address):
    run = page.url.split("run=")[1].split("&")[0]
    view = json.load(urllib.request.urlopen(f"{address}api/run/{run}/view.json"))
    places = {one["stream"] for one in view["onsets"] if one["curve"] == "ari" and one["high"]}
    said = page.get_by_label("Course of the training").get_by_text(re.compile("^Groups at "))
    for stream in view["streams"]:
        page.goto(re.sub("&stream=[^&]*", "", page.url) + f"&stream={stream}")
        page.get_by_role("heading", name=f"States at {stream},").wait_for()
        assert said.count() == (1 if stream in places else 0), stream
        assert all(f" {stream}," in text for text in said.all_inner_texts())


def test_marks_of_onsets_keep_clear_of_titles_and_each_chart_has_its_key(page):
    found = page.evaluate("""() => {
        const box = (one) => one.getBoundingClientRect();
        const chart = document.querySelector(".chart svg");
        const titles = [...chart.querySelectorAll("text.title")].map(box);
        const marks = [...chart.querySelectorAll("g[stroke]")].map(box);
        const meet = (a, b) => a.top < b.bottom && b.top < a.bottom;
        return {
            marks: marks.length,
            met: marks.filter((mark) => titles.some((title) => meet(mark, title))).length,
            keys: [...document.querySelectorAll(".key > b")].map((one) => one.textContent),
            titles: [...chart.querySelectorAll("text.title")].map((one) => one.textContent),
        };
    }""")
    assert found["marks"] > 0
    assert found["met"] == 0
    assert found["keys"] == found["titles"][:2]
    assert "in the axes shown" in found["titles"][-1]


def test_a_point_under_the_pointer_tells_its_prompt_target_and_answer(page):
    box = page.locator(".stage").bounding_box()
    assert box is not None
    label = page.locator(".stage .label").first.bounding_box()
    assert label is not None
    tip = page.locator(".stage .tip")
    # names stand above the middle of their tasks
    for turn in range(60):
        x = label["x"] + label["width"] / 2 + 6 * (turn % 10 - 5)
        page.mouse.move(x, label["y"] + label["height"] + 6 * (turn // 10))
        if tip.count():
            break
    assert "Target" in tip.inner_text()
    assert "Answer" in tip.inner_text()
    page.mouse.move(2, 2)
    assert tip.count() == 0

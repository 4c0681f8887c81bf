"""Whether text of unknown origin stays text: nothing runs, nothing bursts, the page is usable."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

import any_runs
from nucleate.panel import Permuted, measure
from nucleate.runs import Run
from served import serving, watched

SCRIPT = "</script><script>document.title='run'</script>"
IMAGE = "<img src=x onerror=\"document.title='run'\">"
QUOTES = "\"'`;--{{7*7}}${7*7}{name}&lt;&#0;%00../../etc/passwd"
TURNED = "\u202eright to left\u2066 \u200f\u0627\u0644"
HUGE = "L" * 1_000_000
TASKS = (SCRIPT, IMAGE + QUOTES, TURNED)
SCREENS = ("run", "story", "evidence", "compare", "runs")


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("hostile")
    names = {"script": SCRIPT, "huge": HUGE}
    for folder_name, name in names.items():
        prompts = any_runs.prompts_of(
            task=lambda string: HUGE if string == 23 else TASKS[string % 3],
            instruction=lambda string: HUGE if string == 0 else TASKS[string % 3] + str(string),
            output=lambda string: TASKS[(string + 1) % 3],
        )
        run = Run.create(folder / folder_name, prompts, {"name": name})
        for step in (0, 4):
            states = any_runs.states_of(any_runs.prompts_of(), float(step), step)
            run.save_snapshot(step, states, {})
        if folder_name == "script":
            measure(run, nulls=(Permuted(99),), n_bootstraps=20, n_init=2, metrics=["agreement"])
    with serving(folder) as address:
        yield address


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("width", [1280, 390])
def test_text_of_a_run_stays_text(browser, address, screen, width):
    with watched(browser, width) as page:
        page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        page.goto(address)
        runs = page.evaluate("() => fetch('api/runs.json').then(got => got.json())")["runs"]
        found = {run["folder"].rsplit("/", 1)[-1]: run["id"] for run in runs}
        page.goto("about:blank")
        page.goto(f"{address}#screen={screen}&run={found['script']}&other={found['huge']}")
        page.locator("main h1:not(.wait)").first.wait_for(timeout=20_000)
        if screen in ("run", "compare"):
            page.locator("canvas").first.wait_for(timeout=20_000)
        for closed in page.locator("summary").all():
            closed.click()
        page.wait_for_timeout(500)
        assert page.locator("main img, main script").count() == 0
        assert page.title() != "run"
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        assert page.evaluate("document.documentElement.scrollHeight") < 15_000
        assert page.evaluate("document.body.innerText.length") < 200_000


def test_a_run_with_hostile_text_can_be_walked_through(browser, address):
    with watched(browser) as page:
        page.goto(address)
        page.get_by_role("button", name="document.title").first.click()
        page.locator("canvas").first.wait_for(timeout=20_000)
        page.keyboard.press("ArrowLeft")
        page.wait_for_function("() => location.hash.includes('step=0')")
        page.get_by_role("searchbox").fill("img src")
        page.locator("tbody tr").first.get_by_role("button").click()
        page.wait_for_function("() => location.hash.includes('select=')")
        page.get_by_role("button", name="Pull", exact=True).click()
        page.wait_for_function("() => location.hash.includes('pull=')")
        assert page.title() != "run"


@pytest.mark.parametrize("value", [IMAGE, SCRIPT, "../../etc/passwd", "a" * 50_000])
def test_a_hostile_address_shows_a_usable_page(browser, address, value):
    page = browser.new_page()
    page.goto(f"{address}#screen=run&run={quote(value)}&stream={quote(value)}&focus={quote(value)}")
    page.locator("main h1, main [role=alert]").first.wait_for()
    assert page.title() != "run"
    assert page.locator("main img").count() == 0
    page.close()

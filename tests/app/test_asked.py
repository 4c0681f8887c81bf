"""What a page asks the server for while it is used: a slider must not load a run again."""

from pathlib import Path

import pytest

import any_runs
from served import browsing, serving, watched

pytestmark = pytest.mark.skipif(not Path("/usr/bin/chromium").exists(), reason="needs chromium")


def test_a_step_asks_for_its_own_frame_and_answers_and_for_nothing_that_is_here(tmp_path):
    any_runs.make(tmp_path / "run", steps=range(8), measured=True)
    asked: list[str] = []
    with serving(tmp_path) as address, browsing() as browser, watched(browser) as page:
        page.goto(address)
        page.get_by_role("button", name="run", exact=True).click()
        page.locator("canvas[data-rest=true]").first.wait_for()
        page.on("request", lambda request: asked.append(request.url.split("/api/")[-1]))
        for _ in range(3):
            page.keyboard.press("ArrowLeft")
            page.wait_for_timeout(400)
    assert any("/answers/" in path for path in asked)
    assert [path for path in asked if "/answers/" not in path and "/frames/" not in path] == []

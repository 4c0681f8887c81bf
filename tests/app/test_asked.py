"""What a page asks the server for while it is used: a slider must not load a run again."""

import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

import any_runs

pytestmark = pytest.mark.skipif(not Path("/usr/bin/chromium").exists(), reason="needs chromium")


def test_a_step_asks_for_its_own_frame_and_answers_and_for_nothing_that_is_here(tmp_path):
    any_runs.make(tmp_path / "run", steps=range(8), measured=True)
    code = "from nucleate.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "app", str(tmp_path), "--port", "0", "--no-open"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    asked: list[str] = []
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[1]
        with sync_playwright() as play:
            browser = play.chromium.launch(
                executable_path="/usr/bin/chromium",
                args=["--no-sandbox", "--disable-background-networking", "--use-gl=angle",
                      "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
            )  # fmt: skip
            page = browser.new_page(reduced_motion="reduce")
            page.goto(address)
            page.get_by_role("button", name="run", exact=True).click()
            page.locator("canvas[data-rest=true]").first.wait_for()
            page.on("request", lambda request: asked.append(request.url.split("/api/")[-1]))
            for _ in range(3):
                page.keyboard.press("ArrowLeft")
                page.wait_for_timeout(400)
            browser.close()
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdout.close()
    assert any("/answers/" in path for path in asked)
    assert [path for path in asked if "/answers/" not in path and "/frames/" not in path] == []

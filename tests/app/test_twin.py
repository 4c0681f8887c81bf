"""The null lens: what chance shows, in axes of its own."""

from collections.abc import Iterator
from contextlib import closing

import pytest

import any_runs
from served import serving, watched


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("shown")
    any_runs.make(folder / "first", measured=True)
    with serving(folder) as address:
        yield address


def test_holding_n_shows_the_twin_in_its_own_axes_and_letting_go_the_tasks_again(browser, address):
    with watched(browser) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.get_by_role("button", name="first").click()
        cloud = page.get_by_role("region", name="Cloud of states")
        cloud.get_by_text("means of the tasks").wait_for()
        page.keyboard.down("n")
        cloud.get_by_text("means of shuffled tasks").wait_for()
        page.locator(".stage[aria-busy=false]").first.wait_for()
        assert any("/twin.json" in url for url in asked)
        assert any("/twin/" in url and url.endswith(".i16") for url in asked)
        assert cloud.get_by_label("Axes").input_value() == "tasks"
        page.keyboard.up("n")
        cloud.get_by_text("means of the tasks").wait_for()


def test_where_no_twin_is_carried_the_axes_of_the_tasks_stay(browser, address):
    # Not watched: a browser logs that something is not there.
    with closing(browser.new_page()) as page:
        gone = {"status": 404, "body": "not carried"}
        page.route("**/twin.json", lambda route: route.fulfill(**gone))
        page.goto(address)
        page.get_by_role("button", name="first").click()
        cloud = page.get_by_role("region", name="Cloud of states")
        cloud.get_by_text("means of the tasks").wait_for()
        page.keyboard.down("n")
        page.get_by_text("Null: tasks shuffled").wait_for()
        page.locator(".stage[aria-busy=false]").first.wait_for()
        assert cloud.get_by_text("means of the tasks").is_visible()
        assert page.get_by_text("not carried").count() == 0

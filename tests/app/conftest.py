"""A browser for the tests of a file, and a page for each of them."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from served import browsing, watched


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


@pytest.fixture
def page(browser) -> Iterator[Page]:
    with watched(browser) as page:
        yield page

"""A real Chromium before a really running rbee. A page that logs an error or breaks its content policy fails its test."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.screen import listen
from tests.stack import Stack

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        message = "the system package chromium is missing"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="session")
def logged_in(browser: Browser, shared_stack: Stack) -> dict:
    """The storage of a browser that opened the link that `rbee up` printed."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(shared_stack.login_url)
    page.wait_for_url(f"{shared_stack.url}/")
    state = context.storage_state()
    context.close()
    return dict(state)


@pytest.fixture
def context(browser: Browser, shared_stack: Stack, logged_in: dict) -> Iterator[BrowserContext]:
    made = browser.new_context(storage_state=logged_in, base_url=shared_stack.url)
    made.set_default_timeout(15_000)
    yield made
    made.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser's console complained about. It logs every refused request too: see `forgive`."""
    return []


@pytest.fixture
def page(context: BrowserContext, complaints: list[str]) -> Iterator[Page]:
    opened = context.new_page()
    listen(opened, complaints)
    yield opened
    assert complaints == []

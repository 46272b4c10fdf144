"""Debian's Chromium for tests that take the way a person would, and a page that fails the test on any script error.

``from tests.browser import browser, page`` in a conftest.py makes the fixtures known there.
"""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from tests.parts import program

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SOON = 20_000  # milliseconds


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Debian's Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program("chromium"), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Give a page that fails the test on any script error or refused content."""
    context = browser.new_context(timezone_id="Asia/Kolkata", locale="en-GB", viewport={"width": 1200, "height": 700})
    shown, faults = context.new_page(), []
    shown.on("pageerror", lambda e: faults.append(str(e)))
    shown.on("console", lambda m: faults.append(m.text) if "Content Security Policy" in m.text else None)
    yield shown
    context.close()
    assert faults == []


def figure(page: Page, scope: str, name: str) -> Locator:
    """Find one figure."""
    return page.locator(f'{scope} [data-figure="{name}"]').first


def picture(page: Page, name: str) -> None:
    """Keep a picture of the page where SCREENSHOTS says."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)

"""The page in a real browser, served by a real owner: a Chromium, a daemon with one indexed tree, signed-in tabs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.indexing.http.page.browsing import FILES, SECONDS, Daemon, OpenTab, Tab, lay_out, running_daemon


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon over an indexed tree called ``shop``."""
    base = tmp_path_factory.mktemp("page")
    with running_daemon(base) as daemon:
        daemon.index(lay_out(base / "shop", FILES))
        yield daemon


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium. Of a module, since playwright's loop must not run while async tests do."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no chromium on PATH")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        expect.set_options(timeout=SECONDS * 1000)
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_tab(browser: Browser, daemon: Daemon) -> Iterator[OpenTab]:
    """Opens tabs; at the end none may have had a console error, a policy violation or a request to another host."""
    tabs: list[Tab] = []
    contexts: list[BrowserContext] = []

    def make(*, sign_in: bool = True, **options: Any) -> Tab:
        context = browser.new_context(**{"reduced_motion": "reduce", **options})
        contexts.append(context)
        context.set_default_timeout(SECONDS * 1000)
        page = context.new_page()
        tab = Tab(page, daemon.url)
        tabs.append(tab)
        tab.watch()
        page.goto(daemon.link() if sign_in else daemon.url)
        return tab

    yield make
    for context in contexts:
        context.close()
    assert [each for tab in tabs for each in tab.left_over()] == []


@pytest.fixture
def tab(open_tab: OpenTab) -> Tab:
    """A signed-in tab."""
    return open_tab()

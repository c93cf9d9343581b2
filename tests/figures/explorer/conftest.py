"""Pages to look at: made of synthetic tables and pictures, and opened in a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from bigloop.figures.explorer import written

CHROMIUM = next((found for name in ("chromium", "google-chrome") if (found := shutil.which(name))), None)
Known = dict[str, Any]
Opened = Callable[..., Page]

CLAIMS = pd.DataFrame(
    [
        ("P 2025", "a", "It collapses.", "reduced models agree", "1 of 1"),
        ("P 2025", "b", "It <i>never</i> does.", "not tested", None),
    ],
    columns=["paper", "claim_id", "claim", "verdict", "numbers"],
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, without a window."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: install Debian's package chromium")
    flags = ["--disable-dev-shm-usage"] + ["--no-sandbox"] * (os.geteuid() == 0)  # as in a container
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Opened]:
    """Open what a page knows, or a page that lies somewhere, at an address's hash; no error may be said in it."""
    said: list[str] = []
    pages: list[Page] = []

    def open_page(known: Known | Path, hash: str = "", width: int = 1300, **context: Any) -> Page:
        file = known if isinstance(known, Path) else tmp_path / "explorer.html"
        if not isinstance(known, Path):
            file.write_text(written(known), encoding="utf-8")
        page = browser.new_page(viewport={"width": width, "height": 900}, offline=True, **context)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "request", lambda request: request.url.startswith(("file:", "data:")) or said.append(request.url)
        )
        page.goto(f"{file.as_uri()}#{hash}")
        page.wait_for_selector("html[data-ready]", state="attached")
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert said == []

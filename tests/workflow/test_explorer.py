"""The page of a finished experiment, as the workflow writes it, opened in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from ..figures.explorer.conftest import Opened
from .conftest import Workplace

pytestmark = pytest.mark.workflow

MOST = 25e6  # bytes


def test_digits_their_measures_classes_and_critics_are_there(finished: Path, opened: Opened) -> None:
    path = finished / "results" / "smoke" / "explorer.html"
    assert path.stat().st_size < MOST
    page = opened(path, "generation=2&seed=1")
    expect(page.locator("h1")).to_have_text("smoke")
    expect(page.locator("#pictures figure")).to_have_count(4)  # real ones, and three runs
    expect(page.locator("#pictures .sheet.empty")).to_have_count(2)  # the WGANs have one seed
    shown = page.locator("#pictures img:visible").nth(1)
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 6 * 28
    expect(page.locator("#classes .bars")).to_have_count(3)
    expect(page.locator("#critics tbody tr")).to_have_count(2)
    expect(page.locator("#command")).to_contain_text("--configfile results/smoke/config.yaml")


def test_without_it_nothing_else_changes_and_its_options_write_it_anew(workplace: Workplace) -> None:
    workplace.config["explorer"] = False
    assert workplace.plan() == []
    workplace.config["explorer"] = {"images": 4, "seeds": 1}
    assert [job.rule for job in workplace.plan()] == ["explore"]

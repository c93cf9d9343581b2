"""Snakemake's report of a finished experiment, opened in a real browser: it begins with what was found."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from bigloop.figures.story import ROWS, folded, story
from bigloop.ops.study import Study

from .conftest import Workplace

pytestmark = pytest.mark.workflow


@pytest.fixture
def report(workplace: Workplace) -> Path:
    path = workplace.directory / "report.html"
    workplace.snakemake("--report", str(path))
    return path


def test_it_opens_on_the_story(report: Path, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1300, "height": 900}, offline=True)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(report.as_uri())
    title = page.locator(".story h1")
    expect(title).to_have_text("smoke")
    box = title.bounding_box()
    assert box is not None
    assert box["y"] >= 0  # not cut off above
    shown = page.locator(".story img")
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") > 1000
    verdicts = page.locator(".story table").first.locator("tbody tr")
    assert verdicts.locator("td:first-child").all_inner_texts() == ["WGAN 1", "WGAN 2", "VAE"]
    expect(page.locator(".story")).to_contain_text("The Wasserstein-1 distance to real images rises")
    page.get_by_text("Measures: every value").click()
    expect(page.locator(".story details[open] tbody tr").first).to_be_visible()
    page.get_by_text("Generations", exact=True).click()
    table = page.locator("#app table").first
    expect(table).to_contain_text("generation")
    expect(table.locator("tbody")).to_contain_text("vae")
    page.close()
    assert errors == []


def test_it_is_there_as_a_zip_file_too(workplace: Workplace) -> None:
    path = workplace.directory / "report.zip"
    workplace.snakemake("--report", str(path))
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
    assert "report/report.html" in names
    assert any(name.endswith("explorer.html") for name in names)


def test_tables_that_are_missing_are_said_to_be(finished: Path, tmp_path: Path) -> None:
    assert "tables/runs.csv: missing" in story("smoke", tmp_path, ["fid"])
    told = story("smoke", finished / "results", ["fid"])
    assert 'alt="Figure fid"' in told
    study = Study(finished / "results" / "smoke")
    long = folded("All", study.measures)
    assert f"the first {ROWS:,} rows of {len(study.measures):,}" in long
    assert long.count("<tr>") == ROWS + 1

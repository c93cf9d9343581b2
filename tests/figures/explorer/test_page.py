"""The explorer page in a real browser: it shows what it should, follows mouse, keys and address, and is fast."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from bigloop.figures.explorer import PAGE
from bigloop.figures.explorer.contents import contents
from bigloop.figures.explorer.pictures import heights, packed, picture
from bigloop.figures.point_clouds import limits

from ..conftest import material as make
from .conftest import CLAIMS, Known, Opened

pytestmark = pytest.mark.long

UPLOT = "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"
STEP = 0.05  # seconds that a step of the slider may take: 20 a second look fluid


def sheet_of(value: float) -> str:
    data = picture(np.full((4, 1, 8, 8), value), 2, lossless=True)
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}"


def page_of(generations: int = 6, runs: int = 3, seeds: tuple[int, ...] = (0, 7)) -> Known:
    """What a page knows of so many runs; the samples of generation t have the grey value t / generations."""
    names = {f"run{i}": ("wgan_gp" if i % 2 else "vae", f"Run {i}") for i in range(runs)}
    found = make(generations=generations, seeds=seeds, runs=names)
    verdicts = pd.DataFrame({"run": list(names)}).assign(verdict="stable", reason="for a reason")
    table = found.runs.assign(seeds=" ".join(map(str, seeds)))
    known: dict[str, Any] = contents(
        "test", dataclasses.replace(found, runs=table, verdicts=verdicts), CLAIMS, ["bigloop 1.2"]
    )
    greys = {str(t): sheet_of(t / generations) for t in range(1, generations + 1)}
    generated = {name: {str(seed): greys for seed in seeds} for name in names}
    return known | {
        "pictures": {"side": 2, "real": {"mnist": sheet_of(1.0)}, "generated": generated},
        "clouds": {},
    }


def stretched(known: Known, times: int) -> Known:
    """The same page as of `times` as many generations: its own, again and again."""
    for run in known["runs"]:
        run["generations"] *= times
    for measure in known["measures"]:
        for found in measure["runs"].values():
            found["generations"] = list(range(1, len(found["generations"]) * times + 1))
            found["seeds"] = {seed: values * times for seed, values in found["seeds"].items()}
    for found in (*known["pictures"]["generated"].values(), *known["classes"]["shares"].values()):
        for seed, own in found.items():
            found[seed] = {str(1 + t): own[str(1 + t % len(own))] for t in range(times * len(own))}
    return known


def points_page() -> Known:
    """What a page knows of two runs on densities in the plane and on the line, measured every other generation."""
    rng, known = np.random.default_rng(0), page_of(runs=2)
    clouds = {}
    for name, density, d in (("run0", "ring", 2), ("run1", "bimodal", 1)):
        points = rng.normal(size=(300, d))
        box = limits(points)
        of = {str(t): packed(points / t, box) for t in (1, 3, 5)}
        row = {"density": density} | ({"density.modes": 8} if d == 2 else {})
        clouds[name] = {
            "box": box.tolist(),
            "generations": of,
            "true": packed(points, box),
            "density": heights(row, box),
        }
    return known | {"pictures": {}, "clouds": clouds}


def grey_of(page: Page, run: int) -> float:
    """The grey value in the middle of a run's first sample, as the browser shows it."""
    image = page.locator("#pictures .sheet img:visible").nth(1 + run)
    return image.evaluate(
        """async (image) => {
          await image.decode();
          const canvas = document.createElement("canvas");
          canvas.width = canvas.height = 16;
          canvas.getContext("2d").drawImage(image, 0, 0);
          return canvas.getContext("2d").getImageData(4, 4, 1, 1).data[0] / 255;
        }"""
    )


def mark_of(page: Page, chart: int = 0) -> float:
    """Where the mark of the generation stands in a chart, in pixels from the left end of its axes."""
    return (
        page.locator("#curves .mark")
        .nth(chart)
        .evaluate("e => new DOMMatrix(getComputedStyle(e).transform).m41")
    )


def slide(page: Page, generation: int) -> None:
    page.locator("#slider").fill(str(generation))


@pytest.mark.parametrize("width", [390, 1300])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_opens_without_an_error_and_fits_its_window(opened: Opened, width: int, theme: str) -> None:
    page = opened(page_of(), width=width, color_scheme=theme)
    expect(page.locator("h1")).to_have_text("test")
    expect(page.locator("html")).to_have_attribute("data-theme", theme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(page.locator("#curves .chart canvas")).to_have_count(6)
    expect(page.locator("#verdicts tbody tr")).to_have_count(3)
    expect(page.locator("#clouds")).to_be_hidden()


def test_the_slider_changes_pictures_values_classes_and_marks(opened: Opened) -> None:
    known = page_of()
    page = opened(known)
    assert grey_of(page, 0) == pytest.approx(1 / 6, abs=0.01)
    before, bars = mark_of(page), page.locator("#classes .of").first.get_attribute("style")
    slide(page, 4)
    assert grey_of(page, 2) == pytest.approx(4 / 6, abs=0.01)
    assert mark_of(page) > before + 50
    assert page.locator("#classes .of").first.get_attribute("style") != bars
    expect(page.locator("#place")).to_have_text("4 of 6")
    first = known["measures"][0]
    values = [of[3] for of in first["runs"]["run1"]["seeds"].values()]
    cell = page.locator("#values tbody tr").nth(1).locator("td").first.inner_text()
    written = [float(part) for part in cell.split(" ± ")]
    assert written == pytest.approx([np.mean(values), np.std(values, ddof=1)], rel=1e-3)


def test_keys_and_buttons_move_and_play_goes_to_the_end(opened: Opened) -> None:
    page = opened(page_of(generations=3), "generation=2")
    place = page.locator("#place")
    for key, shown in (("ArrowRight", 3), ("ArrowRight", 3), ("Home", 1), ("ArrowLeft", 1), ("End", 3)):
        page.keyboard.press(key)
        expect(place).to_have_text(f"{shown} of 3")
    page.locator("#back").click()
    expect(place).to_have_text("2 of 3")
    page.locator("#play").click()
    expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")
    expect(place).to_have_text("3 of 3")
    expect(page.locator("#play")).to_have_attribute("aria-label", "Play")
    expect(page.locator("#told")).to_have_text("generation 3 of 3")


def test_a_click_into_a_curve_goes_to_its_generation(opened: Opened) -> None:
    page = opened(page_of())
    slide(page, 5)
    five = mark_of(page)
    slide(page, 1)
    area = page.locator("#curves .u-over").first
    area.scroll_into_view_if_needed()
    area.click(position={"x": five + 3, "y": 40})
    expect(page.locator("#place")).to_have_text("5 of 6")
    expect(page.locator("#curves .readout").first).to_contain_text("generation 5")


def test_an_address_restores_what_is_shown(opened: Opened) -> None:
    known = page_of()
    page = opened(known)
    slide(page, 3)
    page.get_by_label("Run 1", exact=True).uncheck()
    page.locator("#seed").select_option("7")
    page.get_by_label("FID", exact=True).uncheck()
    page.get_by_label("Logarithmic axis of recall").click()
    page.locator("#shown").select_option("run2")
    page.locator("#untested").check()
    page.locator("#theme").click()
    page.wait_for_function("location.hash.includes('theme')")
    again = opened(known, page.evaluate("location.hash").removeprefix("#"))
    expect(again.locator("#place")).to_have_text("3 of 6")
    expect(again.get_by_label("Run 1", exact=True)).not_to_be_checked()
    expect(again.locator("#seed")).to_have_value("7")
    expect(again.locator("#curves .chart")).to_have_count(5)
    expect(again.get_by_label("Logarithmic axis of recall")).to_have_attribute("aria-pressed", "true")
    expect(again.locator("#command")).to_contain_text("only=run2")
    expect(again.locator("#claims tbody tr")).to_have_count(2)
    expect(again.locator("html")).to_have_attribute("data-theme", "dark")
    one = known["measures"][1]["runs"]["run0"]["seeds"]["7"][2]
    assert float(again.locator("#values td").first.inner_text()) == pytest.approx(one, rel=1e-3)


@pytest.mark.parametrize(
    "hash", ["generation=99", "generation=-1", "generation=x", "runs=none", "seed=5", "log=,,", "%%%"]
)
def test_an_address_that_says_nonsense_does_no_harm(opened: Opened, hash: str) -> None:
    page = opened(page_of(), hash)
    expect(page.locator("#place")).to_have_text("6 of 6" if "99" in hash else "1 of 6")


def test_texts_are_shown_as_they_are(opened: Opened) -> None:
    page = opened(page_of() | {"experiment": "a</script><b>"}, "untested=true")
    expect(page.locator("h1")).to_have_text("a</script><b>")
    expect(page.locator("#claims")).to_contain_text("It <i>never</i> does.")


def test_points_are_drawn_in_the_plane_and_on_the_line(opened: Opened) -> None:
    page = opened(points_page(), "generation=4")
    views = page.locator("#clouds canvas")
    expect(views).to_have_count(2)
    expect(views.first).to_have_attribute("aria-label", "Points of Run 0, generation 3")
    expect(page.locator("#clouds small").first).to_contain_text("generation 3")
    shown = (
        "c => c.getContext('2d').getImageData(0, 0, 360, 360).data.filter((v, i) => i % 4 === 3 && v).length"
    )
    for place in (0, 1):
        before = views.nth(place).screenshot()
        assert views.nth(place).evaluate(shown) > 1_000
        slide(page, 5 if place == 0 else 1)
        assert views.nth(place).screenshot() != before


def test_critics_say_their_share_on_hover_and_no_run_need_be_chosen(opened: Opened) -> None:
    known = page_of()
    page = opened(known)
    cell = page.locator("#critics tbody tr").nth(1).locator("td").nth(2)
    cell.hover()
    share = known["critics"]["run1"]["run0"][1][2]
    expect(page.locator("#critics .hover")).to_contain_text(f"calls {100 * share:.4g} % of generation 3")
    page.locator("#no-runs").click()
    expect(page.locator("#pictures")).to_be_hidden()
    expect(page.locator("#curves")).to_contain_text("None of these runs has it.")
    page.locator("#find").fill("Run 2")
    page.locator("#all-runs").click()
    expect(page.locator("#values tbody tr")).to_have_count(1)


def test_everything_that_is_clicked_has_a_name_and_every_picture_a_text(opened: Opened) -> None:
    page = opened(page_of())
    bare = """() => [...document.querySelectorAll("button, select, input")]
      .filter((e) => !(e.getAttribute("aria-label") || e.labels?.length || e.textContent.trim())).length"""
    assert page.evaluate(bare) == 0
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    expect(page.locator("#pictures img").nth(1)).to_have_attribute(
        "alt", "Samples of Run 0, seed 0, generation 1"
    )


def test_a_step_of_the_slider_is_fluid_with_100_generations_of_10_runs(opened: Opened) -> None:
    page = opened(stretched(page_of(generations=2, runs=10), 50))
    took = page.evaluate(
        """async () => {
          const slider = document.getElementById("slider");
          const begun = performance.now();
          for (let t = 1; t <= 100; t += 1) {
            slider.value = t;
            slider.dispatchEvent(new Event("input"));
            document.body.offsetHeight; // lay out
          }
          return (performance.now() - begun) / 100 / 1000;
        }"""
    )
    print(f"{1000 * took:.1f} ms a step")
    assert took < STEP


def test_the_charting_library_is_the_one_published_with_its_licence() -> None:
    vendor: Path = PAGE / "vendor"
    assert hashlib.sha256((vendor / "uPlot.iife.min.js").read_bytes()).hexdigest() == UPLOT
    assert "MIT License" in (vendor / "LICENSE").read_text()

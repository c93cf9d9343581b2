"""Simulated runs on the real graph: what they leave, and what runs again."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from playwright.sync_api import expect

from bigloop.artifacts import read_table, read_tensors

from ..figures.explorer.conftest import Opened
from .conftest import KNOWN, PRINTED, Workplace

pytestmark = pytest.mark.workflow


@pytest.fixture
def known(finished_known: Path, tmp_path: Path) -> Workplace:
    """A copy of that directory."""
    directory = tmp_path / "known"
    shutil.copytree(finished_known, directory, symlinks=True)
    return Workplace(directory, KNOWN)


def rules(place: Workplace, *targets: str) -> Counter[str]:
    return Counter(job.rule for job in place.plan(*targets) if not job.rule.startswith(("plot_", "explore")))


def blocks(place: Workplace, run: str) -> list[str]:
    folder = (place.directory / "results" / "smoke-known" / "runs" / run).resolve()
    return sorted(str(path.parent.relative_to(folder)) for path in folder.glob("*/*/measures.csv"))


def test_a_run_leaves_tables_and_figures_without_images_or_classifier_and_then_has_nothing_to_do(
    known: Workplace,
) -> None:
    results = known.directory / "results"
    assert {path.stem for path in (results / "smoke-known" / "figures").glob("*.png")} == set(
        known.config["figures"]
    )
    assert not (results / "data").exists()
    assert not (results / "classifier").exists()
    assert known.plan() == []


def test_the_tables_hold_every_seed_and_generation_of_every_run_of_a_sweep(known: Workplace) -> None:
    table = read_table(known.directory / "results" / "smoke-known" / "tables" / "measures.csv")
    swept = {f"limit-n{n}-bias{bias:g}" for n in (50, 200) for bias in (1.0, 0.5)}
    assert swept | {"decay", "single-initial20", "moons", "ring", "reverse", "real"} <= set(table["run"])
    sd = table[(table["run"] == "decay") & (table["measure"] == "sd")]
    assert sorted(zip(sd["seed"], sd["generation"], strict=True)) == [
        (seed, t) for seed in range(5) for t in range(1, 7)
    ]
    ring = table[(table["run"] == "ring") & (table["measure"] == "modes_covered")]
    assert sorted(set(ring["generation"])) == [1, 3]
    assert set(table.loc[table["run"] == "moons", "seed"]) == {0, 7}
    floor = table[table["run"] == "real"]
    assert set(floor["dataset"]) == {"moons", "ring", "bimodal"}


def test_more_generations_and_seeds_simulate_new_blocks_alone(known: Workplace) -> None:
    assert blocks(known, "decay") == [
        f"seeds-{seeds}/gens-{gens}" for seeds in ("0-2", "3-4") for gens in ("1-4", "5-6")
    ]
    known.config["runs"]["decay"] |= {"generations": 8, "seeds": 6}
    planned = known.plan()
    # the last block of generations of the full block of seeds, and both of the block that a seed was added to
    assert Counter(job.rule for job in planned)["simulate"] == 1 + 2
    kept = known.snapshot("runs")
    known.snakemake()
    after = known.snapshot("runs")
    assert {name: after[name] for name in kept} == kept
    assert known.plan() == []


def test_the_explorer_page_shows_points(known: Workplace, opened: Opened) -> None:
    page = opened(known.directory / "results" / "smoke-known" / "explorer.html")
    expect(page.locator("#pictures")).to_be_hidden()
    assert page.locator("#clouds canvas").count() > 1


def test_another_loop_simulates_its_own_runs_alone(known: Workplace) -> None:
    known.config["runs"]["limit"]["over"][0]["synthetic.n"] = [50, 200, 100]
    assert rules(known) == Counter({"simulate": 2, "collect": 1})


def test_another_figure_simulates_nothing(known: Workplace) -> None:
    known.config["figures"]["decay"]["log"] = False
    assert [job.rule for job in known.plan()] == ["plot_decay"]


def test_a_deleted_block_is_simulated_again_to_the_same_bytes(known: Workplace) -> None:
    folder = (known.directory / "results" / "smoke-known" / "runs" / "moons").resolve()
    (block,) = blocks(known, "moons")
    before, _ = read_tensors(folder / block / "points.safetensors")
    table = (folder / block / "measures.csv").read_bytes()
    shutil.rmtree(folder / block)
    assert rules(known)["simulate"] == 1
    known.snakemake()
    after, _ = read_tensors(folder / block / "points.safetensors")
    assert (folder / block / "measures.csv").read_bytes() == table
    assert all((after[name] == before[name]).all() for name in before)


def test_a_family_of_images_on_a_density_is_one_line(known: Workplace) -> None:
    known.config["models"]["gaussian"] = {"family": "vae"}
    printed = known.snakemake("--dry-run", fails=True)
    assert "config error: runs.decay.model: vae cannot learn gaussian" in printed


def test_the_scheduler_looks_for_jobs_when_one_has_ended_and_not_besides(finished_known: Path) -> None:
    printed = (finished_known / PRINTED).read_text()
    looks, ended = (printed.count(words) for words in ("Ready jobs:", "Finished job"))
    assert ended > 20
    assert looks <= 2 * ended

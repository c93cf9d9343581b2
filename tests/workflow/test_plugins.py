"""A family, a source, a density, a measure, a kind of features, a figure, a claim, a loop rule and a score are one file
and one line each."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from bigloop.artifacts import read_tensors

from .conftest import Workplace

pytestmark = pytest.mark.workflow

THINGS = Path(__file__).parent / "things"
CONFIG = """
experiment: mine
plugins: [things]
classifier: {width: 2, epochs: 1, batch_size: 100, learning_rate: 1.0e-2}
models:
  pixelwise: {family: pixelwise, floor: 1.0e-2}
  gaussian: {family: gaussian}
datasets:
  few: {source: stripes, rows: 300}
loops:
  plain: &plain
    initial: {n: 200}
    samples: 200
    synthetic: {n: 100}
    budget: {initial: {epochs: 1}, retrain: {epochs: 1}}
  thinned: {<<: *plain, thin: {share: 0.25}}
  chosen: {<<: *plain, select: {by: dark, best_of: 2}}
runs:
  plain: {dataset: few, model: pixelwise, loop: plain, generations: 2}
  thinned: {dataset: few, model: pixelwise, loop: thinned, generations: 2}
  chosen: {dataset: few, model: pixelwise, loop: chosen, generations: 2, measured: selected}
  slope: {dataset: slope, model: gaussian, loop: plain, generations: 3, seeds: 2}
  slope-thinned: {dataset: slope, model: gaussian, loop: thinned, generations: 3, seeds: 2}
measures:
  brightness: {n: 50}
  wasserstein1: {n: 50}
  fid: {n: 50, features: {column_means: 3}}
  moments:
  selection:
figures:
  brightness_bars: {colour: red}
  again: {figure: brightness_bars}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A directory with the plugin in it, in which its experiment has run to its end."""
    directory = tmp_path_factory.mktemp("plugins")
    shutil.copytree(THINGS, directory / "things", ignore=shutil.ignore_patterns("__pycache__"))
    (directory / "config.yaml").write_text(CONFIG)
    place = Workplace(directory, directory / "config.yaml")
    place.snakemake()
    return place


def table(place: Workplace, name: str) -> pd.DataFrame:
    return pd.read_csv(place.directory / "results" / "mine" / "tables" / f"{name}.csv")


def trained_on(place: Workplace, run: str) -> int:
    """Synthetic rows that generation 2 was trained on."""
    rows, _ = read_tensors(place.generation(run, 2) / "rows.safetensors")
    return len(rows["1"])


def test_a_family_of_ones_own_learns_a_dataset_of_ones_own(place: Workplace) -> None:
    assert {name[: len("pixelwise-stripes-")] for name in place.folders() if "stripes" in name} == {
        "pixelwise-stripes-"
    }
    images, _ = read_tensors(place.generation("plain", 2) / "samples.safetensors")
    assert images["images"].shape == (200, 1, 12, 12)


def test_a_measure_of_ones_own_is_taken_of_images_and_points_and_of_real_ones(place: Workplace) -> None:
    measured = table(place, "measures").query("measure == 'brightness'")
    assert set(measured["run"]) == {"plain", "thinned", "chosen", "slope", "slope-thinned", "real"}
    # Stripes are of mean 125 / 255 and vary little; x on the slope is of mean 2 / 3, 50 points of which err by 0.04.
    images = measured[measured["run"].isin(["plain", "thinned"])]["value"]
    assert images.between(0.4, 0.6).all()
    assert measured[measured["run"] == "slope"]["value"].between(0.45, 0.9).all()


def test_features_of_ones_own_are_what_images_are_compared_on(place: Workplace) -> None:
    measured = table(place, "measures").query("measure == 'fid'")
    on = measured.groupby(["run", "dataset"], dropna=False)["features"].unique().map(list)
    assert on["plain", "few"] == on["thinned", "few"] == on["real", "few"] == ["column_means-3"]
    kept, _ = read_tensors(place.generation("plain", 2) / "features-column_means-3.safetensors")
    images, _ = read_tensors(place.generation("plain", 2) / "samples.safetensors")
    taken = images["images"][:64, 0, :, ::3].astype(np.float32)
    np.testing.assert_allclose(kept["features"], taken.mean(axis=1) / scale(taken), rtol=1e-5)


def scale(images: np.ndarray) -> float:
    """What white is: samples are handed over as bytes."""
    return 255.0 if images.max() > 1 else 1.0


def test_a_figure_of_ones_own_is_drawn_with_its_options_and_captioned(place: Workplace) -> None:
    figures = place.directory / "results" / "mine" / "figures"
    drawn = [(figures / f"{name}.png").read_bytes() for name in ("brightness_bars", "again")]
    assert drawn[0] != drawn[1]  # red, and grey by default
    place.snakemake("--report", "report.html")
    assert "How bright everything is, a bar each." in (place.directory / "report.html").read_text()


def test_a_claim_of_ones_own_is_held_against_the_tables(place: Workplace) -> None:
    (claim,) = table(place, "claims").query("claim_id == 'is-bright'").to_dict("records")
    assert claim["verdict"] == "reduced models agree"
    assert claim["numbers"].count(";") == 5  # five runs, and real data


def test_a_loop_rule_of_ones_own_changes_what_later_generations_train_on(place: Workplace) -> None:
    assert (trained_on(place, "plain"), trained_on(place, "thinned")) == (100, 25)
    one, other = (place.generation(run, 1) for run in ("plain", "thinned"))
    assert (one / "model.safetensors").samefile(other / "model.safetensors")  # the first has no part in it
    spread = table(place, "measures").query("measure == 'sd' and generation == 2")
    runs = spread.groupby("run")["value"].mean()
    assert runs["slope"] != runs["slope-thinned"]


def test_a_score_of_ones_own_selects_what_is_handed_on(place: Workplace) -> None:
    first, second = place.generation("chosen", 1), place.generation("chosen", 2)
    images = read_tensors(first / "samples.safetensors")[0]["images"].astype(np.float64)
    chosen, header = read_tensors(first / "selected.safetensors")
    means = images.reshape(100, 2, -1).mean(axis=2)
    assert chosen["rows"].tolist() == (2 * np.arange(100) + means.argmin(axis=1)).tolist()
    assert header["samples"] == read_tensors(first / "samples.safetensors")[1]["sha256"]
    trained, _ = read_tensors(second / "rows.safetensors")
    assert trained["1"].tolist() == chosen["rows"].tolist()
    measured = table(place, "measures").query("run == 'chosen' and generation == 1").set_index("measure")
    assert measured.loc["selected_share", "value"] == 0.5
    shown = means.min(axis=1)[:50].mean() / scale(images)  # of the selected ones alone
    assert measured.loc["brightness", "value"] == pytest.approx(shown, rel=1e-3)


def test_a_selection_is_of_its_samples_alone_and_is_made_again_where_they_are(place: Workplace) -> None:
    folder, samples = place.generation("chosen", 1), "samples.safetensors"
    before = (folder / "selected.safetensors").read_bytes()
    (folder / samples).unlink()
    (folder / "selected.safetensors").unlink()
    place.snakemake("--", str((folder / "selected.safetensors").relative_to(place.directory)))
    assert (folder / "selected.safetensors").read_bytes() == before
    assert not place.plan()


def test_a_rule_moves_the_folder_of_a_run_only_where_it_is_given(place: Workplace) -> None:
    folders = {run: place.generation(run, 2).parents[1].name for run in ("plain", "thinned")}
    assert folders["plain"] != folders["thinned"]
    config = yaml.safe_load(CONFIG)
    config["plugins"], config["runs"] = (
        [],
        {"vae": {**config["runs"]["plain"], "dataset": "mnist", "model": "vae"}},
    )
    config |= {"models": {"vae": {"family": "vae"}}, "datasets": {}, "measures": {}, "figures": {}}
    del config["loops"]["thinned"], config["loops"]["chosen"]
    planned = []
    for plugins in ([], ["things"]):
        elsewhere = Workplace(place.directory, place.directory / "config.yaml")
        elsewhere.config = config | {"plugins": plugins}
        planned.append([job.output for job in elsewhere.plan("all") if job.rule == "train"])
    assert planned[0] == planned[1]
    assert planned[0]


def test_without_its_plugin_the_config_names_what_is_unknown(place: Workplace) -> None:
    unaware = Workplace(place.directory, place.directory / "config.yaml")
    unaware.config["plugins"] = []
    printed = unaware.snakemake("--dry-run", fails=True)
    assert re.search(r"^config error: \S+: unknown family 'pixelwise' \(known: vae, [^\n]*\)$", printed, re.M)

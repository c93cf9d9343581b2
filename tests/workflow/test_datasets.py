"""Datasets from a config, on the real graph: small coloured pictures with classes, and grey ones without."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import squeezenet1_1

from bigloop.artifacts import file_checksum, read_json, read_table, read_tensors

from .conftest import Workplace

pytestmark = pytest.mark.workflow

CONFIG = """
experiment: pictures
datasets:
  squares: {source: images, root: squares, labels: folders}
  plain: {source: images, root: plain, grey: true, size: 12}
  noise: {source: images, root: plain, size: 16, features: {torchvision: squeezenet1_1, weights: network.pth}}
  reds: {source: images, root: squares, labels: folders, classes: [red], features: {classifier: squares}}
classifier: {width: 2, epochs: 4, batch_size: 32}
models:
  vae: {family: vae, hidden: 16, latent: 4}
  wgan: {family: wgan_gp, width: 2, latent: 4, critic_iterations: 1}
  ddpm: {family: ddpm, width: 8, blocks: 1, patch: 2, timesteps: 4, sampler: ddim, sampling_steps: 2, batch_size: 32}
loops:
  synthetic:
    initial: {n: 60}
    samples: 64
    real: {}
    synthetic: {n: 60}
    budget: {initial: {images: 640}, retrain: {images: 640}}
  few:
    initial: {n: 30}
    samples: 32
    synthetic: {n: 30}
    budget: {initial: {images: 640}, retrain: {images: 640}}
  exact:
    initial: {n: 60}
    samples: 64
    real: {fixed: 20}
    synthetic: {n: 40}
    handover: float16
    budget: {initial: {images: 640}, retrain: {images: 640}}
runs:
  squares: {dataset: squares, model: vae, loop: synthetic, generations: 2}
  judged: {dataset: squares, model: wgan, loop: exact, generations: 2}
  plain: {dataset: plain, model: ddpm, loop: synthetic, generations: 2}
  noise: {dataset: noise, model: vae, loop: few, generations: 2}
  reds: {dataset: reds, model: vae, loop: few, generations: 2}
measures:
  wasserstein1: {n: 18}
  critic_distance: {n: 18}
  fid: {n: 18}
  classes: {n: 30}
  pixels: {n: 18}
figures:
  samples:
  class_frequencies:
  collapse:
  critic_on_test:
  critic_matrices:
  critic_and_wasserstein:
  embedding: {images: 20}
  pixel_intensities:
  strips:
"""


def draw_pictures(directory: Path) -> None:
    """Squares 16 × 16, red or blue on black, which are the classes; and pictures of several sizes in one folder."""
    rng = np.random.default_rng(0)
    for name, channel in (("red", 0), ("blue", 2)):
        (directory / "squares" / name).mkdir(parents=True)
        for number in range(40):
            picture = np.zeros((16, 16, 3), np.uint8)
            top, left = rng.integers(0, 8, 2)
            picture[top : top + 8, left : left + 8, channel] = rng.integers(150, 256)
            Image.fromarray(picture).save(directory / "squares" / name / f"{number}.png")
    torch.manual_seed(0)
    torch.save(squeezenet1_1(weights=None).state_dict(), directory / "network.pth")
    (directory / "plain").mkdir()
    for number in range(80):
        size = rng.integers(12, 20, 2)
        noise = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
        Image.fromarray(noise).save(directory / "plain" / f"{number}.jpg")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A directory in which the experiment above has run to its end."""
    directory = tmp_path_factory.mktemp("pictures")
    draw_pictures(directory)
    (directory / "config.yaml").write_text(CONFIG)
    place = Workplace(directory, directory / "config.yaml")
    place.snakemake()
    return place


def test_pictures_with_and_without_classes_run_through_everything_that_they_can(pictures: Workplace) -> None:
    home = pictures.directory / "results" / "pictures"
    assert {path.stem for path in (home / "figures").glob("*.png")} == set(pictures.config["figures"])
    assert pictures.plan() == []
    table = read_table(home / "tables" / "measures.csv")
    rows = table[table["generation"].notna()].groupby("run")["measure"].unique()
    assert {"wasserstein1", "fid", "class_entropy", "pixel_intensity"} <= set(rows["squares"])
    assert {"critic_on_test", "critic_distance"} <= set(rows["judged"])
    assert not any("critic_distance" in set(rows[run]) for run in ("squares", "plain", "real") if run in rows)
    assert {name for name in rows["plain"] if not name.startswith("gradient_norm_")} == {
        *("wasserstein1", "negative_share", "pixel_intensity", "final_loss")
    }
    floors = table[table["run"] == "real"].groupby("dataset")["measure"].unique()
    assert set(floors["plain"]) == {"wasserstein1", "negative_share", "pixel_intensity"}
    assert [folder.split("-")[0] for folder in pictures.folders("classifier")] == ["images"]  # one, not two


def test_pictures_without_classes_are_compared_on_the_features_that_their_dataset_names(
    pictures: Workplace,
) -> None:
    table = read_table(pictures.directory / "results" / "pictures" / "tables" / "measures.csv")
    fid = table[table["measure"].isin(["fid", "fid_relative"])]
    runs = fid[fid["generation"].notna()].groupby("run")["features"].unique().map(list)
    floors = fid[fid["run"] == "real"].groupby("dataset")["features"].unique().map(list)
    weights = file_checksum(pictures.directory / "network.pth")[:8]
    (judge,) = pictures.folders("classifier")
    assert runs["noise"] == floors["noise"] == [f"torchvision-squeezenet1_1-{weights}"]
    assert runs["reds"] == floors["reds"] == [f"classifier-{judge}"]
    assert runs["squares"] == floors["squares"] == ["classifier"]
    assert len(fid[fid["run"] == "noise"]) == 2 * 2
    kept = pictures.generation("noise", 2) / f"features-torchvision-squeezenet1_1-{weights}.safetensors"
    assert read_tensors(kept)[0]["features"].shape == (32, 512)


def test_other_weights_measure_again_and_train_nothing(pictures: Workplace) -> None:
    place = Workplace(pictures.directory, pictures.directory / "config.yaml")
    path = pictures.directory / "network.pth"
    sound = path.read_bytes()
    path.write_bytes(sound + b" ")
    try:
        planned = Counter(job.rule for job in place.plan("tables"))
    finally:
        path.write_bytes(sound)
    assert planned == {"measure": 2, "measure_real": 1, "collect": 1}
    assert place.plan("tables") == []


def test_a_dataset_that_only_lends_its_classifier_is_fetched_and_classified(pictures: Workplace) -> None:
    place = Workplace(pictures.directory, pictures.directory / "config.yaml")
    place.config["experiment"] = "reds"
    place.config["runs"] = {"reds": place.config["runs"]["reds"]}
    for name in ("classes", "critic_distance"):
        del place.config["measures"][name]
    place.config["figures"] = {}
    assert {job.rule for job in place.plan("tables")} == {"measure_real", "collect"}
    place.config["classifier"]["width"] = 3
    planned = Counter(job.rule for job in place.plan("tables"))
    assert planned == {"classify": 1, "measure": 2, "measure_real": 1, "collect": 1}


def test_tables_name_the_classes_of_each_dataset(pictures: Workplace) -> None:
    runs = read_table(pictures.directory / "results" / "pictures" / "tables" / "runs.csv").set_index("run")
    assert json.loads(runs.loc["squares", "classes"]) == ["blue", "red"]
    assert json.loads(runs.loc["plain", "classes"]) == []
    assert set(runs["data"]) == pictures.folders("data")


def test_samples_are_handed_over_as_bytes_unless_the_loop_says_otherwise(pictures: Workplace) -> None:
    for run, dtype, shape in (
        ("squares", np.uint8, (64, 3, 16, 16)),
        ("judged", np.float16, (64, 3, 16, 16)),
        ("plain", np.uint8, (64, 1, 12, 12)),
    ):
        for name, rows in (("samples", 64), ("preview", 64)):
            tensors, _ = read_tensors(pictures.generation(run, 2) / f"{name}.safetensors")
            assert tensors["images"].dtype == dtype
            assert tensors["images"].shape == (rows, *shape[1:])


def test_a_model_knows_the_shape_of_its_data_by_its_record(pictures: Workplace) -> None:
    record = read_json(pictures.generation("squares", 2) / "model.json")
    assert record["spec"]["dataset"]["shape"] == [3, 16, 16]
    assert record["spec"]["dataset"]["classes"] == ["blue", "red"]


def test_a_picture_that_changed_behind_its_name_stops_the_next_run_in_one_line(pictures: Workplace) -> None:
    place = Workplace(pictures.directory, pictures.directory / "config.yaml")
    path = pictures.directory / "plain" / "7.jpg"
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    place.config["runs"]["plain"]["generations"] = 3
    try:
        printed = place.snakemake("tables", fails=True)
    finally:
        path.write_bytes(sound)
    (line,) = [line for line in printed.splitlines() if "not started: " in line]
    assert "7.jpg: its content has changed since it was stored" in line
    assert place.generation("plain", 3).exists() is False


def test_images_from_elsewhere_are_measured_against_a_dataset_of_the_config(
    pictures: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bigloop.__main__ import main

    monkeypatch.chdir(pictures.directory)
    rng = np.random.default_rng(1)
    np.save("mine.npy", rng.random((40, 1, 12, 12)))
    np.save("coloured.npy", rng.random((40, 16, 16, 3)))
    for samples, name, measured in (
        ("mine.npy", "plain", False),
        ("coloured.npy", "squares", True),
        ("coloured.npy", "noise", True),
        ("coloured.npy", "reds", True),
    ):
        call = [
            "measure",
            "--samples",
            samples,
            "--dataset",
            name,
            "--configfile",
            "config-of-this-test.yaml",
        ]
        assert main([*call, "--out", f"{name}.json"]) == 0
        found = {record["measure"] for record in read_json(Path(f"{name}.json"))}
        assert {"wasserstein1", "pixel_intensity"} <= found
        assert ("fid" in found) is measured
    assert main(["measure", "--samples", "mine.npy", "--dataset", "none", "--out", "none.json"]) == 1

"""Weights that were trained elsewhere become generation 1 where they fit."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from bigloop.artifacts import (
    OPTIMIZER_FILE,
    ArtifactError,
    file_checksum,
    read_json,
    read_table,
    read_tensors,
)
from bigloop.generation.sample import sample
from bigloop.generation.train import import_weights, train
from bigloop.spec.generations import SampleSpec, TrainSpec

from .lineage import (
    continuing,
    go_on,
    images_of,
    place,
    quiet,
    run_spec,
    samples_of,
)

pytestmark = pytest.mark.long


def test_weights_trained_elsewhere_become_generation_1(
    two_generations: Path, small_mnist: Path, tmp_path: Path
) -> None:
    weights = place(two_generations, run_spec(), 0, 1) / "model.safetensors"
    run = replace(run_spec(), weights=file_checksum(weights))
    out = place(tmp_path, run, 0, 1)
    import_weights(TrainSpec.of(run, 0, 1), weights, small_mnist, out, quiet)
    sample(SampleSpec.of(run, 0, 1), out, out)
    images = images_of(out / "samples.safetensors", 0, 1)
    expected = images_of(samples_of(two_generations, run_spec(), 0, 1), 0, 1)
    np.testing.assert_array_equal(images, expected)
    assert run.folder != run_spec().folder
    assert read_json(out / "model.json")["inputs"]["weights"] == run.weights
    assert read_table(out / "history.csv").empty


@pytest.mark.parametrize(
    ("family", "options"),
    [("wgan_gp", {"critic_output": "linear", "generator_norm": "batch"}), ("dcgan", {"loss": "wgan_gp"})],
)
def test_an_imported_critic_finds_its_own_threshold(
    family: str, options: dict[str, str], small_mnist: Path, tmp_path: Path
) -> None:
    run = run_spec(family, **options)
    trained = place(tmp_path / "there", run, 0, 1)
    train(TrainSpec.of(run, 0, 1), small_mnist, (), trained, quiet)
    weights = tmp_path / "weights.safetensors"
    safetensors.numpy.save_file(read_tensors(trained / "model.safetensors")[0], weights)
    adopted = replace(run, weights=file_checksum(weights))
    import_weights(TrainSpec.of(adopted, 0, 1), weights, small_mnist, tmp_path / "gen-1", quiet)
    own, other = (read_json(d / "model.json")["facts"]["threshold"] for d in (trained, tmp_path / "gen-1"))
    # Both are the middle between the mean scores of real and generated images; the noise of the latter differs.
    assert other == pytest.approx(own, abs=0.1 * abs(own))


@pytest.mark.parametrize("fault", ["pickle", "names", "shapes", "changed"])
def test_imported_weights_that_do_not_fit_are_one_line(
    fault: str, two_generations: Path, small_mnist: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.safetensors"
    tensors, _ = read_tensors(place(two_generations, run_spec(), 0, 1) / "model.safetensors")
    if fault == "names":
        tensors["decoder.9.weight"] = tensors.pop("decoder.0.weight")
    elif fault == "shapes":
        tensors["decoder.0.weight"] = tensors["decoder.0.weight"].T.copy()
    safetensors.numpy.save_file(tensors, weights)
    if fault == "pickle":
        torch.save({"decoder.0.weight": torch.zeros(2)}, weights)
    run = replace(run_spec(), weights="0" * 64 if fault == "changed" else file_checksum(weights))
    with pytest.raises(ArtifactError, match=rf"\A{re.escape(str(weights))}: [^\n]+\Z"):
        import_weights(TrainSpec.of(run, 0, 1), weights, small_mnist, tmp_path / "gen-1", quiet)
    assert not (tmp_path / "gen-1").exists()


def test_after_imported_weights_the_optimizer_starts_anew(small_mnist: Path, tmp_path: Path) -> None:
    trained = go_on(tmp_path / "there", continuing(), 1, small_mnist)
    weights = trained / "model.safetensors"
    run = replace(continuing(), weights=file_checksum(weights))
    out = place(tmp_path, run, 0, 1)
    import_weights(TrainSpec.of(run, 0, 1), weights, small_mnist, out, quiet)
    sample(SampleSpec.of(run, 0, 1), out, out)
    later = go_on(tmp_path, run, 2, small_mnist)
    steps = [int(a.max()) for k, a in read_tensors(later / OPTIMIZER_FILE)[0].items() if k.endswith("/step")]
    assert set(steps) == {10}

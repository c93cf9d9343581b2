"""Inception features, with random weights in torch-fidelity's format: what goes in is right, whatever comes out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from bigloop.artifacts import ArtifactError
from bigloop.models.inception import INCEPTION, InceptionOptions

CPU = torch.device("cpu")
Extractor = FeatureExtractorInceptionV3


def features(
    images: np.ndarray, weights: Path | str, features: int = 2048, truncate: bool = False
) -> np.ndarray:
    options = InceptionOptions(features, str(weights), truncate)  # type: ignore[arg-type]
    return INCEPTION.network(options, INCEPTION.weights(options), CPU)(images)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A weights file for torch-fidelity's own layers, random, of a scale that lets signals through to the end."""
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save({}, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Extractor, "load_state_dict", lambda self, state: None)
        torch.manual_seed(0)
        untrained = Extractor("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))
    for parameter in untrained.parameters():
        if parameter.dim() == 4:
            torch.nn.init.kaiming_normal_(parameter)
    torch.save(untrained.state_dict(), path)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def extractor(weights: Path) -> Extractor:
    return Extractor("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights))


def assert_same_features(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal to float32's rounding through 90 layers, which is far less than what tells images apart."""
    scale = np.abs(expected).max()
    assert np.ptp(expected, axis=0).max() > 0.01 * scale
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.long
def test_features_are_the_extractors_for_grey_images_as_bytes_in_three_channels(
    weights: Path, extractor: Extractor, digits: np.ndarray
) -> None:
    images = digits[:5]
    found = features(images, weights)
    as_bytes = torch.from_numpy(np.rint(images * 255).astype(np.uint8)).repeat(1, 3, 1, 1)
    (expected,) = extractor(as_bytes)
    assert found.shape == (5, 2048)
    assert found.dtype == np.float32
    assert_same_features(found, expected.numpy())


@pytest.mark.long
def test_values_outside_the_range_are_clipped_and_colours_kept(weights: Path, extractor: Extractor) -> None:
    images = np.random.default_rng(0).normal(0.5, 1, size=(2, 3, 28, 28)).astype(np.float16)
    clipped = images.astype(np.float32).clip(0, 1)
    (expected,) = extractor(torch.from_numpy(np.rint(clipped * 255).astype(np.uint8)))
    assert_same_features(features(images, weights), expected.numpy())


@pytest.mark.long
@pytest.mark.parametrize("layer", [64, 192, 768])
def test_layers_are_torch_fidelitys_and_truncated_pixels_are_cut_down(weights: Path, layer: int) -> None:
    images = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
    own = Extractor("inception-v3-compat", [str(layer)], feature_extractor_weights_path=str(weights))
    for truncate, as_bytes in ((False, np.rint(images * 255)), (True, np.floor(images * 255))):
        (expected,) = own(torch.from_numpy(as_bytes.astype(np.uint8)))
        found = features(images, weights, layer, truncate)
        assert found.shape == (2, layer)
        assert_same_features(found, expected.numpy())


def test_a_missing_weights_file_is_named() -> None:
    with pytest.raises(ArtifactError, match=r"^nowhere\.pth: no such file \([^\n]*as its `weights`\)$"):
        features(np.zeros((1, 1, 28, 28)), "nowhere.pth")


@pytest.mark.parametrize("content", ["text", "empty", "other weights", "a list"])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_that_holds_no_inception_weights_is_one_line(
    content: str, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"weights.{suffix}"
    if content == "text":
        path.write_text("<html>not found</html>\n")
    elif content == "empty":
        path.touch()
    elif suffix == "safetensors":
        save_file({"fc.weight": torch.zeros(2)}, path)
    else:
        torch.save({"fc.weight": torch.zeros(2)} if content == "other weights" else [1, 2], path)
    with pytest.raises(ArtifactError, match=rf"\A{re.escape(str(path))}: [^\n]*could not be loaded[^\n]*\Z"):
        features(np.zeros((1, 1, 28, 28)), path)


class Trap:
    """A pickle of this makes a folder when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_code_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"fc.weight": Trap(tmp_path / "sprung")}, path)
    with pytest.raises(ArtifactError, match=rf"\A{re.escape(str(path))}: [^\n]*could not be loaded"):
        features(np.zeros((1, 1, 28, 28)), path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.long
def test_the_same_weights_as_safetensors_give_the_same_features(weights: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((2, 1, 28, 28), np.float32)
    path = tmp_path / "weights.safetensors"
    save_file(torch.load(weights, weights_only=True), path)
    np.testing.assert_array_equal(features(images, path), features(images, weights))

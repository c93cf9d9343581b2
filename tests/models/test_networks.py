"""Features of torchvision's networks, with random weights in the published layout, against the networks' own parts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from bigloop.artifacts import ArtifactError
from bigloop.models import weights as files
from bigloop.models.networks import TORCHVISION, NetworkOptions, architecture, last_layer, published
from bigloop.spec.registry import declared

CPU = torch.device("cpu")
PENULTIMATE: dict[str, Callable[[Any, Tensor], Tensor]] = {  # the networks' own way up to the class scores
    "squeezenet1_1": lambda net, x: net.features(x).mean(dim=(2, 3)),
    "shufflenet_v2_x0_5": lambda net, x: net.conv5(
        net.stage4(net.stage3(net.stage2(net.maxpool(net.conv1(x)))))
    ).mean(dim=(2, 3)),
    "mobilenet_v3_small": lambda net, x: net.classifier[:-1](net.avgpool(net.features(x)).flatten(1)),
    "densenet121": lambda net, x: torch.relu(net.features(x)).mean(dim=(2, 3)),
}
OF_EACH_KIND = [  # the smallest of every architecture, but for those that fill memory
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet"),
    *("inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf"),
    *("resnet18", "shufflenet_v2_x0_5", "squeezenet1_0", "swin_t", "swin_v2_t", "vit_b_16"),
]


def random_network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return architecture(name).eval()


def written(state: dict[str, Tensor], path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:  # many of the published files are of before torch's files were zip archives
        torch.save(state, path, _use_new_zipfile_serialization=path.suffix != ".old")
    return path


def features(images: np.ndarray, name: str, weights: Path | str) -> np.ndarray:
    options = NetworkOptions(name, str(weights))
    return TORCHVISION.network(options, TORCHVISION.weights(options), CPU)(images)


@pytest.mark.parametrize("suffix", ["pth", "old", "safetensors"])
@pytest.mark.parametrize("name", PENULTIMATE)
def test_features_are_what_the_last_layer_gets_of_images_prepared_as_the_network_wants_them(
    name: str, suffix: str, tmp_path: Path
) -> None:
    net = random_network(name)
    path = written(net.state_dict(), tmp_path / f"weights.{suffix}")
    grey = np.random.default_rng(0).normal(0.5, 0.5, size=(3, 1, 20, 20)).astype(np.float16)
    found = features(grey, name, path)
    coloured = torch.from_numpy(grey).float().clamp(0, 1).repeat(1, 3, 1, 1)
    prepared = published(name).transforms()(coloured)
    with torch.no_grad():
        expected = PENULTIMATE[name](net, prepared).numpy()
    assert found.shape == expected.shape == (3, expected.shape[1])
    assert found.dtype == np.float32
    assert np.ptp(expected, axis=0).max() > 1e-3 * np.abs(expected).max()
    # The same operations, but for the order of means: rounding of float32.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_bytes_are_the_same_images_as_floats_and_colours_are_kept(tmp_path: Path) -> None:
    path = written(random_network("squeezenet1_1").state_dict(), tmp_path / "weights.pth")
    colours = np.random.default_rng(0).integers(256, size=(2, 3, 16, 16), dtype=np.uint8)
    found, grey = (features(x, "squeezenet1_1", path) for x in (colours, colours[:, :1]))
    np.testing.assert_array_equal(found, features(colours / np.float32(255), "squeezenet1_1", path))
    assert np.abs(found - grey).max() > 1e-3 * np.abs(found).max()


@pytest.mark.long
@pytest.mark.parametrize("name", OF_EACH_KIND)
def test_the_last_layer_of_every_architecture_gives_the_class_scores(name: str) -> None:
    last = last_layer(architecture(name))
    assert (last.out_features if isinstance(last, nn.Linear) else last.out_channels) == 1_000


def test_planning_knows_every_classification_network_and_each_has_published_weights() -> None:
    names = torchvision.models.list_models(module=torchvision.models)
    told = declared("features")["torchvision"].options["torchvision"]["type"]
    assert told == f"Literal[{', '.join(map(repr, names))}]"
    assert {published(name).name for name in names} == {"IMAGENET1K_V1", "IMAGENET1K_SWAG_E2E_V1"}
    assert all(published(name).transforms() for name in names)


def test_densenets_published_keys_are_those_of_before_torchvision_could_name_them(tmp_path: Path) -> None:
    state = random_network("densenet121").state_dict()
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|relu|conv))([12])\.", r"\1.\2.", key): x for key, x in state.items()
    }
    assert old.keys() != state.keys()
    image = np.random.default_rng(0).random((1, 3, 32, 32), np.float32)
    found, expected = (
        features(image, "densenet121", written(one, tmp_path / f"{name}.pth"))
        for name, one in (("old", old), ("new", state))
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("content", ["text", "another network's", "a list"])
def test_a_file_without_the_networks_weights_is_one_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    if content == "text":
        path.write_text("<html>not found</html>\n")
    else:
        state = random_network("shufflenet_v2_x0_5").state_dict()
        torch.save(state if content == "another network's" else [1, 2], path)
    words = (
        rf"\A{re.escape(str(path))}: the weights of torchvision's squeezenet1_1 could not be loaded [^\n]*\Z"
    )
    with pytest.raises(ArtifactError, match=words):
        features(np.zeros((1, 1, 8, 8)), "squeezenet1_1", path)


def test_weights_that_no_file_is_named_for_are_fetched_once_and_checked_by_their_published_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    fetched: list[tuple[str, str | None]] = []

    def download(url: str, path: str, hash_prefix: str | None, progress: bool) -> None:
        fetched.append((url, hash_prefix))
        Path(path).write_bytes(b"weights")

    monkeypatch.setattr(files.torch.hub, "download_url_to_file", download)
    options = NetworkOptions("squeezenet1_1")
    assert TORCHVISION.weights(options) == TORCHVISION.weights(options)
    assert fetched == [(published("squeezenet1_1").url, "b8a52dc0")]


def test_without_a_network_the_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def offline(*given: Any, **more: Any) -> None:
        raise OSError("<urlopen error\nName or service not known>")

    monkeypatch.setattr(files.torch.hub, "download_url_to_file", offline)
    words = r"\Athe weights of torchvision's resnet18 could not be fetched \([^\n]*\); give a file [^\n]*\Z"
    with pytest.raises(ArtifactError, match=words):
        TORCHVISION.weights(NetworkOptions("resnet18"))

"""Features of the classification networks of torchvision: what their last layer makes class scores of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torchvision
from torch import Tensor, nn

from bigloop.models.classifier import pixels
from bigloop.models.features import Network
from bigloop.models.weights import loaded, weights_file
from bigloop.spec.options import option

Name: Any = Literal[tuple(torchvision.models.list_models(module=torchvision.models))]
NORMALISING = (
    "googlenet",
    "inception_v3",
)  # their weights expect images normalised twice, the second time by themselves
OLD_KEY = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)")  # of DenseNet's published weights


@dataclass(frozen=True)
class NetworkOptions:
    """Options of features of a network of torchvision."""

    torchvision: Name = option(description="name of the network")
    weights: str = option(
        "", "file with its weights, safetensors or torch's own; empty: the first that torchvision publishes"
    )


@dataclass(frozen=True)
class OfTorchvision:
    """A classification network of torchvision: the input of its last layer, float32 (n, d), averaged over places.

    Images (n, c, h, w) in [0, 1], values outside clipped, c = 1 or 3: grey ones are repeated to three channels, and all
    get the network's own preprocessing (resize, crop, normalise).
    """

    about: str = (
        "Features of a classification network of torchvision: the activations before its class scores."
    )
    Options: type = NetworkOptions
    revision: int = 1
    batch: int = 50

    def weights(self, options: NetworkOptions) -> Path:
        return weights_file(options.weights, published(options.torchvision).url, *_words(options))

    def network(self, options: NetworkOptions, weights: Path, device: torch.device) -> Network:
        def filled(state: dict[str, Tensor]) -> nn.Module:
            net = architecture(options.torchvision)
            net.load_state_dict({OLD_KEY.sub(r"\1\2", key): tensor for key, tensor in state.items()})
            return net

        return penultimate(loaded(weights, *_words(options), filled), options.torchvision, device)

    def untrained(self, options: NetworkOptions, device: torch.device) -> Network:
        return penultimate(architecture(options.torchvision), options.torchvision, device)


def published(name: str) -> Any:
    """The first weights that torchvision publishes of a network: later versions add others after them."""
    return next(iter(torchvision.models.get_model_weights(name)))


def architecture(name: str) -> nn.Module:
    """A network as its published weights want it, with random ones."""
    given = {"transform_input": True, "init_weights": False} if name in NORMALISING else {}
    return torchvision.models.get_model(name, weights=None, **given)


def penultimate(net: nn.Module, name: str, device: torch.device) -> Network:
    """The features of a network: what its last layer with weights gets, of maps the mean over all places."""
    net, prepare, caught = net.eval().to(device), published(name).transforms(), list[Tensor]()
    last_layer(net).register_forward_pre_hook(lambda layer, inputs: caught.append(inputs[0]))

    @torch.no_grad()
    def features(images: np.ndarray) -> np.ndarray:
        coloured = pixels(images).clamp(0, 1).expand(-1, 3, -1, -1)
        caught.clear()
        net(prepare(coloured.to(device)))
        found = caught.pop()
        return (found.mean(dim=(2, 3)) if found.dim() == 4 else found).float().cpu().numpy()

    return features


def last_layer(net: nn.Module) -> nn.Module:
    """The layer that gives the class scores, linear or of 1×1 convolutions."""
    return [layer for layer in net.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]


def _words(options: NetworkOptions) -> tuple[str, str]:
    return f"torchvision's {options.torchvision}", "give a file with its state dict as its `weights`"


TORCHVISION = OfTorchvision()

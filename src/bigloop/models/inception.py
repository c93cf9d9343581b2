"""Inception features for FID, by torch-fidelity: 64 to 2 048 numbers an image."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bigloop.models.classifier import pixels
from bigloop.models.features import Network
from bigloop.models.weights import loaded, weights_file
from bigloop.spec.options import option

WHOSE = "FID-Inception"
REMEDY = "give a file in torch-fidelity's format, or safetensors, as its `weights`"


@dataclass(frozen=True)
class InceptionOptions:
    """Options of features of Inception."""

    inception: Literal[64, 192, 768, 2048] = option(
        2048, "which of its pooling layers, by the number of features"
    )
    weights: str = option("", "file with torch-fidelity's FID-Inception weights; empty: a download")
    truncate: bool = option(
        False,
        "cut pixels down to whole 255ths, as Knutsen et al. 2025 do, instead of rounding them",
        neutral=False,
    )


@dataclass(frozen=True)
class Inception:
    """The FID-Inception network of torch-fidelity, features float32 (n, 64 … 2048).

    Images (n, c, h, w) in [0, 1], values outside clipped, c = 1 or 3: grey ones are repeated to three channels, pixels
    become whole 255ths, and the network resizes to 299×299.
    """

    about: str = "Features of a pooling layer of FID-Inception, of torch-fidelity."
    Options: type = InceptionOptions
    revision: int = 1
    batch: int = 50

    def weights(self, options: InceptionOptions) -> Path:
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

        return weights_file(options.weights, URL_INCEPTION_V3, WHOSE, REMEDY)

    def network(self, options: InceptionOptions, weights: Path, device: torch.device) -> Network:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        def extractor(state: dict[str, Tensor]) -> FeatureExtractorInceptionV3:
            # torch-fidelity unpickles the file that it is given: it gets one that we wrote.
            with tempfile.TemporaryDirectory(prefix="bigloop-") as scratch:
                own = Path(scratch) / "weights.pth"
                torch.save(state, own)
                return FeatureExtractorInceptionV3(
                    "inception-v3-compat", [str(options.inception)], feature_extractor_weights_path=own
                )

        net = loaded(weights, WHOSE, REMEDY, extractor).to(device)

        @torch.no_grad()
        def features(images: np.ndarray) -> np.ndarray:
            return net(as_bytes(images, truncate=options.truncate).to(device))[0].cpu().numpy()

        return features

    def untrained(self, options: InceptionOptions, device: torch.device) -> Network:
        import torchvision

        net = torchvision.models.inception_v3(weights=None, init_weights=False, aux_logits=False)
        net = net.eval().to(device)

        @torch.no_grad()
        def features(images: np.ndarray) -> np.ndarray:
            net(torch.rand(len(images), 3, 299, 299, device=device)).cpu()
            return np.zeros((len(images), options.inception), np.float32)

        return features


def as_bytes(images: np.ndarray, *, truncate: bool) -> Tensor:
    """Images (n, c, h, w), c = 1 or 3, floats in [0, 1] or uint8, as uint8 (n, 3, h, w).

    Bytes become floats first, as in the code of Knutsen et al., whose rounding `truncate` keeps.
    """
    clipped = pixels(images).clamp(0, 1)
    scaled = clipped * 255 if truncate else (clipped * 255).round()
    return scaled.to(torch.uint8).expand(-1, 3, -1, -1)


INCEPTION = Inception()

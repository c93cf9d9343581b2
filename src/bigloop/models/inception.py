"""Inception features for FID, by torch-fidelity: 64 to 2 048 numbers an image."""

from __future__ import annotations

import tempfile
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from bigloop.artifacts import ArtifactError

CHUNK = 50


def inception_features(
    images: np.ndarray, weights: str, device: torch.device, features: int = 2048, truncate: bool = False
) -> np.ndarray:
    """Features, float32 (n, features), of images (n, c, h, w) in [0, 1], values outside clipped, c = 1 or 3.

    Grey images are repeated to three channels; the network resizes to 299×299. `weights` as for `weights_file`;
    features: 64, 192, 768 or 2048, of that pooling layer. Pixels become whole 255ths, rounded or, with `truncate`,
    cut down. Raises ArtifactError where the weights cannot be loaded.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = weights_file(weights)
    try:
        # torch-fidelity unpickles the file it is given, and a pickle can run anything. So the file is read with
        # torch's restricted loader, which knows tensors alone, and torch-fidelity gets a file that we wrote.
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
        with tempfile.TemporaryDirectory(prefix="bigloop-") as scratch:
            torch.save(state, Path(scratch) / "weights.pth")
            extractor = FeatureExtractorInceptionV3(
                "inception-v3-compat",
                [str(features)],
                feature_extractor_weights_path=Path(scratch) / "weights.pth",
            ).to(device)
    except (
        OSError,
        RuntimeError,
        ValueError,
        TypeError,
        EOFError,
        UnpicklingError,
        SafetensorError,
    ) as error:
        raise ArtifactError(
            f"{path}: the Inception weights could not be loaded ({' '.join(str(error).split())[:200]}); "
            "give a file in torch-fidelity's format, or safetensors, as measures.fid_inception.weights"
        ) from None
    rows = []
    with torch.no_grad():
        for start in range(0, len(images), CHUNK):
            chunk = torch.from_numpy(np.asarray(images[start : start + CHUNK], np.float32)).clamp(0, 1)
            scaled = chunk * 255 if truncate else (chunk * 255).round()
            uint8 = scaled.to(torch.uint8).expand(-1, 3, -1, -1)
            rows.append(extractor(uint8.to(device))[0].cpu().numpy())
    return np.concatenate(rows)


def weights_file(weights: str) -> Path:
    """The file of weights in torch-fidelity's format (a state dict, .pth or .safetensors) that `weights` names.

    Empty fetches it into torch's cache. Raises ArtifactError where there is none.
    """
    path = Path(weights) if weights else _downloaded()
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file (measures.fid_inception.weights)")
    return path


def _downloaded() -> Path:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(URL_INCEPTION_V3).name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(URL_INCEPTION_V3, str(path), progress=False)
        except OSError as error:
            raise ArtifactError(
                f"fid_inception: the Inception weights could not be loaded ({' '.join(str(error).split())[:200]}); "
                "give a file as measures.fid_inception.weights"
            ) from None
    return path

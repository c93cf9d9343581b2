"""Inception features for FID, by torch-fidelity: 2 048 numbers an image."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch

from bigloop.artifacts import ArtifactError

CHUNK = 50
FEATURES = "2048"


def inception_features(images: np.ndarray, weights: str, device: torch.device) -> np.ndarray:
    """Features, float32 (n, 2048), of images (n, c, h, w) in [0, 1], values outside clipped, c = 1 or 3.

    Grey images are repeated to three channels; the network resizes to 299×299. `weights` is a file in
    torch-fidelity's format; empty lets torch-fidelity fetch it. Raises ArtifactError where that fails.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    if weights and not Path(weights).is_file():
        raise ArtifactError(f"{weights}: no such file (measures.fid_inception.weights)")
    try:
        extractor = FeatureExtractorInceptionV3(
            "inception-v3-compat", [FEATURES], feature_extractor_weights_path=weights or None
        ).to(device)
    except (OSError, RuntimeError, ValueError, TypeError, EOFError, UnpicklingError) as error:
        raise ArtifactError(
            f"fid_inception: the Inception weights could not be loaded ({' '.join(str(error).split())[:200]}); "
            "give a file as measures.fid_inception.weights"
        ) from None
    rows = []
    with torch.no_grad():
        for start in range(0, len(images), CHUNK):
            chunk = torch.from_numpy(np.asarray(images[start : start + CHUNK], np.float32)).clamp(0, 1)
            uint8 = (chunk * 255).round().to(torch.uint8).expand(-1, 3, -1, -1)
            rows.append(extractor(uint8.to(device))[0].cpu().numpy())
    return np.concatenate(rows)

"""Critic × generator matrices: what each generation's critic calls fake."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch

from bigloop.artifacts import (
    read_tensors,
)
from bigloop.generation.sample import recall_samples
from bigloop.generation.store import load_model
from bigloop.measures.records import Record
from bigloop.models import Critic
from bigloop.runtime.progress import Report
from bigloop.spec.jobs import CriticsSpec
from bigloop.training.devices import default_device


def critics(spec: CriticsSpec, runs: Path, report: Report = lambda line: None) -> list[Record]:
    """Critic × generator matrix: the share of each generation's samples that each critic calls fake (fig. 10)."""
    device = default_device()

    def place(folder: str, generation: int) -> Path:
        return runs / folder / f"seed-{spec.seed}" / f"gen-{generation}"

    samples = {
        g: torch.from_numpy(first_samples(place(f, g), spec.n, spec.seed, report))
        for g, f in enumerate(spec.generator_folders, start=1)
    }
    records = []
    for generation, folder in enumerate(spec.critic_folders, start=1):
        critic, threshold = load_critic(place(folder, generation), device)
        for other, images in samples.items():
            scores = critic.scores(images).cpu().numpy()
            records.append(
                {
                    "critic_run": spec.critic,
                    "critic_generation": generation,
                    "generator_run": spec.generator,
                    "generator_generation": other,
                    "seed": spec.seed,
                    "fake_share": float((scores <= threshold).mean()),
                    "n": len(images),
                    "threshold": threshold,
                }
            )
    return records


def first_samples(folder: Path, n: int, seed: int, report: Report) -> np.ndarray:
    """The first n samples of a generation, (n, c, h, w) as passed on: from its preview where that has as many."""
    preview = folder / "preview.safetensors"
    tensors, _ = read_tensors(preview)
    if n > len(tensors["images"]):
        tensors = recall_samples(preview, seed, report).rows
    return tensors["images"][:n]


def load_critic(folder: Path, device: torch.device) -> tuple[Critic, float]:
    """A saved model that has a critic, and the critic's decision threshold."""
    model, record = load_model(folder, device)
    return cast(Critic, model), float(record["facts"]["threshold"])

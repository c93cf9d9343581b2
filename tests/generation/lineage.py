"""Small runs of image families, their places, and the making of their generations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bigloop.generation.sample import read_samples, sample
from bigloop.generation.train import train
from bigloop.models import resolve
from bigloop.spec.generations import SampleSpec, TrainSpec
from bigloop.spec.loops import Budget, Budgets, Initial, LoopSpec, Real, Synthetic
from bigloop.spec.registry import declared
from bigloop.spec.runs import RunSpec

CPU = torch.device("cpu")


OF_IMAGES = [name for name, about in declared("families").items() if not about.stacked]


VAE = {"hidden": 16, "latent": 3, "batch_size": 32}


WGAN = {"width": 2, "latent": 4, "critic_iterations": 1, "batch_size": 32}


DDPM = {"width": 8, "blocks": 1, "patch": 2, "timesteps": 10, "batch_size": 32, "sampling_steps": 5}


DCGAN = {"width": 2, "latent": 4, "batch_size": 32, "learning_rate": 1e-3}


DEEP = {
    "width": 4,
    "multipliers": [1, 2],
    "blocks": 1,
    "attention": [],
    "batch_size": 32,
    "sampling_steps": 3,
}


STYLE = {"latent": 4, "mapping_layers": 1, "width_base": 56, "width_most": 4, "batch_size": 32}


TINY: dict[str, dict[str, Any]] = {
    "vae": VAE,
    "wgan_gp": WGAN,
    "ddpm": DDPM,
    "dcgan": DCGAN,
    "stylegan2": STYLE,
    "edm": DEEP,
    "otcfm_unet": {**DEEP, "head_width": None, "sampler": "euler"},
}


SAMPLES = 120


def run_spec(family: str = "vae", real: Real | None = None, **options: Any) -> RunSpec:
    model = resolve(family, {**TINY[family], **options}, "models.tiny")
    budgets = Budgets(Budget(images=320), Budget(images=320))
    return RunSpec("mnist", model, LoopSpec(Initial(100), SAMPLES, real or Real(), Synthetic(n=100), budgets))


def place(root: Path, run: RunSpec, seed: int, generation: int) -> Path:
    return root / run.folder / f"seed-{seed}" / f"gen-{generation}"


def samples_of(root: Path, run: RunSpec, seed: int, generation: int) -> Path:
    return place(root, run, seed, generation) / "samples.safetensors"


def images_of(samples: Path, seed: int, generation: int) -> np.ndarray:
    return read_samples(samples, seed, generation)[0]["images"]


def preview_of(root: Path, run: RunSpec, seed: int, generation: int) -> Path:
    return place(root, run, seed, generation) / "preview.safetensors"


def quiet(line: str) -> None:
    pass


def advance(root: Path, run: RunSpec, seed: int, generation: int, data: Path) -> np.ndarray:
    """Train and sample one generation of a run; returns its images."""
    out = place(root, run, seed, generation)
    earlier = [preview_of(root, run, seed, g) for g in run.loop.synthetic.sources(generation)]
    goes_on = run.loop.continues
    previous = place(root, run, seed, generation - 1) if goes_on and generation > 1 else None
    train(
        TrainSpec.of(run, seed, generation),
        data,
        earlier,
        out,
        quiet,
        previous=previous,
        keep_optimizer=goes_on,
    )
    sample(SampleSpec.of(run, seed, generation), out, out)
    return read_samples(out / "samples.safetensors", seed, generation)[0]["images"]


def lineage(root: Path, run: RunSpec, seed: int, generations: int, data: Path) -> np.ndarray:
    for generation in range(1, generations):
        advance(root, run, seed, generation, data)
    return advance(root, run, seed, generations, data)


def continuing(family: str = "vae") -> RunSpec:
    run = run_spec(family, real=Real(fixed=100))
    return replace(run, loop=replace(run.loop, synthetic=Synthetic(ratio=0.5), start="continue"))


def go_on(root: Path, run: RunSpec, generation: int, data: Path) -> Path:
    advance(root, run, 0, generation, data)
    return place(root, run, 0, generation)

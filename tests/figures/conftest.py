"""Synthetic tables like those of a finished experiment, in which one run collapses and others drift."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bigloop.figures import Material, Snapshots

DIGITS = tuple("0123456789")
RUNS = {
    "vae": ("vae", "VAE"),
    "setup1": ("wgan_gp", "WGAN-GP setup 1"),
    "setup2": ("wgan_gp", "WGAN-GP setup 2"),
}
NEIGHBOURS = ("precision", "recall", "density", "coverage")
CENTRES = np.round(np.linspace(-0.995, 0.995, 200), 3)
LOSSES = {
    "vae": {"loss": 105.0, "loss_reconstruction": 80.0, "loss_kl": 25.0},
    "wgan_gp": {"loss_critic": -0.4, "loss_generator": 0.3, "gradient_penalty": 0.02},
}


@pytest.fixture
def make_material() -> Callable[..., Material]:
    return material


def material(
    generations: int | Mapping[str, int] = 20,
    seeds: Sequence[int] = (0,),
    runs: Mapping[str, tuple[str, str]] = RUNS,
    inception: bool = True,
    classes: tuple[str, ...] = DIGITS,
    kept: int = 25,
) -> Material:
    """Material of `runs`, name → (family, label), with so many generations each."""
    rng = np.random.default_rng(0)
    last = {run: generations if isinstance(generations, int) else generations[run] for run in runs}
    rows = real_rows(inception)
    critics = []
    for place, (run, (family, _)) in enumerate(runs.items()):
        for seed in seeds:
            for t in range(1, last[run] + 1):
                found = generation_rows(rng, family, place, t, inception)
                key = {"run": run, "family": family, "seed": seed, "generation": t}
                rows += [key | row for row in found]
            if family == "wgan_gp":
                critics += critic_rows(rng, run, seed, last)
    measures = pd.DataFrame(rows).assign(experiment="test", dataset="mnist", k=np.nan)
    measures.loc[measures["measure"].isin(NEIGHBOURS), "k"] = 5
    return Material(
        measures=measures,
        runs=run_table(runs, last),
        critics=pd.DataFrame(critics, columns=CRITIC_COLUMNS),
        real={"mnist": rng.random((kept, 1, 28, 28))},
        images=images(rng, last, kept),
        classes={"mnist": classes},
        features=features(last, kept),
        real_features={"mnist": np.random.default_rng(1).normal(size=(kept, 6))},
        features_named={"mnist": "classifier"},
        snapshots={(run, t): snapshots(rng) for run in last for t in range(1, last[run] + 1)},
        steps={
            (run, seed, t): steps(rng, place)
            for place, run in enumerate(last)
            for seed in seeds
            for t in range(1, last[run] + 1)
        },
    )


def features(last: Mapping[str, int], kept: int) -> dict[tuple[str, int], np.ndarray]:
    rng = np.random.default_rng(2)
    return {(run, t): rng.normal(size=(kept, 6)) for run in last for t in range(1, last[run] + 1)}


def snapshots(rng: np.random.Generator) -> Snapshots:
    """Of sixteen latents, after every 100 epochs."""
    return Snapshots(np.arange(0.0, 1_500, 100), rng.random((15, 16, 1, 28, 28)))


def steps(rng: np.random.Generator, place: int) -> pd.DataFrame:
    """Ten rows of a GAN's training whose generator's gradients vanish, the sooner the later its run."""
    step = np.arange(50, 501, 50)
    norms = {
        "generator": 10.0 ** (-place * step / 100),
        "critic": 3 + rng.random(len(step)),
    }
    columns = {f"gradient_norm_{name}": values for name, values in norms.items()}
    columns |= {f"gradient_norm_{name}_least": 0.6 * values for name, values in norms.items()}
    columns |= {f"gradient_norm_{name}_most": 1.7 * values for name, values in norms.items()}
    return pd.DataFrame({"step": step, **columns})


def images(rng: np.random.Generator, last: Mapping[str, int], kept: int) -> dict[tuple[str, int], np.ndarray]:
    return {
        (run, t): rng.normal(0.3, 0.7, (kept, 1, 28, 28)) for run in last for t in range(1, last[run] + 1)
    }


def run_table(runs: Mapping[str, tuple[str, str]], last: Mapping[str, int]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "run": list(runs),
            "family": [family for family, _ in runs.values()],
            "dataset": "mnist",
            "loop": "fully_synthetic",
            "generations": [last[run] for run in runs],
            "label": [label for _, label in runs.values()],
            "loop.bias": biases([family for family, _ in runs.values()]),
        }
    )


def biases(families: Sequence[str]) -> list[float]:
    """λ: 1 for the first run of a family, and a tenth less for each other one."""
    return [1 - 0.1 * families[:place].count(family) for place, family in enumerate(families)]


def real_rows(inception: bool) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"measure": "wasserstein1", "value": 6.9, "n": 500},
        {"measure": "wasserstein1", "value": 6.1, "n": 1000},
        {"measure": "wasserstein1_excess", "value": 0.01, "n": 500},
        {"measure": "fid", "value": 1.3, "n": 1000},
        {"measure": "class_entropy", "value": 2.301, "n": 10000},
        {"measure": "confidence", "value": 0.993, "n": 10000},
        {"measure": "precision", "value": 0.93, "n": 2000},
        {"measure": "recall", "value": 0.94, "n": 2000},
        {"measure": "density", "value": 1.2, "n": 2000},
        {"measure": "coverage", "value": 0.97, "n": 2000},
        {"measure": "intra_class_variance", "value": 61.0, "n": 2000},
        {"measure": "nearest_real", "value": 5.9, "n": 2000},
    ]
    if inception:
        rows.append({"measure": "fid_inception", "value": 9.0, "n": 1000})
    rows += share_rows(np.array([98, 113, 103, 101, 98, 89, 96, 103, 97, 101]) / 999)
    density = np.where(CENTRES > 0, 0.25, 0.0)
    density[100], density[199] = 78.0, 6.0
    rows += density_rows(density)
    rows += power_rows(0)
    return [{"run": "real", "family": np.nan, "seed": np.nan, "generation": np.nan} | row for row in rows]


def generation_rows(
    rng: np.random.Generator, family: str, place: int, t: int, inception: bool
) -> list[dict[str, Any]]:
    noise = rng.normal(1, 0.06, 8)
    collapse = (0.25 if family == "vae" else 0.05) * (t - 1)  # of the classes
    shares = np.exp(-collapse * np.abs(np.arange(10) - 3 - place)) * rng.uniform(0.8, 1.2, 10)
    shares /= shares.sum()
    fid = 4 * (1 + place) * t**1.3
    slope = 0.3 * (1 + 0.5 * place)
    rows: list[dict[str, Any]] = [
        {"measure": "wasserstein1", "value": (6.4 + slope * t) * noise[0] ** 0.3, "n": 500},
        {"measure": "wasserstein1_excess", "value": (0.3 + slope * t) * noise[1], "n": 500},
        {"measure": "fid", "value": fid * noise[2], "n": 1000},
        {"measure": "class_entropy", "value": -float(shares @ np.log(shares)), "n": 10000},
        {"measure": "confidence", "value": (0.97 - 0.01 * t * (1 + place)) * noise[3] ** 0.2, "n": 10000},
    ]
    if inception:
        rows.append({"measure": "fid_inception", "value": (20 + 8 * t * (1 + place)) * noise[4], "n": 1000})
    rows += loop_rows(noise[6:], place, t)
    if family == "wgan_gp":
        called_real = 0.3 + 0.6 * math.exp(-t / (4 + place)) + rng.normal(0, 0.04)
        rows.append({"measure": "critic_on_test", "value": min(1.0, max(0.0, called_real)), "n": 10000})
        rows.append({"measure": "critic_distance", "value": (6 + slope * t) * noise[3], "n": 500})
    rows += share_rows(shares)
    rows += density_rows(smooth_density(t, 0.0 if family == "vae" else -0.02))
    rows += power_rows(0.1 * t * (1 + place))
    for detail, value in LOSSES[family].items():
        changed = value * (1 - 0.03 * t) * noise[5]
        rows.append({"measure": "final_loss", "detail": detail, "value": changed, "n": np.nan})
    return rows


def loop_rows(noise: np.ndarray, place: int, t: int) -> list[dict[str, Any]]:
    """Quality rises and diversity falls from generation to generation, the faster the later the run."""
    quality = min(1.0, (0.6 + 0.02 * t) * noise[0])
    diversity = min(1.0, 0.9 * math.exp(-0.06 * (1 + place) * t) * noise[1])
    return [
        {"measure": "precision", "value": quality, "n": 2000},
        {"measure": "recall", "value": diversity, "n": 2000},
        {"measure": "density", "value": 1.3 * quality, "n": 2000},
        {"measure": "coverage", "value": diversity, "n": 2000},
        {"measure": "intra_class_variance", "value": 60 * diversity, "n": 2000},
        {"measure": "nearest_real", "value": 6 - 3 * quality, "n": 2000},
        {"measure": "parameter_distance", "value": 2e-5 * (t - 1) ** 0.5 * noise[0], "n": np.nan},
        {"measure": "parameter_distance_initial", "value": 9e-5 + 1e-6 * place, "n": np.nan},
    ]


def share_rows(shares: np.ndarray) -> list[dict[str, Any]]:
    return [
        {"measure": "class_frequency", "detail": str(i), "value": float(share), "n": 10000}
        for i, share in enumerate(shares)
    ]


def density_rows(density: np.ndarray) -> list[dict[str, Any]]:
    values = density / (density.sum() * 0.01)
    return [
        {"measure": "pixel_intensity", "detail": str(centre), "value": float(value), "n": 10000}
        for centre, value in zip(CENTRES, values, strict=True)
    ]


def power_rows(excess: float) -> list[dict[str, Any]]:
    """Power of images of 28 pixels that falls with the radius, and rises above real ones' at high frequencies."""
    radii = np.arange(1, 21) / 28
    power = 1e-3 * radii**-2 * (1 + excess * radii)
    return [
        {"measure": "power", "detail": f"{r:.6g}", "value": float(value), "n": 10000}
        for r, value in zip(radii, power, strict=True)
    ]


def smooth_density(t: int, lowest: float) -> np.ndarray:
    width = 0.004 + 0.004 * t
    density = np.exp(-np.abs(CENTRES - 0.005) / width) / width
    density += 0.3 + 0.5 * np.exp(-((CENTRES - 0.9) ** 2) / 0.02)
    return np.where(lowest * t <= CENTRES, density, 0.0)


CRITIC_COLUMNS = (
    "experiment",
    "critic_run",
    "critic_generation",
    "generator_run",
    "generator_generation",
    "seed",
    "fake_share",
    "n",
    "threshold",
)


def critic_rows(rng: np.random.Generator, run: str, seed: int, last: Mapping[str, int]) -> list[tuple]:
    """A critic calls its own training images, of the generation before, real more often than others."""
    rows = []
    for other, end in last.items():
        lines = rng.uniform(0.55, 0.95, last[run])
        for critic in range(1, last[run] + 1):
            for generator in range(1, end + 1):
                known = 0.5 * math.exp(-abs(critic - generator - 1) / 2) if other == run else 0.0
                share = min(1.0, max(0.0, lines[critic - 1] - known + rng.normal(0, 0.03)))
                rows.append(("test", run, critic, other, generator, seed, share, 1000, 0.5))
    return rows

"""The largest models of the published experiments at full size: training, sampling, memory, precision."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, NamedTuple

import torch

from bigloop.bench.setting import Setting, alone, image_model, peak_gib, seconds, trainer
from bigloop.bench.table import Column, Section, doing, number, time_text
from bigloop.training.recorded import WARM_UP


class Network(NamedTuple):
    """A family at the size of a published experiment, on images of a shape.

    published: images a second in training that others report, in float32 or mixed precision, and on what. cycle: steps
    after which they repeat, of a family with several kinds. evaluations: of the network, for a sample. precisions: that
    the family has.
    """

    name: str
    family: str
    options: dict[str, Any]
    shape: tuple[int, int, int]
    published: str | None
    evaluations: int
    cycle: int = 1
    precisions: tuple[str, ...] = ("float32", "tf32", "bf16")


QUICK: dict[str, dict[str, Any]] = {  # options that make them small
    "edm": {"width": 8, "multipliers": (1, 2), "blocks": 1},
    "otcfm_unet": {"width": 8, "multipliers": (1, 2), "blocks": 1, "head_width": None},
    "ddpm": {"width": 8, "multipliers": (1, 2), "blocks": 1},
    "stylegan2": {"latent": 8, "mapping_layers": 1, "width_base": 128, "width_most": 8, "deviation_group": 2},
}
NETWORKS = (
    Network(
        "EDM, DDPM++, 32×32",
        "edm",
        {"augmentation": 0.12, "warm_up": 10**7, "sampling_steps": 18},
        (3, 32, 32),
        "145 V100",
        35,
    ),
    Network(
        "OT-CFM, ADM's U-Net, 32×32",
        "otcfm_unet",
        {"sampler": "euler", "sampling_steps": 100},
        (3, 32, 32),
        "236 V100",
        100,
    ),
    Network(
        "DDPM, Ho et al.'s U-Net, 32×32",
        "ddpm",
        {"network": "ho", "label_dropout": 1.0, "dropout": 0.1, "timesteps": 1_000, "sampler": "ddim"}
        | {"sampling_steps": 100, "predicts": "noise"},
        (3, 32, 32),
        "2,688 8 TPUs",
        100,
    ),
    Network(
        "EDM, DDPM++, 64×64",
        "edm",
        {"multipliers": (1, 2, 2, 2), "dropout": 0.05, "augmentation": 0.15, "sampling_steps": 40},
        (3, 64, 64),
        None,
        79,
    ),
    Network(
        "StyleGAN2, 128×128",
        "stylegan2",
        {"mirror": True},
        (3, 128, 128),
        "73–78 V100",
        1,
        cycle=16,
        precisions=("float32", "bf16"),
    ),
)
BATCH = {"cpu": 4, "cuda": 64}  # images of a step here: a micro-batch on a CPU
STEPS = {"cpu": 3, "cuda": 20}
SAMPLED = {"cpu": 2, "cuda": 256}


class Row(NamedTuple):
    """Steps of one network in one precision. rate: images a second in training. sampled: a second, by its sampler."""

    name: str
    weights: Annotated[float, Column("weights, M", number(1))]
    batch: Annotated[int, Column("batch", number(0))]
    seconds: Annotated[float, Column("a step", time_text)]
    rate: Annotated[float, Column("images/s", number(2))]
    evaluations: Annotated[int, Column("evaluations", number(0))]
    sampled: Annotated[float, Column("sampled/s", number(3))]
    peak_gib: Annotated[float, Column("most GiB", number(1))]
    published: Annotated[str | None, Column("published", str)] = None


def rows(setting: Setting) -> Iterator[Row]:
    """Every network in float32, and in the precisions that this device has besides."""
    kind, threads = setting.device.type, torch.get_num_threads()
    for network in NETWORKS:
        for precision in network.precisions:
            if precision == "tf32" and kind != "cuda":
                continue
            name = f"{network.name}, {precision}"
            doing(name)
            found = alone(_measured, network, precision, setting.device, threads, setting.quick)
            yield Row(name, *found)._replace(published=network.published if precision == "float32" else None)


def _measured(
    network: Network, precision: str, device: torch.device, threads: int, quick: bool
) -> tuple[float, int, float, float, int, float, float]:
    torch.set_num_threads(threads)
    batch, steps, n = (2, 1, 2) if quick else (BATCH[device.type], STEPS[device.type], SAMPLED[device.type])
    steps = -(-steps // network.cycle) * network.cycle  # whole cycles
    options = network.options | {"batch_size": batch, "precision": precision}
    if quick:
        options |= QUICK[network.family]
    model, generator = image_model(network.family, options, device, 1, network.shape)
    images = torch.randint(0, 256, (4 * batch, *network.shape), dtype=torch.uint8)
    labels = torch.zeros(max(n, len(images)), dtype=torch.int64) if model.conditional else None
    train = trainer(model, images, generator, labels=None if labels is None else labels[: len(images)])
    # on a GPU the steps until each kind is recorded are not counted
    begin = (WARM_UP + 1) * network.cycle if device.type == "cuda" else 0
    train(max(1, begin))
    beginning = seconds(lambda: train(begin), device) if begin else 0.0
    taken = (seconds(lambda: train(begin + steps), device) - beginning) / steps
    shorten = getattr(type(model), "shortened", lambda options: (options, 1.0))
    short, times = shorten(dict(vars(model.options)))
    model.options = type(model.options)(**short)
    drawn = partial(model.sample, n, 1.0, generator, None if labels is None else labels[:n])
    if device.type == "cuda":
        drawn()  # libraries choose their kernels
    sampling = times * seconds(drawn, device)
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else peak_gib()
    weights = sum(p.size for p in model.parameters()) / 1e6
    return weights, batch, taken, batch / taken, network.evaluations, n / sampling, peak


SECTION = Section(
    "large",
    "models at the size of the published experiments, untrained: a training step, on a CPU of a micro-batch (of\n"
    "StyleGAN2 the mean of 16, with its lazy regularisation), and sampling (of diffusion and flow models two steps\n"
    "are timed and the others counted); most memory of the process, or of the GPU. published: images/s in\n"
    "training that others report, and on what",
    Row,
    rows,
)

"""The options of a GAN that prevent mode collapse, or are said to, and those of f-GANs. All can be combined.

Bandyopadhyay (Understanding Mode Collapse in Generative Adversarial Networks, 2025, §6) lists them in words; each
option names the paper that it is from. The losses of Wasserstein GANs and the learning rate of the critic alone (two
time-scale updates: Heusel et al. 2017) are options of the families themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bigloop.spec.options import option

CROSS_ENTROPY = {"loss": ("gan", "bce")}


@dataclass(frozen=True)
class Remedies:
    """Options of the families that play the game of `adversarial.game`."""

    divergence: Literal[
        "forward_kl", "reverse_kl", "jensen_shannon", "chi_squared", "hellinger", "total_variation"
    ] = option(
        "jensen_shannon",
        "f_gan: divergence between data and model (Nowozin et al. 2016)",
        only={"loss": ("f_gan",)},
        neutral="jensen_shannon",
    )
    label_smoothing: float = option(
        0.0,
        "share α by which the critic's label of real rows falls short of 1 (Salimans et al. 2016)",
        minimum=0,
        below=1,
        only=CROSS_ENTROPY,
        neutral=0.0,
    )
    r1: float = option(
        0.0, "weight γ of R1, ½‖∇f‖² at real rows (Mescheder et al. 2018)", minimum=0, neutral=0.0
    )
    r2: float = option(0.0, "likewise of R2, at generated ones", minimum=0, neutral=0.0)
    spectral_norm: bool = option(
        False,
        "divide the weights of each layer of the critic by their largest singular value (Miyato et al. 2018)",
        neutral=False,
    )
    minibatch_kernels: int = option(
        0,
        "kernels of minibatch discrimination, by which the critic compares rows of a batch (Salimans et al. 2016)",
        minimum=0,
        maximum=1000,
        neutral=0,
    )
    kernel_dimensions: int = option(
        3, "dimensions of each kernel, if there are any", minimum=1, maximum=1000, neutral=3
    )
    minibatch_deviation: bool = option(
        False,
        "show the critic the standard deviation of its features in the batch (Karras et al. 2018)",
        neutral=False,
    )
    pack: int = option(
        1,
        "rows that the critic judges as one (Lin et al. 2018, PacGAN); divides batch_size",
        minimum=1,
        maximum=64,
        divides="batch_size",
        neutral=1,
    )
    unroll: int = option(
        0,
        "steps by which the generator looks ahead at the critic (Metz et al. 2017)",
        minimum=0,
        maximum=100,
        neutral=0,
    )
    instance_noise: float = option(
        0.0,
        "standard deviation of noise on all rows that the critic sees (Sønderby et al. 2017; here it stays the same)",
        minimum=0,
        neutral=0.0,
    )
    diffusion_steps: int = option(
        0,
        "steps T of a forward diffusion; the critic sees rows after t of them, 1 ≤ t ≤ T at random, and t (Wang et "
        "al. 2023, Diffusion-GAN, without the adaptive T)",
        minimum=0,
        maximum=10_000,
        neutral=0,
    )
    diffusion_noise: float = option(
        1.0, "standard deviation σ of the noise that it ends in, if there is any", above=0, neutral=1.0
    )
    contrast: float = option(
        0.0,
        "weight of a contrastive loss of the critic's features of two noisy views of each row (Zhao et al. 2020, "
        "Cntr-GAN; SimCLR's loss)",
        minimum=0,
        neutral=0.0,
    )
    contrast_noise: float = option(
        0.1, "standard deviation of the views' noise, if there is any", above=0, neutral=0.1
    )
    temperature: float = option(0.1, "of the contrastive loss, if there is any", above=0, neutral=0.1)
    codes: int = option(
        0,
        "values of a discrete part of the latent, which the critic is to tell (Chen et al. 2016, InfoGAN)",
        minimum=0,
        maximum=10_000,
        neutral=0,
    )
    generators: int = option(
        1,
        "generators, one of which makes each row, and which the critic is to tell apart (Hoang et al. 2018, MGAN)",
        minimum=1,
        maximum=100,
        neutral=1,
    )
    information: float = option(
        1.0,
        "weight of the mutual information of rows and codes or generators, if there are several",
        minimum=0,
        neutral=1.0,
    )
    critics: int = option(
        1,
        "critics, whose losses are averaged (Durugkar et al. 2017, GMAN)",
        minimum=1,
        maximum=100,
        neutral=1,
    )

    @property
    def sources(self) -> int:
        """What a row can come from: each value of the code from each generator."""
        return max(1, self.codes) * self.generators

    @property
    def batchwise(self) -> bool:
        """Whether the critic's score of a row depends on the others in its batch."""
        return bool(self.minibatch_kernels) or self.minibatch_deviation

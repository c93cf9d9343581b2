"""Class-conditional denoising diffusion (Ho et al. 2020) with classifier-free guidance (Ho & Salimans 2021).

The family of Alemohammad et al. 2024, "MNIST DDPM": T = 500 steps, 10 % of the labels dropped in training,
sampling bias λ = 1 / (1 + w) for guidance w. The diffusion is a few functions of a noise predictor
eps(x, t) and of ᾱ, Tensor (T,); step t of T is numbered from 0 here, from 1 in the papers.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from bigloop.models.images.neural import NeuralFamily
from bigloop.models.images.unet import UNet
from bigloop.spec.options import SpecError, option

LOGIT_MEAN, LOGIT_SPREAD = -0.6, 1.0  # for the default β: the median is at ᾱ = 0.28

Eps = Callable[[Tensor, int], Tensor]  # predicted noise of x (n, …) at step t


class DDPM(NeuralFamily):
    """Rows in [0, 1], which the network sees in [-1, 1]. Sampling bias λ is in (0, 1]; 1 is without guidance.

    The network's output is v, from which ε follows: where almost all is noise, it need not be copied through
    the network. Errors of v weigh all steps alike, those of ε the first ones more.
    """

    revision = 1
    conditional = True
    reaches_modes = False
    multiple, least = "patch", 4

    @dataclass(frozen=True)
    class Options:
        width: int = option(128, "channels at full resolution", minimum=1)
        multiplier: int = option(2, "lower resolutions have so many times the channels", minimum=1)
        blocks: int = option(2, "residual blocks on each side at each of the three resolutions", minimum=1)
        patch: int = option(1, "patches of this many pixels squared are folded into channels", minimum=1)
        timesteps: int = option(500, "steps T from data to noise", minimum=2)
        beta_first: float = option(1e-4, "variance β of the first step's noise", above=0, below=1)
        # Ho et al. have 0.02 at T = 1 000; half the steps need twice that, or x_T is not yet noise.
        beta_last: float = option(0.04, "β of the last step, linear between them", above=0, below=1)
        loss: Literal["noise", "velocity"] = option("noise", "whose squared error training lowers")
        times: Literal["uniform", "logit_normal"] = option(
            "uniform",
            "how training draws its steps; logit_normal prefers the middle, where shapes are decided",
        )
        label_dropout: float = option(0.1, "share of labels dropped in training", minimum=0, maximum=1)
        batch_size: int = option(128, "images a step", minimum=1)
        learning_rate: float = option(2e-4, "Adam's learning rate", above=0)
        decay: Literal["none", "linear"] = option("linear", "of the learning rate, to 0 in each training")
        average_decay: float = option(0.999, "decay of the weights' moving average", minimum=0, below=1)
        sampler: Literal["ddpm", "ddim"] = option("ddpm", "ancestral, or deterministic", sampling=True)
        sampling_steps: int = option(
            50,
            "steps of ddim; ddpm makes all T",
            minimum=1,
            at_most="timesteps",
            where={"sampler": "ddim"},
            sampling=True,
        )
        clip: bool = option(True, "clip the predicted image to the data's range at every step", sampling=True)

    def __init__(
        self, options: Any, shape: tuple[int, ...], device: torch.device, classes: int | None = None
    ) -> None:
        super().__init__(options, shape, device, classes)
        self.unet = cast(Averaged, self.networks["unet"])
        self.alpha_bar = alpha_bar(options.timesteps, options.beta_first, options.beta_last)
        self.alpha_bar_on_device = self.alpha_bar.to(device, torch.get_default_dtype())

    def build(self) -> dict[str, nn.Module]:
        o = self.options
        if self.classes is None:
            raise SpecError("ddpm: learns images of given classes, and got no classes")
        return {
            "unet": Averaged(
                UNet(self.shape, self.classes, o.width, o.blocks, o.patch, o.multiplier), o.average_decay
            )
        }

    def prepare(self) -> None:
        parameters = self.unet.net.parameters()
        self.optimizers = {"unet": torch.optim.Adam(parameters, lr=self.options.learning_rate, fused=True)}

    def learning_rate(self, done: int, steps: int) -> float:
        falls = self.options.decay == "linear"
        return self.options.learning_rate * (1 - done / steps if falls else 1.0)

    def step(self, batch: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        o, x0, device = self.options, 2 * batch - 1, batch.device
        t = steps_drawn(len(x0), o.timesteps, o.times, generator)
        noise = torch.randn(x0.shape, generator=generator, device=device)
        kept = dropped(labels, o.label_dropout, self.unet.net.nothing, generator)
        a = self.alpha_bar_on_device[t].view(-1, 1, 1, 1)
        error = self.unet.net(noised(x0, noise, a), t, kept) - velocity(x0, noise, a)
        # at one x_t, the error of the noise is √ᾱ times that of the velocity
        loss = (error * a.sqrt() if o.loss == "noise" else error).square().mean()
        self.optimizers["unet"].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers["unet"].step()
        self.unet.update()
        return {"loss": loss.detach()}

    def latent(self, n: int, bias: float, generator: torch.Generator) -> Tensor:
        return torch.randn(n, *self.shape, generator=generator, device=generator.device)

    def piece(self, latent: Tensor, bias: float, generator: torch.Generator, labels: Tensor | None) -> Tensor:
        if labels is None:
            raise ValueError("labels: a ddpm samples images of given classes")
        o = self.options
        eps = guidance(self._eps(labels), self._eps(torch.full_like(labels, self.unet.net.nothing)), bias)
        if o.sampler == "ddpm":
            x = ancestral(eps, latent, self.alpha_bar, o.clip, generator)
        else:
            x = ddim(eps, latent, self.alpha_bar, trailing(o.timesteps, o.sampling_steps), o.clip)
        return (x + 1) / 2

    def _eps(self, labels: Tensor) -> Eps:
        def eps(x: Tensor, t: int) -> Tensor:
            a, times = self.alpha_bar[t].item(), torch.full_like(labels, t)
            return math.sqrt(1 - a) * x + math.sqrt(a) * self.unet.average(x, times, labels)

        return eps


class Averaged(nn.Module):
    """The network, `net`, and the moving average of its weights, `average`.

    The decay of update k (from 0) is min(decay, (1 + k) / (10 + k)), so that the average soon forgets the
    weights from before training. Samples come from the average.
    """

    net: UNet
    average: UNet
    updates: Tensor

    def __init__(self, net: UNet, decay: float) -> None:
        super().__init__()
        self.net = net
        self.average = copy.deepcopy(net).requires_grad_(False)
        self.decay = decay
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the network's weights, once after every optimiser step."""
        share = 1 - ((1 + self.updates) / (10 + self.updates)).clamp(max=self.decay)
        averages: list[Tensor] = list(self.average.parameters())
        weights: list[Tensor] = list(self.net.parameters())
        moves = torch._foreach_sub(weights, averages)
        torch._foreach_mul_(moves, share)
        torch._foreach_add_(averages, moves)
        self.updates += 1


def alpha_bar(timesteps: int, first: float, last: float) -> Tensor:
    """ᾱ_t = ∏ (1 − β_s) over s ≤ t, float64 (T,), for β linear from `first` to `last` (Ho et al. 2020, eq. 4)."""
    return (1 - torch.linspace(first, last, timesteps, dtype=torch.float64)).cumprod(0)


def noised(x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """x_t ~ q(x_t | x_0) for images x0 and noise (n, …), ᾱ of their steps (n, 1, …) (Ho et al. 2020, eq. 4)."""
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise


def velocity(x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """v = √ᾱ ε − √(1 − ᾱ) x_0, with which ε = √(1 − ᾱ) x_t + √ᾱ v (Salimans & Ho 2022, app. D)."""
    return alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * x0


def steps_drawn(n: int, timesteps: int, law: str, generator: torch.Generator) -> Tensor:
    """n steps t, int64 (n,): uniform, or T times the logistic function of a normal number (Esser et al. 2024, §3.1)."""
    device = generator.device
    if law == "uniform":
        return torch.randint(timesteps, (n,), generator=generator, device=device)
    normal = torch.randn(n, generator=generator, device=device)
    share = torch.sigmoid(LOGIT_MEAN + LOGIT_SPREAD * normal)
    return (timesteps * share).long().clamp(max=timesteps - 1)


def dropped(labels: Tensor, rate: float, nothing: int, generator: torch.Generator) -> Tensor:
    """Labels (n,) of which each is `nothing` with probability `rate` (Ho & Salimans 2021, alg. 1)."""
    chance = torch.rand(labels.shape, generator=generator, device=labels.device)
    return torch.where(chance < rate, nothing, labels)


def guidance(conditional: Eps, unconditional: Eps, bias: float) -> Eps:
    """(1 + w) ε_cond − w ε_uncond with w = 1/λ − 1 (Ho & Salimans 2021, eq. 6; Alemohammad et al. 2024, §2).

    At λ = `bias` = 1 only the conditional one is evaluated. Raises SpecError for λ = 0.
    """
    if bias <= 0:
        raise SpecError(f"bias: {bias} asks for infinite guidance, w = 1/λ − 1; for ddpm give λ above 0")
    if bias == 1:
        return conditional
    w = 1 / bias - 1
    return lambda x, t: (1 + w) * conditional(x, t) - w * unconditional(x, t)


def ancestral(eps: Eps, x: Tensor, alpha_bar: Tensor, clip: bool, generator: torch.Generator) -> Tensor:
    """x_T (n, …), standard normal, to x_0 by all steps of `ancestral_step` (Ho et al. 2020, alg. 2)."""
    levels = [1.0, *alpha_bar.tolist()]
    for t in reversed(range(len(alpha_bar))):
        x = ancestral_step(x, eps(x, t), levels[t + 1], levels[t], clip, generator)
    return x


def ancestral_step(
    x: Tensor, eps: Tensor, now: float, then: float, clip: bool, generator: torch.Generator
) -> Tensor:
    """x_{t−1} ~ q(x_{t−1} | x_t, x_0) for predicted noise `eps` (Ho et al. 2020, eq. 7, variance β̃_t).

    now, then: ᾱ_t and ᾱ_{t−1}; at ᾱ_{t−1} = 1 the result is the predicted x_0, and no noise is drawn.
    """
    mean, deviation = posterior(x, eps, now, then, clip)
    if then == 1:
        return mean
    noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return mean + deviation * noise


def posterior(x: Tensor, eps: Tensor, now: float, then: float, clip: bool) -> tuple[Tensor, float]:
    """Mean and standard deviation of q(x_{t−1} | x_t, x_0) for predicted noise `eps` (Ho et al. 2020, eq. 7).

    now, then: ᾱ_t and ᾱ_{t−1}; at ᾱ_{t−1} = 1 they are the predicted x_0 and 0.
    """
    x0 = predicted_x0(x, eps, now, clip)
    if then == 1:
        return x0, 0.0
    alpha = now / then
    mean = math.sqrt(then) * (1 - alpha) / (1 - now) * x0 + math.sqrt(alpha) * (1 - then) / (1 - now) * x
    return mean, math.sqrt((1 - then) / (1 - now) * (1 - alpha))


def trailing(timesteps: int, steps: int) -> list[int]:
    """`steps` of the T steps, evenly spaced downwards from the last, T − 1 (Lin et al. 2024, "trailing")."""
    return [round(timesteps * k / steps) - 1 for k in range(steps, 0, -1)]


def ddim(eps: Eps, x: Tensor, alpha_bar: Tensor, times: list[int], clip: bool) -> Tensor:
    """x_T (n, …), standard normal, to x_0 by `ddim_step` through the falling steps `times`."""
    levels = [float(alpha_bar[t]) for t in times] + [1.0]
    for t, now, then in zip(times, levels, levels[1:], strict=False):
        x = ddim_step(x, eps(x, t), now, then, clip)
    return x


def ddim_step(x: Tensor, eps: Tensor, now: float, then: float, clip: bool) -> Tensor:
    """x at noise level ᾱ = `then`, from `now`, for predicted noise `eps` (Song et al. 2021, eq. 12, σ = 0).

    Where the predicted x_0 is clipped, the noise kept is the one that leads from there to x.
    """
    x0 = predicted_x0(x, eps, now, clip)
    if clip:
        eps = (x - math.sqrt(now) * x0) / math.sqrt(1 - now)
    return math.sqrt(then) * x0 + math.sqrt(1 - then) * eps


def predicted_x0(x: Tensor, eps: Tensor, alpha_bar: float, clip: bool) -> Tensor:
    """The image that x_t with noise `eps` comes from (Ho et al. 2020, eq. 15), clipped to [-1, 1] or not."""
    x0 = (x - math.sqrt(1 - alpha_bar) * eps) / math.sqrt(alpha_bar)
    return x0.clamp(-1, 1) if clip else x0

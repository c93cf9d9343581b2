"""The WGAN-GP's gradients written out, for a CPU: fewer multiplications, and nothing computed twice.

The convolutions are those of `convolution`, and the second derivatives of the gradient penalty come without
autograd's second backward. Tensors are (positions, channels, n), n images. The adjoint of a value is the gradient
of a scalar in it; a tangent is its change along a direction of the input.

`fast_step(model)` is what a WGANGP trains with; tests hold it against `WGANGP.losses_by_autograd`.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from bigloop.models.images.kernels.convolution import Convolution, CookToom, Direct, Transposed

EPSILON = nn.InstanceNorm2d(1).eps
TINY = 1e-30  # in place of the norm of a gradient of 0, which has no direction
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt

Step = Callable[
    [Tensor, torch.Generator], tuple[Tensor, Tensor, Tensor]
]  # critic's and generator's loss, penalty


def fast_step(model: Any) -> Step | None:
    """A WGANGP's step with written-out gradients; None on a GPU and for other images than 28×28, which have none."""
    if model.device.type != "cpu" or model.shape[1:] != (28, 28):
        return None
    keep_freed_memory()
    passes = Passes(model.networks["generator"], model.networks["critic"])
    options, optimizers = model.options, model.optimizers

    @torch.no_grad()
    def step(batch: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        n, real = len(batch), images_last(batch)
        latents, weights = [], []
        for _ in range(options.critic_iterations):
            latents.append(model.latent(n, 1.0, generator))
            weights.append(torch.rand(n, generator=generator))
        if options.generator_norm == "instance":
            fakes = passes.images(latents)
        else:
            fakes = [images_last(model.decode(latent)) for latent in latents]
        for fake, weight in zip(fakes, weights, strict=True):
            critic_loss, penalty = passes.critic_loss(real, fake, weight, options.gradient_penalty)
            optimizers["critic"].step()
        latent = model.latent(n, 1.0, generator)
        if options.generator_norm == "instance":
            generator_loss = passes.generator_loss(latent)
            optimizers["generator"].step()
        else:
            with torch.enable_grad():
                images = images_last(model.decode(latent))
                generator_loss, adjoint = passes.images_adjoint(images.detach())
                model.descend("generator", (images * adjoint).sum())
        return critic_loss, generator_loss, penalty

    return step


def images_last(images: Tensor) -> Tensor:
    """Images (n, channels, h, w) as (h · w, channels, n)."""
    return images.permute(2, 3, 1, 0).flatten(0, 1).contiguous()


class Passes:
    """Both losses of networks as `wgan_gp` builds them; their gradients are left in the parameters' `grad`.

    The generator needs InstanceNorms; without, only `critic_loss` and `images_adjoint` may be called.
    """

    def __init__(self, generator: nn.Module, critic: nn.Module) -> None:
        dtype = next(critic.parameters()).dtype
        third = CookToom(7, 3, 1, dtype=dtype)
        second = CookToom(14, 4, 1, third.order, dtype)
        down = [Direct(28, 4, 2, 1, second.order), second, third, Direct(4, 4, 1, 0)]
        self.critic = Layers(critic, down)
        self.generator = Layers(generator, [Transposed(convolution) for convolution in reversed(down)])
        self.sigmoid = any(isinstance(module, nn.Sigmoid) for module in critic.children())

    def images(self, latents: Sequence[Tensor]) -> list[Tensor]:
        """The generator's images (784, channels, n) of each of the latents (n, latent)."""
        self.generator.refresh()
        return [self.generator.forward(latent.T[None]).outputs.tanh_() for latent in latents]

    def critic_loss(self, real: Tensor, fake: Tensor, weight: Tensor, factor: float) -> tuple[Tensor, Tensor]:
        """The critic's loss and the penalty in it, without its factor, shape () each; the critic's gradients.

        real, fake: images (784, channels, n); weight: (n,), of the real image in the point between both.
        """
        critic, n = self.critic, real.shape[2]
        critic.refresh()
        ends = critic.forward(torch.cat([real, fake], 2))
        scores, slopes, _ = self._scores(ends.outputs)
        down, up = slopes.split(n, 2)
        critic.backward(ends, torch.cat([-down, up], 2) / n)
        low, high = scores.split(n, 2)

        between = critic.forward(weight * real + (1 - weight) * fake)
        _, slopes, curvatures = self._scores(between.outputs)
        ascent = critic.ascent(between, slopes)
        gradient = critic.inputs_adjoint(ascent[0].points)
        norm = torch.linalg.vector_norm(gradient, dim=(0, 1))
        penalty = (norm - 1).square().mean()
        # The penalty's gradient is that of the scores' tangent along this direction, held fixed.
        direction = gradient * (2 * factor / n * (norm - 1) / norm.clamp(min=TINY))
        tangent, bends = critic.tangent(between, ascent, direction)
        critic.backward(between, curvatures * tangent, bends)
        critic.collect()
        return high.mean() - low.mean() + factor * penalty, penalty

    def images_adjoint(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The generator's loss, shape (), on its images (784, channels, n), and its gradient in them."""
        self.critic.refresh()
        forward = self.critic.forward(images)
        scores, slopes, _ = self._scores(forward.outputs)
        ascent = self.critic.ascent(forward, slopes / -images.shape[2])
        return -scores.mean(), self.critic.inputs_adjoint(ascent[0].points)

    def generator_loss(self, latent: Tensor) -> Tensor:
        """The generator's loss, shape (); the generator's gradients."""
        self.generator.refresh()
        forward = self.generator.forward(latent.T[None])
        images = forward.outputs.tanh()
        loss, adjoint = self.images_adjoint(images)
        self.generator.backward(forward, adjoint * (1 - images.square()))
        self.generator.collect()
        return loss

    def _scores(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The critic's last function of its last convolution, and its first and second derivative."""
        if not self.sigmoid:
            return logits, torch.ones_like(logits), torch.zeros_like(logits)
        scores = logits.sigmoid()
        slopes = scores * (1 - scores)
        return scores, slopes, slopes * (1 - 2 * scores)


class Norm:
    """An InstanceNorm at one input x (positions, channels, n), of mean 0 over positions already; x is overwritten."""

    def __init__(self, x: Tensor) -> None:
        self.scale = (x.square().mean(0) + EPSILON).rsqrt()
        self.output = x.mul_(self.scale)

    def jacobian(self, d: Tensor) -> Tensor:
        """The Jacobian J times d; J is symmetric."""
        along = (d * self.output).mean(0)
        return torch.addcmul(d, self.output, along, value=-1).mul_(self.scale)

    def bend(self, a: Tensor, ja: Tensor, t: Tensor, jt: Tensor) -> Tensor:
        """The gradient of ⟨a, J t⟩ in x, from J a and J t, too."""
        x = self.output
        result = x * (a * jt).mean(0)
        result.addcmul_(ja, (t * x).mean(0)).addcmul_(jt, (a * x).mean(0))
        return result.mul_(self.scale).neg_()


class Layer(NamedTuple):
    """A convolution, an InstanceNorm or none, a LeakyReLU or none."""

    convolution: Convolution
    kernels: Tensor
    norm: bool = False
    slope: float | None = None


class Values(NamedTuple):
    """What a layer keeps of a pass forwards: inputs at points, the norm, and what the LeakyReLU got."""

    points: Tensor
    norm: Norm | None
    inner: Tensor


class Changes(NamedTuple):
    """Adjoints at a layer: of the norm's output and input, and of the convolution's products at points."""

    after: Tensor
    before: Tensor
    points: Tensor


class Forward(NamedTuple):
    layers: list[Values]
    outputs: Tensor


class Layers:
    """A network's layers, without a Sigmoid or Tanh at the end; passes take the weights of the last `refresh`."""

    def __init__(self, net: nn.Module, convolutions: Sequence[Convolution]) -> None:
        self.layers: list[Layer] = []
        for module in net.children():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                self.layers.append(Layer(convolutions[len(self.layers)], module.weight))
            elif isinstance(module, nn.InstanceNorm2d):
                self.layers[-1] = Layer(self.layers[-1].convolution.centred(), self.layers[-1].kernels, True)
            elif isinstance(module, nn.LeakyReLU):
                self.layers[-1] = self.layers[-1]._replace(slope=module.negative_slope)
        self.refresh()

    def refresh(self) -> None:
        self.weights = [layer.convolution.weights(layer.kernels.detach()) for layer in self.layers]
        self.sums: dict[int, Tensor] = {}  # the weights' gradients so far, by layer

    def forward(self, x: Tensor) -> Forward:
        kept = []
        for layer, weights in zip(self.layers, self.weights, strict=True):
            points = layer.convolution.inputs(x)
            x = layer.convolution.outputs(torch.bmm(weights.mT, points))
            kept.append(Values(points, Norm(x) if layer.norm else None, x))
            if layer.slope is not None:
                x = leaky_relu(x, layer.slope)
        return Forward(kept, x)

    def ascent(self, forward: Forward, x: Tensor) -> list[Changes]:
        """Adjoints from x, that of the outputs, back to the first convolution's; no gradients."""
        return list(self._back(forward, x, [None] * len(self.layers)))[::-1]

    def backward(self, forward: Forward, x: Tensor, bends: Sequence[Tensor | None] | None = None) -> None:
        """Add the gradients that the outputs' adjoint x and the `bends` of the norms' inputs give."""
        changes = self._back(forward, x, bends or [None] * len(self.layers))
        for i, change in zip(reversed(range(len(self.layers))), changes, strict=True):
            self._add(i, forward.layers[i].points, change.points)

    def _back(self, forward: Forward, x: Tensor, bends: Sequence[Tensor | None]) -> Iterator[Changes]:
        for i in reversed(range(len(self.layers))):
            (convolution, _, _, slope), values = self.layers[i], forward.layers[i]
            after = x if slope is None else leaky_change(x, values.inner, slope)
            before = values.norm.jacobian(after) if values.norm else after
            if (bend := bends[i]) is not None:
                before += bend
            points = convolution.outputs_adjoint(before)
            yield Changes(after, before, points)
            if i:
                x = convolution.inputs_adjoint(torch.bmm(self.weights[i], points))

    def inputs_adjoint(self, points: Tensor) -> Tensor:
        return self.layers[0].convolution.inputs_adjoint(torch.bmm(self.weights[0], points))

    def tangent(
        self, forward: Forward, ascent: list[Changes], x: Tensor
    ) -> tuple[Tensor, list[Tensor | None]]:
        """The outputs' tangent along x, of which an ascent from 1 gives a part of the gradients, added here.

        The other part is backward's, with the tangent's adjoints in the norms' inputs: the second result.
        """
        bends: list[Tensor | None] = []
        for i, (layer, values, change) in enumerate(zip(self.layers, forward.layers, ascent, strict=True)):
            points = layer.convolution.inputs(x)
            self._add(i, points, change.points)
            x = layer.convolution.outputs(torch.bmm(self.weights[i].mT, points))
            bends.append(None)
            if values.norm:
                before, x = x, values.norm.jacobian(x)
                bends[i] = values.norm.bend(change.after, change.before, before, x)
            if layer.slope is not None:
                x = leaky_change(x, values.inner, layer.slope)
        return x, bends

    def _add(self, i: int, x: Tensor, y: Tensor) -> None:
        self.sums[i] = self.layers[i].convolution.gradient(x, y, self.sums.get(i))

    def collect(self) -> None:
        """Move the sums of gradients to the parameters."""
        for i, total in self.sums.items():
            layer = self.layers[i]
            found = layer.convolution.weights_adjoint(total)
            # The layout of its parameter: the fused optimiser silently mixes up elements where the two differ.
            layer.kernels.grad = torch.empty_like(layer.kernels).copy_(found)
        self.sums = {}


def leaky_change(d: Tensor, x: Tensor, slope: float) -> Tensor:
    """LeakyReLU's slope at x times d."""
    return torch.ops.aten.leaky_relu_backward(d, x, slope, False)


def keep_freed_memory() -> None:
    """Let glibc keep what tensors free, up to 1 GiB, in this process: to return it costs a tenth of a step."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(M_MMAP_THRESHOLD, 2**25)  # the largest there is
        mallopt(M_TRIM_THRESHOLD, 2**30)

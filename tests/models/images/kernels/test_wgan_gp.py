"""The WGAN-GP's gradients written out, against autograd's on the same networks."""

from __future__ import annotations

import platform
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bigloop.models.adversarial.penalties import gradient_penalty
from bigloop.models.images.kernels.wgan_gp import Norm, Passes, fast_step, images_last
from bigloop.models.images.wgan_gp import WGANGP

N, FACTOR = 4, 10.0
CASES: dict[str, tuple[dict[str, Any], int]] = {
    "sigmoid": ({}, 1),
    "linear critic": ({"critic_output": "linear"}, 1),
    "one channel wide": ({"width": 1, "latent": 1}, 1),
    "colour": ({}, 3),
    "ReLU": ({"slope": 0.0}, 1),
}


def model(options: dict[str, Any], channels: int, dtype: torch.dtype = torch.float64) -> WGANGP:
    made = WGANGP.fresh(
        WGANGP.Options(**{"width": 4, "latent": 6, **options}),
        (channels, 28, 28),
        torch.Generator().manual_seed(0),
    )
    for net in made.networks.values():
        net.to(dtype)
        for parameter in net.parameters():
            parameter.data *= 3  # gradients far from 0 and from the penalty's minimum
    return made


def test_a_model_of_28_by_28_images_takes_the_fast_step() -> None:
    made = model({}, 1, torch.float32)
    made.prepare()
    assert fast_step(made) is not None
    assert made.losses != made.losses_by_autograd


@pytest.mark.parametrize("size", [(32, 32), (28, 32), (32, 28), (12, 12), (56, 56)])
def test_no_other_size_takes_it(size: tuple[int, int]) -> None:
    made = model({}, 1, torch.float32)
    made.shape = (1, *size)
    made.prepare()
    assert fast_step(made) is None
    assert made.losses == made.losses_by_autograd


def test_no_other_device_takes_it() -> None:
    made = model({}, 1, torch.float32)
    made.device = torch.device("cuda")
    assert fast_step(made) is None


def drawn(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def passes(made: WGANGP) -> Passes:
    return Passes(made.networks["generator"], made.networks["critic"])


def gradients(net: nn.Module) -> list[Tensor]:
    found = [p.grad for p in net.parameters() if p.grad is not None]
    assert len(found) == 4
    return found


def by_autograd(
    made: WGANGP, real: Tensor, fake: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, list[Tensor]]:
    critic = made.networks["critic"]
    mix = weight.view(-1, 1, 1, 1)
    penalty = gradient_penalty(critic, mix * real + (1 - mix) * fake)
    loss = critic(fake).mean() - critic(real).mean() + FACTOR * penalty
    return loss, penalty, list(torch.autograd.grad(loss, list(critic.parameters())))


def close(ours: Tensor, expected: Tensor, share: float = 1e-10) -> None:
    """Equal but for a share of the largest value: for float64 the fast convolutions' 1e-12, a few times over."""
    torch.testing.assert_close(ours, expected, rtol=0, atol=share * expected.abs().max().item())


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_the_critics_loss_and_gradients_are_autograds(case: str) -> None:
    made = model(*CASES[case])
    real, fake = (drawn(N, *made.shape, seed=seed) for seed in range(2))
    weight = drawn(N, seed=2)
    with torch.enable_grad():
        expected = by_autograd(made, real, fake, weight)
    loss, penalty = passes(made).critic_loss(images_last(real), images_last(fake), weight, FACTOR)
    close(loss, expected[0].detach())
    close(penalty, expected[1].detach())
    assert penalty > 1e-3
    for ours, theirs in zip(gradients(made.networks["critic"]), expected[2], strict=True):
        close(ours, theirs)


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_the_generators_loss_and_gradients_are_autograds(case: str) -> None:
    made = model(*CASES[case])
    net = made.networks["generator"]
    latent = drawn(N, made.options.latent, seed=3)
    with torch.enable_grad():
        expected = -made.networks["critic"](made.decode(latent)).mean()
        wanted = torch.autograd.grad(expected, list(net.parameters()))
    close(passes(made).generator_loss(latent), expected.detach())
    for ours, theirs in zip(gradients(net), wanted, strict=True):
        close(ours, theirs)


@torch.no_grad()
def test_images_and_their_gradient_are_those_of_the_modules() -> None:
    made = model({}, 3)
    latents = [drawn(N, made.options.latent, seed=seed) for seed in range(2)]
    ours = passes(made)
    images = ours.images(latents)
    for one, latent in zip(images, latents, strict=True):
        close(one, images_last(made.decode(latent)))
    with torch.enable_grad():
        leaf = made.decode(latents[0]).detach().requires_grad_()
        loss = -made.networks["critic"](leaf).mean()
        (expected,) = torch.autograd.grad(loss, leaf)
    found, adjoint = ours.images_adjoint(images[0])
    close(found, loss.detach())
    close(adjoint, images_last(expected))


@torch.no_grad()
def test_changed_weights_count_from_the_next_call_on() -> None:
    made = model({}, 1)
    ours = passes(made)
    images, latent = drawn(N, *made.shape, seed=0), drawn(N, 6, seed=1)
    for _ in range(2):
        close(ours.images_adjoint(images_last(images))[0], -made.networks["critic"](images).mean())
        close(ours.images([latent])[0], images_last(made.decode(latent)))
        for net in made.networks.values():
            for parameter in net.parameters():
                parameter += 0.1


@torch.no_grad()
def test_a_critic_that_is_flat_everywhere_pays_the_penalty_of_slope_0_and_gets_no_gradient_from_it() -> None:
    made = model({"critic_output": "linear"}, 1)
    *_, last = made.networks["critic"].parameters()
    last.zero_()
    real = images_last(drawn(N, *made.shape, seed=0))
    loss, penalty = passes(made).critic_loss(real, real, drawn(N, seed=1), FACTOR)
    # The gradients are differences of two equal sums, one of real and one of generated images, which need not be
    # added up in one order: the fast convolutions' 1e-12, as above.
    assert (loss.item(), penalty.item()) == pytest.approx((FACTOR, 1.0), abs=1e-12)
    assert max(gradient.abs().max().item() for gradient in gradients(made.networks["critic"])) < 1e-11


@torch.no_grad()
def test_gradients_have_the_memory_layout_of_their_parameters() -> None:
    made = model({}, 3)
    for net in made.networks.values():
        net.to(memory_format=torch.channels_last)
    ours = passes(made)
    real, fake = (images_last(drawn(N, *made.shape, seed=seed)) for seed in range(2))
    ours.critic_loss(real, fake, drawn(N, seed=2), FACTOR)
    ours.generator_loss(drawn(N, 6, seed=3))
    for net in made.networks.values():
        for parameter in net.parameters():
            assert parameter.grad is not None
            assert parameter.grad.stride() == parameter.stride()


@torch.no_grad()
def test_in_float32_gradients_err_by_rounding_at_the_papers_width() -> None:
    # Slope 1: where a LeakyReLU has a kink, rounding makes a few of its slopes the other one.
    made = model({"width": 64, "latent": 100, "slope": 1.0}, 1, torch.float32)
    real, fake = (drawn(N, *made.shape, seed=seed, dtype=torch.float32) for seed in range(2))
    weight = drawn(N, seed=2, dtype=torch.float32)
    passes(made).critic_loss(images_last(real), images_last(fake), weight, FACTOR)
    made.networks["critic"].double()
    with torch.enable_grad():
        _, _, expected = by_autograd(made, real.double(), fake.double(), weight.double())
    made.networks["critic"].float()
    for ours, theirs in zip(gradients(made.networks["critic"]), expected, strict=True):
        assert (ours - theirs).norm() / theirs.norm() < 1e-4  # the fast convolutions' 1e-5, a few times over


def test_a_norms_bend_is_autograds_second_derivative() -> None:
    x, a, t = (drawn(9, 2, 3, seed=seed) for seed in range(3))

    def norm(x: Tensor) -> Tensor:
        return nn.functional.instance_norm(x.permute(2, 1, 0)).permute(2, 1, 0)

    x.requires_grad_()
    (ja,) = torch.autograd.grad(norm(x), x, a, create_graph=True)
    (expected,) = torch.autograd.grad(ja, x, t)
    centred = (x - x.mean(0)).detach()
    ours = Norm(centred.clone())
    close(ours.output, norm(x).detach())
    a, t = a - a.mean(0), t - t.mean(0)  # what centring takes off before and after the norm
    ours_ja, ours_jt = ours.jacobian(a), ours.jacobian(t)
    close(ours_ja - ours_ja.mean(0), ja.detach())
    bend = ours.bend(a, ours_ja, t, ours_jt)
    close(bend - bend.mean(0), expected)


@pytest.mark.long
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_kept_for_the_next_step() -> None:
    script = """
import resource, torch
from bigloop.models.images.kernels.wgan_gp import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    parts = [torch.zeros(2**22) for _ in range(8)]
    del parts
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep_freed_memory()
for _ in range(3):  # the heap grows until it has found room for all
    faults()
print(faults() * resource.getpagesize())
"""  # in a process of its own, whose memory no other test has cut up
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(printed.stdout) < 8 * 2**24 / 10  # of the tensors' bytes

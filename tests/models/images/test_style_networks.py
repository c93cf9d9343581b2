"""The networks of StyleGAN2 against slow versions that are written out, and what their layers have to keep."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from bigloop.models.images.style_networks import (
    Conv,
    Discriminator,
    Generator,
    Mapping,
    ModulatedConv,
    Noise,
    channels,
    deviation,
    doubled,
    filtered,
    sides,
)

BINOMIAL = [1 / 8, 3 / 8, 3 / 8, 1 / 8]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def still(side: int) -> Tensor:
    return torch.zeros(1, 1, side, side)


def noisy(n: int) -> Noise:
    return lambda side: torch.randn(n, 1, side, side)


def slow_correlation(x: Tensor, kernel: Tensor) -> Tensor:
    """Of one map and one kernel, only where they overlap wholly."""
    k, (h, w) = len(kernel), x.shape
    return torch.stack(
        [
            torch.stack([(x[i : i + k, j : j + k] * kernel).sum() for j in range(w - k + 1)])
            for i in range(h - k + 1)
        ]
    )


def slow_upsampled(x: Tensor, before: int, after: int) -> Tensor:
    """Of one map: zeros between, zeros around, and the binomial filter with gain 4."""
    spread = torch.zeros(2 * len(x), 2 * len(x), dtype=x.dtype)
    spread[::2, ::2] = x
    padded = torch.nn.functional.pad(spread, (before, after, before, after))
    return slow_correlation(padded, 4 * torch.outer(*[torch.tensor(BINOMIAL, dtype=x.dtype)] * 2))


def slow_modulated(layer: ModulatedConv, x: Tensor, w: Tensor) -> Tensor:
    """Weights scaled and normalised for each image, one product at a time (§2.2, eqs. 1 and 3)."""
    found = []
    for image, style in zip(x, layer.affine(w), strict=True):
        weight = layer.weight * layer.gain * style[None, :, None, None]
        if layer.demodulated:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        k = layer.kernel
        maps = []
        for kernels in weight:
            total = 0.0
            for one, kernel in zip(image, kernels, strict=True):
                if not layer.doubles:
                    total += slow_correlation(torch.nn.functional.pad(one, [k // 2] * 4), kernel)
                    continue
                spread = torch.zeros(2 * len(one) - 1, 2 * len(one) - 1, dtype=x.dtype)
                spread[::2, ::2] = one
                wide = slow_correlation(torch.nn.functional.pad(spread, [k - 1] * 4), kernel.flip(0, 1))
                fir = 4 * torch.outer(*[torch.tensor(BINOMIAL, dtype=x.dtype)] * 2)
                total += slow_correlation(torch.nn.functional.pad(wide, [1] * 4), fir)
            maps.append(total)
        found.append(torch.stack(maps))
    return torch.stack(found)


@pytest.mark.parametrize("doubles", [False, True])
@pytest.mark.parametrize(("kernel", "demodulated"), [(3, True), (3, False), (1, False)])
def test_a_modulated_convolution_is_the_slow_one(doubles: bool, kernel: int, demodulated: bool) -> None:
    if doubles and kernel == 1:
        pytest.skip("colours are not doubled")
    layer = ModulatedConv(3, 2, kernel, 5, doubles, demodulated).double()
    x, w = torch.randn(2, 3, 4, 4, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)
    expected = slow_modulated(layer, x, w)
    assert expected.shape == (2, 2, 8, 8) if doubles else (2, 2, 4, 4)
    torch.testing.assert_close(layer(x, w), expected, rtol=1e-6, atol=1e-6)


def test_demodulated_outputs_have_unit_variance_whatever_the_style() -> None:
    layer = ModulatedConv(64, 32, 3, 16)
    x, w = torch.randn(64, 64, 16, 16), 10 * torch.randn(64, 16)
    inner = layer(x, w)[
        :, :, 1:-1, 1:-1
    ].detach()  # zeros around the image take from the variance at its edge
    variances = inner.square().mean((2, 3))  # of each image and channel
    assert float(variances.mean()) == pytest.approx(1, abs=0.02)
    assert float((variances - 1).abs().max()) < 0.5


@pytest.mark.parametrize("doubles", [False, True])
def test_how_long_a_style_is_makes_no_difference(doubles: bool) -> None:
    layer = ModulatedConv(8, 4, 3, 16, doubles)
    x, w = torch.randn(3, 8, 4, 4), torch.randn(3, 16)
    before = layer(x, w)
    with torch.no_grad():
        for p in layer.affine.parameters():
            p *= 100
    torch.testing.assert_close(layer(x, w), before, rtol=1e-4, atol=1e-4)


def test_filters_are_the_slow_ones_and_keep_flat_maps_flat() -> None:
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    slow = torch.stack([torch.stack([slow_upsampled(one, 2, 1) for one in image]) for image in x])
    torch.testing.assert_close(doubled(x), slow)
    torch.testing.assert_close(doubled(torch.ones(1, 1, 8, 8))[..., 2:-2, 2:-2], torch.ones(1, 1, 12, 12))
    kernel = torch.outer(torch.tensor(BINOMIAL), torch.tensor(BINOMIAL)).double()
    padded = torch.nn.functional.pad(x[0, 0], (1, 2, 1, 2))
    torch.testing.assert_close(
        filtered(x, 1, 2)[0, 0], slow_correlation(padded, kernel), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [6, 7])
def test_filters_are_derived_as_often_as_one_likes(side: int, stride: int) -> None:
    x = torch.randn(2, 3, side, side, dtype=torch.float64, requires_grad=True)

    def squared(x: Tensor) -> Tensor:
        return filtered(x, 2, 1, gain=4.0, stride=stride).square()  # a second derivative that is not 0

    assert torch.autograd.gradcheck(squared, x)
    assert torch.autograd.gradgradcheck(squared, x)


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_convolution_that_halves_sees_every_second_place_of_what_is_blurred(kernel: int) -> None:
    layer = Conv(1, 1, kernel, halves=True).double()
    x = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    margin = kernel // 2 + 1
    blur = torch.outer(torch.tensor(BINOMIAL), torch.tensor(BINOMIAL)).double()
    soft = slow_correlation(torch.nn.functional.pad(x[0, 0], [margin] * 4), blur)
    expected = slow_correlation(soft, layer.weight[0, 0] * layer.gain)[::2, ::2]
    assert expected.shape == (4, 4)
    torch.testing.assert_close(layer(x)[0, 0], expected, rtol=1e-6, atol=1e-7)


def test_the_deviation_of_each_group_is_the_slow_one() -> None:
    x = torch.randn(12, 3, 4, 4, dtype=torch.float64)
    found = deviation(x, 4)
    assert found.shape == (12, 4, 4, 4)
    torch.testing.assert_close(found[:, :3], x)
    for first in range(3):  # images first, first + 3, first + 6, first + 9 are a group
        members = x[first::3]
        slow = sum(
            ((sum((m[c, i, j] - members[:, c, i, j].mean()) ** 2 for m in members) / 4 + 1e-8) ** 0.5)
            for c in range(3)
            for i in range(4)
            for j in range(4)
        ) / (3 * 4 * 4)
        torch.testing.assert_close(
            found[first::3, 3], torch.full((4, 4, 4), float(slow), dtype=torch.float64)
        )
    torch.testing.assert_close(deviation(x[:2], 4)[:, 3], deviation(x[:2], 2)[:, 3])


def test_a_mapping_normalises_latents_and_has_a_running_mean() -> None:
    mapping = Mapping(8, 3)
    z = torch.randn(5, 8)
    torch.testing.assert_close(mapping(z), mapping(7 * z))
    w = torch.randn(100, 8) + 3
    for _ in range(2_000):
        mapping.see(w)
    torch.testing.assert_close(mapping.mean, w.mean(0), rtol=1e-3, atol=1e-3)


def test_truncation_draws_styles_to_the_mean() -> None:
    net = Generator(16, 3, 8, 2, 64, 16)
    net.mapping.mean.normal_()
    z = torch.randn(4, 8)
    full, none, half = (net.styles(z, bias) for bias in (1.0, 0.0, 0.5))
    torch.testing.assert_close(none, net.mapping.mean.expand(4, net.layers, 8))
    torch.testing.assert_close(half, (full + none) / 2)
    one = net(none, still)
    torch.testing.assert_close(one, one[:1].expand(4, -1, -1, -1))


def test_each_layer_of_the_generator_has_its_own_style_and_noise() -> None:
    net = Generator(16, 1, 8, 2, 64, 16)
    styles = torch.randn(1, net.layers, 8).requires_grad_()
    (slopes,) = torch.autograd.grad(net(styles, still).square().sum(), styles)
    assert net.layers == 2 * math.log2(16) - 2
    assert (slopes.abs().sum(2) > 0).all()
    asked: list[int] = []

    def told(side: int) -> Tensor:
        asked.append(side)
        return still(side)

    plain = net(styles, told)
    assert asked == [4, 8, 8, 16, 16]
    torch.testing.assert_close(plain, net(styles, noisy(1)))  # before training it has no strength
    for layer in net.styled:
        torch.nn.init.ones_(layer.strength)
    assert not torch.allclose(net(styles, noisy(1)), plain)


def test_outputs_of_fresh_networks_are_neither_tiny_nor_huge() -> None:
    net, critic = Generator(64, 3, 64, 4, 1024, 64), Discriminator(64, 3, 1024, 64, 4)
    images = net(net.styles(torch.randn(32, 64)), noisy(32))
    assert 0.3 < images.std() < 10
    smooth = torch.nn.functional.interpolate(torch.randn(32, 3, 8, 8), 64)  # filters take white noise away
    assert 0.05 < critic(smooth).std() < 10


@pytest.mark.parametrize("side", [128, 256])
def test_widths_and_numbers_of_weights_are_those_of_the_formula(side: int) -> None:
    base, most, style, depth = 16384, 512, 512, 8
    with torch.device("meta"):
        net, critic = Generator(side, 3, style, depth, base, most), Discriminator(side, 3, base, most, 4)
    width = {at: min(base // at, most) for at in (4, 8, 16, 32, 64, 128, 256) if at <= side}
    for level, at in enumerate(width):
        assert net.styled[max(0, 2 * level)].conv.weight.shape[0] == width[at] == channels(at, base, most)
    assert critic.enter.weight.shape == (width[side], 3, 1, 1)

    def styled(inner: int, outer: int) -> int:
        return (style + 1) * inner + 9 * inner * outer + 1 + outer

    def colour(inner: int) -> int:
        return (style + 1) * inner + 3 * inner + 3

    order = list(width.values())
    steps = list(pairwise(order))
    generator = depth * (style + 1) * style + 16 * order[0] + styled(order[0], order[0])
    generator += sum(styled(a, b) + styled(b, b) for a, b in steps) + sum(map(colour, order))
    assert sum(p.numel() for p in net.parameters()) == generator
    halving = sum(9 * b * b + b + 9 * b * a + a + b * a for a, b in steps)
    last = 9 * (order[0] + 1) * order[0] + order[0] + 16 * order[0] ** 2 + order[0] + order[0] + 1
    assert sum(p.numel() for p in critic.parameters()) == 4 * order[-1] + halving + last


def test_maps_are_halved_while_they_can_be() -> None:
    assert sides(128) == [4, 8, 16, 32, 64, 128]
    assert sides(28) == [7, 14, 28]
    assert Generator(28, 1, 8, 2, 64, 16).layers == 6
    for side in (4, 27):
        with pytest.raises(ValueError, match=f"got {side}"):
            sides(side)

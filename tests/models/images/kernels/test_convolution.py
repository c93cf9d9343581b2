"""Convolutions as matrix products: against torch's own, values and adjoints, and the fast algorithm's identity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd.functional import vjp
from torch.nn.functional import conv2d, conv_transpose2d

from bigloop.models.images.kernels.convolution import Convolution, CookToom, Direct, Transposed, cook_toom

INNER, OUTER, N = 3, 5, 2
DIRECT = [(28, 4, 2, 1), (4, 4, 1, 0), (9, 3, 3, 1), (6, 3, 1, 2)]
FAST = [(14, 4, 2, 1), (7, 3, 2, 1), (8, 4, 2, 1), (9, 3, 2, 0), (10, 2, 2, 0)]
CASES = [*(("direct", case) for case in DIRECT), *(("fast", case) for case in FAST)]

Geometry = tuple[int, int, int, int]  # size, kernel, stride, padding


def convolution(kind: str, geometry: Geometry, order: Tensor | None = None) -> Convolution:
    size, kernel, stride, padding = geometry
    if kind == "direct":
        return Direct(size, kernel, stride, padding, order)
    return CookToom(size, kernel, padding, order, torch.float64)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rows(images: Tensor, order: Tensor | None = None) -> Tensor:
    """Images (n, channels, size, size) as (positions, channels, n), in the order given."""
    positions = images.flatten(2).permute(2, 1, 0)
    return (positions if order is None else positions[order]).contiguous()


def reference(geometry: Geometry) -> tuple[Callable[[Tensor, Tensor], Tensor], Tensor, Tensor, Tensor]:
    """torch's convolution, images, kernels, and an adjoint of the output."""
    size, kernel, stride, padding = geometry
    images, kernels = drawn(N, INNER, size, size), drawn(OUTER, INNER, kernel, kernel, seed=1)

    def by_torch(x: Tensor, w: Tensor) -> Tensor:
        return conv2d(x, w, None, stride, padding)

    return by_torch, images, kernels, torch.randn_like(by_torch(images, kernels))


def close(ours: Tensor, expected: Tensor) -> None:
    # float64: 8 points lose 4 or 5 digits of 16, and the values are of the order of 10
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("kind", "geometry"), CASES)
def test_values_and_both_adjoints_are_those_of_torchs_convolution(kind: str, geometry: Geometry) -> None:
    by_torch, images, kernels, adjoint = reference(geometry)
    ours = convolution(kind, geometry)
    x, weights, y = (
        ours.inputs(rows(images, ours.order)),
        ours.weights(kernels),
        ours.outputs_adjoint(rows(adjoint)),
    )
    expected, (to_images, to_kernels) = vjp(by_torch, (images, kernels), adjoint)
    close(ours.outputs(weights.mT @ x), rows(expected))
    close(ours.inputs_adjoint(weights @ y), rows(to_images, ours.order))
    close(ours.weights_adjoint(ours.gradient(x, y)), to_kernels)


@pytest.mark.parametrize(("kind", "geometry"), CASES)
def test_its_transpose_is_torchs_transposed_convolution(kind: str, geometry: Geometry) -> None:
    _, _, kernels, images = reference(geometry)
    size, kernel, stride, padding = geometry
    spare = (size + 2 * padding - kernel) % stride  # rows that the convolution never reads

    def by_torch(x: Tensor, w: Tensor) -> Tensor:
        return conv_transpose2d(x, w, None, stride, padding, spare)

    straight = convolution(kind, geometry)
    ours = Transposed(straight)
    adjoint = drawn(N, INNER, size, size, seed=2)
    expected, (to_images, to_kernels) = vjp(by_torch, (images, kernels), adjoint)
    x, weights = ours.inputs(rows(images)), ours.weights(kernels)
    y = ours.outputs_adjoint(rows(adjoint, straight.order))
    close(ours.outputs(weights.mT @ x), rows(expected, straight.order))
    close(ours.inputs_adjoint(weights @ y), rows(to_images))
    close(ours.weights_adjoint(ours.gradient(x, y)), to_kernels)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("kind", "geometry"), [CASES[0], CASES[4]])
def test_centred_outputs_lack_their_mean_over_positions_and_their_adjoint_fits(
    kind: str, geometry: Geometry, transposed: bool
) -> None:
    size, kernel, stride, padding = geometry
    straight = convolution(kind, geometry)
    plain = Transposed(straight) if transposed else straight
    positions = size**2 if transposed else ((size + 2 * padding - kernel) // stride + 1) ** 2
    adjoint = drawn(positions, OUTER, N)
    points = plain.outputs_adjoint(drawn(positions, OUTER, N, seed=1))
    points /= points.abs().max()
    outputs = plain.outputs(points)
    close(plain.centred().outputs(points), outputs - outputs.mean(0))
    close(plain.centred().outputs_adjoint(adjoint), plain.outputs_adjoint(adjoint - adjoint.mean(0)))


@pytest.mark.parametrize("kind", ["direct", "fast"])
def test_outputs_come_in_the_order_asked_for(kind: str) -> None:
    geometry = (7, 3, 2, 1)
    by_torch, images, kernels, _ = reference(geometry)
    order = torch.randperm(16)
    ours = convolution(kind, geometry, order)
    outputs = ours.outputs(ours.weights(kernels).mT @ ours.inputs(rows(images, ours.order)))
    close(outputs, rows(by_torch(images, kernels), order))


def test_gradients_add_up() -> None:
    ours = convolution("fast", (7, 3, 2, 1))
    x, y = drawn(16, 8, N), drawn(16, OUTER, N, seed=1)
    close(ours.gradient(y=y, x=x, so_far=ours.gradient(x, y)), 2 * ours.gradient(x, y))


@pytest.mark.parametrize(("size", "kernel", "padding", "points"), [(14, 4, 1, 8), (7, 3, 1, 4), (8, 2, 0, 4)])
def test_the_identity_holds_with_as_few_products_as_there_can_be(
    size: int, kernel: int, padding: int, points: int
) -> None:
    a, g, c = cook_toom(size, kernel, padding)
    x, k = np.random.default_rng(0).standard_normal((2, max(size, kernel)))
    x, k = x[:size], k[:kernel]
    halves = [
        (a[:, q::2] @ x[q::2]) * (g[:, taps] @ k[taps])
        for q in range(2)
        for taps in [(np.arange(kernel) - padding) % 2 == q]
    ]
    padded = np.pad(x, padding)
    expected = [padded[2 * i : 2 * i + kernel] @ k for i in range(len(c))]
    np.testing.assert_allclose(c @ sum(halves), expected, atol=1e-11)  # float64, conditions of a few hundred
    assert len(a) == len(g) == c.shape[1] == points


def test_in_float32_the_fast_algorithm_errs_by_some_1e_5() -> None:
    images, kernels = drawn(4, 64, 14, 14), drawn(32, 64, 4, 4, seed=1)
    expected = rows(conv2d(images, kernels, None, 2, 1))
    ours = CookToom(14, 4, 1)
    at = ours.weights(kernels.float()).mT @ ours.inputs(rows(images, ours.order).float())
    error = (ours.outputs(at) - expected).norm() / expected.norm()
    assert 1e-7 < error < 3e-5  # 7e-6 where this was written; direct sums err by 3e-7

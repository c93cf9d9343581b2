"""Strided convolutions of small images as plain matrix products, with fewer multiplications where that pays.

Images are laid out (positions, channels, n), so that a linear map of positions is one matrix product over all
channels and images. A convolution is then three steps: inputs to points, at each point a product with that
point's weights, points to outputs; its adjoint (a transposed convolution) and its gradients are the same steps
backwards. `Direct` takes the outputs themselves as points. `CookToom` multiplies polynomials by their values
(Winograd 1980, "Arithmetic complexity of computations", ch. 4): 64 products instead of 196 for 4×4 kernels from
14×14 to 7×7, 16 instead of 36 for 3×3 kernels from 7×7 to 4×4, for a rounding error some 20 times as large.
"""

from __future__ import annotations

import math
from copy import copy
from itertools import product

import numpy as np
import torch
from torch import Tensor

# Points a/b, the tamest first: 0, ∞, ±1, ±2, ±1/2.
POINTS = [(0, 1), (1, 0), (1, 1), (-1, 1), (2, 1), (-2, 1), (1, 2), (-1, 2)]


class Convolution:
    """A convolution without bias, from square images to square images, apart from its weights.

    At its points, inputs are (points, k, n), outputs (points, outer channels, n) and weights (points, k, outer
    channels): outputs are weights.mT @ inputs. `order` is that of the inputs' positions, row × size + column.
    """

    order: Tensor

    def inputs(self, x: Tensor) -> Tensor:
        """Inputs (positions, channels, n) at points."""
        raise NotImplementedError

    def inputs_adjoint(self, at: Tensor) -> Tensor:
        """The inputs' adjoint from that of `inputs`, as for all adjoints here."""
        raise NotImplementedError

    def outputs(self, at: Tensor) -> Tensor:
        """Outputs (positions, channels, n) from points."""
        raise NotImplementedError

    def outputs_adjoint(self, y: Tensor) -> Tensor:
        raise NotImplementedError

    def weights(self, kernels: Tensor) -> Tensor:
        """Kernels (outer channels, inner channels, kernel, kernel), as nn.Conv2d has them, at points."""
        raise NotImplementedError

    def weights_adjoint(self, at: Tensor) -> Tensor:
        raise NotImplementedError

    def gradient(self, x: Tensor, y: Tensor, so_far: Tensor | None = None) -> Tensor:
        """The adjoint of `weights` from inputs and the outputs' adjoint, both at points, added to `so_far`."""
        return torch.bmm(x, y.mT) if so_far is None else so_far.baddbmm_(x, y.mT)

    def centred(self) -> Convolution:
        """The same with each channel's mean over positions taken off the outputs, as an InstanceNorm begins."""
        return Centred(self)


class Direct(Convolution):
    """The outputs' positions as points: patches times kernels, for few channels or a single output.

    `order` in the arguments is that of the outputs; the inputs are row by row.
    """

    def __init__(
        self, size: int, kernel: int, stride: int, padding: int, order: Tensor | None = None
    ) -> None:
        outer, no_row = outer_size(size, kernel, stride, padding), size**2
        self.kernel, self.points, self.order = kernel, outer**2, torch.arange(size**2)
        line = stride * torch.arange(outer)[:, None] + torch.arange(kernel) - padding  # of (output, tap)
        down, across = line[:, None, :, None], line[None, :, None, :]
        inside = (down >= 0) & (down < size) & (across >= 0) & (across < size)
        patches = torch.where(inside, down * size + across, no_row).flatten(2).flatten(0, 1)
        self.patches = patches[slice(None) if order is None else order].flatten()
        self.uses = torch.full((size**2, math.ceil(kernel / stride) ** 2), len(self.patches))
        used = self.patches.argsort(stable=True)[: int((self.patches < size**2).sum())]
        position = self.patches[used]
        first = torch.searchsorted(position, torch.arange(size**2))
        self.uses[position, torch.arange(len(used)) - first[position]] = used

    def inputs(self, x: Tensor) -> Tensor:
        if self.points == 1:
            return x.reshape(1, -1, x.shape[2])
        return with_zero_row(x)[self.patches].view(self.points, -1, x.shape[2])

    def inputs_adjoint(self, at: Tensor) -> Tensor:
        rows = at.reshape(len(self.patches), -1, at.shape[2])
        return rows if self.points == 1 else with_zero_row(rows)[self.uses].sum(1)

    def outputs(self, at: Tensor) -> Tensor:
        return at

    def outputs_adjoint(self, y: Tensor) -> Tensor:
        return y

    def weights(self, kernels: Tensor) -> Tensor:
        return kernels.permute(2, 3, 1, 0).reshape(1, -1, len(kernels)).expand(self.points, -1, -1)

    def weights_adjoint(self, at: Tensor) -> Tensor:
        return at.sum(0).view(self.kernel, self.kernel, -1, at.shape[2]).permute(3, 2, 0, 1)


class CookToom(Convolution):
    """Stride 2: even and odd rows and columns are polynomials in two variables, multiplied at a grid of points.

    `order` in the arguments is that of the outputs; that of the inputs is even rows' even columns first, then
    their odd ones, then odd rows'.
    """

    def __init__(
        self,
        size: int,
        kernel: int,
        padding: int,
        order: Tensor | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        of_inputs, of_taps, of_outputs = cook_toom(size, kernel, padding)
        self.kernel, self.points = kernel, len(of_inputs) ** 2
        positions = np.arange(size**2).reshape(size, size)
        parity = (np.arange(kernel) - padding) % 2  # of the inputs that a tap meets
        parts = list(product(range(2), repeat=2))
        self.order = torch.from_numpy(np.concatenate([positions[q::2, r::2].ravel() for q, r in parts]))
        inputs = [np.kron(of_inputs[:, q::2], of_inputs[:, r::2]) for q, r in parts]
        taps = [np.kron(of_taps * (parity == q), of_taps * (parity == r)) for q, r in parts]
        self.of_inputs = [torch.from_numpy(matrix).to(dtype) for matrix in inputs]
        self.of_taps = torch.from_numpy(np.stack(taps, 1)).flatten(0, 1).to(dtype)  # (points × parts, taps)
        self.of_outputs = torch.from_numpy(np.kron(of_outputs, of_outputs)).to(dtype)
        if order is not None:
            self.of_outputs = self.of_outputs[order]
        self.counts = [matrix.shape[1] for matrix in self.of_inputs]

    def inputs(self, x: Tensor) -> Tensor:
        _, channels, n = x.shape
        at = x.new_empty(self.points, 4, channels * n)
        for part, (matrix, rows) in enumerate(
            zip(self.of_inputs, x.flatten(1).split(self.counts), strict=True)
        ):
            torch.mm(matrix, rows, out=at[:, part])
        return at.view(self.points, -1, n)

    def inputs_adjoint(self, at: Tensor) -> Tensor:
        n, at = at.shape[2], at.view(self.points, 4, -1)
        x = at.new_empty(sum(self.counts), at.shape[2])
        for part, (matrix, rows) in enumerate(zip(self.of_inputs, x.split(self.counts), strict=True)):
            torch.mm(matrix.T, at[:, part], out=rows)
        return x.view(len(x), -1, n)

    def outputs(self, at: Tensor) -> Tensor:
        return (self.of_outputs @ at.flatten(1)).view(-1, *at.shape[1:])

    def outputs_adjoint(self, y: Tensor) -> Tensor:
        return (self.of_outputs.T @ y.flatten(1)).view(-1, *y.shape[1:])

    def weights(self, kernels: Tensor) -> Tensor:
        rows = kernels.permute(2, 3, 1, 0).reshape(self.kernel**2, -1)
        return (self.of_taps @ rows).view(self.points, -1, len(kernels))

    def weights_adjoint(self, at: Tensor) -> Tensor:
        rows = self.of_taps.T @ at.reshape(len(self.of_taps), -1)
        return rows.view(self.kernel, self.kernel, -1, at.shape[2]).permute(3, 2, 0, 1)

    def centred(self) -> Convolution:
        twin = copy(self)
        twin.of_outputs = self.of_outputs - self.of_outputs.mean(0)
        return twin


class Transposed(Convolution):
    """A convolution's adjoint, nn.ConvTranspose2d, which has the same kernels."""

    def __init__(self, of: Convolution) -> None:
        self.of = of

    def inputs(self, x: Tensor) -> Tensor:
        return self.of.outputs_adjoint(x)

    def inputs_adjoint(self, at: Tensor) -> Tensor:
        return self.of.outputs(at)

    def outputs(self, at: Tensor) -> Tensor:
        return self.of.inputs_adjoint(at)

    def outputs_adjoint(self, y: Tensor) -> Tensor:
        return self.of.inputs(y)

    def weights(self, kernels: Tensor) -> Tensor:
        return self.of.weights(kernels).mT

    def weights_adjoint(self, at: Tensor) -> Tensor:
        return self.of.weights_adjoint(at.mT)

    def gradient(self, x: Tensor, y: Tensor, so_far: Tensor | None = None) -> Tensor:
        return self.of.gradient(y, x, None if so_far is None else so_far.mT).mT


class Centred(Convolution):
    """Another convolution, its outputs' means over positions taken off."""

    def __init__(self, of: Convolution) -> None:
        self.of = of
        self.inputs, self.inputs_adjoint = of.inputs, of.inputs_adjoint  # type: ignore[method-assign]
        self.weights, self.weights_adjoint = of.weights, of.weights_adjoint  # type: ignore[method-assign]
        self.gradient = of.gradient  # type: ignore[method-assign]

    def outputs(self, at: Tensor) -> Tensor:
        y = self.of.outputs(at)
        return y - y.mean(0)

    def outputs_adjoint(self, y: Tensor) -> Tensor:
        return self.of.outputs_adjoint(y - y.mean(0))


def outer_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """Length of a convolution's output."""
    return (size + 2 * padding - kernel) // stride + 1


def with_zero_row(x: Tensor) -> Tensor:
    """x with zeros after its last row."""
    return torch.cat([x, x.new_zeros(1, *x.shape[1:])])


def cook_toom(size: int, kernel: int, padding: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrices A, G, C of y_i = Σ_j k_j x_(2i-padding+j), the convolution of one row with stride 2.

    y = C Σ_q A_q x_q ⊙ G_q k_q, where x_0 and x_1 are the even and the odd inputs, k_0 and k_1 the taps that meet
    them, and A_q, G_q these columns of A and G. Shapes (points, size), (points, kernel), (outputs, points).

    Two of the three evaluate polynomials at points and the third solves for the rest: inputs times taps are
    outputs, or in the adjoint outputs times taps are inputs; the way with fewer points is taken.
    """
    u, j, i = np.arange(size), np.arange(kernel), np.arange(outer_size(size, kernel, 2, padding))
    met = (u[:, None] == 2 * i[:, None, None] - padding + j).astype(float)  # (output, input, tap)
    shift, parity = (j - padding) // 2, (j - padding) % 2  # tap j of output i meets x_(parity)[i + shift]
    degree = np.array([len(u[q::2]) - 1 for q in range(2)])  # of even and of odd inputs
    forth = 1 + max(degree[parity] + shift.max() - shift)
    lowest = np.array([shift[parity == q].min() for q in range(2)])
    back = 1 + i.max() + max(shift - lowest[parity])
    if forth <= back:
        a = values(forth, u // 2, degree[u % 2])
        g = values(forth, shift.max() - shift, forth - 1 - degree[parity])
        products = np.einsum("pu,pj->ujp", a, g) * (u[:, None] % 2 == parity)[:, :, None]
        c = np.linalg.lstsq(products.reshape(-1, forth), met.reshape(len(i), -1).T)[0].T
        return a, g, c
    c = values(back, i, np.full(len(i), i.max())).T
    g = values(back, shift - lowest[parity], np.full(kernel, back - 1 - i.max()))
    a = np.empty((back, size))
    for q in range(2):
        taps = parity == q
        products = np.einsum("ip,pj->ijp", c, g[:, taps]).reshape(-1, back)
        wanted = met[:, q::2][:, :, taps].transpose(0, 2, 1).reshape(len(products), -1)
        a[:, q::2] = np.linalg.lstsq(products, wanted)[0]
    return a, g, c


def values(points: int, exponents: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """The monomials a^e b^(d-e) at the first of POINTS a/b, shape (points, exponents)."""
    a, b = np.array(POINTS[:points], dtype=float).T[:, :, None]
    return a**exponents * b ** (degrees - exponents)

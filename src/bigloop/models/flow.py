"""Flows from noise to data along straight lines, in a few functions (Tong et al. 2024).

    x = midpoint(velocity, noise, steps=50)

They take a velocity v(x, t) of points x (n, …) at one time t, and follow it from t = 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Velocity = Callable[[Tensor, float], Tensor]


def couplings(noise: Tensor, data: Tensor) -> Tensor:
    """For each data point the noise point that the exact assignment of least squared distance gives it.

    noise, data: (replicates, n, d); returns int64 (replicates, n), a permutation in each replicate, on the CPU.
    """
    from scipy.optimize import linear_sum_assignment

    # ‖x − y‖² without the squares, which every assignment has in common
    costs = (data @ noise.transpose(1, 2)).double().cpu().numpy()
    return torch.from_numpy(np.stack([linear_sum_assignment(cost, maximize=True)[1] for cost in costs]))


def euler(velocity: Velocity, x: Tensor, steps: int) -> Tensor:
    """x at t = 0 to t = 1 by Euler's method, an evaluation a step."""
    for k in range(steps):
        x = x + velocity(x, k / steps) / steps
    return x


def midpoint(velocity: Velocity, x: Tensor, steps: int) -> Tensor:
    """x at t = 0 to t = 1 by the midpoint rule, two evaluations a step."""
    for k in range(steps):
        middle = x + velocity(x, k / steps) / (2 * steps)
        x = x + velocity(middle, (k + 0.5) / steps) / steps
    return x


def dopri5(velocity: Velocity, x: Tensor, tolerance: float) -> Tensor:
    """x at t = 0 to t = 1 by Dormand & Prince's method of order 5, whose steps keep an estimate of the error below
    `tolerance`, absolute and relative, in the root mean square over all of x."""
    from torchdiffeq import odeint

    times = torch.tensor([0.0, 1.0], device=x.device, dtype=x.dtype)
    return odeint(lambda t, x: velocity(x, float(t)), x, times, rtol=tolerance, atol=tolerance)[-1]

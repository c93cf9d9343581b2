"""What a sampler does by itself: the variance of one Gaussian under a perfect network, a generation after another.

    levels = alpha_bar(300, 3.3e-4, 0.067)
    drift(51, 0.1, lambda v: diffused(v, levels))        # 0.0932, 0.0869, … of a mode of variance 0.1

Nothing is trained and nothing estimated here: the network knows the law that it was trained on, and rows are
infinitely many. What is left of a collapse is the sampler's. Of a mixture it is what happens to a mode that lies far
from the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np

Noise = Literal["posterior", "beta"]


def alpha_bar(timesteps: int, first: float, last: float) -> np.ndarray:
    """ᾱ_t = ∏ (1 − β_s) over s ≤ t, float64 (T,), for β linear from `first` to `last` (Ho et al. 2020, eq. 4)."""
    return np.cumprod(1 - np.linspace(first, last, timesteps))


def trailing(timesteps: int, steps: int) -> list[int]:
    """`steps` of the T steps, evenly spaced downwards from the last, T − 1 (Lin et al. 2024, "trailing")."""
    return [round(timesteps * k / steps) - 1 for k in range(steps, 0, -1)]


def quadratic(timesteps: int, steps: int) -> list[int]:
    """At most `steps` of the T steps, downwards, whose square roots are evenly spaced up to that of 0.8 T (Song et al.
    2021, app. D.2); two that coincide are one."""
    roots = [math.sqrt(0.8 * timesteps) * k / max(1, steps - 1) for k in range(steps)]
    return sorted({int(root**2) for root in roots}, reverse=True)


def levels(steps: int, least: float, most: float, rho: float) -> list[float]:
    """σ_0 = most to σ_{steps − 1} = least, and 0: evenly spaced in σ^(1/ρ) (Karras et al. 2022, eq. 5)."""
    high, low = most ** (1 / rho), least ** (1 / rho)
    return [(high + k / max(1, steps - 1) * (low - high)) ** rho for k in range(steps)] + [0.0]


def diffused(variance: float, alpha_bar: np.ndarray, bias: float = 1.0, noise: Noise = "posterior") -> float:
    """Variance of what the ancestral sampler makes of N(0, `variance`) with the exact E[ε | x_t], exact.

    alpha_bar: (T,). bias: the sampling bias λ, the variance of the start and a factor of that of every step's noise,
    which is β̃_t ("posterior") or β_t ("beta") (Ho et al. 2020, §3.2). A step down is linear, x_{t−1} = k_t x_t + noise,
    so that s_{t−1} = k_t² s_t + λ τ_t², from s_T = λ. In the unit that the network sees.
    """
    levels, reached = [1.0, *alpha_bar.tolist()], bias
    for now, then in _downwards(levels):
        alpha = now / then
        known = math.sqrt(now) * variance / (now * variance + 1 - now)  # E[x_0 | x_t] / x_t
        slope = (math.sqrt(then) * (1 - alpha) * known + math.sqrt(alpha) * (1 - then)) / (1 - now)
        added = (1 - alpha) * ((1 - then) / (1 - now) if noise == "posterior" else 1.0)
        reached = slope**2 * reached + (bias * added if then < 1 else 0.0)
    return reached


def diffused_by_ddim(variance: float, alpha_bar: np.ndarray, bias: float = 1.0) -> float:
    """The same for the deterministic sampler through all T steps (Song et al. 2021, eq. 12, σ = 0)."""
    levels, factor = [1.0, *alpha_bar.tolist()], 1.0
    for now, then in _downwards(levels):
        # √ᾱ' E[x_0 | x_t] + √(1 − ᾱ') E[ε | x_t]
        held = math.sqrt(then * now) * variance + math.sqrt((1 - then) * (1 - now))
        factor *= held / (now * variance + 1 - now)
    return factor**2 * bias


def transported(variance: float, sigma: float, bias: float = 1.0) -> float:
    """Variance of what OT-CFM makes of N(0, `variance`) with the exact velocity: λ (s + σ²) / (1 + σ²) (ours).

    With noise and data jointly Gaussian, x_t has variance a(t) + σ², a(0) = 1 and a(1) = s, and its flow multiplies x
    by the root of (a(t) + σ²) / (1 + σ²), whichever of them are paired. The flow of the law that is trained on begins
    at N(0, 1 + σ²), sampling at N(0, λ): at σ = 0 and λ = 1 nothing drifts (path of Tong et al. 2024, eq. 9).
    """
    return bias * (variance + sigma**2) / (1 + sigma**2)


def denoised_by_heun(variance: float, sigmas: Sequence[float], bias: float = 1.0) -> float:
    """Variance of what EDM makes of N(0, `variance`) by Heun's method with the exact denoiser, without churn, exact.

    sigmas: falling, ending with 0 (Karras et al. 2022, alg. 1). D(x, σ) = s / (s + σ²) x, so every step is a factor.
    With the paper's levels and s = ¼ it is 1.114 s at 18 steps, 1.020 s at 40. In the unit that the network sees.
    """
    reached = math.sqrt(bias) * sigmas[0]
    for now, then in pairwise(sigmas):
        slope = now / (variance + now**2)  # (1 − D(x, σ) / x) / σ
        there = 1 + (then - now) * slope
        if then == 0:  # a step of Euler's method; of data without variance its slope there would be 0 / 0
            reached *= there
        else:
            after = then / (variance + then**2)
            reached *= 1 + (then - now) * (slope + there * after) / 2
    return reached**2


def flowed(variance: float, steps: int, bias: float = 1.0, halfway: bool = False) -> float:
    """Variance of what `steps` of Euler's method, or of the midpoint rule, make of N(0, λ) with the exact velocity of
    pairs that are independent, exact.

    v(x, t) = (t s − (1 − t)) / (t² s + (1 − t)²) x for noise N(0, 1) and data N(0, s) (Lipman et al. 2023). Pairs by
    optimal transport of small batches in many dimensions are nearly independent; the better they are, the straighter
    the flow, and the less a solver errs.
    """

    def slope(t: float) -> float:
        return (t * variance - (1 - t)) / (t**2 * variance + (1 - t) ** 2)

    factor = 1.0
    for k in range(steps):
        start = slope(k / steps)
        middle = slope((k + 0.5) / steps) * (1 + start / (2 * steps))
        factor *= 1 + (middle if halfway else start) / steps
    return bias * factor**2


def drift(generations: int, variance: float, sampled: Callable[[float], float]) -> np.ndarray:
    """Variances that generations 1 to `generations` of a fully synthetic loop make of a law of variance `variance`.

    sampled: the variance that a perfect model of N(0, v) makes, from v. Generation 1 is trained on the law itself, each
    later one on what the one before made. float64 (generations,).
    """
    made = np.empty(generations)
    for t in range(generations):
        variance = made[t] = sampled(variance)
    return made


def within(variance: np.ndarray, radius: float, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Share of N(0, v I_d) within `radius` of its centre, and the total variance of that part, for v > 0 or 0.

    variance: v, (k,). By the distribution functions F_d of χ² with d degrees of freedom: F_d(r²/v), and
    d v F_{d+2}(r²/v) / F_d(r²/v).
    """
    from scipy.stats import chi2  # here, not above: planning a workflow need not wait for it

    with np.errstate(divide="ignore"):
        squared = radius**2 / np.asarray(variance, dtype=np.float64)
    share = chi2.cdf(squared, dimension)
    return share, dimension * np.asarray(variance) * chi2.cdf(squared, dimension + 2) / share


def _downwards(levels: list[float]) -> list[tuple[float, float]]:
    """ᾱ_t and ᾱ_{t−1} of each step, from the last to the first."""
    return [(levels[t + 1], levels[t]) for t in reversed(range(len(levels) - 1))]

"""Theory of a Gaussian fitted repeatedly to its own samples; exact where possible.

    expected_sd(np.arange(1, 101), n_initial=100, n=100)     # E[σ_t] / σ_0 of generations 1 … 100

Generation 1 is fitted on real rows of N(0, 1), generation t > 1 on rows of generation t − 1, drawn with sampling
bias λ, and perhaps real ones; every fit takes the unbiased moments (Alemohammad et al. 2024, eq. 1). In R^d the
results for means and variances hold in each coordinate; those for the standard deviation in one dimension alone.
"""

from __future__ import annotations

import math

import numpy as np

from bigloop.spec.loops import Synthetic


def c4(n: int) -> float:
    """E[s] / σ of the sample standard deviation s of n ≥ 2 normal rows, in (0, 1): √(2/(n−1)) Γ(n/2) / Γ((n−1)/2).

    1 − 1/(4n) to first order in 1/n. Raises ValueError below two rows.
    """
    _require_rows(n)
    return math.sqrt(2 / (n - 1)) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))


def expected_sd(generation: np.ndarray, n_initial: int, n: int, bias: float = 1.0) -> np.ndarray:
    """E[σ_t] / σ_0 in the fully synthetic loop in one dimension, at generations t ≥ 1, in the shape of `generation`.

    c4(n_initial) · (√λ c4(n))^(t−1), for n_initial real rows in generation 1 and n synthetic ones later: the exact
    rate of the collapse of Bertrand et al. 2024, Prop. 1 (λ = 1). Raises ValueError below two rows.
    """
    return c4(n_initial) * (math.sqrt(bias) * c4(n)) ** (np.asarray(generation) - 1.0)


def fresh_recursion(
    generations: int, n_initial: int, n_real: int, n_synthetic: int, bias: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """E[μ_t²] and E[σ_t²] of each coordinate in the loop with fresh real rows, float64 (generations,) each.

    v_t = (n_r + n_s λ s_{t−1} + n_s² v_{t−1}) / N², s_t = (n_r + n_s (λ s_{t−1} + v_{t−1}) − N v_t) / (N − 1), with
    v_1 = 1/n_initial, s_1 = 1 and N = n_r + n_s rows (ours, exact; the loop of Alemohammad et al. 2024, §5). Without
    real rows the fully synthetic loop: s_t = λ^(t−1) (ibid., §3). In units of the real rows' variance. Raises
    ValueError below two rows.
    """
    rows = n_real + n_synthetic
    _require_rows(n_initial, rows)
    mean_error, variance = np.empty((2, generations))
    v, s = 1 / n_initial, 1.0
    for t in range(generations):
        mean_error[t], variance[t] = v, s
        second_moment = n_real + n_synthetic * (bias * s + v)
        v = (n_real + n_synthetic * bias * s + n_synthetic**2 * v) / rows**2
        s = (second_moment - rows * v) / (rows - 1)
    return mean_error, variance


def effective_ratio(n_real: int, n_synthetic: int) -> float:
    """n_e / n_r = 1 + n_s / (n_r + n_s), in [1, 2): the fresh rows n_e that fit the mean as well as the loop does.

    n_e = 1 / E[μ_∞²] of `fresh_recursion` at λ = 1, to first order in 1/n (ours; n_e as in Alemohammad et al. 2024,
    §5). Raises ValueError without real rows, where nothing is stationary.
    """
    if n_real < 1:
        raise ValueError(f"n_real: expected 1 or more, got {n_real}")
    return 1 + n_synthetic / (n_real + n_synthetic)


def mixing_contraction(ratio: float) -> float:
    """λ/(1+λ), in [0, 1): what a generation leaves of E[μ_t − x̄] where λ = `ratio` synthetic rows join each real one.

    x̄ is the mean of the real rows, the same in every generation (the mixture of Bertrand et al. 2024, eq. 4, whose
    λ is this ratio, not the sampling bias).
    """
    return ratio / (1 + ratio)


def mixing_recursion(
    generations: int, n: int, ratio: float, bias: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """E[(μ_t − x̄)²] and E[σ_t²] of each coordinate where n real rows stay, float64 (generations,) each.

    Generation 1 has the n rows, of mean x̄, each later one m = ⌊ratio·n⌋ synthetic rows beside them. The mean of those
    is off x̄ by e_t = d_{t−1} + λ s_{t−1}/m in the mean square; d_t = (m/(n+m))² e_t and
    s_t = (n − 1 + (m − 1) λ s_{t−1} + nm/(n+m) e_t) / (n + m − 1), with d_1 = 0, s_1 = 1 (ours, exact; the loop of
    Bertrand et al. 2024). The expectation is over the real rows too, in units of their law's variance. Raises
    ValueError below two rows.
    """
    _require_rows(n)
    m = Synthetic(ratio=ratio).rows(n)
    distance, variance = np.zeros(generations), np.ones(generations)
    if m == 0:
        return distance, variance
    for t in range(1, generations):
        drawn = bias * variance[t - 1]
        off = distance[t - 1] + drawn / m
        distance[t] = (m / (n + m)) ** 2 * off
        variance[t] = (n - 1 + (m - 1) * drawn + n * m / (n + m) * off) / (n + m - 1)
    return distance, variance


def accumulating_recursion(
    generations: int, n_initial: int, n: int, bias: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """E[μ_t²] and E[σ_t²] of each coordinate where all rows stay and n are added, float64 (generations,) each.

    With N = n_initial + n (t − 1) rows: v_t = v_{t−1} + n λ s_{t−1} / N², and
    s_t = s_{t−1} (N − n − 1 + λ (n − n/N)) / (N − 1), with v_1 = 1/n_initial and s_1 = 1. At λ = 1 and n_initial = n
    the product ∏ (1 − 1/(k (kn − 1))) over k = 2 … t: bounded, where replacing rows loses everything (ours, exact; the
    loop of Gerstgrasser et al. 2024). In units of the real rows' variance. Raises ValueError below two rows.
    """
    _require_rows(n_initial)
    mean_error, variance = np.empty((2, generations))
    v, s = 1 / n_initial, 1.0
    for t in range(generations):
        mean_error[t], variance[t] = v, s
        rows = n_initial + n * (t + 1)
        v += n * bias * s / rows**2
        s *= (rows - n - 1 + bias * (n - n / rows)) / (rows - 1)
    return mean_error, variance


def curated(variance: float, scale: float, candidates: int | None, temperature: float = 1.0) -> float:
    """Variance of samples of N(0, variance) of which one among `candidates` is chosen by its reward −x²/(2 scale²).

    A sample is chosen in proportion to exp(reward / temperature) (choice of Bradley and Terry for two). For endlessly
    many, None, the law is the old one times that weight: 1/v + 1/(temperature scale²) is the new precision (Ferbach
    et al. 2024). For K, its density is the old one times K w ∫ exp(−u w) E[exp(−u w′)]^(K−1) du over u > 0 with the
    weight w (ours), by quadrature to 1e-6 of the variance. Raises ValueError for fewer than two candidates.
    """
    if candidates is None:
        return 1 / (1 / variance + 1 / (temperature * scale**2))
    if candidates < 2:
        raise ValueError(f"candidates: expected 2 or more, got {candidates}")
    nodes, mass = np.polynomial.hermite_e.hermegauss(160)
    squares, mass = variance * nodes**2, mass / mass.sum()
    weight = np.exp(-squares / (2 * temperature * scale**2))
    # u = e^s: the integrand vanishes doubly exponentially at one end, and as e^s at the other
    s = np.linspace(-40.0, 60.0, 4_001)
    falling = np.exp(-np.exp(s)[:, None] * weight)  # (u, x)
    others = (falling @ mass) ** (candidates - 1)
    chosen = candidates * weight * (falling * (np.exp(s) * others)[:, None]).sum(axis=0) * (s[1] - s[0])
    return float((chosen * squares) @ mass / (chosen @ mass))


def drifting_diversity(
    generations: int, diversity: float, n_initial: int, n_real: int, n_synthetic: int
) -> np.ndarray:
    """E[1 − Σ p_t²] of symbols that are counted, in the loop with fresh real rows at λ = 1, float64 (generations,).

    diversity: 1 − Σ π² of the real law π. Two rows of a training set of N = n_r + n_s are both real, both synthetic, or
    one of each, and a row of the last kind is another symbol with the probability c_t = E[1 − Σ p_t π]:
    h_t = (n_r (n_r − 1) h_0 + n_s (n_s − 1) h_{t−1} + 2 n_r n_s c_{t−1}) / N², c_t = (n_r h_0 + n_s c_{t−1}) / N.
    Without real rows h_t = (1 − 1/n_s) h_{t−1}, the drift of Wright (1931); with them a balance of drift and mutation.
    Exact. Raises ValueError below one row.
    """
    rows = n_real + n_synthetic
    if min(n_initial, rows) < 1:
        raise ValueError(f"rows: expected 1 or more, got {min(n_initial, rows)}")
    expected = np.empty(generations)
    h, c = (1 - 1 / n_initial) * diversity, diversity
    for t in range(generations):
        expected[t] = h
        pairs = n_real * (n_real - 1) * diversity + n_synthetic * (n_synthetic - 1) * h
        h = (pairs + 2 * n_real * n_synthetic * c) / rows**2
        c = (n_real * diversity + n_synthetic * c) / rows
    return expected


def _require_rows(*counts: int) -> None:
    for n in counts:
        if n < 2:
            raise ValueError(f"rows: expected 2 or more, got {n}")

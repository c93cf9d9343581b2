"""What theory expects of a run, from its row of the runs table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bigloop.analysis.loops import (
    density_of,
    kind_of_loop,
    of_generation_before,
    real_rows,
    synthetic_rows,
)
from bigloop.metrics.modes import REACH
from bigloop.metrics.samplers import (
    alpha_bar,
    denoised_by_heun,
    diffused,
    diffused_by_ddim,
    drift,
    flowed,
    levels,
    quadratic,
    trailing,
    transported,
    within,
)
from bigloop.metrics.theory import (
    accumulating_recursion,
    curated,
    drifting_diversity,
    expected_sd,
    fresh_recursion,
    mixing_recursion,
)

if TYPE_CHECKING:
    import pandas as pd


def theory(run: Mapping[str, Any], measure: str, generations: int) -> np.ndarray | None:
    """What is expected of `measure` in generations 1 to `generations`, from a row of the runs table; None if unknown.

    Known is what follows exactly, where synthetic rows come from the generation before and no rule chooses them:

    gaussian  on the standard normal, from scratch, fully synthetic, with fresh or with the first real rows, and where
              all rows stay: mean_error, trace and variance; and sd in one dimension, fully synthetic; with endless
              rows trace and variance where samples are chosen by a quadratic reward
    gmm       of one component, fully synthetic: variance
    kde       on a density of known variance, with Scott's bandwidth, fully synthetic, in one dimension: variance
    counting  fully synthetic or with fresh real rows: symbol_diversity
    mlp_ddpm  with a perfect network and endless rows, fully synthetic or on real rows alone: of each mode, taken to
              be far from the others, modal_variance and good_share; on the standard normal, variance
    otcfm     likewise, on the standard normal: variance
    ddpm, edm and otcfm_unet on images, where `pixel_variances` was measured: variance, of Gaussian data that vary
              like the real images, with a perfect network and endless rows; without clipping, churn and guidance
    """
    family = str(run.get("family"))
    expected = EXPECTED.get(family) or (_of_images if family in MADE else None)
    where = ("density" in run or VARIANCES in run) and "member" not in run
    changed = run.get("loop.rules") or run.get("loop.against.way") or run.get("loop.filter.by")
    if expected is None or not where or changed:
        return None
    if run.get("loop.select.by"):
        return _of_curation(run, measure, generations)
    if not of_generation_before(run) and family != "gaussian":
        return None
    return expected(run, measure, generations)


def words_of_theory(run: Mapping[str, Any]) -> str:
    """What the curve of `theory` is: of the whole loop, or of what the sampler does by itself."""
    if run["family"] in MADE:
        return "sampler alone, perfect network, Gaussian data"
    if run.get("loop.select.by"):
        return "theory, endless rows"
    return "sampler alone, perfect network" if run["family"] in ("mlp_ddpm", "otcfm") else "theory"


def _of_gaussians(run: Mapping[str, Any], measure: str, generations: int) -> np.ndarray | None:
    kind, initial, bias = kind_of_loop(run), int(run["loop.initial.n"]), _bias(run)
    if run["density"] != "gaussian" or run.get("loop.start", "scratch") != "scratch":
        return None
    dimension, real, synthetic = int(run.get("density.dimension", 1)), real_rows(run), synthetic_rows(run)
    accumulates = run.get("loop.synthetic.from") == "all"
    if not (accumulates or of_generation_before(run)):
        return None
    if measure == "sd" and not accumulates and kind == "fully synthetic" and dimension == 1:
        return expected_sd(np.arange(1, generations + 1), initial, synthetic, bias)
    if accumulates:
        if real != initial or run.get("loop.real.fresh", 0) or synthetic != int(run["loop.samples"]):
            return None
        mean_error, variance = accumulating_recursion(generations, initial, synthetic, bias)
    elif kind == "synthetic augmentation" and real == initial:
        # the real rows' mean is off by 1/n itself, and the loop's centre is expected at it
        off, variance = mixing_recursion(generations, initial, synthetic / initial, bias)
        mean_error = off + 1 / initial
    elif kind in ("fully synthetic", "fresh data") and run.get("loop.real.fixed", 0) == 0:
        mean_error, variance = fresh_recursion(generations, initial, real, synthetic, bias)
    else:
        return None
    known = {"mean_error": mean_error, "trace": variance, "variance": bias * variance}
    return dimension * known[measure] if measure in known else None


def _of_curation(run: Mapping[str, Any], measure: str, generations: int) -> np.ndarray | None:
    """Of a Gaussian around the origin, of which samples near it are chosen in proportion to a Gaussian reward."""
    fully = kind_of_loop(run) == "fully synthetic" and of_generation_before(run)
    way = run["loop.select.by"] == "quadratic" and "loop.select.choice_of" in run
    if run["family"] != "gaussian" or run["density"] != "gaussian" or not fully or not way:
        return None
    dimension, bias = int(run.get("density.dimension", 1)), _bias(run)
    if dimension > 1 or run.get("loop.select.quadratic.centre"):  # several coordinates are chosen together
        return None
    scale, candidates = float(run["loop.select.quadratic.scale"]), int(run["loop.select.choice_of"])
    temperature, variance = float(run.get("loop.select.temperature", 1.0)), np.ones(generations)
    for t in range(1, generations):
        variance[t] = curated(bias * variance[t - 1], scale, candidates, temperature)
    known = {"trace": variance, "variance": bias * variance}
    return known.get(measure)


def _of_one_component(run: Mapping[str, Any], measure: str, generations: int) -> np.ndarray | None:
    if run.get("model.components") != 1 or measure != "variance" or kind_of_loop(run) != "fully synthetic":
        return None
    covariance = getattr(density_of(run), "covariance", None)
    if covariance is None:
        return None
    added, rows, bias = float(run["model.regularisation"]), synthetic_rows(run), _bias(run)
    fitted = np.full(generations, float(np.trace(covariance)))
    for t, n in enumerate([int(run["loop.initial.n"])] + [rows] * (generations - 1)):
        before = bias * fitted[t - 1] if t else fitted[0]
        fitted[t] = (n - 1) / n * before + len(covariance) * added
    return bias * fitted


def _of_kernels(run: Mapping[str, Any], measure: str, generations: int) -> np.ndarray | None:
    density = density_of(run)
    known = density.dimension == 1 and hasattr(density, "covariance")
    if (
        measure != "variance"
        or not known
        or "model.bandwidth" in run
        or kind_of_loop(run) != "fully synthetic"
    ):
        return None

    def made(rows: int) -> float:  # of their own unbiased variance
        return 1 - 1 / rows + _bias(run) * rows ** (-2 / (density.dimension + 4))

    later = np.arange(generations, dtype=np.float64)
    initial, rows = int(run["loop.initial.n"]), synthetic_rows(run)
    return float(np.trace(density.covariance)) * made(initial) * made(rows) ** later  # type: ignore[attr-defined]


def _of_symbols(run: Mapping[str, Any], measure: str, generations: int) -> np.ndarray | None:
    unchanged = (
        _bias(run) == 1 and float(run.get("model.top_p", 1)) == 1 and not float(run["model.smoothing"])
    )
    if measure != "symbol_diversity" or not unchanged or run.get("loop.real.fixed", 0):
        return None
    law = density_of(run).probabilities  # type: ignore[attr-defined]
    rows = int(run["loop.initial.n"]), real_rows(run), synthetic_rows(run)
    return drifting_diversity(generations, float(1 - np.square(law).sum()), *rows)


def _of_diffusion(run: Mapping[str, Any], measure: str, generations: int) -> np.ndarray | None:
    density = density_of(run)
    kind, modes, spread, d = kind_of_loop(run), density.modes, density.spread, density.dimension
    if kind not in ("fully synthetic", "real data only") or modes is None or spread is None:
        return None
    unit, bias = float(run["model.scale"]) ** 2, _bias(run)
    schedule = alpha_bar(
        *(int(run["model.timesteps"]), float(run["model.beta_first"]), float(run["model.beta_last"]))
    )
    noise: Any = run.get("model.variance", "posterior")

    def sampled(variance: float) -> float:
        if run.get("model.sampler", "ddpm") == "ddim":
            return unit * diffused_by_ddim(variance / unit, schedule, bias)
        return unit * diffused(variance / unit, schedule, bias, noise)

    variance = _made(kind, generations, spread**2, sampled)
    share, within_reach = within(variance, REACH * spread, d)
    known = {"good_share": share, "modal_variance": within_reach}
    if len(modes) == 1:
        known["variance"] = d * variance
    return known.get(measure)


def _of_flow_matching(run: Mapping[str, Any], measure: str, generations: int) -> np.ndarray | None:
    kind, sigma, bias = kind_of_loop(run), float(run["model.sigma"]), _bias(run)
    if measure != "variance" or run["density"] != "gaussian":
        return None
    if kind not in ("fully synthetic", "real data only"):
        return None
    made = _made(kind, generations, 1.0, lambda variance: transported(variance, sigma, bias))
    return int(run.get("density.dimension", 1)) * made


def _made(kind: str, generations: int, variance: float, sampled: Callable[[float], float]) -> np.ndarray:
    """Variances of what the generations make of a law of this variance, or of each other's samples."""
    if kind == "real data only":
        return np.full(generations, sampled(variance))
    return drift(generations, variance, sampled)


def _of_images(run: Mapping[str, Any], measure: str, generations: int) -> np.ndarray | None:
    if measure != "variance" or not (made := MADE[str(run["family"])](run)):
        return None
    real, synthetic = real_rows(run), synthetic_rows(run)
    share = real / (real + synthetic) if real + synthetic else 1.0
    total = np.zeros(generations)
    for variance, directions in variances_of(run):
        seen, scale = variance, 4.0  # the network sees images in [-1, 1]
        for t in range(generations):
            reached = made(scale * seen) / scale
            total[t] += directions * reached
            seen = share * variance + (1 - share) * reached
    return total


VARIANCES = "pixel_variances"  # column of the runs table: of real images, groups of principal directions


def column_of_variances(measures: pd.DataFrame, dataset: str) -> str | None:
    """The mean principal variances of a dataset's real images, "0.12x1 0.05x1 0.03x2 …", from the measures table."""
    rows = measures[(measures["run"] == "real") & (measures["measure"] == VARIANCES)]
    if "dataset" in rows:
        rows = rows[rows["dataset"].astype(str) == dataset]
    if rows.empty:
        return None
    groups = rows.assign(detail=rows["detail"].astype(str)).groupby("detail", sort=False)["value"].mean()
    return " ".join(f"{value:.9g}x{_size(ranks)}" for ranks, value in groups.items())


def variances_of(run: Mapping[str, Any]) -> list[tuple[float, int]]:
    """Variances, and how many directions have each, from a row of the runs table."""
    pairs = (word.split("x") for word in str(run[VARIANCES]).split())
    return [(float(value), int(size)) for value, size in pairs]


def _size(ranks: Any) -> int:
    first, _, last = str(ranks).partition("-")
    return int(last or first) - int(first) + 1


def _made_by_ddpm(run: Mapping[str, Any]) -> Callable[[float], float]:
    steps = int(run["model.timesteps"])
    schedule = alpha_bar(steps, float(run["model.beta_first"]), float(run["model.beta_last"]))
    if run.get("model.sampler", "ddpm") != "ddim":
        return lambda variance: diffused(variance, schedule, _bias(run))
    spaced = quadratic if run.get("model.spacing") == "quadratic" else trailing
    chosen = schedule[sorted(spaced(steps, int(run["model.sampling_steps"])))]
    return lambda variance: diffused_by_ddim(variance, chosen, _bias(run))


def _made_by_edm(run: Mapping[str, Any]) -> Callable[[float], float] | None:
    if float(run.get("model.churn", 0)):
        return None
    ends = (float(run[f"model.{name}"]) for name in ("sigma_least", "sigma_most", "rho"))
    sigmas = levels(int(run["model.sampling_steps"]), *ends)
    return lambda variance: denoised_by_heun(variance, sigmas, _bias(run))


def _made_by_flow(run: Mapping[str, Any]) -> Callable[[float], float] | None:
    if float(run.get("model.sigma", 0)):
        return None
    if run.get("model.sampler") == "dopri5":
        return lambda variance: transported(variance, 0.0, _bias(run))
    steps, halfway = int(run["model.sampling_steps"]), run["model.sampler"] == "midpoint"
    return lambda variance: flowed(variance, steps, _bias(run), halfway)


MADE: dict[str, Callable[[Mapping[str, Any]], Callable[[float], float] | None]] = {
    "ddpm": _made_by_ddpm,
    "edm": _made_by_edm,
    "otcfm_unet": _made_by_flow,
}


def _bias(run: Mapping[str, Any]) -> float:
    return float(run.get("loop.bias", 1.0))


EXPECTED = {
    "gaussian": _of_gaussians,
    "gmm": _of_one_component,
    "kde": _of_kernels,
    "counting": _of_symbols,
    "mlp_ddpm": _of_diffusion,
    "otcfm": _of_flow_matching,
}

"""Bertrand et al. 2024: models retrained from their own weights, on mixed data and on their own alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from itertools import pairwise

import pandas as pd

from bigloop.analysis.claims.evidence import Evidence, Tables, claims_of, compare, moves, weigh
from bigloop.analysis.claims.forms import goes, lies, settles
from bigloop.analysis.claims.runs import GAUSSIAN, MIX, among, both, groups, loop, mixed, ratio
from bigloop.analysis.trends import difference, number, slope

FULL_ON, MIXED = loop("fully synthetic", start="continue"), mixed(1)
NETWORKS = ("otcfm", "mlp_ddpm", "gmm", "glow")
DECAY = both(loop("fully synthetic", family=GAUSSIAN), lambda run: run.get("density.dimension") == 1)
WITHIN_THEOREM = 0.5  # Theorem 1 asks for λ (1 + L ε / α) below it
FIXED_GAUSSIAN = both(
    loop("synthetic augmentation", family=GAUSSIAN), lambda run: ratio(run) < WITHIN_THEOREM
)


def grows_with_ratio(tables: Tables) -> Iterable[Evidence]:
    """FID at the end of runs that differ in λ alone, as a trend over λ."""
    for runs in groups(tables, mixed(math.inf, "real data only"), "loop.synthetic."):
        names = [run for run in runs if (run, "fid") in tables.rows]
        group = [(ratio(tables.runs[run]), tables.rows[run, "fid"]) for run in names]
        if len(group) < 2:
            continue
        end = min(rows["generation"].max() for _, rows in group)
        found = slope(pd.concat(r[r["generation"] == end].assign(generation=share) for share, r in group))
        shown = f"λ {min(found.generations):g} → {max(found.generations):g}" if found.generations else "λ"
        text = f"{shown}: fid {number(found.first)} → {number(found.last)} at generation {end}"
        yield weigh(text, tuple(names), found, partial(moves, way="up"), 0)


def slower_with_n(tables: Tables) -> Iterable[Evidence]:
    """The standard deviation at the end of fully synthetic Gaussian loops that differ in n alone, the next n larger."""
    for runs in groups(tables, DECAY, "loop.initial.", "loop.samples", "loop.synthetic."):
        # of those that are alike, the first
        of_size = {tables.runs[run]["loop.synthetic.n"]: run for run in reversed(runs)}
        for pair in pairwise(of_size[n] for n in sorted(of_size)):
            yield compare(tables, pair, "sd", difference, partial(moves, way="down"), 1)


# fmt: off
CLAIMS = claims_of("Bertrand et al. 2024", [
    ("continue-fid", "Retrained from its own weights on synthetic data only, a model's FID diverges (fig. 2).",
     goes("fid", "up", FULL_ON)),
    ("continue-w1", "Retrained likewise, its Wasserstein-1 distance diverges (fig. 8).",
     goes("wasserstein1", "up", FULL_ON)),
    ("mixed-closer", "Retrained on all real and λ ≤ 1 times as many synthetic data, FID ends lower than on "
     "synthetic data only (fig. 2).", lies("fid", "down", MIXED, FULL_ON, *MIX)),
    ("mixed-stable", "With λ < 0.5 retraining is stable: FID does not rise over its later half (fig. 2).",
     settles(mixed(0.4))),  # the next λ below, of those in the paper
    ("ratio-fid", "The smaller λ, the lower FID ends (fig. 2).", grows_with_ratio),
    ("parameters", "On synthetic data only, weights move farther from the first than on mixed data (fig. 9).",
     lies("parameter_distance", "up", FULL_ON, MIXED, *MIX)),
    ("gaussian-decay", "A Gaussian that is fitted to its own samples loses its standard deviation (Prop. 1).",
     goes("sd", "down", DECAY)),
    ("gaussian-slower", "It falls the more slowly the more samples there are (Prop. 1).", slower_with_n),
    ("gaussian-mixed", "With all real rows and λ < 1/2 in every fit it does not fall any more (Thm. 1).",
     settles(FIXED_GAUSSIAN, "sd", may_fall=False)),
    ("points-diverge", "Retrained on its own points only, a model leaves the truth (figs. 3, 8).",
     goes("wasserstein2", "up", loop("fully synthetic", start="continue", family=NETWORKS))),
    ("points-stable", "Retrained on all real points and as many of its own, it does not: Wasserstein-1 stays "
     "(figs. 3, 8).", settles(both(mixed(1), among(family=NETWORKS)), "wasserstein1", may_fall=False)),
    ("points-collapse", "On its own points only, those of each mode draw together (fig. 3).",
     goes("modal_variance", "down", loop("fully synthetic", start="continue", family=("mlp_ddpm",)))),
])
# fmt: on

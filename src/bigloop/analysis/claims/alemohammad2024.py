"""Alemohammad et al. 2024: sampling bias, and loops with fixed and with fresh real data."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from bigloop.analysis.claims.evidence import (
    Evidence,
    Mask,
    Tables,
    Test,
    Way,
    claims_of,
    compare,
    either,
    moves,
    together,
    trend,
)
from bigloop.analysis.claims.forms import forgets_its_start, goes, lies, settles
from bigloop.analysis.claims.runs import GAUSSIAN, MIX, both, loop, pairs
from bigloop.analysis.trends import Change, difference

LONG = 20  # generations: a fifth of the published 100
CLOSED = "gaussian_wasserstein2"
SHOWN = ("ddpm", "stylegan2")  # the families of its figures 4 to 9


def shown(kind: str, *, biased: bool) -> Mask:
    """Loops of those families, trained from scratch as there; a StyleGAN2 may continue, too, which costs less."""
    scratch = loop(kind, biased=biased, family=SHOWN)
    further = loop(kind, biased=biased, start=None, family=("stylegan2",))
    return lambda run: scratch(run) or further(run)


FULL, BIASED = (shown("fully synthetic", biased=biased) for biased in (False, True))
FIXED, FIXED_BIASED = (shown("synthetic augmentation", biased=biased) for biased in (False, True))
FRESH_GAUSSIAN = loop("fresh data", biased=None, family=GAUSSIAN)
MIXTURES = loop("fully synthetic", start="continue", family=("gmm",))
FLOWS, FLOWS_BIASED = (loop("fully synthetic", biased=biased, family=("glow",)) for biased in (False, True))


def goes_mad(tables: Tables) -> Iterable[Evidence]:
    """Precision and recall of fully synthetic loops, of which at least one has to fall."""
    for run in tables.like(loop("fully synthetic", biased=None)):
        measured = [m for m in ("precision", "recall") if (run, m) in tables.rows]
        if len(measured) == 2:
            yield either(run, [trend(tables, run, m, "down") for m in measured])


def biased_lies(measure: str, way: Way) -> Test:
    """A measure with sampling bias lies above or below that without."""
    # Over all generations: at the last one, recall may be gone with and without bias.
    return lies(measure, way, BIASED, FULL, "loop.bias", over="all")


def fresh_beats_fixed(tables: Tables) -> Iterable[Evidence]:
    """FID at the end of runs with as many fresh as fixed real rows in each generation."""
    for fresh, fixed in pairs(tables, loop("fresh data"), FIXED, "loop.real."):
        if tables.runs[fresh]["loop.real.fresh"] == tables.runs[fixed]["loop.real.fixed"]:
            answer = partial(moves, way="down")
            yield compare(tables, (fresh, fixed), "fid", difference, answer, 1)


def degrades_for_long(tables: Tables) -> Iterable[Evidence]:
    """FID, precision and recall of runs over LONG generations, all of which have to get worse."""
    ways: dict[str, Way] = {"fid": "up", "precision": "down", "recall": "down"}
    for run in tables.like(loop("fully synthetic", family=("wgan_gp",))):
        yield together(run, [trend(tables, run, m, way, LONG) for m, way in ways.items()])


def by_memory(tables: Tables) -> Iterable[Evidence]:
    """The distance of loops that differ in K alone, the next K smaller."""
    column = "loop.synthetic.from"
    remembering = both(FRESH_GAUSSIAN, lambda run: column in run)
    for a, b in pairs(tables, remembering, remembering, column):
        if tables.runs[a][column] > tables.runs[b][column]:
            yield compare(tables, (a, b), CLOSED, difference, partial(moves, way="down"), 1)


def admissible(biased: bool) -> Test:
    """The distance of fresh-data loops at the largest n_s against that of a single fit to as many real rows.

    Without bias it should be smaller. With bias there should be an n_s from which on it is larger. Where it is not,
    that counts only if (1 − λ) n_s ≥ 10 n_r: of the variance 1 / (1 + (1 − λ) n_s / n_r) is left, less than a tenth.
    """

    def test(tables: Tables) -> Iterable[Evidence]:
        single = {
            (run["dataset"], run["loop.initial.n"]): name
            for name, run in tables.runs.items()
            if run.get("generations") == 1 and run.get("family") == "gaussian"
        }
        largest: dict[tuple[Any, ...], str] = {}
        for name in tables.like(FRESH_GAUSSIAN):
            run = tables.runs[name]
            if (run["loop.bias"] < 1) != biased or run.get("loop.synthetic.from", 1) != 1:
                continue
            key = (run["dataset"], run["loop.real.fresh"], run["loop.bias"])
            if key not in largest or run["loop.synthetic.n"] > tables.runs[largest[key]]["loop.synthetic.n"]:
                largest[key] = name
        for (dataset, fresh, bias), name in largest.items():
            if (dataset, fresh) in single:
                enough = (1 - bias) * tables.runs[name]["loop.synthetic.n"] >= 10 * fresh
                found = at_last(tables, name, single[dataset, fresh], "up" if biased else "down")
                if biased and found.agrees is False and not enough:
                    found = replace(found, agrees=None, p=math.nan, why="more synthetic rows may be needed")
                yield found

    return test


def at_last(tables: Tables, run: str, single: str, way: Way) -> Evidence:
    """The last distance of a run against that of a single fit, which has one generation only."""

    def ends(rows: pd.DataFrame, other: pd.DataFrame) -> Change:
        return difference(rows[rows["generation"] == rows["generation"].max()].assign(generation=1), other)

    return compare(tables, (run, single), CLOSED, ends, partial(moves, way=way), 1)


# fmt: off
CLAIMS = claims_of("Alemohammad et al. 2024", [
    ("mad", "Fully synthetic, quality (precision) or diversity (recall) falls (§ 3, figs. 4, 6, 13).", goes_mad),
    ("full-fid", "Fully synthetic without bias, FID of StyleGAN2 and DDPM rises (fig. 4).",
     goes("fid", "up", FULL)),
    ("full-precision", "Fully synthetic without bias, precision of StyleGAN2 and DDPM falls (fig. 4).",
     goes("precision", "down", FULL)),
    ("full-recall", "Fully synthetic without bias, recall of StyleGAN2 and DDPM falls (fig. 4).",
     goes("recall", "down", FULL)),
    ("bias-recall", "With sampling bias λ < 1 recall is lower over the generations than at λ = 1 (fig. 6).",
     biased_lies("recall", "down")),
    ("bias-precision", "With λ < 1 precision is higher than at λ = 1 (fig. 6).", biased_lies("precision", "up")),
    ("bias-variance", "With λ < 1 the variance within classes is lower than at λ = 1 (fig. 7).",
     biased_lies("intra_class_variance", "down")),
    ("bias-fid", "Sampling bias does not keep FID from rising (fig. 6).", goes("fid", "up", BIASED)),
    ("fixed-fid", "With fixed real data FID ends lower than fully synthetic (fig. 8).",
     lies("fid", "down", FIXED, FULL, *MIX)),
    ("fixed-recall", "With fixed real data recall ends higher than fully synthetic (fig. 8).",
     lies("recall", "up", FIXED, FULL, *MIX)),
    ("fixed-rises", "With fixed real data FID still rises (fig. 8).", goes("fid", "up", FIXED)),
    ("fixed-bias", "With fixed real data and λ < 1 FID rises (fig. 9).", goes("fid", "up", FIXED_BIASED)),
    ("artefacts", "Fully synthetic without bias, the largest spike over the real spectrum grows (figs. 1, 18 to 22).",
     goes("spectral_spike", "up", FULL)),
    ("artefacts-fixed", "With fixed real data that spike ends smaller than fully synthetic (figs. 28, 29).",
     lies("spectral_spike", "down", FIXED, FULL, *MIX)),
    ("artefacts-bias", "With λ < 1 it ends smaller than at λ = 1 (figs. 23 to 25).",
     lies("spectral_spike", "down", BIASED, FULL, "loop.bias")),
    ("fresh-fid", "With as many fresh real data in each generation FID ends lower than with fixed ones (§ 5).",
     fresh_beats_fixed),
    ("fresh-settles", "With fresh real data FID does not rise over the later half of the generations (§ 5.2).",
     settles(loop("fresh data", biased=None))),
    ("fresh-forgets", "With fresh real data the limit of FID does not depend on n_ini (fig. 10).",
     forgets_its_start("fid")),
    ("wgan-long", "Over many generations of WGAN-GP FID rises, precision and recall fall (fig. 13).",
     degrades_for_long),
    ("gaussian-bias", "With sampling bias λ < 1 a Gaussian's total variance falls (§ 3).",
     goes("trace", "down", loop("fully synthetic", biased=True, family=GAUSSIAN))),
    ("gaussian-forgets", "With fresh real data the limit of the distance does not depend on n_ini (fig. 10).",
     forgets_its_start(CLOSED)),
    ("gaussian-harm", "With λ < 1 many synthetic rows leave the loop farther from the truth than a fit to the "
     "fresh rows alone: n_e < n_r (figs. 11, 12).", admissible(biased=True)),
    ("gaussian-help", "Without bias synthetic rows help, however many: n_e > n_r (fig. 12).",
     admissible(biased=False)),
    ("gaussian-memory", "The longer the memory K, the closer the loop stays (fig. 30).", by_memory),
    ("gmm-modes", "Fully synthetic, a mixture of 25 Gaussians loses modes (fig. 14).",
     goes("modes_covered", "down", MIXTURES)),
    ("gmm-recall", "Its recall falls (fig. 15).",
     goes("recall", "down", MIXTURES)),
    ("gmm-modal-variance", "The average variance of its modes falls (fig. 15).",
     goes("modal_variance", "down", MIXTURES)),
    ("flow-tails", "Fully synthetic, a flow loses the tails also without bias: its variance falls (fig. 17).",
     goes("variance", "down", FLOWS)),
    ("flow-tails-biased", "With λ < 1 its variance falls (fig. 17).", goes("variance", "down", FLOWS_BIASED)),
    ("flow-bias", "With λ < 1 it loses the tails faster (fig. 17).",
     lies("variance", "down", FLOWS_BIASED, FLOWS, "loop.bias")),
])
# fmt: on

"""Knutsen et al. 2025: a VAE and two WGAN-GPs in fully synthetic loops on MNIST."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from itertools import pairwise, product

from bigloop.analysis import verdicts as rule
from bigloop.analysis.claims.evidence import (
    Evidence,
    Judged,
    Mask,
    Tables,
    Test,
    claims_of,
    compare,
    moves,
    together,
    weigh,
)
from bigloop.analysis.claims.forms import goes
from bigloop.analysis.claims.replication import as_published
from bigloop.analysis.claims.runs import loop
from bigloop.analysis.trends import Change, difference

BOTH = loop("fully synthetic", family=("vae", "wgan_gp"))
VAE, WGAN = (loop("fully synthetic", family=(family,)) for family in ("vae", "wgan_gp"))
SETUP1, SETUP2 = (loop("fully synthetic", family=("wgan_gp",), critic_iterations=(i,)) for i in (5, 2))


def ordered(measure: str, *masks: Mask) -> Test:
    """A measure at the end is the larger the later the mask, for runs on one dataset."""

    def test(tables: Tables) -> Iterable[Evidence]:
        answer = partial(moves, way="down")
        for chain in product(*(tables.like(mask) for mask in masks)):
            if len({tables.runs[run].get("dataset") for run in chain}) == 1:
                pairs = [compare(tables, p, measure, difference, answer, 1) for p in pairwise(chain)]
                yield together(" < ".join(chain), pairs)

    return test


def judged(verdict: str, mask: Mask) -> Test:
    """These runs have this verdict."""

    def test(tables: Tables) -> Iterable[Evidence]:
        for run in tables.like(mask):
            found = tables.verdicts.get(run, Judged(rule.NOT_MEASURED, "no verdict", math.nan))
            text = f"{run}: {found.verdict} ({found.reason})"
            if found.verdict in (rule.COLLAPSE, rule.DRIFT, rule.STABLE):
                yield Evidence(text, found.verdict == verdict, found.p, (run,))
            else:
                why = "" if found.verdict == rule.NOT_CLEAR else found.verdict
                yield Evidence(text, None, math.nan, (run,), why)

    return test


def believes_its_teacher(tables: Tables) -> Iterable[Evidence]:
    """What share critic t calls fake of generation t − 1, less its mean over all generations of the same run."""
    if tables.critics.empty:
        return
    own = tables.critics[tables.critics["critic_run"] == tables.critics["generator_run"]]
    shares = own.groupby(["critic_run", "seed", "critic_generation"])["fake_share"]
    own = own.assign(gap=own["fake_share"] - shares.transform("mean"))
    own = own[own["generator_generation"] == own["critic_generation"] - 1]
    for run, rows in own.groupby("critic_run"):
        seeds = rows["seed"].nunique()
        unit = "seed" if seeds > 1 else "critic_generation"  # of one seed, its critics are the sample
        sample = rows.groupby(unit)["gap"].mean()
        error, value = float(sample.sem()), float(sample.mean())
        found = Change(value, error, len(sample) - 1, 0.0, value, seeds, tuple(rows["critic_generation"]))
        answer = partial(moves, way="down")
        yield weigh(f"{run}: share called fake", (str(run),), found, answer, rule.GENERATIONS)


# fmt: off
CLAIMS = claims_of("Knutsen et al. 2025", [
    ("w1-rises", "The Wasserstein-1 distance to real images rises over generations in every model (fig. 8a).",
     goes("wasserstein1", "up", BOTH)),
    ("w1-excess-rises", "It rises, too, less what samples of that size lie apart anyway (not in the paper).",
     goes("wasserstein1_excess", "up", BOTH)),
    ("fid-rises", "FID rises over generations in every model (fig. 8b).", goes("fid", "up", BOTH)),
    ("fid-order", "At the end FID is lowest for WGAN setup 2, then the VAE, then setup 1 (fig. 8b).",
     ordered("fid", SETUP2, VAE, SETUP1)),
    ("w1-order", "At the end Wasserstein-1 has the same order: setup 2, VAE, setup 1 (fig. 8a).",
     ordered("wasserstein1", SETUP2, VAE, SETUP1)),
    ("vae-collapses", "The fully synthetic VAE collapses (fig. 5, § III A).", judged(rule.COLLAPSE, VAE)),
    ("wgans-drift", "The fully synthetic WGANs drift: quality falls, variety stays (fig. 5, § III A).",
     judged(rule.DRIFT, WGAN)),
    ("vae-classes", "The VAE's images are predicted as ever fewer classes (fig. 6).",
     goes("class_entropy", "down", VAE)),
    ("setup2-classes", "The images of WGAN setup 2 are predicted as ever fewer classes (fig. 6).",
     goes("class_entropy", "down", SETUP2)),
    ("critics-forget", "Later critics call fewer real test images real (fig. 9).",
     goes("critic_on_test", "down", WGAN)),
    ("critics-believe", "A critic calls images of the generation before, its training data, real more often "
     "than those of others (fig. 10).", believes_its_teacher),
    *as_published("knutsen2025"),
])
# fmt: on

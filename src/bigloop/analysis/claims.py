"""What the papers claim, each held against the tables of an experiment: verified, contradicted, or not tested.

    claims_table(measures, runs, critics, verdicts)      # one row a claim, all of them always

A claim is a sentence and a test. The test collects evidence: trends of runs, or differences between two runs that are
the same in every model and loop option but the one in question. A piece of evidence agrees, disagrees, or is not
clear (the 95 % interval of trends.Change holds 0). A claim is *verified* where every clear piece agrees, *contradicted*
where one or more disagree, since the papers state their claims without exceptions, and *not tested at this scale*
where none is clear; `numbers` has them all. No allowance is made for how many they are. That something stays as it is
takes more than the absence of a clear change: the whole interval has to lie within SAME.

To add a claim, add its line to CLAIMS.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise, product
from typing import Any, Literal

import pandas as pd

from bigloop.analysis import verdicts as rule
from bigloop.analysis.kinds import kind_of_loop
from bigloop.analysis.trends import Change, change, difference, number, series

VERIFIED, CONTRADICTED, NOT_TESTED = "verified", "contradicted", "not tested at this scale"
SAME = (rule.FID_RISE - 1) / 2  # relative: half of the rise in FID that verdicts call drift
LONG = 20  # generations: a fifth of the published 100
SETTLED = 5  # generations: the least whose later half has the three of a trend

Run = Mapping[str, Any]
Mask = Callable[[Run], bool]
Way = Literal["up", "down"]


@dataclass(frozen=True)
class Material:
    """The tables: rows of each (run, measure); of each run its row of the runs table and its (verdict, reason)."""

    rows: Mapping[tuple[str, str], pd.DataFrame]
    runs: Mapping[str, Run]
    critics: pd.DataFrame
    verdicts: Mapping[str, tuple[str, str]]

    def like(self, mask: Mask) -> list[str]:
        return [name for name, run in self.runs.items() if mask(run)]


@dataclass(frozen=True)
class Evidence:
    """A comparison in words, and whether it agrees with the claim; None, and why, where that is not clear."""

    text: str
    agrees: bool | None
    why: str = ""


Test = Callable[[Material], Iterable[Evidence]]


@dataclass(frozen=True)
class Finding:
    """What became of a claim: the verdict, the evidence in words, and how much agrees or why none is clear."""

    verdict: str
    numbers: str
    reason: str


@dataclass(frozen=True)
class Claim:
    """A paper's claim and where to find its evidence."""

    id: str
    paper: str
    sentence: str
    test: Test


def claims_table(
    measures: pd.DataFrame, runs: pd.DataFrame, critics: pd.DataFrame, verdicts: pd.DataFrame
) -> pd.DataFrame:
    """One row a claim of CLAIMS: paper, claim_id, claim, verdict, numbers, reason; `verdicts` is a verdicts_table."""
    options = {}
    for row in runs.astype(object).to_dict("records"):
        options[str(row["run"])] = {str(k): v for k, v in row.items() if not pd.isna(v)}
    judged = {str(v["run"]): (v["verdict"], v["reason"]) for v in verdicts.to_dict("records")}
    material = Material(series(measures), options, critics, judged)
    findings = [(claim, conclude(claim.test(material))) for claim in CLAIMS]
    rows = [(c.paper, c.id, c.sentence, f.verdict, f.numbers, f.reason) for c, f in findings]
    return pd.DataFrame(rows, columns=["paper", "claim_id", "claim", "verdict", "numbers", "reason"])


def conclude(evidence: Iterable[Evidence]) -> Finding:
    """The finding from all evidence, by the rule at the top of this file."""
    pieces = list(evidence)
    agree, disagree = (sum(piece.agrees is answer for piece in pieces) for answer in (True, False))
    numbers = "; ".join(piece.text for piece in pieces)
    if not agree + disagree:
        return Finding(NOT_TESTED, numbers, "; ".join(dict.fromkeys(p.why for p in pieces)) or "no such runs")
    counts = f"{agree} of {len(pieces)} agree, {disagree} disagree"
    return Finding(CONTRADICTED if disagree else VERIFIED, numbers, counts)


def together(name: str, evidence: Iterable[Evidence]) -> Evidence:
    """One piece of evidence that agrees only where all its parts do, and disagrees where one does."""
    parts = list(evidence)
    answers = {part.agrees for part in parts}
    agrees = False if False in answers else None if None in answers else True
    why = "; ".join(dict.fromkeys(part.why for part in parts if part.why))
    return Evidence(f"{name} ({', '.join(part.text for part in parts)})", agrees, why)


def _loop(
    *kinds: str, biased: bool | None = False, start: str = "scratch", **among: tuple[object, ...]
) -> Mask:
    def mask(run: Run) -> bool:
        bias = biased is None or (run.get("loop.bias", 1) < 1) == biased
        right = bias and kind_of_loop(run) in kinds and run.get("loop.start", "scratch") == start
        return right and all(run.get(key, run.get(f"model.{key}")) in values for key, values in among.items())

    return mask


def _both(left: Mask, right: Mask) -> Mask:
    return lambda run: left(run) and right(run)


def _mixed(most: float, *others: str) -> Mask:
    mask = _loop("synthetic augmentation", *others, biased=None, start="continue")
    return lambda run: mask(run) and run.get("loop.real.fixed", 0) > 0 and _ratio(run) <= most


def _ratio(run: Run) -> float:  # synthetic rows for each real row that is kept: λ of Bertrand et al.
    return float(run.get("loop.synthetic.ratio", run.get("loop.synthetic.n", 0) / run["loop.real.fixed"]))


def _same_but(run: Run, *but: str) -> frozenset[tuple[str, str]]:
    kept = (c for c in run if c in ("family", "dataset", "weights") or c.startswith(("model.", "loop.")))
    return frozenset((column, str(run[column])) for column in kept if not column.startswith(but))


def _pairs(material: Material, left: Mask, right: Mask, *but: str) -> Iterable[tuple[str, str]]:
    for a, b in product(material.like(left), material.like(right)):
        if _same_but(material.runs[a], *but) == _same_but(material.runs[b], *but):
            yield a, b


def _weigh(text: str, found: Change, agrees: bool | None, least: int = 1) -> Evidence:
    """Evidence from a change, which has to reach generation `least`."""
    text += f" ({found.text}, {'one seed' if found.seeds == 1 else f'{found.seeds} seeds'})"
    why = "" if agrees is not None else "within the error"
    if not math.isfinite(found.error):
        why = "one seed: the error is unknown" if found.seeds == 1 else "no common generations"
    if max(found.generations, default=least) < least:
        why = f"fewer than {least} generations"
    return Evidence(text, None if why else agrees, why)


def _moves(found: Change, way: Way) -> bool | None:
    return None if found.sign == "not clear" else found.sign == way


def _stays(found: Change, value: float) -> bool | None:
    """Whether `value`, the part of the change that matters, is surely less than SAME of what it began with."""
    limit = SAME * abs(found.first)
    if value + found.margin < limit:
        return True
    return False if value >= limit and found.sign != "not clear" else None


Find = Callable[..., Change]
Answer = Callable[[Change], bool | None]


def _evidence(
    material: Material, runs: tuple[str, ...], measure: str, find: Find, answer: Answer, least: int
) -> Evidence:
    """Evidence from what `find` makes of the rows of one run (a trend) or of two (a difference)."""
    rows = [material.rows.get((run, measure)) for run in runs]
    if any(own is None for own in rows):
        return Evidence(f"{' and '.join(runs)}: no {measure}", None, f"{measure} not measured")
    found = find(*rows)
    first, last, end = number(found.first), number(found.last), max(found.generations, default=math.nan)
    values = f"{first} → {last} until" if len(runs) == 1 else f"{last} against {first} at"
    text = f"{' − '.join(runs)}: {measure} {values} generation {end:g}"
    return _weigh(text, found, answer(found), least)


def _trend(material: Material, run: str, measure: str, way: Way, least: int = rule.GENERATIONS) -> Evidence:
    return _evidence(material, (run,), measure, change, partial(_moves, way=way), least)


def _goes(measure: str, way: Way, mask: Mask) -> Test:
    return lambda material: [_trend(material, run, measure, way) for run in material.like(mask)]


def _lies(
    measure: str, way: Way, left: Mask, right: Mask, *but: str, over: Literal["last", "all"] = "last"
) -> Test:
    find, answer = partial(difference, over=over), partial(_moves, way=way)
    return lambda material: [
        _evidence(material, pair, measure, find, answer, 1) for pair in _pairs(material, left, right, *but)
    ]


def _ordered(measure: str, *masks: Mask) -> Test:
    def test(material: Material) -> Iterable[Evidence]:
        answer = partial(_moves, way="down")
        for chain in product(*(material.like(mask) for mask in masks)):
            if len({material.runs[run].get("dataset") for run in chain}) == 1:
                pairs = [_evidence(material, p, measure, difference, answer, 1) for p in pairwise(chain)]
                yield together(" < ".join(chain), pairs)

    return test


def _judged(verdict: str, mask: Mask) -> Test:
    def test(material: Material) -> Iterable[Evidence]:
        for run in material.like(mask):
            found, reason = material.verdicts.get(run, (rule.NOT_MEASURED, "no verdict"))
            clear = found in (rule.COLLAPSE, rule.DRIFT, rule.STABLE)
            yield Evidence(f"{run}: {found} ({reason})", found == verdict if clear else None, found)

    return test


def _settles(mask: Mask, measure: str = "fid", *, may_fall: bool = True) -> Test:
    """A measure does not rise over the later half of the generations, nor fall, unless it may."""

    def later(rows: pd.DataFrame) -> Change:
        return change(rows[rows["generation"] > rows["generation"].max() / 2])

    def answer(found: Change) -> bool | None:
        return _stays(found, found.value if may_fall else abs(found.value))

    return lambda material: [
        _evidence(material, (run,), measure, later, answer, SETTLED) for run in material.like(mask)
    ]


def _forgets_its_start(measure: str) -> Test:
    def test(material: Material) -> Iterable[Evidence]:
        mask = _both(_loop("fresh data", biased=None), lambda run: run.get("generations", 2) > 1)
        for pair in _pairs(material, mask, mask, "loop.initial.n"):
            small, large = (material.runs[run]["loop.initial.n"] for run in pair)
            if small < large and any((run, measure) in material.rows for run in pair):
                answer: Answer = lambda f: _stays(f, abs(f.value))  # noqa: E731
                yield _evidence(material, pair, measure, difference, answer, SETTLED)

    return test


def _fresh_beats_fixed(material: Material) -> Iterable[Evidence]:
    """FID at the end of runs with as many fresh as fixed real rows in each generation."""
    for fresh, fixed in _pairs(material, _loop("fresh data"), FIXED, "loop.real."):
        if material.runs[fresh]["loop.real.fresh"] == material.runs[fixed]["loop.real.fixed"]:
            answer = partial(_moves, way="down")
            yield _evidence(material, (fresh, fixed), "fid", difference, answer, 1)


def _degrades_for_long(material: Material) -> Iterable[Evidence]:
    ways: dict[str, Way] = {"fid": "up", "precision": "down", "recall": "down"}
    for run in material.like(_loop("fully synthetic", family=("wgan_gp",))):
        yield together(run, [_trend(material, run, m, way, LONG) for m, way in ways.items()])


def _grows_with_ratio(material: Material) -> Iterable[Evidence]:
    """FID at the end of runs that differ in λ alone, as a trend over λ."""
    groups: dict[frozenset[tuple[str, str]], list[tuple[float, pd.DataFrame]]] = {}
    for run in material.like(_mixed(math.inf, "real data only")):
        if (run, "fid") in material.rows:
            ratio, rows = _ratio(material.runs[run]), material.rows[run, "fid"]
            groups.setdefault(_same_but(material.runs[run], "loop.synthetic."), []).append((ratio, rows))
    for group in (group for group in groups.values() if len(group) > 1):
        end = min(rows["generation"].max() for _, rows in group)
        found = change(pd.concat(r[r["generation"] == end].assign(generation=ratio) for ratio, r in group))
        shown = f"λ {min(found.generations):g} → {max(found.generations):g}" if found.generations else "λ"
        text = f"{shown}: fid {number(found.first)} → {number(found.last)} at generation {end}"
        yield _weigh(text, found, _moves(found, "up"), 0)


def _among(**among: tuple[object, ...]) -> Mask:
    """Runs with these values in the columns, or in the model's options, of these names."""
    return lambda run: all(
        run.get(key.replace("__", "."), run.get(f"model.{key}")) in values for key, values in among.items()
    )


def _slower_with_n(material: Material) -> Iterable[Evidence]:
    """The standard deviation at the end of fully synthetic Gaussian loops that differ in n alone, the next n larger."""
    groups: dict[frozenset[tuple[str, str]], list[str]] = {}
    for run in material.like(DECAY):
        key = _same_but(material.runs[run], "loop.initial.", "loop.samples", "loop.synthetic.")
        groups.setdefault(key, []).append(run)
    for runs in groups.values():
        runs = sorted(runs, key=lambda run: material.runs[run]["loop.synthetic.n"])
        for pair in pairwise(runs):
            yield _evidence(material, pair, "sd", difference, partial(_moves, way="down"), 1)


def _by_memory(material: Material) -> Iterable[Evidence]:
    """The distance of loops that differ in K alone, the next K smaller."""
    runs = [run for run in material.like(FRESH_GAUSSIAN) if "loop.synthetic.from" in material.runs[run]]
    for a, b in product(runs, runs):
        pair, column = (material.runs[a], material.runs[b]), "loop.synthetic.from"
        if _same_but(pair[0], column) == _same_but(pair[1], column) and pair[0][column] > pair[1][column]:
            yield _evidence(material, (a, b), CLOSED, difference, partial(_moves, way="down"), 1)


def _admissible(biased: bool) -> Test:
    """The distance of fresh-data loops at the largest n_s against that of a single fit to as many real rows.

    Without bias it should be smaller. With bias there should be an n_s from which on it is larger. Where it is not,
    that counts only if (1 − λ) n_s ≥ 10 n_r: of the variance 1 / (1 + (1 − λ) n_s / n_r) is left, less than a tenth.
    """

    def test(material: Material) -> Iterable[Evidence]:
        single = {
            (run["dataset"], run["loop.initial.n"]): name
            for name, run in material.runs.items()
            if run.get("generations") == 1 and run.get("family") == "gaussian"
        }
        largest: dict[tuple[Any, ...], str] = {}
        for name in material.like(FRESH_GAUSSIAN):
            run = material.runs[name]
            if (run["loop.bias"] < 1) != biased or run.get("loop.synthetic.from", 1) != 1:
                continue
            key = (run["dataset"], run["loop.real.fresh"], run["loop.bias"])
            if (
                key not in largest
                or run["loop.synthetic.n"] > material.runs[largest[key]]["loop.synthetic.n"]
            ):
                largest[key] = name
        for (dataset, fresh, bias), name in largest.items():
            if (dataset, fresh) in single:
                enough = (1 - bias) * material.runs[name]["loop.synthetic.n"] >= 10 * fresh
                found = _at_last(material, name, single[dataset, fresh], "up" if biased else "down")
                excused = biased and found.agrees is False and not enough
                yield (
                    replace(found, agrees=None, why="more synthetic rows may be needed") if excused else found
                )

    return test


def _at_last(material: Material, run: str, single: str, way: Way) -> Evidence:
    """The last distance of a run against that of a single fit, which has one generation only."""

    def ends(rows: pd.DataFrame, other: pd.DataFrame) -> Change:
        return difference(rows[rows["generation"] == rows["generation"].max()].assign(generation=1), other)

    return _evidence(material, (run, single), CLOSED, ends, partial(_moves, way=way), 1)


def _believes_its_teacher(material: Material) -> Iterable[Evidence]:
    """What share critic t calls fake of generation t − 1, less its mean over all generations of the same run."""
    if material.critics.empty:
        return
    own = material.critics[material.critics["critic_run"] == material.critics["generator_run"]]
    shares = own.groupby(["critic_run", "seed", "critic_generation"])["fake_share"]
    own = own.assign(gap=own["fake_share"] - shares.transform("mean"))
    own = own[own["generator_generation"] == own["critic_generation"] - 1]
    for run, rows in own.groupby("critic_run"):
        seeds = rows["seed"].nunique()
        unit = "seed" if seeds > 1 else "critic_generation"  # of one seed, its critics are the sample
        sample = rows.groupby(unit)["gap"].mean()
        error, value = float(sample.sem()), float(sample.mean())
        found = Change(value, error, len(sample) - 1, 0.0, value, seeds, tuple(rows["critic_generation"]))
        yield _weigh(f"{run}: share called fake", found, _moves(found, "down"), rule.GENERATIONS)


K, A, B = "Knutsen et al. 2025", "Alemohammad et al. 2024", "Bertrand et al. 2024"
MIX = ("loop.real.", "loop.synthetic.")  # the columns that say what later generations train on
FULL, BIASED = _loop("fully synthetic"), _loop("fully synthetic", biased=True)
FIXED, FIXED_BIASED = _loop("synthetic augmentation"), _loop("synthetic augmentation", biased=True)
FULL_ON, MIXED = _loop("fully synthetic", start="continue"), _mixed(1)
VAE, WGAN = (_loop("fully synthetic", family=(family,)) for family in ("vae", "wgan_gp"))
SETUP1, SETUP2 = (_loop("fully synthetic", family=("wgan_gp",), critic_iterations=(i,)) for i in (5, 2))
W, S = "Khelifa & Rossa", "Bandyopadhyay 2025"
CLOSED = "gaussian_wasserstein2"
GAUSSIAN, NETWORKS = ("gaussian",), ("otcfm", "mlp_ddpm", "gmm", "glow")
DECAY = _both(_loop("fully synthetic", family=GAUSSIAN), lambda run: run.get("density.dimension") == 1)
FRESH_GAUSSIAN = _loop("fresh data", biased=None, family=GAUSSIAN)
FIXED_GAUSSIAN = _loop("synthetic augmentation", family=GAUSSIAN)
GAN, CLIPPED, PENALISED = (
    _among(family=("mlp_gan",), loss=(loss,)) for loss in ("gan", "wgan_clip", "wgan_gp")
)
FORWARD, REVERSE, SHANNON = (
    _among(family=("projection",), divergence=(name,))
    for name in ("forward_kl", "reverse_kl", "jensen_shannon")
)
MIXTURES = _loop("fully synthetic", start="continue", family=("gmm",))
FLOWS, FLOWS_BIASED = (_loop("fully synthetic", biased=biased, family=("glow",)) for biased in (False, True))
BOTH = _loop("fully synthetic", family=("vae", "wgan_gp"))


def _bias(measure: str, way: Way) -> Test:
    # Over all generations: at the last one, recall may be gone with and without bias.
    return _lies(measure, way, BIASED, FULL, "loop.bias", over="all")


# fmt: off
CLAIMS = [
    Claim("w1-rises", K, "The Wasserstein-1 distance to real images rises over generations in every model (fig. 8a).",
          _goes("wasserstein1", "up", BOTH)),
    Claim("w1-excess-rises", K, "It rises, too, less what samples of that size lie apart anyway (not in the paper).",
          _goes("wasserstein1_excess", "up", BOTH)),
    Claim("fid-rises", K, "FID rises over generations in every model (fig. 8b).", _goes("fid", "up", BOTH)),
    Claim("fid-order", K, "At the end FID is lowest for WGAN setup 2, then the VAE, then setup 1 (fig. 8b).",
          _ordered("fid", SETUP2, VAE, SETUP1)),
    Claim("w1-order", K, "At the end Wasserstein-1 has the same order: setup 2, VAE, setup 1 (fig. 8a).",
          _ordered("wasserstein1", SETUP2, VAE, SETUP1)),
    Claim("vae-collapses", K, "The fully synthetic VAE collapses (fig. 5, § III A).", _judged(rule.COLLAPSE, VAE)),
    Claim("wgans-drift", K, "The fully synthetic WGANs drift: quality falls, variety stays (fig. 5, § III A).",
          _judged(rule.DRIFT, WGAN)),
    Claim("vae-classes", K, "The VAE's images are predicted as ever fewer classes (fig. 6).",
          _goes("class_entropy", "down", VAE)),
    Claim("setup2-classes", K, "The images of WGAN setup 2 are predicted as ever fewer classes (fig. 6).",
          _goes("class_entropy", "down", SETUP2)),
    Claim("critics-forget", K, "Later critics call fewer real test images real (fig. 9).",
          _goes("critic_on_test", "down", WGAN)),
    Claim("critics-believe", K, "A critic calls images of the generation before, its training data, real more often "
          "than those of others (fig. 10).", _believes_its_teacher),
    Claim("full-fid", A, "Fully synthetic without bias, FID rises (fig. 4).", _goes("fid", "up", FULL)),
    Claim("full-precision", A, "Fully synthetic without bias, precision falls (fig. 4).",
          _goes("precision", "down", FULL)),
    Claim("full-recall", A, "Fully synthetic without bias, recall falls (fig. 4).", _goes("recall", "down", FULL)),
    Claim("bias-recall", A, "With sampling bias λ < 1 recall is lower over the generations than at λ = 1 (fig. 6).",
          _bias("recall", "down")),
    Claim("bias-precision", A, "With λ < 1 precision is higher than at λ = 1 (fig. 6).", _bias("precision", "up")),
    Claim("bias-variance", A, "With λ < 1 the variance within classes is lower than at λ = 1 (fig. 7).",
          _bias("intra_class_variance", "down")),
    Claim("bias-fid", A, "Sampling bias does not keep FID from rising (fig. 6).", _goes("fid", "up", BIASED)),
    Claim("fixed-fid", A, "With fixed real data FID ends lower than fully synthetic (fig. 8).",
          _lies("fid", "down", FIXED, FULL, *MIX)),
    Claim("fixed-recall", A, "With fixed real data recall ends higher than fully synthetic (fig. 8).",
          _lies("recall", "up", FIXED, FULL, *MIX)),
    Claim("fixed-rises", A, "With fixed real data FID still rises (fig. 8).", _goes("fid", "up", FIXED)),
    Claim("fixed-bias", A, "With fixed real data and λ < 1 FID rises (fig. 9).", _goes("fid", "up", FIXED_BIASED)),
    Claim("fresh-fid", A, "With as many fresh real data in each generation FID ends lower than with fixed ones (§ 5).",
          _fresh_beats_fixed),
    Claim("fresh-settles", A, "With fresh real data FID does not rise over the later half of the generations (§ 5.2).",
          _settles(_loop("fresh data", biased=None))),
    Claim("fresh-forgets", A, "With fresh real data the limit of FID does not depend on n_ini (fig. 10).",
          _forgets_its_start("fid")),
    Claim("wgan-long", A, "Over many generations of WGAN-GP FID rises, precision and recall fall (fig. 13).",
          _degrades_for_long),
    Claim("continue-fid", B, "Retrained from its own weights on synthetic data only, a model's FID diverges (fig. 2).",
          _goes("fid", "up", FULL_ON)),
    Claim("continue-w1", B, "Retrained likewise, its Wasserstein-1 distance diverges (fig. 8).",
          _goes("wasserstein1", "up", FULL_ON)),
    Claim("mixed-closer", B, "Retrained on all real and λ ≤ 1 times as many synthetic data, FID ends lower than on "
          "synthetic data only (fig. 2).", _lies("fid", "down", MIXED, FULL_ON, *MIX)),
    Claim("mixed-stable", B, "With λ < 0.5 retraining is stable: FID does not rise over its later half (fig. 2).",
          _settles(_mixed(0.4))),  # the next λ below, of those in the paper
    Claim("ratio-fid", B, "The smaller λ, the lower FID ends (fig. 2).", _grows_with_ratio),
    Claim("parameters", B, "On synthetic data only, weights move farther from the first than on mixed data (fig. 9).",
          _lies("parameter_distance", "up", FULL_ON, MIXED, *MIX)),
    Claim("gaussian-decay", B, "A Gaussian that is fitted to its own samples loses its standard deviation (Prop. 1).",
          _goes("sd", "down", DECAY)),
    Claim("gaussian-slower", B, "It falls the more slowly the more samples there are (Prop. 1).", _slower_with_n),
    Claim("gaussian-mixed", B, "With all real rows in every fit it does not fall any more (Thm. 1).",
          _settles(FIXED_GAUSSIAN, "sd", may_fall=False)),
    Claim("gaussian-bias", A, "With sampling bias λ < 1 a Gaussian's total variance falls (§ 3).",
          _goes("trace", "down", _loop("fully synthetic", biased=True, family=GAUSSIAN))),
    Claim("gaussian-forgets", A, "With fresh real data the limit of the distance does not depend on n_ini (fig. 10).",
          _forgets_its_start(CLOSED)),
    Claim("gaussian-harm", A, "With λ < 1 many synthetic rows leave the loop farther from the truth than a fit to the "
          "fresh rows alone: n_e < n_r (figs. 11, 12).", _admissible(biased=True)),
    Claim("gaussian-help", A, "Without bias synthetic rows help, however many: n_e > n_r (fig. 12).",
          _admissible(biased=False)),
    Claim("gaussian-memory", A, "The longer the memory K, the closer the loop stays (fig. 30).", _by_memory),
    Claim("gmm-modes", A, "Fully synthetic, a mixture of 25 Gaussians loses modes (fig. 14).",
          _goes("modes_covered", "down", MIXTURES)),
    Claim("gmm-recall", A, "Its recall falls (fig. 15).",
          _goes("recall", "down", MIXTURES)),
    Claim("gmm-modal-variance", A, "The average variance of its modes falls (fig. 15).",
          _goes("modal_variance", "down", MIXTURES)),
    Claim("flow-tails", A, "Fully synthetic, a flow loses the tails also without bias: its variance falls (fig. 17).",
          _goes("variance", "down", FLOWS)),
    Claim("flow-tails-biased", A, "With λ < 1 its variance falls (fig. 17).", _goes("variance", "down", FLOWS_BIASED)),
    Claim("flow-bias", A, "With λ < 1 it loses the tails faster (fig. 17).",
          _lies("variance", "down", FLOWS_BIASED, FLOWS, "loop.bias")),
    Claim("points-diverge", B, "Retrained on its own points only, a model leaves the truth (figs. 3, 8).",
          _goes("wasserstein2", "up", _loop("fully synthetic", start="continue", family=NETWORKS))),
    Claim("points-stable", B, "Retrained on all real points and as many of its own, it does not: Wasserstein-1 stays "
          "(figs. 3, 8).", _settles(_both(_mixed(1), _among(family=NETWORKS)), "wasserstein1", may_fall=False)),
    Claim("points-collapse", B, "On its own points only, those of each mode draw together (fig. 3).",
          _goes("modal_variance", "down", _loop("fully synthetic", start="continue", family=("mlp_ddpm",)))),
    Claim("gan-clip-modes", W, "On a ring of 8 Gaussians a GAN ends on fewer modes than a WGAN with weight clipping "
          "(fig. 7).", _lies("modes_covered", "down", GAN, CLIPPED, "model.", "loop.budget")),
    Claim("gan-gp-modes", W, "It ends on fewer modes than a WGAN-GP, too (fig. 7).",
          _lies("modes_covered", "down", GAN, PENALISED, "model.", "loop.budget")),
    Claim("forward-covers", S, "Forward KL covers both modes of a density: its Gaussian is the wider one.",
          _lies("sd", "up", FORWARD, REVERSE, "model.")),
    Claim("reverse-seeks", S, "Reverse KL seeks one mode: more of its samples are good ones.",
          _lies("good_share", "up", REVERSE, FORWARD, "model.")),
]
# fmt: on

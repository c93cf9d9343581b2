"""What later papers say of their loops: rows that accumulate, curation, verification, own samples, symbols.

Read in the papers' abstracts, whose models are larger: language models, diffusion on ImageNet. Here each is held
against the same model and data in the same loop without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from bigloop.analysis.claims.evidence import Claim, Evidence, Mask, Run, Tables, Test, claims_of
from bigloop.analysis.claims.forms import goes, lies, settles
from bigloop.analysis.claims.runs import among, both, loop

ROWS = ("loop.real.", "loop.synthetic.", "loop.pool.", "loop.rules")  # what later generations train on
DISTANCES = ("fid", "wasserstein2")


def of_distances(of: Callable[[str], Test]) -> Test:
    """The same test of each distance, of which an experiment measures some."""

    def test(tables: Tables) -> Iterable[Evidence]:
        pieces = [piece for measure in DISTANCES for piece in of(measure)(tables)]
        known = [piece for piece in pieces if not piece.why.endswith("not measured")]
        return known or pieces

    return test


def farther(left: Mask, right: Mask, *but: str) -> Test:
    """Samples of the runs on the left end farther from the data than those of the runs on the right."""
    return of_distances(lambda measure: lies(measure, "up", left, right, *but))


def opposed(left: Mask) -> Test:
    """What is held against models brings their samples closer to the data, over all generations."""
    return of_distances(lambda measure: lies(measure, "down", left, WITHOUT, "loop.against.", over="all"))


def cuts(run: Run) -> bool:
    """Whether symbols are drawn at a temperature below 1, or of the likeliest alone."""
    return run.get("loop.bias", 1) < 1 or run.get("model.top_p", 1) < 1


REPLACED = loop("fully synthetic")
KEPT = both(loop("synthetic augmentation"), lambda run: run.get("loop.synthetic.from") == "all")
BUDGET = both(
    loop("synthetic augmentation", extras=("rules",)),
    lambda run: run.get("loop.synthetic.from") == "all" and run.get("loop.rules") == "pool",
)
CHOSEN = both(loop("fully synthetic", extras=("select",)), lambda run: "loop.select.above" not in run)
CHOSEN_MIXED = both(
    loop("synthetic augmentation", extras=("select",)), lambda run: "loop.select.above" not in run
)
VERIFIED = both(loop("fully synthetic", extras=("select",)), lambda run: "loop.select.above" in run)
KINDS = ("fully synthetic", "synthetic augmentation")
WITHOUT, AGAINST = (loop(*KINDS, start=None, extras=extras) for extras in ((), ("against",)))
SIMS, NEON = (both(AGAINST, among(**{"loop.against.way": (way,)})) for way in ("scores", "weights"))
SYMBOLS = loop("fully synthetic", biased=None, family=("counting",))
CUT, WHOLE = both(SYMBOLS, cuts), both(SYMBOLS, lambda run: not cuts(run))

# fmt: off
CLAIMS: list[Claim] = [
    *claims_of("Gerstgrasser et al. 2024", [
        ("accumulate-closer", "Where the samples of all generations are kept beside the real data, models end closer "
         "to them than where samples replace them (abstract).", farther(REPLACED, KEPT, *ROWS)),
        ("accumulate-bounded", "Where they are kept, the error stays bounded: it does not rise over its later half "
         "(abstract).", of_distances(partial(settles, KEPT))),
    ]),
    *claims_of("Kazdan et al. 2025", [
        ("budget-degrades", "Trained on a fixed number of rows drawn from all that accumulate, models degrade slowly "
         "(abstract).", of_distances(lambda measure: goes(measure, "up", BUDGET))),
        ("budget-slower", "They degrade less than where samples replace the data (abstract).",
         farther(REPLACED, BUDGET, *ROWS)),
        ("budget-farther", "They end farther from the data than where all rows are kept (abstract).",
         farther(BUDGET, KEPT, *ROWS)),
    ]),
    *claims_of("Ferbach et al. 2024", [
        ("curation-reward", "Where samples are chosen by a reward, the expected reward rises from generation to "
         "generation (abstract).", goes("score", "up", CHOSEN)),
        ("curation-stable", "With real data in every generation the loop with curation is stable: the reward settles "
         "(abstract).", settles(CHOSEN_MIXED, "score", may_fall=False)),
    ]),
    *claims_of("Feng et al. 2024", [
        ("verification", "Samples that a verifier passes, an imperfect one too, prevent the collapse of a loop "
         "(abstract).", of_distances(lambda m: lies(m, "down", VERIFIED, REPLACED, "loop.select."))),
    ]),
    *claims_of("Alemohammad et al. 2024, SIMS", [
        ("sims", "Sampled away from the scores of a model of its own samples, a diffusion model's samples are closer "
         "to the data (abstract).", opposed(SIMS)),
    ]),
    *claims_of("Alemohammad et al. 2025, Neon", [
        ("neon", "With weights extrapolated away from those fine-tuned on its own samples, a model's samples are "
         "closer to the data (abstract).", opposed(NEON)),
    ]),
    *claims_of("Shumailov et al. 2024", [
        ("tails-vanish", "The tails of the original distribution disappear: fewer symbols are left (abstract).",
         goes("symbols_left", "down", SYMBOLS)),
    ]),
    *claims_of("Dohmatob et al. 2024", [
        ("tails-cut", "Low temperatures and top-p cut off the tail of a Zipf law: they leave fewer symbols (from a "
         "review of the paper).", lies("symbols_left", "down", CUT, WHOLE, "loop.bias", "model.top_p")),
    ]),
]
# fmt: on

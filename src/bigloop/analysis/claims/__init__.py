"""The claims of the papers, tested on the tables of an experiment: verified, contradicted, or not tested.

    claims_table(measures, runs, critics, verdicts)      # one row per claim, all of them always

A claim is a sentence and a test, which collects evidence: trends of runs, or differences between two runs that are the
same in every model and loop option but the one in question. `numbers` has all of it.

To add claims, write a file with a list CLAIMS, such as khelifa_rossa.py, and add its line to CLAIMS.
"""

from __future__ import annotations

import pandas as pd

from bigloop.analysis.claims.evidence import Claim, Judged, Run, Tables, conclude
from bigloop.analysis.trends import holm, series
from bigloop.spec.registry import Registry

CLAIMS = Registry(
    "claims",
    {
        "knutsen2025": "bigloop.analysis.claims.knutsen2025:CLAIMS",
        "alemohammad2024": "bigloop.analysis.claims.alemohammad2024:CLAIMS",
        "bertrand2024": "bigloop.analysis.claims.bertrand2024:CLAIMS",
        "khelifa_rossa": "bigloop.analysis.claims.khelifa_rossa:CLAIMS",
        "bandyopadhyay2025": "bigloop.analysis.claims.bandyopadhyay2025:CLAIMS",
        "remedies": "bigloop.analysis.claims.remedies:CLAIMS",
        "field": "bigloop.analysis.claims.field:CLAIMS",
    },
)


def all_claims() -> list[tuple[str, Claim]]:
    """The claims of all papers, in the order of CLAIMS, each with its paper's name there."""
    return [(paper, claim) for paper, claims in CLAIMS.items() for claim in claims]


def papers_of(run: Run) -> list[str]:
    """The papers that a run of the runs table is faithful to."""
    return str(run.get("faithful", "")).split()


def claims_table(
    measures: pd.DataFrame, runs: pd.DataFrame, critics: pd.DataFrame, verdicts: pd.DataFrame
) -> pd.DataFrame:
    """One row a claim: paper, claim_id, claim, verdict, numbers, reason; `verdicts` is a verdicts_table."""
    options = {}
    for row in runs.astype(object).to_dict("records"):
        options[str(row["run"])] = {str(k): v for k, v in row.items() if not pd.isna(v)}
    judged = {str(v["run"]): Judged(v["verdict"], v["reason"], v["p"]) for v in verdicts.to_dict("records")}
    tables = Tables(series(measures) | series(losses(measures)), options, critics, judged)
    claims = [(paper, claim, list(claim.test(tables))) for paper, claim in all_claims()]
    # What several claims rest on is one question.
    asked = {piece.text: piece.p for _, _, evidence in claims for piece in evidence}
    adjusted = dict(zip(asked, holm(list(asked.values())), strict=True))
    rows = []
    for paper, claim, evidence in claims:
        faithful = [
            bool(piece.runs) and all(paper in papers_of(options.get(run, {})) for run in piece.runs)
            for piece in evidence
        ]
        found = conclude(evidence, [adjusted[piece.text] for piece in evidence], faithful)
        rows.append((claim.paper, claim.id, claim.sentence, found.verdict, found.numbers, found.reason))
    return pd.DataFrame(rows, columns=["paper", "claim_id", "claim", "verdict", "numbers", "reason"])


def losses(measures: pd.DataFrame) -> pd.DataFrame:
    """The rows of final losses of images, each as a measure of the loss's own name, as those of points are."""
    rows = measures[measures["measure"] == "final_loss"]
    return rows.assign(measure=rows["detail"], detail="")

"""Runs by their sampling bias λ."""

from __future__ import annotations

from bigloop.analysis.series import Tables, generations_of, run_names


def biases(material: Tables) -> dict[str, float]:
    """The sampling bias λ of each run, in plotting order; 1, unbiased, where the table does not say."""
    known = material.runs.reindex(columns=["loop.bias"]).fillna(1.0)["loop.bias"]
    return dict(zip(run_names(material), known.astype(float), strict=True))


def comparable_runs(material: Tables, measure: str, wanted: int) -> tuple[list[list[str]], int]:
    """Groups of runs with the measure, by λ, that differ in λ alone, and the generation to show.

    That is the wanted one or, for 0, the last that they have in common. Raises ValueError where no group has two λ
    there.
    """
    lambdas = biases(material)
    groups: dict[tuple[str, ...], list[str]] = {}
    there: dict[str, set[int]] = {}
    for row in material.runs.to_dict("records"):
        run = str(row["run"])
        there[run] = set(generations_of(material, run, measure))
        if there[run] and (not wanted or wanted in there[run]):
            keys = [k for k in row if k in ("family", "dataset") or k.startswith(("model.", "loop."))]
            groups.setdefault(tuple(str(row[k]) for k in keys if k != "loop.bias"), []).append(run)
    several = [g for g in groups.values() if len({lambdas[run] for run in g}) > 1]
    if not several:
        at = f" and reach generation {wanted}" if wanted else ""
        raise ValueError(f"sampling bias: needs two or more runs that differ only in loop.bias{at}")
    common = set.intersection(*(there[run] for g in several for run in g))
    return [sorted(g, key=lambda run: lambdas[run]) for g in several], wanted or max(common)

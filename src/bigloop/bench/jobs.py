"""How long a job takes before its work begins: Python and the imports of each verb; and a plan by Snakemake."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Annotated, NamedTuple

from bigloop.bench.loop import small_experiment
from bigloop.bench.setting import Needs, Setting, read_config, seconds, snakemake
from bigloop.bench.table import Column, Section, doing, time_text


class Row(NamedTuple):
    """A process. seconds: the least of its calls."""

    name: str
    seconds: Annotated[float, Column("time", time_text)]


def rows(setting: Setting) -> Iterator[Row]:
    """An empty Python, the verbs, those with the same imports together, and a dry run."""
    calls = 1 if setting.quick else 3
    yield Row("an empty Python", _least("pass", calls))
    yield Row("verbs that import nothing more", _least("import bigloop.__main__", calls))
    for modules, verbs in verbs_by_needs(setting.needs).items():
        doing(", ".join(verbs))
        code = f"import bigloop.__main__, {', '.join(modules)}"
        yield Row(f"{', '.join(verbs)} ({', '.join(modules)})", _least(code, calls))
    config = small_experiment(read_config("config.yaml"), 1, quick=setting.quick)
    planned = min(
        snakemake(config, setting.scratch / f"plan-{call}", "--dry-run") for call in range(min(calls, 2))
    )
    yield Row("snakemake -n, one generation of a VAE", planned)


def verbs_by_needs(needs: Needs) -> dict[tuple[str, ...], list[str]]:
    """The verbs that import the same modules."""
    found: dict[tuple[str, ...], list[str]] = {}
    for verb, modules in needs.items():
        found.setdefault(tuple(modules), []).append(verb)
    return found


def _least(code: str, calls: int) -> float:
    command = [sys.executable, "-c", code]
    return min(seconds(lambda: subprocess.run(command, check=True)) for _ in range(calls))


SECTION = Section(
    "jobs",
    "wall time of a fresh process that only starts and imports what the verb needs (in brackets), the least of three\n"
    "calls; every job of a workflow pays it once",
    Row,
    rows,
    in_checkout=True,
)

"""Which software made an experiment, on which machines: provenance.json, beside the tables that it speaks of."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bigloop.artifacts import read_json
from bigloop.runtime.provenance import in_words, machine, packages, software
from bigloop.spec.jobs import CollectSpec

OF_A_MODEL = ("software", "device", "machine", "versions")  # keys of a model.json


def origins(spec: CollectSpec, results: Path) -> dict[str, Any]:
    """What made the tables (`software`, `machine`, `packages`, `collected`: UTC), and what each model in them.

    models: by kind of run and machine, how many models were trained there. A lineage that was trained by several
    versions has several entries.
    """
    counts = Counter(json.dumps(origin, sort_keys=True) for origin in _models(spec, results))
    return {
        "experiment": spec.experiment,
        "collected": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "software": software(),
        "machine": machine(),
        "packages": packages(),
        "models": [json.loads(origin) | {"count": count} for origin, count in counts.items()],
    }


def made_by(known: dict[str, Any]) -> list[str]:
    """What a provenance.json says, in a few lines for a reader."""
    computer = known["machine"]
    lines = [
        f"{in_words(known['software'])}, on {computer['system']}, {computer['cpu']}",
        f"tables of {known['collected']}",
    ]
    for models in known["models"]:
        trained = in_words(models.get("software") or {"version": models["versions"]["bigloop"]})
        count = models["count"]
        lines.append(
            f"{count} {'model' if count == 1 else 'models'} trained by {trained}, on {models['device']}"
        )
    return lines


def _models(spec: CollectSpec, results: Path) -> Iterator[dict[str, Any]]:
    """What each model.json says of its origin, each file once; runs whose samples alone are given have none."""
    seen = set()
    for run in spec.runs:
        for seed in () if run.blocks else run.seeds:
            for generation in range(1, run.generations + 1):
                folder = run.spec.model_folder(generation)
                path = results / "runs" / folder / f"seed-{seed}" / f"gen-{generation}" / "model.json"
                if path not in seen and path.is_file():
                    seen.add(path)
                    record = read_json(path)
                    yield {key: record[key] for key in OF_A_MODEL if key in record}

"""provenance.json: models are counted by what trained them, each once, whatever runs share it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bigloop.analysis.origins import made_by, origins
from bigloop.artifacts import write_json
from bigloop.config.experiment import Experiment
from bigloop.spec.jobs import CollectSpec


def leave(results: Path, spec: CollectSpec, run: str, generation: int, **about: Any) -> None:
    (found,) = [known for known in spec.runs if known.run == run]
    folder = results / "runs" / found.spec.model_folder(generation) / "seed-1" / f"gen-{generation}"
    write_json(folder / "model.json", {"spec": {}, "sha256": "", "versions": {"bigloop": "0.9"}} | about)


def test_models_are_counted_by_what_trained_them(config: dict[str, Any], tmp_path: Path) -> None:
    spec = Experiment.from_config(config).collect()
    new = {"software": {"version": "1.0", "package": "ab" * 32}, "device": "a GPU", "machine": {"cores": 4}}
    leave(tmp_path, spec, "vae", 1, device="cpu")
    leave(tmp_path, spec, "vae", 2, **new)
    leave(tmp_path, spec, "vae", 3, **new)
    known = origins(spec, tmp_path)
    assert [(entry["device"], entry["count"]) for entry in known["models"]] == [("cpu", 1), ("a GPU", 2)]
    assert known["experiment"] == spec.experiment
    assert made_by(known)[2:] == [
        "1 model trained by bigloop 0.9, on cpu",
        "2 models trained by bigloop 1.0, code ababababab, on a GPU",
    ]

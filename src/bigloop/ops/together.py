"""Whether a training or a sampling is shared by several processes, and how."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

from bigloop.artifacts import ArtifactError, read_json
from bigloop.runtime import teams
from bigloop.runtime.progress import Reporter
from bigloop.spec.registry import declared


def shared(job: str, options: Namespace) -> bool:
    """Have a training or a sampling done by several processes, where its GPUs are several and its family can share the
    work; returns whether it was."""
    size = teams.size_of(options.gpus or 0, options.here)
    if size == 1:
        return False
    report: Reporter = options.report
    name = family_of(job, options)
    if not (name and declared("families")[name].parallel):
        report(f"{name or 'the model'} cannot be shared by {size} processes; one does all the work")
        return False
    report(f"{size} processes share the work")
    try:
        teams.run(size, options.words, options.log)
    finally:
        report.adopt()
    return True


def family_of(job: str, options: Namespace) -> str:
    """The family that a job trains or samples; empty where its files do not say so."""
    try:
        spec: Any = (
            json.loads(options.spec) if job == "train" else read_json(options.model / "model.json")["spec"]
        )
        return str(spec["model"]["family"])
    except (ArtifactError, ValueError, LookupError, TypeError):
        return ""

"""The workflow inside the wheel, as bigloop/project: `bigloop init` makes a folder that uses it."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WORKFLOW = ("Snakefile", "config.yaml", "workflow", "profiles", "envs")


class WithWorkflow(BuildHookInterface):
    """Adds it to a wheel; an editable installation has it in the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            build_data["force_include"].update({name: f"bigloop/project/{name}" for name in WORKFLOW})

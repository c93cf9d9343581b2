"""bigloop: generative models trained, generation after generation, on their own output.

bigloop.open("results/quickstart")      # a finished experiment: tables, samples, figures (ops.study)
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "open":  # imported when asked for: planning a workflow needs none of it
        return import_module("bigloop.ops.study").open_study
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

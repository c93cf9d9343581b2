"""The command line's verbs and their arguments, as argparse's add_argument takes them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from bigloop.runtime.signals import SAVE_SECONDS

Argument = tuple[str, dict[str, Any]]
Call = Callable[[argparse.Namespace], None]
CONFIG = Path("config.yaml")


class Verb(NamedTuple):
    """A verb. needs: modules it imports before its work begins, its start-up; nothing heavy is imported for others."""

    call: Call
    arguments: tuple[Argument, ...]
    needs: tuple[str, ...]


VERBS: dict[str, Verb] = {}


def verb(*arguments: Argument, needs: tuple[str, ...] = ()) -> Callable[[Call], Call]:
    """Make a function the verb of its name, and its docstring the verb's help."""

    def register(call: Call) -> Call:
        VERBS[call.__name__.rstrip("_")] = Verb(call, arguments, needs)
        return call

    return register


def path(name: str, words: str | None = None, required: bool = True, **settings: Any) -> Argument:
    return f"--{name}", {"type": Path, "required": required, "metavar": "PATH", "help": words, **settings}


def files(name: str, words: str) -> Argument:
    return f"--{name}", {"type": Path, "nargs": "*", "default": [], "metavar": "FILE", "help": words}


def option(name: str, words: str | None, **settings: Any) -> Argument:
    return name, {"help": words, **settings}


EVERY_VERB = (
    path("log", "also write the log to this file", False, metavar="FILE"),
    option("--threads", "CPU threads (default: torch's own choice)", type=int, default=0),
    option("--gpus", "use no GPU, or so many of the least used ones (default: torch's choice)", type=int),
    option("--gres", "what a cluster gave the job; gpu:1 means --gpus 1", default="", metavar="NAME"),
    option("--attempt", "above 1, a permanent failure is not repeated", type=int, default=1, metavar="N"),
)
SPEC = option("--spec", "the job's specification; -: from standard input", required=True, metavar="JSON")
SAVE_EVERY = option(
    "--save-every", "seconds between checkpoints", type=float, default=SAVE_SECONDS, metavar="SECONDS"
)
KEEP_SAMPLES = option("--keep-samples", "of every K-th generation", type=int, default=1, metavar="K")
BLACK_WHITE = {"type": float, "nargs": 2, "default": (0.0, 1.0), "metavar": ("LOW", "HIGH")}
DATA, OUT = path("data", "folder of the stored dataset"), path("out", "folder to write to")
HOME = path("home", "folder of the experiment")

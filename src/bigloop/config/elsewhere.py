"""Runs whose generations were made elsewhere: what their entries may say, and the files that they name."""

from __future__ import annotations

import re
import stat
import sys
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Literal

from bigloop.config.declared import RunEntry
from bigloop.data import DataError
from bigloop.data.files import ARRAYS, array_shape
from bigloop.spec.faults import shown
from bigloop.spec.options import SpecError
from bigloop.spec.runs import ElsewhereSpec

KEYS = ("samples", "bias", "range")  # of such runs alone
OTHERS = {  # what they leave out, and why
    "weights": {
        "range": "weights generate images from 0 to 1",
        "generated": "give this or weights",
    },
    "generated": {
        "model": "the samples of every generation are given",
        "loop": "the samples of every generation are given",
        "weights": "give this or generated",
        "bias": "nothing is sampled here",
    },
}
FILLED = re.compile(r"\{[^{}]*\}|<[^<>]*>|[{}]")  # what Snakemake would take for a wildcard


def lineage_of(given: RunEntry, where: str) -> ElsewhereSpec | None:
    """The lineage from elsewhere that a run's entry describes; None where the run has a loop of its own."""
    if given.generated is None and "{t}" not in (given.weights or ""):
        for key in KEYS:
            if getattr(given, key) is not None:
                what = "generated" if key == "range" else "weights with {t}, the generation, in its name"
                raise SpecError(f"{where}.{key}: is for a run with {what}; leave it out")
        if given.weights and given.loop is None:
            raise SpecError(
                f"{where}.loop: missing; or put {{t}}, the generation, into the name of weights, which are then those "
                "of every generation"
            )
        return None
    key = "weights" if given.generated is None else "generated"
    if key == "weights" and given.loop is not None:
        raise SpecError(
            f"{where}.weights: {given.weights}: Snakemake would fill in {{t}}, which stands for the generation where "
            "the weights of all of them are given; leave loop out, or give the file another name"
        )
    for left_out, why in OTHERS[key].items():
        if getattr(given, left_out) is not None:
            raise SpecError(f"{where}.{left_out}: {why}; leave it out")
    files = str(getattr(given, key))
    _check_pattern(files, key, _several(given.seeds), f"{where}.{key}")
    if key == "weights" and given.samples is None:
        raise SpecError(f"{where}.samples: missing; expected how many rows each generation generates")
    if given.range is not None and not (len(given.range) == 2 and given.range[0] < given.range[1]):
        raise SpecError(f"{where}.range: expected black and white, as [0, 1], got {shown(list(given.range))}")
    black_white = None if given.range in (None, (0.0, 1.0)) else given.range
    bias = 1.0 if given.bias is None else given.bias
    holds: Literal["weights", "samples"] = "weights" if key == "weights" else "samples"
    return ElsewhereSpec(holds, files, given.samples, bias, black_white=black_white)


def add_sizes(
    sizes: dict[str, int], lineage: ElsewhereSpec, seeds: Iterable[int], generations: int, where: str
) -> None:
    """Add each file of a lineage and its bytes; raises SpecError for the first that is missing. Opens none."""
    for seed, generation in product(seeds, range(1, generations + 1)):
        name = lineage.file(seed, generation)
        try:
            found = Path(name).stat()
        except (OSError, ValueError):  # ValueError: a name that no file can have
            raise SpecError(f"{where}: {name}: no such file") from None
        if not stat.S_ISREG(found.st_mode):
            raise SpecError(f"{where}: {name}: expected a file")
        sizes[name] = found.st_size


def rows_of(lineage: ElsewhereSpec, seeds: tuple[int, ...]) -> int:
    """Rows of each generation: as the config says, or as the header of the first file does.

    Where that cannot be read, they count as unlimited, and the import says what is wrong.
    """
    if lineage.samples is not None:
        return lineage.samples
    try:
        shape = array_shape(Path(lineage.file(seeds[0], 1)))
    except DataError:
        return sys.maxsize
    return shape[0] if shape else sys.maxsize


def _several(seeds: tuple[int, ...] | int) -> bool:
    return (seeds if isinstance(seeds, int) else len(seeds)) > 1


def _check_pattern(files: str, key: str, several: bool, where: str) -> None:
    """Raise SpecError where a pattern of file names lacks {t}, or {seed} where seeds differ, or has other braces."""
    if "{t}" not in files:
        raise SpecError(f"{where}: {files}: expected {{t}}, the generation, in the name")
    if key == "generated" and several and "{seed}" not in files:
        raise SpecError(f"{where}: {files}: expected {{seed}} in the name, since the run has several seeds")
    if word := FILLED.search(files.replace("{t}", "").replace("{seed}", "")):
        raise SpecError(
            f"{where}: {files}: {word[0]} is neither {{t}} nor {{seed}}; give the files other names"
        )
    if key == "generated" and Path(files).suffix not in ARRAYS:
        raise SpecError(f"{where}: {files}: expected {', '.join(ARRAYS)}")

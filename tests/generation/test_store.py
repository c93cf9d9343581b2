"""A model and its record belong together, and are what was asked for."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bigloop.artifacts import (
    ArtifactError,
    read_json,
    write_json,
)
from bigloop.generation.store import load_model
from bigloop.generation.train import train
from bigloop.spec.generations import TrainSpec
from bigloop.spec.options import SpecError

from .lineage import (
    CPU,
    place,
    quiet,
    run_spec,
)

pytestmark = pytest.mark.long


def test_a_model_whose_record_is_anothers_is_refused(two_generations: Path, tmp_path: Path) -> None:
    run = run_spec()
    mixed = place(tmp_path, run, 0, 1)
    shutil.copytree(place(two_generations, run, 0, 1), mixed)
    write_json(mixed / "model.json", read_json(place(two_generations, run, 0, 2) / "model.json"))
    with pytest.raises(ArtifactError, match=rf"\A{re.escape(str(mixed))}: [^\n]+ do not match"):
        load_model(mixed, CPU)


def test_a_model_of_an_older_revision_of_the_code_is_refused(small_mnist: Path, tmp_path: Path) -> None:
    run = run_spec()
    old = replace(run, model=replace(run.model, revision=0))
    with pytest.raises(SpecError, match=r"^vae: revision 0 requested, but the code is at 1$"):
        train(TrainSpec.of(old, 0, 1), small_mnist, (), tmp_path / "out", quiet)


@pytest.mark.parametrize("content", ["[]", "{}", '{"spec": {}}', "null"])
def test_a_record_that_is_not_a_models_is_one_line(
    content: str, two_generations: Path, tmp_path: Path
) -> None:
    run = run_spec()
    folder = place(tmp_path, run, 0, 1)
    shutil.copytree(place(two_generations, run, 0, 1), folder)
    write_json(folder / "model.json", json.loads(content))
    with pytest.raises((ArtifactError, SpecError), match=rf"\A{re.escape(str(folder))}[^\n]+\Z"):
        load_model(folder, CPU)

"""Published values: every file has the columns, a run names them, and only what is measured alike is held against."""

from __future__ import annotations

import pandas as pd
import pytest

from bigloop.analysis import published
from bigloop.config.experiment import Experiment
from bigloop.metrics import MEASURES
from bigloop.spec.options import SpecError

W1 = pd.DataFrame({"measure": ["wasserstein1"] * 2, "n": [500] * 2, "features": ["pixels"] * 2})


@pytest.mark.parametrize("path", sorted(published.FOLDER.glob("*.csv")), ids=lambda path: path.stem)
def test_a_file_has_the_columns_and_one_value_a_run_generation_and_measure(path) -> None:
    table = pd.read_csv(path)
    assert tuple(table.columns) == published.COLUMNS
    assert set(table["paper"]) == {path.stem}
    assert set(table["measure"]) <= set(MEASURES)
    assert not table.isna().any().any()
    assert not table.duplicated(["run", "generation", "measure", "n", "features"]).any()


def test_the_curves_of_knutsen_et_al_are_there() -> None:
    names = [f"knutsen2025/{run}" for run in ("vae", "wgan-setup1", "wgan-setup2")]
    assert set(published.runs()) >= set(names)
    for name in names:
        found = published.alike(name, W1)
        assert list(found["generation"]) == list(range(1, 21))
    assert published.alike("knutsen2025/vae", W1)["value"].iloc[0] == pytest.approx(6.0687, abs=1e-4)


@pytest.mark.parametrize(
    "other",
    [{"n": 600}, {"features": "inception-64"}, {"measure": "fid"}, {"n": None}, {"reference": "test"}],
)
def test_what_is_measured_otherwise_is_not_held_against(other: dict[str, object]) -> None:
    assert published.alike("knutsen2025/vae", W1.assign(**other)).empty


def test_a_run_names_what_is_published_and_the_papers_it_is_faithful_to(config) -> None:
    config["runs"]["vae"] |= {"published": "knutsen2025/vae", "faithful": "knutsen2025"}
    config["runs"]["wgan-1"] |= {"faithful": ["knutsen2025", "alemohammad2024"]}
    of = {run.run: run for run in Experiment.from_config(config).collect().runs}
    assert (of["vae"].published, of["vae"].faithful) == ("knutsen2025/vae", ("knutsen2025",))
    assert of["wgan-1"].faithful == ("knutsen2025", "alemohammad2024")
    assert (of["wgan-2"].published, of["wgan-2"].faithful) == ("", ())


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("published", "knutsen2025/gan", "nothing is published as 'knutsen2025/gan' .known: knutsen2025/vae"),
        ("faithful", "knutsen", "unknown paper 'knutsen' .known: knutsen2025, "),
        ("faithful", ["knutsen2025", "me"], "unknown paper 'me'"),
    ],
)
def test_what_nobody_published_is_one_line(config, key: str, value: object, words: str) -> None:
    config["runs"]["vae"][key] = value
    with pytest.raises(SpecError, match=rf"^runs\.vae\.{key}: {words}"):
        Experiment.from_config(config)

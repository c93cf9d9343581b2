"""Damaged files are found before use, named, and not used: each format in every way, every file in three ways."""

from __future__ import annotations

import pickle
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from bigloop.analysis import tables
from bigloop.artifacts import ArtifactError
from bigloop.config.experiment import Experiment
from bigloop.figures.files import write_figure
from bigloop.generation.sample import sample
from bigloop.generation.train import train
from bigloop.measures import critics, images
from bigloop.spec.generations import SampleSpec, TrainSpec
from bigloop.spec.jobs import PlotSpec
from bigloop.spec.options import to_dict

pytestmark = pytest.mark.workflow
REPOSITORY = Path(__file__).parents[2]


class Shop(NamedTuple):
    """Finished results, and the experiment that they are of."""

    results: Path
    experiment: Experiment

    def generation(self, t: int, run: str = "wgan-1") -> Path:
        return self.results / "runs" / self.experiment.runs[run].spec.folder / "seed-0" / f"gen-{t}"

    def first(self, run: str = "wgan-1") -> Path:
        return self.results / "runs" / self.experiment.runs[run].spec.first.folder / "seed-0" / "gen-1"

    def classifier(self) -> Path:
        return self.results / "classifier" / self.experiment.classifiers["mnist"].folder


@pytest.fixture(scope="module")
def shop(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    results = tmp_path_factory.mktemp("damage") / "results"
    shutil.copytree(finished / "results", results, symlinks=True)
    config = yaml.safe_load((REPOSITORY / "tests" / "smoke" / "config.yaml").read_text())
    return Shop(results, Experiment.from_config(config))


# --- who reads what: each writes below `out` ---


def quiet(line: str) -> None:
    pass


def train_2(shop: Shop, out: Path) -> None:
    spec = TrainSpec.of(shop.experiment.runs["wgan-1"].spec, 0, 2)
    previews = [shop.generation(1) / "preview.safetensors"]
    train(spec, shop.results / "data" / "mnist", previews, out, quiet)


def train_1(shop: Shop, out: Path) -> None:
    spec = TrainSpec.of(shop.experiment.runs["wgan-1"].spec, 0, 1)
    train(spec, shop.results / "data" / "mnist", (), out, quiet)


def sample_1(shop: Shop, out: Path) -> None:
    sample(SampleSpec.of(shop.experiment.runs["wgan-1"].spec, 0, 1), shop.first(), out)


def measure_2(shop: Shop, out: Path) -> None:
    spec = shop.experiment.measure(shop.experiment.runs["wgan-1"], 0, 2)
    folder, data = shop.generation(2), shop.results / "data" / "mnist"
    images.measure(spec, folder / "samples.safetensors", folder, shop.classifier(), data)


def measure_floor(shop: Shop, out: Path) -> None:
    images.measure_real(shop.experiment.floor("mnist"), shop.classifier(), shop.results / "data" / "mnist")


def judge(shop: Shop, out: Path) -> None:
    critics.critics(shop.experiment.critics("wgan-1", "wgan-1", 0), shop.results / "runs")


def gather(shop: Shop, out: Path) -> None:
    tables.measures_table(shop.experiment.collect(), shop.results)
    tables.critics_table(shop.experiment.collect(), shop.results)


def draw(shop: Shop, out: Path) -> None:
    write_figure(
        PlotSpec("smoke", "samples", "samples", to_dict(shop.experiment.figures["samples"])), shop.results
    )


class Case(NamedTuple):
    """A file, another of its kind that might be put in its place, and the job that reads it."""

    file: Callable[[Shop], Path]
    sibling: Callable[[Shop], Path]
    reader: Callable[[Shop, Path], None]


CASES = {
    "training data": Case(
        lambda s: s.results / "data/mnist/train.safetensors",
        lambda s: s.results / "data/mnist/test.safetensors",
        train_1,
    ),
    "test data": Case(
        lambda s: s.results / "data/mnist/test.safetensors",
        lambda s: s.results / "data/mnist/train.safetensors",
        measure_2,
    ),
    "classifier's weights": Case(
        lambda s: s.classifier() / "model.safetensors",
        lambda s: s.classifier() / "reference.safetensors",
        measure_2,
    ),
    "classifier's record": Case(
        lambda s: s.classifier() / "model.json", lambda s: s.first() / "model.json", measure_2
    ),
    "classifier's features": Case(
        lambda s: s.classifier() / "reference.safetensors",
        lambda s: s.classifier() / "model.safetensors",
        measure_floor,
    ),
    "weights": Case(
        lambda s: s.first() / "model.safetensors", lambda s: s.generation(2) / "model.safetensors", sample_1
    ),
    "record": Case(lambda s: s.first() / "model.json", lambda s: s.generation(2) / "model.json", sample_1),
    "critic's weights": Case(
        lambda s: s.generation(2) / "model.safetensors", lambda s: s.first() / "model.safetensors", judge
    ),
    "history": Case(
        lambda s: s.generation(2) / "history.csv", lambda s: s.first() / "history.csv", measure_2
    ),
    "samples to train on": Case(
        lambda s: s.generation(1) / "samples.safetensors",
        lambda s: s.generation(2) / "samples.safetensors",
        train_2,
    ),
    "samples to measure": Case(
        lambda s: s.generation(2) / "samples.safetensors",
        lambda s: s.generation(2, "wgan-2") / "samples.safetensors",
        measure_2,
    ),
    "preview to train on": Case(
        lambda s: s.generation(1) / "preview.safetensors",
        lambda s: s.generation(1, "wgan-2") / "preview.safetensors",
        train_2,
    ),
    "preview to judge": Case(
        lambda s: s.generation(2) / "preview.safetensors",
        lambda s: s.generation(1) / "preview.safetensors",
        judge,
    ),
    "preview to show": Case(
        lambda s: s.generation(2) / "preview.safetensors",
        lambda s: s.generation(2, "vae") / "preview.safetensors",
        draw,
    ),
    "measures": Case(
        lambda s: s.generation(2) / "measures.json", lambda s: s.generation(1) / "measures.json", gather
    ),
    "floor": Case(
        lambda s: s.results / "smoke/floor/mnist.json", lambda s: s.generation(1) / "measures.json", gather
    ),
    "matrix": Case(
        lambda s: s.results / "smoke/critics/wgan-1-judges-vae-seed-0.json",
        lambda s: s.results / "smoke/critics/wgan-1-judges-wgan-2-seed-0.json",
        gather,
    ),
    "table of measures": Case(
        lambda s: s.results / "smoke/tables/measures.csv", lambda s: s.results / "smoke/tables/runs.csv", draw
    ),
    "table of runs": Case(
        lambda s: s.results / "smoke/tables/runs.csv", lambda s: s.results / "smoke/tables/critics.csv", draw
    ),
    "table of verdicts": Case(
        lambda s: s.results / "smoke/tables/verdicts.csv", lambda s: s.results / "smoke/tables/runs.csv", draw
    ),
    "table of critics": Case(
        lambda s: s.results / "smoke/tables/critics.csv",
        lambda s: s.results / "smoke/tables/measures.csv",
        draw,
    ),
}


# --- what happens to files ---


def flipped(content: bytes, place: float) -> bytes:
    changed = bytearray(content)
    changed[int(place * (len(content) - 1))] ^= 0x10
    return bytes(changed)


def seal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def swapped(path: Path, sibling: Path, *, with_seal: bool) -> None:
    shutil.copy(sibling, path)
    if with_seal and seal_of(sibling).is_file():
        shutil.copy(seal_of(sibling), seal_of(path))


DAMAGES: dict[str, Callable[[Path, Path], Any]] = {
    "missing": lambda path, sibling: path.unlink(),
    "empty": lambda path, sibling: path.write_bytes(b""),
    "cut in half": lambda path, sibling: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "last byte lost": lambda path, sibling: path.write_bytes(path.read_bytes()[:-1]),
    "more at the end": lambda path, sibling: path.write_bytes(path.read_bytes() + b"\n0"),
    "bit at the start": lambda path, sibling: path.write_bytes(flipped(path.read_bytes(), 0.0)),
    "bit in the middle": lambda path, sibling: path.write_bytes(flipped(path.read_bytes(), 0.5)),
    "bit at the end": lambda path, sibling: path.write_bytes(flipped(path.read_bytes(), 1.0)),
    "zeros": lambda path, sibling: path.write_bytes(bytes(path.stat().st_size)),
    "pickle": lambda path, sibling: path.write_bytes(pickle.dumps({"weights": [1.0]})),
    "another's": lambda path, sibling: swapped(path, sibling, with_seal=False),
    "another's with its seal": lambda path, sibling: swapped(path, sibling, with_seal=True),
    "a folder": lambda path, sibling: (path.unlink(), path.mkdir()),
    "a link to nothing": lambda path, sibling: (path.unlink(), path.symlink_to("nothing")),
    "its seal lost": lambda path, sibling: seal_of(path).unlink(missing_ok=True),
    "its seal cut": lambda path, sibling: seal_of(path).write_text("0123"),
}


# What damage does, depends on the format of a file; who notices it, on who reads the file.
OF_EACH_FORMAT = {"weights": "safetensors", "record": "json", "table of runs": "csv"}
OF_EACH_FILE = ("missing", "bit in the middle", "another's with its seal")
PAIRS = [
    (case, damage) for case in CASES for damage in DAMAGES if case in OF_EACH_FORMAT or damage in OF_EACH_FILE
]


@pytest.fixture(params=PAIRS, ids=lambda pair: ", ".join(pair))
def damaged(request: pytest.FixtureRequest, shop: Shop, tmp_path: Path) -> Iterator[tuple[Case, Path]]:
    """A case whose file is damaged for the time of the test."""
    kind, damage = request.param
    case = CASES[kind]
    path = case.file(shop)
    if damage.startswith("its seal") and not seal_of(path).is_file():
        pytest.skip("has its seal inside")
    if path.name == "samples.safetensors" and damage in ("missing", "a folder"):
        pytest.skip("samples that are not there are drawn again, and compared with their preview")
    parts = [part for part in (path, seal_of(path)) if part.is_file()]
    for part in parts:
        shutil.copy2(part, tmp_path / part.name)
    DAMAGES[damage](path, case.sibling(shop))
    yield case, path
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for part in parts:
        shutil.copy2(tmp_path / part.name, part)


def test_a_damaged_file_is_found_before_use_and_named_with_a_remedy(
    damaged: tuple[Case, Path], shop: Shop, tmp_path: Path
) -> None:
    case, path = damaged
    out = tmp_path / "out"
    figures = {p: p.stat().st_mtime_ns for p in (shop.results / "smoke" / "figures").iterdir()}
    with pytest.raises(ArtifactError) as found:
        case.reader(shop, out)
    message = str(found.value)
    assert "\n" not in message
    assert re.match(rf"{re.escape(str(path.parent))}/({re.escape(path.name)}|model\.json)?", message)
    assert re.search("snakemake|delete both", message)
    assert not out.exists()
    assert {p: p.stat().st_mtime_ns for p in (shop.results / "smoke" / "figures").iterdir()} == figures


@pytest.mark.parametrize(
    "reader", dict.fromkeys(case.reader for case in CASES.values()), ids=lambda r: r.__name__
)
def test_the_same_readers_take_sound_files(
    reader: Callable[[Shop, Path], None], shop: Shop, tmp_path: Path
) -> None:
    reader(shop, tmp_path / shop.experiment.runs["wgan-1"].spec.folder / "seed-0" / "gen-1")

"""Selection among a generation's images: what each score sees, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bigloop.artifacts import ArtifactError, read_tensors, write_tensors
from bigloop.config.selection import select_of
from bigloop.data import load
from bigloop.generation.rows import training_set
from bigloop.generation.select import filter_real, select
from bigloop.generation.store import load_model
from bigloop.measures.classify import classify
from bigloop.models.classifier import load_classifier
from bigloop.seeding import numpy_generator
from bigloop.spec.generations import FilterSpec, SelectionSpec, TrainSpec
from bigloop.spec.jobs import ClassifierSpec
from bigloop.spec.loops import Real, Synthetic
from bigloop.spec.options import SpecError
from bigloop.spec.runs import RunSpec

from .lineage import CPU, SAMPLES, advance, images_of, preview_of, quiet, run_spec, samples_of

JUDGE = ClassifierSpec("mnist", width=2, features=16, epochs=1, learning_rate=1e-2)


@pytest.fixture(scope="module")
def judge(small_mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier") / JUDGE.folder
    classify(JUDGE, small_mnist, folder, quiet)
    return folder


def selecting(family: str = "vae", synthetic: int = 30, **given: Any) -> RunSpec:
    run = run_spec(family)
    loop = replace(run.looped, select=select_of(given, "select"), synthetic=Synthetic(n=synthetic))
    return replace(run, loop=loop)


def chosen(root: Path, run: RunSpec, judge: Path, data: Path) -> dict[str, np.ndarray]:
    """What generation 1 of a run hands on; it is trained and sampled where it is not there."""
    preview = preview_of(root, run, 0, 1)
    if not preview.is_file():
        advance(root, run, 0, 1, data)
    select(SelectionSpec.of(run, 0, 1), preview, judge, data, preview.parent)
    return read_tensors(preview.with_name("selected.safetensors"))[0]


def test_confidence_is_of_the_class_that_was_asked_for(
    small_mnist: Path, judge: Path, tmp_path: Path
) -> None:
    for family in ("vae", "ddpm"):
        run = selecting(family, by="confidence", best_of=4)
        found = chosen(tmp_path, run, judge, small_mnist)
        tensors, _ = read_tensors(samples_of(tmp_path, run, 0, 1))
        probabilities = load_classifier(judge, CPU).judge(tensors["images"]).probabilities
        if family == "ddpm":
            expected = probabilities[np.arange(SAMPLES), tensors["labels"]]
            assert np.bincount(tensors["labels"][found["rows"]]).tolist() == [3] * 10
        else:
            expected = probabilities.max(axis=1)
        assert found["scores"] == pytest.approx(expected[None])
        assert len(found["rows"]) == SAMPLES // 4


def test_real_rows_are_those_of_generation_1(small_mnist: Path, judge: Path, tmp_path: Path) -> None:
    run = selecting(by={"score": "nearest_real", "real": 20}, top=0.5)
    found = chosen(tmp_path, run, judge, small_mnist)
    net, real = load_classifier(judge, CPU), load(small_mnist, "train")[0]
    rows = numpy_generator(0, 0, "real rows").permutation(len(real))[:20]
    mine, theirs = (
        net.judge(images).features.astype(np.float64)
        for images in (images_of(samples_of(tmp_path, run, 0, 1), 0, 1), real[rows])
    )
    distances = np.linalg.norm(mine[:, None] - theirs[None], axis=2).min(axis=1)
    assert found["scores"] == pytest.approx(-distances[None])
    worst = found["scores"][0][found["rows"]].min()
    assert (np.delete(found["scores"][0], found["rows"]) <= worst).all()


def test_a_critic_is_the_generations_own(small_mnist: Path, judge: Path, tmp_path: Path) -> None:
    run = selecting("wgan_gp", by="critic", choice_of=2)
    found = chosen(tmp_path, run, judge, small_mnist)
    model: Any = load_model(samples_of(tmp_path, run, 0, 1).parent, CPU)[0]
    images = torch.from_numpy(images_of(samples_of(tmp_path, run, 0, 1), 0, 1))
    assert found["scores"] == pytest.approx(model.scores(images).numpy()[None])


def test_the_next_generation_trains_on_what_was_selected(
    small_mnist: Path, judge: Path, tmp_path: Path
) -> None:
    run = selecting(by="mean", above=0.0, synthetic=100)  # every image: nothing changes
    other = selecting(by="mean", top=0.25, synthetic=25)
    for one, rows in ((run, 100), (other, 30)):
        found = chosen(tmp_path, one, judge, small_mnist)
        preview = preview_of(tmp_path, one, 0, 1)
        given = TrainSpec.of(one, 0, 2), small_mnist, [preview], quiet
        trained = training_set(*given, [preview.with_name("selected.safetensors")])
        taken = trained.composition.synthetic[1]
        assert len(taken) == min(rows, one.looped.synthetic.n or 0)
        assert np.isin(taken, found["rows"]).all()
        images = images_of(preview.with_name("samples.safetensors"), 0, 1)
        assert np.array_equal(trained.images.numpy(), images[taken])


def test_fewer_than_asked_for_are_all_trained_on(small_mnist: Path, judge: Path, tmp_path: Path) -> None:
    run = selecting(by="mean", top=1.0, synthetic=100)
    means = chosen(tmp_path, run, judge, small_mnist)["scores"][0]
    strict = selecting(by="mean", above=float(np.sort(means)[-40]), synthetic=100)
    found = chosen(tmp_path, strict, judge, small_mnist)
    preview = preview_of(tmp_path, strict, 0, 1)
    given = TrainSpec.of(strict, 0, 2), small_mnist, [preview], quiet
    trained = training_set(*given, [preview.with_name("selected.safetensors")])
    assert len(found["rows"]) == len(trained.images) == 40


def test_a_selection_of_other_samples_is_refused(small_mnist: Path, judge: Path, tmp_path: Path) -> None:
    run = selecting(by="mean", top=0.5)
    found = chosen(tmp_path, run, judge, small_mnist)
    preview = preview_of(tmp_path, run, 0, 1)
    header = {"seed": "0", "generation": "1", "samples": 64 * "0"}
    write_tensors(preview.with_name("selected.safetensors"), found, header)
    given = TrainSpec.of(run, 0, 2), small_mnist, [preview], quiet
    with pytest.raises(ArtifactError, match=r"selected.safetensors: was made of other samples"):
        training_set(*given, [preview.with_name("selected.safetensors")])


def test_a_score_that_needs_a_classifier_says_so(small_mnist: Path, judge: Path, tmp_path: Path) -> None:
    run = selecting(by="confidence", best_of=2)
    chosen(tmp_path, run, judge, small_mnist)
    preview = preview_of(tmp_path, run, 0, 1)
    with pytest.raises(ArtifactError, match="look through a classifier"):
        select(SelectionSpec.of(run, 0, 1), preview, None, small_mnist, preview.parent)


# --- real rows that are filtered ---


def filtering(real: Real | None = None, **given: Any) -> RunSpec:
    run = run_spec(real=real)
    return replace(run, loop=replace(run.looped, filter=select_of(given, "filter")))


def let_through(root: Path, run: RunSpec, judge: Path, data: Path) -> Path:
    """The file of a run's filter."""
    filter_real(FilterSpec.of(run, 0), judge, data, root)
    return root / "selected.safetensors"


def test_a_filter_lets_real_rows_through_by_their_own_labels(
    small_mnist: Path, judge: Path, tmp_path: Path
) -> None:
    run = filtering(by="confidence", top=0.25)
    found = read_tensors(let_through(tmp_path, run, judge, small_mnist))[0]
    images, labels = load(small_mnist, "train")
    probabilities = load_classifier(judge, CPU).judge(images).probabilities
    expected = probabilities[np.arange(len(labels)), labels]
    assert found["scores"] == pytest.approx(expected[None])
    assert len(found["rows"]) == len(images) // 4
    assert expected[found["rows"]].min() >= np.delete(expected, found["rows"]).max()


def test_every_real_row_of_a_loop_that_filters_was_let_through(
    small_mnist: Path, judge: Path, tmp_path: Path
) -> None:
    run, plain = filtering(Real(fixed=20, fresh=30), by="mean", top=0.5), run_spec(real=Real(20, 30))
    file = let_through(tmp_path / "filter", run, judge, small_mnist)
    rows = read_tensors(file)[0]["rows"]
    advance(tmp_path, plain, 0, 1, small_mnist)  # samples, whoever made them
    preview = preview_of(tmp_path, plain, 0, 1)
    seen = []
    for t, previews in ((1, []), (2, [preview])):
        trained = training_set(TrainSpec.of(run, 0, t), small_mnist, previews, quiet, [file])
        assert np.isin(trained.composition.real, rows).all()
        images = load(small_mnist, "train")[0][trained.composition.real] / np.float32(255)
        assert np.array_equal(trained.images.numpy()[: len(images)], images)
        seen.append(trained.composition.real)
    assert np.array_equal(seen[1][:20], seen[0][:20])
    assert not np.isin(seen[1][20:], seen[0]).any()
    with pytest.raises(ArtifactError, match="needs the selection of its loop's real rows"):
        training_set(TrainSpec.of(run, 0, 1), small_mnist, [], quiet)


def test_a_filter_that_leaves_too_few_says_so(small_mnist: Path, judge: Path, tmp_path: Path) -> None:
    means = load(small_mnist, "train")[0].mean(axis=(1, 2, 3), dtype=np.float64) / 255
    run = filtering(by="mean", above=float(np.sort(means)[-50]))
    file = let_through(tmp_path, run, judge, small_mnist)
    with pytest.raises(SpecError, match="lets 50 real rows through, but 100 are asked for"):
        training_set(TrainSpec.of(run, 0, 1), small_mnist, [], quiet, [file])


def test_real_rows_that_a_score_sees_are_those_let_through(
    small_mnist: Path, judge: Path, tmp_path: Path
) -> None:
    filtered = filtering(by="mean", top=0.1)
    run = replace(
        filtered,
        loop=replace(
            filtered.looped, select=select_of({"by": {"score": "nearest_real", "real": 20}, "top": 0.5}, "s")
        ),
    )
    file = let_through(tmp_path / "filter", run, judge, small_mnist)
    plain = run_spec()
    advance(tmp_path, plain, 0, 1, small_mnist)
    preview, found = preview_of(tmp_path, plain, 0, 1), []
    for given in (file, None):
        select(SelectionSpec.of(run, 0, 1), preview, judge, small_mnist, tmp_path, quiet, given)
        found.append(read_tensors(tmp_path / "selected.safetensors")[0]["scores"])
    net, (images, _) = load_classifier(judge, CPU), load(small_mnist, "train")
    order = numpy_generator(0, 0, "real rows").permutation(len(images))
    first = [row for row in order if row in set(read_tensors(file)[0]["rows"].tolist())][:20]
    mine, theirs = (
        net.judge(those).features.astype(np.float64)
        for those in (images_of(preview.with_name("samples.safetensors"), 0, 1), images[first])
    )
    distances = np.linalg.norm(mine[:, None] - theirs[None], axis=2).min(axis=1)
    assert found[0] == pytest.approx(-distances[None])
    assert not np.allclose(found[0], found[1])

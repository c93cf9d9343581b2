"""What a generation trains on: the rows its loop asks for, from files that are what they say they are."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bigloop.artifacts import (
    ArtifactError,
    read_tensors,
    write_tensors,
)
from bigloop.data import load, load_verified
from bigloop.generation.rows import training_set
from bigloop.generation.sample import read_samples, sample
from bigloop.generation.train import train
from bigloop.loops import compose
from bigloop.spec.generations import SampleSpec, TrainSpec
from bigloop.spec.loops import Real, Synthetic

from .lineage import (
    SAMPLES,
    advance,
    images_of,
    lineage,
    place,
    preview_of,
    quiet,
    run_spec,
    samples_of,
)

pytestmark = pytest.mark.long


def test_the_rows_of_generation_1_are_real_and_in_0_to_1(small_mnist: Path) -> None:
    rows, labels, _, inputs = training_set(TrainSpec.of(run_spec(), 0, 1), small_mnist, (), quiet)
    stored = {image.tobytes() for image in load(small_mnist, "train")[0]}
    assert rows.dtype == torch.float32
    assert (rows.min(), rows.max()) == (0, 1)
    assert {(row * 255).round().byte().numpy().tobytes() for row in rows} <= stored
    assert inputs == {"data": load_verified(small_mnist, "train")[2]}
    assert labels is None


def test_later_rows_are_samples_as_handed_over(two_generations: Path, small_mnist: Path) -> None:
    run = run_spec()
    images = images_of(samples_of(two_generations, run, 0, 1), 0, 1)
    rows = training_set(
        TrainSpec.of(run, 0, 2), small_mnist, [preview_of(two_generations, run, 0, 1)], quiet
    ).images
    assert rows.dtype == torch.float16
    assert len({row.numpy().tobytes() for row in rows} & {image.tobytes() for image in images}) == 100


def test_real_rows_stand_first_in_a_mixed_training_set(two_generations: Path, small_mnist: Path) -> None:
    mixed = run_spec(real=Real(fixed=30))
    preview = preview_of(two_generations, run_spec(), 0, 1)
    rows = training_set(TrainSpec.of(mixed, 0, 2), small_mnist, [preview], quiet).images
    first = training_set(TrainSpec.of(mixed, 0, 1), small_mnist, (), quiet).images
    images = images_of(preview.with_name("samples.safetensors"), 0, 1)
    assert len(rows) == 130
    assert torch.equal(rows[:30], first[:30])
    assert {row.half().numpy().tobytes() for row in rows[30:]} <= {image.tobytes() for image in images}


@pytest.mark.parametrize(
    "other",
    [(0, 2), (1, 1), (7, 3)],
    ids=["of another generation", "of another seed", "of another seed and generation"],
)
def test_a_samples_file_of_another_place_is_refused_by_path(
    other: tuple[int, int], two_generations: Path, small_mnist: Path, tmp_path: Path
) -> None:
    run = run_spec()
    swapped = samples_of(tmp_path, run, *other)
    shutil.copytree(place(two_generations, run, 0, other[1] if other[0] == 0 else 1), swapped.parent)
    shutil.copy(samples_of(two_generations, run, 0, 1), swapped)
    out = place(tmp_path / "out", run, 0, 2)
    with pytest.raises(ArtifactError, match=rf"\A{re.escape(str(swapped.parent))}/[^\n]+\Z"):
        train(TrainSpec.of(run, 0, 2), small_mnist, [swapped.with_name("preview.safetensors")], out, quiet)
    assert not out.exists()


def test_a_samples_file_of_another_run_is_refused_by_path(
    two_generations: Path, small_mnist: Path, tmp_path: Path
) -> None:
    run, other = run_spec(), run_spec(hidden=17)
    swapped = preview_of(tmp_path, other, 0, 1)
    swapped.parent.mkdir(parents=True)
    shutil.copy(preview_of(two_generations, run, 0, 1), swapped)
    with pytest.raises(
        ArtifactError, match=rf"\A{re.escape(str(swapped))}: holds {run.folder}/seed-0/gen-1/"
    ):
        train(TrainSpec.of(other, 0, 2), small_mnist, [swapped], tmp_path / "out", quiet)


def test_samples_that_the_loop_needs_but_nobody_named_are_asked_for(
    small_mnist: Path, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match=r"^generation 2 needs the samples of generations \[1\]$"):
        train(TrainSpec.of(run_spec(), 0, 2), small_mnist, (), tmp_path / "out", quiet)


def test_a_samples_file_that_is_too_short_is_refused(
    two_generations: Path, small_mnist: Path, tmp_path: Path
) -> None:
    run = run_spec()
    short = place(tmp_path, run, 0, 1)
    sample(replace(SampleSpec.of(run, 0, 1), n=30), place(two_generations, run, 0, 1), short)
    with pytest.raises(ArtifactError, match=r"\A[^\n]*30[^\n]*\Z"):
        train(
            TrainSpec.of(run, 0, 2),
            small_mnist,
            [short / "preview.safetensors"],
            tmp_path / "out",
            quiet,
        )


def test_negative_values_of_a_wgan_survive_into_its_samples_and_the_next_training_set(
    small_mnist: Path, tmp_path: Path
) -> None:
    run = run_spec("wgan_gp")
    images = advance(tmp_path, run, 0, 1, small_mnist)
    rows = training_set(TrainSpec.of(run, 0, 2), small_mnist, [preview_of(tmp_path, run, 0, 1)], quiet).images
    assert images.min() < -0.01
    assert rows.min() < -0.01


def test_deleted_samples_are_drawn_again_exactly_by_the_training_that_needs_them(
    two_generations: Path, small_mnist: Path, tmp_path: Path
) -> None:
    run = run_spec()
    shutil.copytree(two_generations / run.folder, tmp_path / run.folder)
    preview = preview_of(tmp_path, run, 0, 1)
    kept = training_set(TrainSpec.of(run, 0, 2), small_mnist, [preview], quiet)
    preview.with_name("samples.safetensors").unlink()
    again = training_set(TrainSpec.of(run, 0, 2), small_mnist, [preview], quiet)
    assert torch.equal(kept.images, again.images)
    assert kept.inputs == again.inputs
    assert not preview.with_name("samples.safetensors").exists()


def test_samples_that_are_not_those_of_their_preview_are_refused(
    two_generations: Path, small_mnist: Path, tmp_path: Path
) -> None:
    run = run_spec()
    shutil.copytree(two_generations / run.folder, tmp_path / run.folder)
    preview = preview_of(tmp_path, run, 0, 1)
    samples = preview.with_name("samples.safetensors")
    tensors, header = read_tensors(samples)
    words = {k: v for k, v in header.items() if k not in ("sha256", "address")}
    write_tensors(samples, {"images": tensors["images"][::-1]}, words)
    with pytest.raises(ArtifactError, match=rf"\A{re.escape(str(samples))}: not the samples that preview"):
        training_set(TrainSpec.of(run, 0, 2), small_mnist, [preview], quiet)


def test_the_rows_trained_on_are_recorded_and_found_again_from_the_spec(
    small_mnist: Path, tmp_path: Path
) -> None:
    run = run_spec(real=Real(fixed=20, fresh=10))
    run = replace(run, loop=replace(run.loop, synthetic=Synthetic(n=30, from_="all")))
    lineage(tmp_path, run, 0, 3, small_mnist)
    recorded, _ = read_tensors(place(tmp_path, run, 0, 3) / "rows.safetensors")
    expected = compose(TrainSpec.of(run, 0, 3), 4_000, {1: SAMPLES, 2: SAMPLES})
    np.testing.assert_array_equal(recorded.pop("real"), expected.real)
    assert recorded.keys() == {"1", "2"}
    for generation, rows in expected.synthetic.items():
        np.testing.assert_array_equal(recorded[str(generation)], rows)


def test_a_training_set_does_not_depend_on_the_order_in_which_its_sources_were_made(
    small_mnist: Path, tmp_path: Path
) -> None:
    run = run_spec(real=Real(fixed=20))
    run = replace(run, loop=replace(run.loop, synthetic=Synthetic(n=30, from_="all")))
    lineage(tmp_path, run, 0, 2, small_mnist)
    previews = [preview_of(tmp_path, run, 0, g) for g in (1, 2)]
    forth, back = (
        training_set(TrainSpec.of(run, 0, 3), small_mnist, p, quiet) for p in (previews, previews[::-1])
    )
    assert torch.equal(forth.images, back.images)
    assert forth.inputs == back.inputs


def test_labels_travel_with_the_rows_of_a_conditional_family(small_mnist: Path, tmp_path: Path) -> None:
    run = run_spec("ddpm", real=Real(fixed=30))
    _, classes = load(small_mnist, "train")
    real = training_set(TrainSpec.of(run, 0, 1), small_mnist, (), quiet)
    np.testing.assert_array_equal(real.labels, classes[real.composition.real])
    advance(tmp_path, run, 0, 1, small_mnist)
    samples, _ = read_samples(samples_of(tmp_path, run, 0, 1), 0, 1)
    np.testing.assert_array_equal(samples["labels"], np.arange(SAMPLES) % 10)
    mixed = training_set(TrainSpec.of(run, 0, 2), small_mnist, [preview_of(tmp_path, run, 0, 1)], quiet)
    chosen = mixed.composition.synthetic[1]
    np.testing.assert_array_equal(mixed.labels[30:], samples["labels"][chosen])
    np.testing.assert_array_equal(mixed.images[30:], samples["images"][chosen].astype(np.float32))

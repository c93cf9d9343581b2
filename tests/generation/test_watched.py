"""What a training leaves to look at beside its model: the table of its steps, and snapshots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bigloop.artifacts import SNAPSHOTS_FILE, STEPS_FILE, read_json, read_table, read_tensors
from bigloop.generation.sample import sample
from bigloop.generation.train import train
from bigloop.spec.generations import SampleSpec, TrainSpec

from .lineage import continuing, place, quiet, run_spec

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    ("family", "left"), [("vae", set()), ("dcgan", {STEPS_FILE, f"{STEPS_FILE}.sha256"})]
)
def test_snapshots_are_one_file_more_and_change_no_other(
    family: str, left: set[str], small_mnist: Path, tmp_path: Path
) -> None:
    run = run_spec(family)
    without, watched = (place(tmp_path / name, run, 0, 1) for name in ("without", "watched"))
    train(TrainSpec.of(run, 0, 1), small_mnist, (), without, quiet)
    train(TrainSpec.of(run, 0, 1), small_mnist, (), watched, quiet, snapshots=2)
    files = [{path.name for path in folder.iterdir()} for folder in (without, watched)]
    assert left == files[0] & {STEPS_FILE, f"{STEPS_FILE}.sha256", SNAPSHOTS_FILE}
    assert files[1] == files[0] | {SNAPSHOTS_FILE}
    for name in ("model.safetensors", *left):
        assert (without / name).read_bytes() == (watched / name).read_bytes()
    records = [read_json(folder / "model.json") for folder in (without, watched)]
    assert records[0] == records[1]
    taken, _ = read_tensors(watched / SNAPSHOTS_FILE)
    assert taken["steps"].tolist() == [0, 6, 10]
    assert taken["epochs"].tolist() == [0, 2, 10 / 3]
    assert taken["images"].shape == (3, 16, 1, 28, 28)


def test_generations_of_a_lineage_show_the_same_latents_and_those_of_another_seed_others(
    small_mnist: Path, tmp_path: Path
) -> None:
    run, found = continuing("dcgan"), {}
    for seed, generation in ((0, 1), (0, 2), (1, 1)):
        out = place(tmp_path, run, seed, generation)
        previous = place(tmp_path, run, seed, 1) if generation > 1 else None
        earlier = [place(tmp_path, run, seed, 1) / "preview.safetensors"] if generation > 1 else []
        train(
            TrainSpec.of(run, seed, generation),
            small_mnist,
            earlier,
            out,
            quiet,
            snapshots=9,
            previous=previous,
            keep_optimizer=True,
        )
        sample(SampleSpec.of(run, seed, generation), out, out)
        found[seed, generation] = read_tensors(out / SNAPSHOTS_FILE)[0]["images"]
    # the second generation begins with the weights that the first ended with
    np.testing.assert_array_equal(found[0, 1][-1], found[0, 2][0])
    assert (found[0, 1][0] != found[1, 1][0]).any()


def test_the_table_has_every_steps_losses_outputs_and_gradient_norms(
    small_mnist: Path, tmp_path: Path
) -> None:
    run = run_spec("dcgan", loss="wgan_gp")
    out = place(tmp_path, run, 0, 1)
    train(TrainSpec.of(run, 0, 1), small_mnist, (), out, quiet)
    table, history = read_table(out / STEPS_FILE), read_table(out / "history.csv")
    assert list(table["step"]) == list(range(1, 11))  # so few steps have a row each
    names = ("loss_critic", "loss_generator", "gradient_penalty", "critic_on_real", "critic_on_fake")
    norms = ("gradient_norm_generator", "gradient_norm_critic")
    assert set(table) == {"step"} | {f"{n}{end}" for n in names + norms for end in ("", "_least", "_most")}
    assert table.notna().all(axis=None)
    for name in names:  # the history has the means of epochs, of 3 steps
        means = [table[name][first : first + 3].mean() for first in (0, 3, 6, 9)]
        np.testing.assert_allclose(history[name], means, rtol=1e-5, atol=1e-7)
    assert history["gradient_norm_critic"][0] == pytest.approx(table["gradient_norm_critic"][0], rel=1e-6)


def test_a_run_that_shares_its_first_generation_has_what_it_left(small_mnist: Path, tmp_path: Path) -> None:
    run = run_spec("dcgan")
    first, own = tmp_path / "first" / "seed-0" / "gen-1", place(tmp_path, run, 0, 1)
    train(TrainSpec.of(run, 0, 1), small_mnist, (), first, quiet, snapshots=1)
    sample(SampleSpec.of(run, 0, 1), first, own)
    assert (own / STEPS_FILE).is_symlink()
    assert read_table(own / STEPS_FILE).equals(read_table(first / STEPS_FILE))
    shared, there = (read_tensors(folder / SNAPSHOTS_FILE)[0] for folder in (own, first))
    np.testing.assert_array_equal(shared["images"], there["images"])

"""The figures of a training's course: they show what was taken, and say what is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from bigloop.analysis.ranks import pairs, rank_correlation
from bigloop.artifacts import SNAPSHOTS_FILE, STEPS_FILE, write_table, write_tensors
from bigloop.figures import Material, Snapshots, plot
from bigloop.figures.files import snapshots, steps
from bigloop.figures.fixed_latents import shown
from bigloop.figures.gradient_norms import LOWEST, POINTS
from bigloop.figures.parts.courses import snapshots_of
from bigloop.figures.parts.tiles import mosaic

Make = Callable[..., Material]


def drawn(name: str, material: Material, **options: Any) -> Figure:
    entry = plot(name)
    return entry.draw(material, entry.Options(**options))


# --- fixed_latents ---


def test_a_row_is_one_latent_and_a_column_one_epoch_in_every_run(make_material: Make) -> None:
    material = make_material(generations=2)
    fig = drawn("fixed_latents", material, latents=2, epochs=(100.0, 0.0, 1_400.0), generation=2)
    pictures = [image.get_array() for ax in fig.axes for image in ax.images]
    assert len(pictures) == 3 * 3
    for place, run in enumerate(material.runs["run"]):
        taken = material.snapshots[run, 2]
        for column, k in enumerate((0, 1, 14)):
            np.testing.assert_array_equal(pictures[3 * place + column], mosaic(taken.images[k], 2, 1))
    assert [ax.get_title() for ax in fig.axes] == ["epoch 0", "100", "1\u2009400"] * 3


def test_without_a_choice_up_to_ten_epochs_are_shown_from_first_to_last() -> None:
    options = plot("fixed_latents").Options
    taken = Snapshots(np.arange(0.0, 33), np.zeros((33, 16, 1, 2, 2)))
    picked = shown(taken, options()).epochs
    assert (len(picked), picked[0], picked[-1]) == (10, 0, 32)
    few = Snapshots(taken.epochs[:4], taken.images[:4])
    assert list(shown(few, options()).epochs) == [0, 1, 2, 3]


def test_an_epoch_that_was_not_taken_is_shown_by_the_one_next_to_it() -> None:
    """Batches of 16 of 5 400 rows: half an epoch is no whole number of steps."""
    options = plot("fixed_latents").Options
    taken = Snapshots(np.array([0.0, 2.4976, 4.9994, 7.4970]), np.zeros((4, 16, 1, 2, 2)))
    assert list(shown(taken, options(epochs=(2.5, 7.5))).epochs) == [2.4976, 7.4970]


def test_epochs_are_labelled_as_one_says_them(make_material: Make) -> None:
    material = make_material(generations=1)
    taken = Snapshots(np.array([0.0, 0.05, 2.4976, 9.9941, 123.4]), np.zeros((5, 16, 1, 2, 2)))
    fig = drawn("fixed_latents", dataclasses.replace(material, snapshots={("setup2", 1): taken}))
    assert [ax.get_title() for ax in fig.axes] == ["epoch 0", "0.05", "2.5", "10", "123.4"]


def test_runs_without_snapshots_are_left_out_and_none_at_all_is_one_line(make_material: Make) -> None:
    material = make_material(generations=1)
    some = {("setup2", 1): material.snapshots["setup2", 1]}
    fig = drawn("fixed_latents", dataclasses.replace(material, snapshots=some))
    assert len(fig.axes) == 10
    with pytest.raises(ValueError, match=r"\Asnapshots of generation 3 are missing; [^\n]+\Z"):
        drawn("fixed_latents", material, generation=3)


# --- gradient_norms ---


def test_every_run_has_its_norms_by_step_on_one_logarithmic_scale(make_material: Make) -> None:
    material = make_material(generations=1, seeds=(0, 1))
    fig = drawn("gradient_norms", material)
    assert len(fig.axes) == 3
    for ax, run in zip(fig.axes, material.runs["run"], strict=True):
        assert ax.get_yscale() == "log"
        assert ax.get_ylim() == fig.axes[0].get_ylim()
        lines = [(line.get_gid(), line) for line in ax.lines]
        assert [gid for gid, _ in lines] == ["norm:generator", "norm:critic"] * 2
        for place, (gid, line) in enumerate(lines):
            table = material.steps[run, place // 2, 1]
            column = f"gradient_norm_{gid.partition(':')[2]}"
            np.testing.assert_array_equal(line.get_xdata(), table["step"])
            np.testing.assert_allclose(line.get_ydata(), table[column].clip(lower=LOWEST))


def test_a_long_course_has_at_most_so_many_points_and_keeps_its_mean_and_its_ends(
    make_material: Make,
) -> None:
    material = make_material(generations=1)
    short = material.steps["vae", 0, 1]
    table = pd.concat([short] * 40, ignore_index=True)
    table["step"] = np.arange(1, len(table) + 1) * 4
    fig = drawn("gradient_norms", dataclasses.replace(material, steps={("vae", 0, 1): table}))
    (ax,) = fig.axes
    line, column = ax.lines[0], "gradient_norm_generator"
    assert len(line.get_xdata()) <= POINTS < len(table)
    assert np.asarray(line.get_xdata())[-1] == table["step"].max()
    lows = [path.get_extents().ymin for band in ax.collections for path in band.get_paths()]
    assert min(lows) == pytest.approx(
        max(LOWEST, min(table[c].min() for c in table if c.endswith("_least") and "norm" in c))
    )
    assert np.mean(line.get_ydata()) == pytest.approx(
        table[column].mean(), rel=0.05
    )  # the last group is smaller


def test_gradients_of_0_are_drawn_at_the_bottom(make_material: Make) -> None:
    material = make_material(generations=1)
    table = material.steps["vae", 0, 1].copy()
    table.loc[table["step"] > 200, [c for c in table if "generator" in c]] = 0.0
    fig = drawn("gradient_norms", dataclasses.replace(material, steps={("vae", 0, 1): table}))
    (ax,) = fig.axes
    assert np.asarray(ax.lines[0].get_ydata())[-1] == LOWEST > ax.get_ylim()[0]


def test_without_tables_of_steps_it_says_so(make_material: Make) -> None:
    with pytest.raises(ValueError, match=r"\Atables of steps of generation 2 are missing\Z"):
        drawn("gradient_norms", make_material(generations=1), generation=2)


# --- trainings end to end ---


def continuing(material: Material, *runs: str) -> Material:
    starts = ["continue" if run in runs else "scratch" for run in material.runs["run"]]
    return dataclasses.replace(material, runs=material.runs.assign(**{"loop.start": starts}))


def test_trainings_that_continue_are_shown_as_one(make_material: Make) -> None:
    material = continuing(make_material(generations=3, seeds=(0, 1)), "setup1")
    whole, parts = snapshots_of(material, "setup1", 0), [material.snapshots["setup1", t] for t in (1, 2, 3)]
    assert whole
    assert list(whole.epochs) == list(range(0, 4_201, 100))
    np.testing.assert_array_equal(whole.images[:15], parts[0].images)
    np.testing.assert_array_equal(whole.images[15:29], parts[1].images[1:])
    assert snapshots_of(material, "vae", 0) is None
    fig = drawn("gradient_norms", material, generation=0)
    (ax,) = fig.axes
    assert len(ax.lines) == 4  # two networks, two seeds
    assert list(ax.lines[0].get_xdata()) == list(range(50, 1_501, 50))
    table = material.steps["setup1", 0, 3]
    last = np.asarray(ax.lines[0].get_ydata())[-len(table) :]
    np.testing.assert_allclose(last, table["gradient_norm_generator"])
    assert len(drawn("fixed_latents", material, generation=0).axes) == 10


def test_they_end_where_one_is_missing(make_material: Make) -> None:
    material = continuing(make_material(generations=3), "vae")
    some = {key: taken for key, taken in material.snapshots.items() if key != ("vae", 2)}
    whole = snapshots_of(dataclasses.replace(material, snapshots=some), "vae", 0)
    assert whole
    assert whole.epochs[-1] == 1_400


@pytest.mark.parametrize("name", ["fixed_latents", "gradient_norms"])
def test_where_no_run_continues_there_is_no_such_course(name: str, make_material: Make) -> None:
    with pytest.raises(ValueError, match=r"\Ageneration: 0 shows runs that continue [^\n]+\Z"):
        drawn(name, make_material(generations=2), generation=0)


# --- loss_and_quality ---


def test_every_generation_is_a_point_and_each_panel_says_its_rank_correlation(make_material: Make) -> None:
    material = make_material(generations=6, seeds=(0, 1, 2))
    fig = drawn("loss_and_quality", material, measure="class_entropy")
    panels = [ax for ax in fig.axes if ax.get_title(loc="left")]
    assert len(panels) == 2  # the VAE has no generator's loss
    for ax, run in zip(panels, ("setup1", "setup2"), strict=True):
        table = pairs(material, run, ("final_loss", "loss_generator"), ("class_entropy", ""))
        for seed, points in enumerate(ax.collections):
            own = table[table["seed"] == seed]
            np.testing.assert_allclose(points.get_offsets(), own[["x", "y"]])
        assert ax.get_xlabel() == f"loss generator\n{rank_correlation(table)}"
        assert "3 seeds" in ax.get_xlabel()


def test_a_loss_or_a_measure_that_no_run_has_is_named(make_material: Make) -> None:
    material = make_material(generations=3)
    with pytest.raises(ValueError, match=r"\Aloss loss_kll and measure fid: no generation has both\Z"):
        drawn("loss_and_quality", material, loss="loss_kll")
    with pytest.raises(ValueError, match=r"\Ameasure energy is missing "):
        drawn("loss_and_quality", material, measure="energy")


# --- critic_and_wasserstein ---


@pytest.mark.parametrize("measure", ["wasserstein1", "wasserstein1_excess"])
def test_the_critics_distance_stands_over_the_exact_one(measure: str, make_material: Make) -> None:
    material = make_material(generations=5, seeds=(0, 1))
    fig = drawn("critic_and_wasserstein", material, measure=measure)
    panels = [ax for ax in fig.axes if ax.get_title(loc="left")]
    assert [ax.get_ylabel() for ax in panels] == ["critic's distance", ""]
    for ax, run in zip(panels, ("setup1", "setup2"), strict=True):  # the VAE has no critic
        table = pairs(material, run, (measure, ""), ("critic_distance", ""))
        for seed, points in enumerate(ax.collections):
            own = table[table["seed"] == seed]
            np.testing.assert_allclose(points.get_offsets(), own[["x", "y"]])
        assert ax.get_xlabel().endswith(f"\n{rank_correlation(table)}")


def test_where_no_run_has_both_distances_it_says_so(make_material: Make) -> None:
    material = make_material(generations=3)
    table = material.measures
    critics = table["run"].isin(["setup1", "setup2"]) & (table["measure"] == "wasserstein1")
    with pytest.raises(
        ValueError, match=r"\Acritic_distance and wasserstein1: no generation of one run has both\Z"
    ):
        drawn("critic_and_wasserstein", dataclasses.replace(material, measures=table[~critics]))


# --- what they are drawn from ---


def test_files_are_found_where_trainings_left_them(tmp_path: Path, make_material: Make) -> None:
    runs = pd.DataFrame(
        {"run": ["a", "b"], "folder": ["fa", "fb"], "seeds": ["4 5", "0"], "generations": [2, 1]}
    )
    table = make_material(generations=1).steps["vae", 0, 1]
    images = np.full((3, 16, 1, 2, 2), 51, np.uint8)
    for seed, generation in ((4, 1), (5, 2)):
        folder = tmp_path / "runs" / "fa" / f"seed-{seed}" / f"gen-{generation}"
        write_table(folder / STEPS_FILE, table)
        write_tensors(folder / SNAPSHOTS_FILE, {"images": images, "epochs": np.array([0.0, 0.5, 1.0])}, {})
    assert set(dict(steps(runs, tmp_path))) == {("a", 4, 1), ("a", 5, 2)}
    (key, taken), *others = snapshots(runs, tmp_path)  # of the first seed alone
    assert (key, others) == (("a", 1), [])
    assert list(taken.epochs) == [0, 0.5, 1]
    np.testing.assert_allclose(taken.images, 0.2)

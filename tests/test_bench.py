"""The benchmark: it compares like with like, counts operations as by hand, and every section finds what it promises."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from bigloop import bench
from bigloop.__main__ import main
from bigloop.artifacts import read_json
from bigloop.bench import growth, jobs, large, loop, measures, pictures, remedies, steps, table, together
from bigloop.bench.plain import (
    BATCH,
    Contest,
    PlainDCGAN,
    PlainDDPM,
    PlainVAE,
    PlainWGANGP,
    Trained,
    checked,
    loss_difference,
    plain_batches,
    plain_loader,
    timed,
)
from bigloop.bench.setting import CPU, Setting, alone, image_model, peak_gib
from bigloop.bench.table import Section, head, line, time_text
from bigloop.config.experiment import Experiment
from bigloop.data import load
from bigloop.models.images.vae import VAE
from bigloop.models.images.wgan_gp import WGANGP
from bigloop.runtime.progress import Reporter
from bigloop.training.recorded import GRAPHS

from .workflow import forks

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).resolve().parents[1]
EXPERIMENTS = REPOSITORY / "workflow" / "experiments"


def fresh(cls: type, **options: Any) -> Any:
    return cls.fresh(cls.Options(**options), (1, 28, 28), torch.Generator().manual_seed(0))


def small_wgan() -> WGANGP:
    return fresh(WGANGP, width=8, critic_iterations=2)


CONTESTS = {
    "wgan_gp": Contest("WGAN-GP", small_wgan, PlainWGANGP, 2),
    "vae": Contest("VAE", lambda: fresh(VAE), PlainVAE, 2),
}
COLOURED = {
    "dcgan": ("dcgan", {"width": 4, "learning_rate": 1e-3, "generator_loss": "non_saturating"}, PlainDCGAN),
    "wgan_gp": ("dcgan", {"width": 4, "loss": "wgan_gp", "critic_iterations": 2}, PlainWGANGP),
    "vae": ("vae", {"hidden": 32, "latent": 4}, PlainVAE),
    "ddpm": ("ddpm", {"width": 8, "blocks": 1}, PlainDDPM),
}


@pytest.fixture(scope="module")
def images(mnist: Path) -> np.ndarray:
    return load(mnist, "train")[0][:1_000]


@pytest.fixture
def setting(mnist: Path, tmp_path: Path) -> Setting:
    return Setting(CPU, 1, True, tmp_path, mnist, {"read": ("json", "csv"), "write": ("json", "csv")})


@pytest.fixture
def in_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


# --- the plain loop ---


@pytest.mark.parametrize("name", CONTESTS)
def test_both_loops_have_the_same_losses_on_real_digits(name: str, images: np.ndarray) -> None:
    assert 0 < checked(CONTESTS[name], images, CPU) < 1e-2  # in float32 never quite the same
    assert loss_difference(CONTESTS[name], images[:BATCH], CPU, torch.float64) < 1e-12  # before any update
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("name", COLOURED)
def test_both_loops_have_the_same_losses_on_colours(name: str) -> None:
    kind, options, plain = COLOURED[name]
    classes = 10 if kind == "ddpm" else None
    random = np.random.default_rng(0).integers(0, 256, (64, 3, 32, 32), dtype=np.uint8)

    def make() -> Any:
        return image_model(kind, options, CPU, classes, (3, 32, 32))[0]

    contest = Contest(name, make, plain, 2, batch=16, labelled=kind == "ddpm")
    assert checked(contest, random, CPU) < 1e-2
    assert loss_difference(contest, random[:16], CPU, torch.float64) < 1e-10  # before any update


def test_a_loop_that_learns_something_else_is_not_timed(images: np.ndarray) -> None:
    def wrong(model: WGANGP) -> PlainWGANGP:
        plain = PlainWGANGP(model)
        plain.critic_optimizer.param_groups[0]["lr"] *= 1.1
        return plain

    message = r"^WGAN-GP: losses differ by [\d.e+-]+ in torch.float64; the two loops do not learn"
    with pytest.raises(AssertionError, match=message):
        checked(CONTESTS["wgan_gp"]._replace(plain=wrong), images, CPU)


def test_every_round_is_timed_and_takes_the_contests_steps(images: np.ndarray) -> None:
    taken = []

    def counted(model: VAE) -> Callable[..., dict[str, float]]:
        plain = PlainVAE(model)
        return lambda batch, noise: taken.append(len(batch)) or plain(batch, noise)

    contest = CONTESTS["vae"]._replace(plain=counted, steps=3)
    plain, ours = timed(contest, images, np.zeros(len(images), np.int64), CPU, rounds=2)
    assert len(plain) == len(ours) == 2
    assert min(*plain, *ours) > 0
    assert taken == [BATCH] * 9  # one round to warm up, and two


def test_the_plain_loader_gives_the_same_pixels_as_rows_in_memory(images: np.ndarray) -> None:
    labels = np.arange(len(images))
    batch, index = next(iter(plain_loader(images, labels)))
    assert batch.shape == (BATCH, 1, 28, 28)
    torch.testing.assert_close(
        batch, torch.from_numpy(images[index.numpy()]).float() / 255, rtol=0, atol=1e-7
    )


def test_the_plain_loader_gives_colours_as_they_are_and_labels() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)
    batch, index = next(iter(plain_loader(colours, np.arange(20), 16)))
    assert batch.shape == (16, 3, 32, 32)
    torch.testing.assert_close(
        batch, torch.from_numpy(colours[index.numpy()]).float() / 255, rtol=0, atol=1e-7
    )


def test_plain_batches_begin_another_pass_where_one_ends(images: np.ndarray) -> None:
    batches = (images for images, _ in plain_batches(images[:100], np.zeros(100, np.int64)))
    assert [len(batch) for batch in islice(batches, 3)] == [64, 36, 64]
    assert [len(batch) for batch in islice(batches, 2)] == [36, 64]


# --- operations ---


def convolutions(shapes: list[tuple[int, int, int, int]]) -> list[int]:
    """Operations of each layer of (inner channels, outer channels, kernel, side of what it is counted at), a batch."""
    return [2 * BATCH * inner * outer * kernel**2 * side**2 for inner, outer, kernel, side in shapes]


def test_operations_of_a_vae_step_are_those_counted_by_hand() -> None:
    batch = torch.rand(BATCH, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    layers = [i * o for widths in ((784, 400, 400, 400), (200, 400, 400, 784)) for i, o in pairwise(widths)]
    # forward, and the gradients of weights and inputs; but nobody needs that of the images
    expected = 2 * BATCH * (3 * sum(layers) - 784 * 400)
    assert steps.vae_gflop(fresh(VAE), batch) == expected / 1e9


@pytest.mark.parametrize("critic_steps", [1, 3])
def test_operations_of_a_wgan_gp_step_are_those_counted_by_hand(critic_steps: int) -> None:
    w = 4
    batch = torch.rand(BATCH, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    critic = convolutions([(1, w, 4, 14), (w, 2 * w, 4, 7), (2 * w, 4 * w, 3, 4), (4 * w, 1, 4, 1)])
    maker = convolutions([(100, 4 * w, 4, 1), (4 * w, 2 * w, 3, 4), (2 * w, w, 4, 7), (w, 1, 4, 14)])
    back = 2 * sum(critic) - critic[0]  # gradients of weights and of inputs, but not of the images
    scores = 2 * (sum(critic) + back)  # of real and of generated images
    # forward and gradient in the images; of the latter the gradients in its weights and adjoints; and back
    penalty = 2 * sum(critic) + 2 * sum(critic) + back
    generator = 3 * sum(maker) - maker[0] + 2 * sum(critic)
    expected = critic_steps * (sum(maker) + scores + penalty) + generator
    model = fresh(WGANGP, width=w, critic_iterations=critic_steps)
    assert steps.wgan_gp_gflop(model, batch) == expected / 1e9


def test_the_limit_is_the_best_call_of_the_fastest_product(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {64: iter([9.0, 1e-6, 9.0, 9.0, 9.0, 9.0]), 512: iter([9.0, 9.0, 9.0, 4e-6, 9.0, 9.0])}

    def seconds(call: Callable[[], torch.Tensor], device: torch.device) -> float:
        return next(taken[len(call())])

    monkeypatch.setattr(steps, "seconds", seconds)
    side, limit = steps.peak(CPU, (64, 512))
    assert (side, limit) == (512, pytest.approx(2 * 512**3 / 4e-6 / 1e9))


def test_operations_of_a_product_are_two_for_each_term() -> None:
    a = torch.rand(512, 512)
    assert steps.gflop(lambda: a @ a) == 2 * 512**3 / 1e9


def test_the_diffusion_is_that_of_the_shipped_experiment() -> None:
    config = yaml.safe_load((EXPERIMENTS / "mad-mnist-ddpm.yaml").read_text())
    assert config["models"]["ddpm"].items() >= steps.DDPM.items()


@pytest.mark.parametrize("before", [None, "1"])
def test_on_a_gpu_steps_are_also_taken_unrecorded_and_the_setting_comes_back(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(GRAPHS, raising=False)
    if before:
        monkeypatch.setenv(GRAPHS, before)
    seen = [(mode, os.environ.get(GRAPHS)) for mode in steps._modes(torch.device("cuda"))]
    assert seen == [("", before), (", no CUDA graph", "0")]
    assert os.environ.get(GRAPHS) == before
    assert list(steps._modes(CPU)) == [""]


# --- sections ---


def found(section: Section, setting: Setting) -> list[Any]:
    """The rows of a section, which are shown under its heads, and have positive numbers."""
    rows = list(section.rows(setting))
    for row in rows:
        words = line(section, row)
        assert words.startswith(f"{row.name:<{table.NAME}}")  # names do not run into the numbers
        assert len(words) <= table.NAME + table.WIDTH * len(section.columns)
        numbers = [value for value in row[1:] if isinstance(value, int | float)]
        assert min(numbers) >= 0
        assert max(numbers) > 0
        assert json.loads(json.dumps(row._asdict()))["name"] == row.name
    assert all(len(column.head) < table.WIDTH for column in section.columns.values())
    assert ("name", *section.columns) == rows[0]._fields
    assert head(section).split()
    return rows


def test_steps_has_every_family_that_learns_by_gradients(setting: Setting) -> None:
    rows = {row.name: row for row in found(steps.SECTION, setting)}
    names = " ".join(rows)
    for name in ("limit", "VAE, an epoch", "VAE, a step", "5 critic steps", "2 critic steps", "DDPM"):
        assert name in names
    for name in steps.POINTS:
        assert {f"{name}, a step of 1 replicate", f"{name}, a step of 50 replicates"} <= rows.keys()
        one, fifty = (rows[f"{name}, a step of {n}"] for n in ("1 replicate", "50 replicates"))
        assert fifty.gflop == pytest.approx(50 * one.gflop, rel=1e-12)  # stacked, not shared
    epoch, step = rows["VAE, an epoch of 3,200"], rows["VAE, a step of it"]
    assert epoch.gflop == pytest.approx(50 * step.gflop, rel=1e-12)
    assert epoch.seconds == pytest.approx(50 * step.seconds, rel=1e-12)
    assert epoch.loss_difference < 1e-2
    limit = next(iter(rows.values()))
    assert limit.share == pytest.approx(1, rel=1e-12)
    for row in rows.values():
        assert row.share == pytest.approx(row.gflop / limit.gflops / row.seconds, rel=1e-9)


def test_large_has_every_network_in_every_precision_that_the_device_has(setting: Setting) -> None:
    rows = found(large.SECTION, setting)
    here = ("float32", "bf16") if setting.device.type == "cpu" else ("float32", "tf32", "bf16")
    expected = [f"{n.name}, {p}" for n in large.NETWORKS for p in here if p in n.precisions]
    assert [row.name for row in rows] == expected
    for row in rows:
        assert row.rate == pytest.approx(row.batch / row.seconds)
        assert row.peak_gib > 0
        assert row.sampled > 0
    assert [row.evaluations for row in rows if "float32" in row.name] == [35, 100, 100, 79, 1]


def test_remedies_has_the_models_of_the_experiment(setting: Setting) -> None:
    rows = found(remedies.SECTION, setting)
    config = yaml.safe_load((EXPERIMENTS / "mode-collapse.yaml").read_text())
    expected = {
        name: {k: v for k, v in model.items() if k != "family"} for name, model in config["models"].items()
    }
    assert {name: remedies.PLAIN | options for name, options in remedies.REMEDIES.items()} == expected
    assert [row.name for row in rows] == list(expected)


def test_pictures_has_steps_sampling_and_features(setting: Setting) -> None:
    rows = {row.name: row for row in found(pictures.SECTION, setting)}
    for one, _ in pictures.MODELS:
        step = rows[f"{one.name}, a step"]
        assert step.loss_difference < 1e-2
        assert step.rate == pytest.approx(step.images / step.seconds, rel=1e-9)
    assert sum("sampling" in name for name in rows) == len(pictures.MODELS) - 1
    assert {"features of the ResNet of width 32", "features of Inception"} <= rows.keys()


def test_jobs_has_every_verb_once_with_those_that_import_the_same_together(
    setting: Setting, in_checkout: None
) -> None:
    rows = [row.name for row in found(jobs.SECTION, setting)]
    assert rows == [
        "an empty Python",
        "verbs that import nothing more",
        "read, write (json, csv)",
        "snakemake -n, one generation of a VAE",
    ]


def test_together_compares_with_one_process_and_with_the_plain_loop(setting: Setting) -> None:
    rows = found(together.SECTION, setting)
    plain, one, two = rows
    assert [(row.name, row.processes) for row in (one, two)] == [("VAE", 1), ("VAE", 2)]
    assert plain.name == "VAE: plain loop, all threads"
    assert one.relative == 1
    assert two.relative == two.per_second / one.per_second
    assert two.against == two.per_second / plain.per_second


@pytest.mark.parametrize("one", [one for one, *_ in together.FAMILIES], ids=lambda one: one.name)
def test_every_family_that_is_trained_together_learns_as_its_plain_loop(
    one: Trained, setting: Setting
) -> None:
    images, contest = together.images_of(one, setting), one.contest(CPU, 1)
    assert images.shape[1:] == one.shape
    assert loss_difference(contest, images[: contest.batch], CPU, torch.float64) < 1e-10


def test_measures_has_every_measure_and_sampling_of_every_image_family(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measures, "alone", lambda function, *arguments: function(*arguments))
    names = " ".join(row.name for row in found(measures.SECTION, setting))
    for name in ("wasserstein1", "precision", "recall", "fid", "vae", "wgan_gp", "ddpm"):
        assert name in names


def test_sides_are_disjoint_digits_as_the_measure_is_shown_them(images: np.ndarray) -> None:
    first, last = measures.sides("wasserstein1", 10, images)
    np.testing.assert_array_equal(first, images[:10] / np.float32(255))
    np.testing.assert_array_equal(last, images[-10:] / np.float32(255))
    features, _ = measures.sides("recall", 10, images)
    assert features.shape == (10, measures.FEATURES)
    assert np.linalg.matrix_rank(features) == 10


def test_a_process_of_its_own_counts_its_own_memory_and_not_its_parents(mnist: Path) -> None:
    before = alone(peak_gib)
    ballast = np.ones(2**27)  # 1 GiB
    assert peak_gib() > ballast.nbytes / 2**30
    assert alone(peak_gib) < before + 0.1
    # the digits alone are 45 MiB
    assert alone(measures.loaded, mnist) > before + 0.04


def test_growth_has_plans_widths_and_rows(setting: Setting, in_checkout: None) -> None:
    rows = found(growth.SECTION, setting)
    assert [row.size for row in rows] == [2, 5, 100, 200, 4, 8, 640, 1_280]
    for row in rows:
        first = next(other for other in rows if other.name == row.name)
        assert row.relative == row.seconds / first.seconds


@pytest.mark.workflow
def test_the_loop_is_run_to_its_end_and_its_jobs_are_those_that_say_so(
    setting: Setting, in_checkout: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(forks.python()))
    data = shutil.copytree(setting.data, tmp_path / "data")
    (data / "fetch.log").touch()
    fetched = Reporter(data / "fetch.log", "fetch", 1)  # no job of the loop
    fetched.begin(9.0)
    fetched.end("done", work=9.0)
    rows = {row.name.strip(): row for row in found(loop.SECTION, replace(setting, given=data))}
    whole = rows["the loop: 2 generations, measures and figures"]
    parts = {name.removeprefix("of it, "): row for name, row in rows.items() if name.startswith("of it")}
    # two measurings of generations, and the floor
    assert {name: row.jobs for name, row in parts.items()} == {
        "train": 2,
        "sample": 2,
        "measure": 3,
        "collect": 1,
        "plot": 1,
        "explore": 1,
    }
    assert sum(row.jobs for row in parts.values()) == whole.jobs
    assert sum(row.work for row in parts.values()) == pytest.approx(whole.work)
    assert whole.per_hour == pytest.approx(2 * 3600 / whole.seconds)
    assert rows["before: the classifier, once"].jobs == 1
    assert rows["the same command again: nothing is left to do"].jobs == 0


def test_times_are_those_of_every_finished_jobs_last_call(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "vae" / "gen-1"
    folder.mkdir(parents=True)
    for verb, work in (("train", 9.0), ("train", 1.25), ("sample", None)):
        log = folder / f"{verb}.log"
        log.touch()
        report = Reporter(log, verb, 1)
        report.begin(0.5)
        if work:
            report.end("done", work=work)
    (folder / "old.log").write_text("a version that wrote no more than this\n")
    (tmp_path / "linked").symlink_to(folder)
    assert loop.job_times(tmp_path) == {(folder / "train.log").resolve(): ("train", 1.25, 0.5)}


@pytest.mark.parametrize("quick", [True, False])
def test_the_experiments_that_are_derived_are_valid(quick: bool) -> None:
    config = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    before = json.dumps(config)
    small = Experiment.from_config(loop.small_experiment(config, 3, quick=quick))
    long = yaml.safe_load((EXPERIMENTS / "knutsen2025.yaml").read_text())
    long = Experiment.from_config(growth.long_loop(long, 1_000))
    assert [(run.generations, len(run.seeds)) for run in small.runs.values()] == [(3, 1)]
    assert [run.generations for run in long.runs.values()] == [1_000]
    assert json.dumps(config) == before


# --- the whole ---


def test_an_unknown_section_is_one_line_that_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "step"]) == 1
    assert capsys.readouterr().err == (
        "error: bench: unknown section 'step' (known: steps, pictures, large, remedies, jobs, loop, together, "
        "measures, growth)\n"
    )


def test_the_help_names_every_section(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    words = capsys.readouterr().out.replace(",", " ").split()
    assert set(bench.SECTIONS) <= set(words)


def test_outside_the_project_it_says_where_to_call_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench"]) == 1
    assert capsys.readouterr().err == (
        "error: bench: no Snakefile and no config.yaml here; run it in the project's root for jobs, loop, growth\n"
    )


def test_the_json_has_all_sections_with_what_the_screen_shows(
    tmp_path: Path, mnist: Path, in_checkout: None, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def rows(setting: Setting) -> Any:
        yield jobs.Row("something", 0.0123)

    quick = {name: Section(name, "about it", jobs.Row, rows, True) for name in bench.SECTIONS}
    monkeypatch.setattr(bench, "SECTIONS", quick)
    assert main(["bench", "--quick", "--data", str(mnist), "--out", str(tmp_path / "b.json")]) == 0
    keys = ("date", "device", "cpu", "cores", "threads", "memory_gib", "versions", "sections")
    written = read_json(tmp_path / "b.json", keys)
    assert list(written["sections"]) == [
        "steps",
        "pictures",
        "large",
        "remedies",
        "jobs",
        "loop",
        "together",
        "measures",
        "growth",
    ]
    assert written["sections"]["loop"]["rows"] == [{"name": "something", "seconds": 0.0123}]
    assert "12.3 ms" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0000042, "4.20 µs"),
        (0.00457, "4.57 ms"),
        (0.0457, "45.7 ms"),
        (0.457, "457 ms"),
        (4.57, "4.57 s"),
        (457, "457 s"),
    ],
)
def test_times_are_written_with_their_unit(seconds: float, words: str) -> None:
    assert time_text(seconds) == words

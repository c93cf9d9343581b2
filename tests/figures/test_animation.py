"""Films: one frame a generation, what each shows, and the files they become."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bigloop.figures import Material, plot
from bigloop.figures.parts import film
from bigloop.figures.parts.film import write_film
from bigloop.figures.parts.tiles import mosaic
from bigloop.spec.options import parse

from .test_known_figures import clouds

Make = Callable[..., Material]
LENGTHS = {"vae": 4, "setup1": 3, "setup2": 1}


def frames(name: str, material: Material, **options: object) -> list:
    entry = plot(name)
    assert entry.frames is not None
    return list(entry.frames(material, parse(entry.Options, options, f"figures.{name}")))


def test_each_frame_shows_its_generation_of_each_run_or_the_last_there_is(make_material: Make) -> None:
    material = make_material(generations=LENGTHS)
    shown = frames("animation", material, side=2)
    assert [fig._suptitle.get_text() for fig in shown] == [f"generation {t} of 4" for t in range(1, 5)]
    for t, fig in enumerate(shown, start=1):
        titles = [ax.get_title(loc="left") for ax in fig.axes]
        assert titles == ["real (mnist)", "VAE", "WGAN-GP setup 1", "WGAN-GP setup 2"]
        for ax, (run, last) in zip(fig.axes[1:], LENGTHS.items(), strict=True):
            expected = mosaic(material.images[run, min(t, last)], 2, 2)
            np.testing.assert_array_equal(ax.images[0].get_array(), expected)
            assert ax.get_xlabel() == (f"generation {last}" if t > last else "")
        np.testing.assert_array_equal(fig.axes[0].images[0].get_array(), mosaic(material.real["mnist"], 2, 2))


def test_points_move_and_those_of_the_density_stay() -> None:
    material = clouds(2, generations=3)
    shown = frames("animation_of_points", material, runs=["p1"])
    assert len(shown) == 3
    for t, fig in enumerate(shown, start=1):
        (ax,) = fig.axes
        true, made = (np.asarray(found.get_offsets()) for found in ax.collections)
        np.testing.assert_array_equal(true, material.points["p1", None])
        np.testing.assert_array_equal(made, material.points["p1", t])


def test_on_paper_stands_the_last_frame(make_material: Make) -> None:
    material, entry = make_material(generations=2), plot("animation")
    fig = entry.draw(material, parse(entry.Options, {}, "figures.animation"))
    assert fig._suptitle.get_text() == "generation 2 of 2"
    images = {cell: found for cell, found in material.images.items() if cell[0] != "setup1"}
    few = dataclasses.replace(material, images=images)
    with pytest.raises(ValueError, match="images of run setup1 are missing"):
        entry.draw(few, parse(entry.Options, {}, "figures.animation"))


def test_a_gif_has_a_frame_a_generation_and_the_same_bytes_again(make_material: Make, tmp_path: Path) -> None:
    material, said = make_material(generations=3, runs={"vae": ("vae", "VAE")}), []
    for name in ("one", "two"):
        write_film(tmp_path / name, frames("animation", material), 80, said.append)
    gif = Image.open(tmp_path / "one.gif")
    assert (gif.n_frames, gif.info["loop"]) == (3, 0)
    durations = []
    for place in range(3):
        gif.seek(place)
        durations.append(gif.info["duration"])
    assert durations == [80, 80, 240]
    assert (tmp_path / "one.gif").read_bytes() == (tmp_path / "two.gif").read_bytes()


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffmpeg is not installed")
def test_where_ffmpeg_is_installed_there_is_an_mp4_that_lasts_as_long(
    make_material: Make, tmp_path: Path
) -> None:
    material = make_material(generations=3, runs={"vae": ("vae", "VAE")})
    write_film(tmp_path / "film", frames("animation", material), 200, print)
    asked = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name:format=duration", "-of", "csv=p=0"]
    told = subprocess.run([*asked, str(tmp_path / "film.mp4")], capture_output=True, text=True, check=True)
    codec, seconds = told.stdout.split()
    assert codec == "h264"
    assert float(seconds) == pytest.approx(5 * 0.2, abs=0.1)


def test_without_ffmpeg_it_says_so_and_leaves_no_older_mp4(
    make_material: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film.shutil, "which", lambda name: None)
    (tmp_path / "film.mp4").touch()
    said: list[str] = []
    write_film(tmp_path / "film", frames("animation", make_material(generations=2)), 200, said.append)
    assert said == ["no MP4: ffmpeg is not installed"]
    assert [path.name for path in tmp_path.iterdir()] == ["film.gif"]

"""Every figure draws what the tables say, whatever the number of runs, seeds and generations."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.text import Text

from bigloop.figures import FIGURES, Material, plot
from bigloop.figures.class_frequencies import class_shares, run_shares
from bigloop.figures.critic_matrices import fake_shares
from bigloop.figures.parts import style
from bigloop.figures.parts.tiles import mosaic
from bigloop.spec.options import SpecError, parse

Make = Callable[..., Material]
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("error::UserWarning"),  # a layout that does not fit is a warning
]

LONG = {
    f"r{i}": ("wgan_gp", f"WGAN-GP with a long label, five critic iterations, λ = {i}") for i in range(10)
}
SHAPES: dict[str, dict[str, Any]] = {
    "one seed": {"generations": 12},
    "three seeds": {"generations": 6, "seeds": (3, 4, 5)},
    "one generation": {"generations": 1},
    "unequal generations": {"generations": {"vae": 12, "setup1": 3, "setup2": 1}},
    "one run": {"generations": 4, "runs": {"a": ("wgan_gp", "WGAN-GP")}, "inception": False},
    "ten runs with long labels": {"generations": 2, "runs": LONG},
}
KNOWN = (
    "trajectories",
    "point_clouds",
    "animation_of_points",
    "sweep",
    "mode_seeking",
    "ecosystem",
    "map",
)  # see test_known_figures.py
OF_IMAGES = [name for name in FIGURES if name not in (*KNOWN, "remedies")]  # see test_remedies.py
CURVES = {
    "wasserstein1": ["wasserstein1", "wasserstein1_excess"],
    "fid": ["fid", "fid_inception"],
    "critic_on_test": ["critic_on_test"],
    "collapse": ["fid", "class_entropy", "confidence"],
}


def drawn(name: str, material: Material, **options: Any) -> Figure:
    entry = plot(name)
    return entry.draw(material, entry.Options(**options))


def panels(fig: Figure) -> list[Axes]:
    """The axes with curves of runs."""
    return [ax for ax in fig.axes if run_lines(ax)]


def run_lines(ax: Axes) -> dict[str, Line2D]:
    gids = {str(line.get_gid()): line for line in ax.lines}
    return {gid.removeprefix("run:"): line for gid, line in gids.items() if gid.startswith("run:")}


def floors(ax: Axes) -> list[float]:
    return [float(line.get_ydata()[0]) for line in ax.lines if line.get_label().startswith("real vs real")]


def heatmaps(fig: Figure) -> list[AxesImage]:
    return [image for ax in fig.axes for image in ax.images]


def without(material: Material, measure: str) -> Material:
    table = material.measures
    return dataclasses.replace(material, measures=table[table["measure"] != measure])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", OF_IMAGES)
def test_every_figure_draws_and_no_label_leaves_the_page_or_covers_another(
    make_material: Make, name: str, shape: str
) -> None:
    if (name, shape) == ("bias", "one run"):
        pytest.skip("one run has one sampling bias: see test_bias_needs_two_lambdas")
    fig = drawn(name, make_material(**SHAPES[shape]))
    fig.savefig(io.BytesIO(), format="png")
    assert fig.get_size_inches()[0] <= style.WIDTH
    for text in visible_texts(fig):
        assert text.get_fontsize() >= style.SMALL, text
    page = fig.bbox.padded(1.0)
    boxes = {text: text.get_window_extent().padded(-1.0) for text in labels(fig)}
    for text, box in boxes.items():
        assert page.x0 <= box.x0 < box.x1 <= page.x1, text
        assert page.y0 <= box.y0 < box.y1 <= page.y1, text
    for one, other in itertools.combinations(boxes, 2):
        assert not boxes[one].overlaps(boxes[other]), (one, other)


def visible_texts(fig: Figure) -> list[Text]:
    return [t for t in fig.findobj(Text) if isinstance(t, Text) and t.get_visible() and t.get_text()]


def labels(fig: Figure) -> list[Text]:
    """Titles, axis labels and legend entries, but not the ticks."""
    found = [t for legend in fig.legends for t in [legend.get_title(), *legend.get_texts()]]
    for part in [fig, *fig.subfigs]:
        found += part.texts + [t for t in (part._suptitle, part._supxlabel, part._supylabel) if t is not None]
    for ax in fig.axes:
        found += [ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label]
    return list(dict.fromkeys(t for t in found if t.get_text() and t.get_visible()))


@pytest.mark.parametrize("name", CURVES)
def test_curve_is_the_mean_over_seeds(make_material: Make, name: str) -> None:
    material = make_material(generations=5, seeds=(0, 1, 2))
    axes = panels(drawn(name, material))
    assert len(axes) == len(CURVES[name])
    for ax, measure in zip(axes, CURVES[name], strict=True):
        table = material.measures[material.measures["measure"] == measure]
        runs = [run for run in material.runs["run"] if (table["run"] == run).any()]
        assert list(run_lines(ax)) == runs
        for run, line in run_lines(ax).items():
            rows = table[table["run"] == run]
            for generation, value in zip(line.get_xdata(), line.get_ydata(), strict=True):
                expected = np.mean([r.value for r in rows.itertuples() if r.generation == generation])
                assert value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", [*CURVES, "losses"])
def test_band_and_its_note_appear_only_with_several_seeds(make_material: Make, name: str) -> None:
    for seeds, note in ((7,), "one seed"), ((1, 2, 3), "mean ± s.d. over 3 seeds"):
        fig = drawn(name, make_material(generations=4, seeds=seeds))
        for ax in panels(fig):
            assert len(ax.collections) == (len(run_lines(ax)) if len(seeds) > 1 else 0)
        assert fig.legends[0].get_title().get_text() == note


def test_band_is_one_sample_standard_deviation_each_way(make_material: Make) -> None:
    material = make_material(generations=3, seeds=(0, 1, 2), runs={"a": ("vae", "VAE")}, inception=False)
    (ax,) = panels(drawn("fid", material))
    corners = ax.collections[0].get_paths()[0].vertices
    table = material.measures[(material.measures["measure"] == "fid") & (material.measures["run"] == "a")]
    for generation in (1, 2, 3):
        values = table.loc[table["generation"] == generation, "value"].to_numpy()
        at = corners[corners[:, 0] == generation, 1]
        assert at.max() == pytest.approx(values.mean() + values.std(ddof=1), rel=1e-12)
        assert at.min() == pytest.approx(values.mean() - values.std(ddof=1), rel=1e-12)


def test_floor_is_the_real_row_of_the_same_n(make_material: Make) -> None:
    plain, excess = panels(drawn("wasserstein1", make_material(generations=4)))
    assert floors(plain) == [6.9]  # the table also holds 6.1, for n = 1000
    assert floors(excess) == [0.01]
    assert "n = 500" in plain.get_ylabel()


def test_floor_is_left_out_where_real_data_was_not_measured(make_material: Make) -> None:
    material = make_material(generations=4)
    real = material.measures["run"] == "real"
    material = dataclasses.replace(material, measures=material.measures[~real])
    for name in ("wasserstein1", "fid"):
        assert [floors(ax) for ax in panels(drawn(name, material))] == [[], []]


def test_note_explains_a_distance_below_its_floor_and_only_that(make_material: Make) -> None:
    material = make_material(generations=4)
    generated = (material.measures["measure"] == "wasserstein1") & (material.measures["run"] != "real")
    for value, noted in ((6.8, True), (7.0, False)):
        table = material.measures.assign(value=material.measures["value"].mask(generated, value))
        plain, _ = panels(drawn("wasserstein1", dataclasses.replace(material, measures=table)))
        assert ("below the floor" in plain.get_title(loc="left")) is noted


def test_fid_axis_is_logarithmic_only_where_the_runs_span_a_decade_and_a_half(make_material: Make) -> None:
    material = make_material(generations=4, inception=False)
    fid, real = material.measures["measure"] == "fid", material.measures["run"] == "real"
    for ratio, scale in ((10**1.4, "linear"), (10**1.6, "log")):
        last = material.measures["generation"] == 4
        values = material.measures["value"].mask(fid & ~real, 20.0).mask(fid & ~real & last, 20 * ratio)
        table = material.measures.assign(value=values.mask(fid & real, 0.5))
        (ax,) = panels(drawn("fid", dataclasses.replace(material, measures=table)))
        assert ax.get_yscale() == scale


def test_inception_panel_only_where_it_was_measured(make_material: Make) -> None:
    assert len(panels(drawn("fid", make_material(generations=2, inception=True)))) == 2
    assert len(panels(drawn("fid", make_material(generations=2, inception=False)))) == 1


def test_a_run_looks_the_same_in_every_figure(make_material: Make) -> None:
    runs = {"a": ("vae", "A"), "b": ("wgan_gp", "B"), "c": ("vae", "C"), "d": ("wgan_gp", "D")}
    material = make_material(generations=3, runs=runs)
    seen: dict[str, set[Any]] = {run: set() for run in runs}
    for name in (*CURVES, "losses"):
        for ax in panels(drawn(name, material)):
            for run, line in run_lines(ax).items():
                seen[run].add((line.get_color(), line.get_linestyle(), line.get_marker(), line.get_label()))
    assert all(len(found) == 1 for found in seen.values())
    assert len(set.union(*seen.values())) == len(runs)


def test_ten_runs_can_be_told_apart(make_material: Make) -> None:
    found = style.looks(make_material(generations=1, runs=LONG).runs).values()
    assert len({(look.colour, look.linestyle) for look in found}) == 10


def test_runs_with_one_label_keep_two_names() -> None:
    runs = pd.DataFrame({"run": ["a", "b", "c"], "label": ["VAE", "VAE", None]})
    assert [look.label for look in style.looks(runs).values()] == ["VAE (a)", "VAE (b)", "c"]


def test_shares_of_each_column_sum_to_one(make_material: Make) -> None:
    material = make_material(generations=5, seeds=(0, 1))
    pictures = heatmaps(drawn("class_frequencies", material))[: 2 * 3]  # the colour bar comes last
    assert [picture.get_array().shape for picture in pictures] == [(10, 1), (10, 5)] * 3
    for picture in pictures:
        np.testing.assert_allclose(picture.get_array().sum(axis=0), 1.0, rtol=1e-12)


def test_class_frequencies_read_detail_as_word_or_number(make_material: Make) -> None:
    material = make_material(generations=2)
    only = material.measures[material.measures["measure"] == "class_frequency"]
    numbers = dataclasses.replace(material, measures=only.assign(detail=only["detail"].astype(float)))
    np.testing.assert_array_equal(run_shares(material, "vae"), run_shares(numbers, "vae"))
    assert class_shares(numbers, "vae", None)[1] == pytest.approx(113 / 999)


def test_a_class_that_is_never_predicted_has_share_zero(make_material: Make) -> None:
    material = make_material(generations=1)
    gone = (material.measures["measure"] == "class_frequency") & (material.measures["detail"] == "4")
    material = dataclasses.replace(material, measures=material.measures[~gone])
    assert run_shares(material, "vae")[4, 0] == 0.0


def test_pixel_intensities_show_log_density_of_the_wanted_generations(make_material: Make) -> None:
    material = make_material(generations=5, seeds=(0, 1), runs={"a": ("vae", "VAE")})
    (ax,) = drawn("pixel_intensities", material, generations=(1, 5)).axes
    steps = {patch.get_label(): patch for patch in ax.patches}
    assert list(steps) == ["real data", "generation 1", "generation 5"]
    heights, edges, _ = steps["generation 5"].get_data()
    assert len(heights) == 200
    np.testing.assert_allclose([edges[0], edges[100], edges[-1]], [-1, 0, 1], atol=1e-9)
    density = np.expm1(heights)
    assert (density * np.diff(edges)).sum() == pytest.approx(1.0)  # the table's densities integrate to 1


def test_images_are_clipped_for_display(make_material: Make) -> None:
    material = make_material(generations=3)
    for name in ("samples", "collapse"):
        pictures = [image.get_array() for image in heatmaps(drawn(name, material))]
        assert len(pictures) == 3 * 4
        assert min(p.min() for p in pictures) == 0.0
        assert max(p.max() for p in pictures) == 1.0


def test_mosaic_keeps_the_order_of_images_and_leaves_missing_ones_white() -> None:
    levels = np.array([-0.5, 0.25, 0.5])
    picture = mosaic(np.broadcast_to(levels[:, None, None, None], (3, 1, 4, 4)), rows=2, columns=2)
    assert picture.shape == (10, 10, 3)
    assert [picture[0, 0, 0], picture[0, 6, 1], picture[6, 0, 2], picture[6, 6, 0]] == [0.0, 0.25, 0.5, 1.0]
    assert picture[5, 5, 0] == 1.0


def test_colour_images_stay_in_colour() -> None:
    red = np.zeros((1, 3, 2, 2))
    red[:, 0] = 1.0
    np.testing.assert_array_equal(mosaic(red, 1, 1)[0, 0], [1.0, 0.0, 0.0])


def test_samples_show_the_wanted_generations_that_exist(make_material: Make) -> None:
    material = make_material(generations={"vae": 20, "setup1": 7, "setup2": 2})
    titles = [ax.get_title() for ax in drawn("samples", material, generations=(1, 5, 10, 20), side=2).axes]
    assert [t for t in titles if t != "real data"] == [
        *(f"generation {g}" for g in (1, 5, 10, 20)),
        *(f"generation {g}" for g in (1, 5)),
        "generation 1",
    ]


def test_generation_ticks_are_whole_few_and_start_at_the_first() -> None:
    assert style.generation_ticks(1, 20) == [1, 5, 10, 15, 20]
    assert style.generation_ticks(1, 1) == [1]
    for last in range(1, 500):
        ticks = style.generation_ticks(1, last)
        assert ticks[0] == 1
        assert ticks == sorted(set(ticks))
        assert ticks[-1] <= last
        assert len(ticks) <= 7


@pytest.mark.parametrize("name", CURVES)
def test_generations_are_marked_by_whole_numbers(make_material: Make, name: str) -> None:
    for ax in panels(drawn(name, make_material(generations=13))):
        assert all(float(tick).is_integer() for tick in ax.get_xticks())


def test_critic_matrix_has_generators_down_and_critics_across() -> None:
    cells = [(c, g, seed) for c in (1, 2, 3) for g in (1, 2) for seed in (0, 1) if (c, g) != (3, 2)]
    pair = pd.DataFrame(cells, columns=["critic_generation", "generator_generation", "seed"])
    pair["fake_share"] = (
        0.1 * pair["critic_generation"] + 0.01 * pair["generator_generation"] + 0.002 * pair["seed"]
    )
    shares, rows, columns = fake_shares(pair)
    assert (rows, columns) == ((1, 2), (1, 3))
    np.testing.assert_allclose(shares, [[0.111, 0.211, 0.311], [0.121, 0.221, np.nan]])


def test_critic_matrices_cover_every_pair_on_one_scale(make_material: Make) -> None:
    pictures = heatmaps(drawn("critic_matrices", make_material(generations=3)))
    shown = [picture for picture in pictures if picture.get_array().shape == (3, 3)]
    assert len(shown) == 2 * 3  # critics of two setups, images of three runs
    assert {picture.get_clim() for picture in shown} == {(0.0, 1.0)}


def test_runs_of_a_family_that_differ_in_their_kind_of_loss_do_not_share_a_panel(make_material: Make) -> None:
    material = make_material(generations=2)
    named = material.runs["run"].map
    runs = material.runs.assign(**{"model.loss": named({"setup1": "bce", "setup2": "wgan_gp"})})
    titles = [
        ax.get_title(loc="left").replace("\n", " ")
        for ax in drawn("losses", dataclasses.replace(material, runs=runs)).axes
    ]
    assert [title for title in titles if title.endswith("loss critic")] == [
        *("wgan_gp, bce: loss critic", "wgan_gp, wgan_gp: loss critic")
    ]
    assert "vae: loss kl" in titles
    alike = material.runs.assign(**{"model.loss": named({"setup1": "bce", "setup2": "bce"})})
    titles = [
        ax.get_title(loc="left") for ax in drawn("losses", dataclasses.replace(material, runs=alike)).axes
    ]
    assert [title for title in titles if title.endswith("loss critic")] == ["wgan_gp: loss critic"]


def test_losses_have_a_panel_for_each_loss_of_each_family(make_material: Make) -> None:
    axes = panels(drawn("losses", make_material(generations=2)))
    assert [(ax.get_title(loc="left"), list(run_lines(ax))) for ax in axes] == [
        ("vae: loss", ["vae"]),
        ("vae: loss reconstruction", ["vae"]),
        ("vae: loss kl", ["vae"]),
        ("wgan_gp: loss critic", ["setup1", "setup2"]),
        ("wgan_gp: loss generator", ["setup1", "setup2"]),
        ("wgan_gp: gradient penalty", ["setup1", "setup2"]),
    ]


def test_collapse_shows_the_entropy_of_real_and_of_equal_shares(make_material: Make) -> None:
    _, variety, _ = panels(drawn("collapse", make_material(generations=3)))
    levels = [line.get_ydata()[0] for line in variety.lines if line.get_gid() == "reference"]
    assert levels == pytest.approx([2.301, math.log(10)])


def test_collapse_falls_back_on_excess_and_then_on_two_panels(make_material: Make) -> None:
    material = without(make_material(generations=2), "confidence")
    assert [ax.get_ylabel().split(" (")[0] for ax in panels(drawn("collapse", material))][2:] == [
        "Wasserstein-1 excess"
    ]
    assert len(panels(drawn("collapse", without(material, "wasserstein1_excess")))) == 2


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("class_frequencies", "class_frequency"),
        ("pixel_intensities", "pixel_intensity"),
        ("wasserstein1", "wasserstein1"),
        ("wasserstein1", "wasserstein1_excess"),
        ("fid", "fid"),
        ("critic_on_test", "critic_on_test"),
        ("losses", "final_loss"),
        ("collapse", "fid"),
        ("collapse", "class_entropy"),
    ],
)
def test_missing_measure_is_named(make_material: Make, name: str, measure: str) -> None:
    with pytest.raises(ValueError, match=f"measure {measure} is missing") as caught:
        drawn(name, without(make_material(generations=2), measure))
    assert "\n" not in str(caught.value)


def test_missing_critics_and_images_are_named(make_material: Make) -> None:
    material = make_material(generations=2, runs={"vae": ("vae", "VAE")})
    for critics in (material.critics, pd.DataFrame()):
        with pytest.raises(ValueError, match="critics are missing"):
            drawn("critic_matrices", dataclasses.replace(material, critics=critics))
    for name in ("samples", "collapse"):
        with pytest.raises(ValueError, match="images of the real data are missing"):
            drawn(name, dataclasses.replace(material, real={}))
        with pytest.raises(ValueError, match="images of run vae are missing"):
            drawn(name, dataclasses.replace(material, images={}, real={"mnist": np.zeros((1, 1, 28, 28))}))


def test_one_measure_with_two_n_is_refused(make_material: Make) -> None:
    material = make_material(generations=2)
    doubled = pd.concat([material.measures, material.measures.assign(n=77)])
    with pytest.raises(ValueError, match=r"measure fid of run vae mixes several n \(77, 1000\)"):
        drawn("fid", dataclasses.replace(material, measures=doubled))


def test_drawing_leaves_the_settings_of_matplotlib_alone(make_material: Make) -> None:
    before = dict(mpl.rcParams)
    drawn("critic_on_test", make_material(generations=2))
    assert dict(mpl.rcParams) == before


def test_drawing_ignores_the_settings_of_the_user(make_material: Make) -> None:
    material = make_material(generations=2)
    pictures = []
    for size in (10, 30):
        with mpl.rc_context({"font.size": size, "axes.grid": size == 30}):
            buffer = io.BytesIO()
            drawn("critic_on_test", material).savefig(buffer, format="rgba", dpi=50)
            pictures.append(buffer.getvalue())
    assert pictures[0] == pictures[1]


def test_options_can_be_read_without_pandas_and_matplotlib() -> None:
    code = (
        "import sys, json; from bigloop.figures import FIGURES, plot; [plot(n).Options() for n in FIGURES];"
        "print(json.dumps([m for m in ('matplotlib', 'pandas', 'torch') if m in sys.modules]))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == []


def test_options_are_parsed_strictly() -> None:
    options = parse(plot("samples").Options, {"generations": [1, 5], "side": 3}, "figures.samples")
    assert options == plot("samples").Options(generations=(1, 5), side=3)
    with pytest.raises(SpecError, match=r"figures\.samples\.side"):
        parse(plot("samples").Options, {"side": 0}, "figures.samples")
    with pytest.raises(SpecError, match=r"figures\.fid\.sid: unknown key"):
        parse(plot("fid").Options, {"sid": 1}, "figures.fid")


def test_needs_name_the_images_critics_and_measures_a_figure_cannot_do_without() -> None:
    needs = {name: set(plot(name).needs) for name in FIGURES if plot(name).needs}
    assert needs == {
        "samples": {"images"},
        "class_frequencies": {"classes"},
        "pixel_intensities": {"pixels"},
        "wasserstein1": {"wasserstein1", "wasserstein1_excess"},
        "fid": {"fid"},
        "critic_on_test": {"critics"},
        "critic_matrices": {"critics"},
        "losses": {"losses"},
        "collapse": {"images", "fid", "classes"},
        "quality_diversity": {"fid", "precision", "recall"},
        "parameter_distance": {"parameter_distance"},
        "bias": {"fid", "precision", "recall"},
        "embedding": {"images"},
        "feature_embedding": {"images", "features"},
        "strips": {"images"},
        "spectrum": {"images", "spectrum"},
        "point_clouds": {"points"},
        "animation": {"images"},
        "animation_of_points": {"points"},
        "mode_seeking": {"curves"},
        "fixed_latents": {"snapshots"},
        "gradient_norms": {"steps"},
        "ecosystem": {"between"},
        "loss_and_quality": {"losses"},
        "critic_and_wasserstein": {"critics", "critic_distance"},
    }


def test_unknown_figure_is_refused() -> None:
    with pytest.raises(SpecError, match="unknown figure 'fidd'"):
        plot("fidd")


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_a_caption_of_one_sentence(name: str) -> None:
    caption = plot(name).caption
    assert caption.endswith(".")
    assert caption.count(". ") == 0
    assert "\n" not in caption


@pytest.mark.parametrize("name", ["fid", "quality_diversity"])
@pytest.mark.parametrize("reference", ["test", "training"])
def test_a_figure_says_that_it_is_of_test_rows(name: str, reference: str, make_material: Any) -> None:
    material = make_material(generations=3)
    held = dataclasses.replace(material, measures=material.measures.assign(reference=reference))
    fig = plot(name).draw(held, plot(name).Options())
    said = [ax.get_ylabel() for ax in fig.axes] + [fig.legends[0].get_title().get_text()]
    words = " ".join(said).replace("\xa0", " ").replace("\n", " ")
    assert ("against test rows" in words) == (reference == "test")

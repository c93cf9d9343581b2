"""The figures that compare loops: quality and diversity, weights, sampling bias, embeddings and strips."""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from bigloop.figures import Material, plot
from bigloop.figures.embedding import embedded, shade
from bigloop.figures.parts import style
from bigloop.spec.options import SpecError, parse

Make = Callable[..., Material]
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("error::UserWarning"),  # a layout that does not fit is a warning
]

NAMES = ("quality_diversity", "parameter_distance", "bias", "embedding", "feature_embedding", "strips")
MORE = ("fid", "precision", "recall", "density", "coverage", "intra_class_variance", "nearest_real")
LAMBDAS = (1.0, 0.5, 0.8, 0.66)
LONG = "a DDPM in a loop with a label that goes on for more than a line"


@pytest.fixture
def make_loops(make_material: Make) -> Make:
    """Material of one run for each of `loops`, name → (fixed, fresh) real rows, and each of `lambdas`."""

    def make(
        loops: Mapping[str, tuple[int, int]],
        lambdas: Sequence[float] = (1.0,),
        label: str = "DDPM",
        **more: Any,
    ) -> Material:
        kinds = [(loop, bias) for loop in loops for bias in lambdas]
        runs = {f"{loop}-{bias:g}": ("vae", f"{label}, {loop}, λ = {bias:g}") for loop, bias in kinds}
        material = make_material(runs=runs, **more)
        table = material.runs.assign(loop=[loop for loop, _ in kinds])
        table["loop.bias"] = [bias for _, bias in kinds]
        table["loop.real.fixed"], table["loop.real.fresh"] = zip(
            *(loops[loop] for loop, _ in kinds), strict=True
        )
        return dataclasses.replace(material, runs=table.assign(**{"loop.synthetic.n": 500}))

    return make


SYNTHETIC = {"synthetic": (0, 0)}
LOOPS = {**SYNTHETIC, "augmentation": (500, 0), "fresh": (0, 500)}


def drawn(name: str, material: Material, **options: Any) -> Figure:
    entry = plot(name)
    return entry.draw(material, entry.Options(**options))


def lines(ax: Axes, kind: str = "run") -> dict[str, Any]:
    gids = {str(line.get_gid()): line for line in ax.lines}
    return {gid.removeprefix(f"{kind}:"): line for gid, line in gids.items() if gid.startswith(f"{kind}:")}


def grey(ax: Axes) -> list[float]:
    return [float(line.get_ydata()[0]) for line in ax.lines if line.get_gid() == "reference"]


def titles(fig: Figure) -> list[str]:
    return [title for ax in fig.axes if (title := ax.get_title(loc="left"))]


def note(fig: Figure) -> str:
    return fig.legends[0].get_title().get_text().replace("\n", " ").replace("\xa0", " ")


def values(material: Material, run: str, measure: str, generation: int) -> np.ndarray:
    t = material.measures
    return t.loc[
        (t["run"] == run) & (t["measure"] == measure) & (t["generation"] == generation), "value"
    ].to_numpy()


def points(ax: Axes) -> dict[str, np.ndarray]:
    return {str(found.get_gid()): np.asarray(found.get_offsets()) for found in ax.collections}


# --- what all have in common


SHAPES: dict[str, dict[str, Any]] = {
    "one loop, one seed": {"loops": SYNTHETIC, "lambdas": (1.0, 0.5), "generations": 5},
    "three loops, three seeds": {
        "loops": LOOPS,
        "lambdas": (1.0, 0.5),
        "generations": 12,
        "seeds": (0, 1, 2),
    },
    "twelve runs with long labels": {"loops": LOOPS, "lambdas": LAMBDAS, "generations": 3, "label": LONG},
    "unequal generations": {
        "loops": SYNTHETIC,
        "lambdas": (1.0, 0.5),
        "generations": {"synthetic-1": 2, "synthetic-0.5": 12},
    },
}
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "quality_diversity": [{"measures": MORE}, {"rows": "loop"}],
    "embedding": [{"images": 12}],
    "feature_embedding": [{"images": 12}],
    "strips": [{}, {"rows": 1}],
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", [*NAMES, "collapse"])
def test_every_text_is_on_the_page_and_none_covers_another(make_loops: Make, name: str, shape: str) -> None:
    material = make_loops(**SHAPES[shape])
    words = itertools.cycle(["collapse", "drift", "stable", "too short"])
    verdicts = pd.DataFrame(
        {"run": material.runs["run"], "verdict": [next(words) for _ in material.runs["run"]]}
    )
    for options in OPTIONS.get(name, [{}]):
        fig = drawn(name, dataclasses.replace(material, verdicts=verdicts), **options)
        fig.savefig(io.BytesIO(), format="png")
        assert fig.get_size_inches()[0] <= style.WIDTH
        page, boxes = fig.bbox.padded(1.0), {t: t.get_window_extent().padded(-1.0) for t in written(fig)}
        for text, box in boxes.items():
            assert text.get_fontsize() >= style.SMALL, text
            assert page.x0 <= box.x0 < box.x1 <= page.x1, text
            assert page.y0 <= box.y0 < box.y1 <= page.y1, text
        for one, other in itertools.combinations(boxes, 2):
            assert not boxes[one].overlaps(boxes[other]), (options, one, other)


def written(fig: Figure) -> list[Text]:
    """All that is written but the ticks."""
    found = [t for legend in fig.legends for t in [legend.get_title(), *legend.get_texts()]]
    for part in [fig, *fig.subfigs]:
        found += [
            *part.texts,
            *(t for t in (part._suptitle, part._supxlabel, part._supylabel) if t is not None),
        ]
    for ax in fig.axes:
        found += [ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label, *ax.texts]
    return [t for t in dict.fromkeys(found) if t.get_text() and t.get_visible()]


@pytest.mark.parametrize(
    "name", ["quality_diversity", "parameter_distance", "embedding", "feature_embedding", "strips"]
)
def test_every_label_is_written_once(make_loops: Make, name: str) -> None:
    material = make_loops(LOOPS, generations=2)
    texts = [" ".join(text.get_text().split()) for text in written(drawn(name, material))]
    for label in material.runs["label"]:
        assert texts.count(label) == 1, label


@pytest.mark.parametrize(
    ("name", "measure"),
    [(name, m) for name in ("quality_diversity", "bias") for m in ("fid", "precision", "recall")]
    + [("parameter_distance", "parameter_distance")],
)
def test_missing_measure_is_named(make_loops: Make, name: str, measure: str) -> None:
    material = make_loops(SYNTHETIC, (1.0, 0.5), generations=2)
    table = material.measures[material.measures["measure"] != measure]
    with pytest.raises(ValueError, match=f"measure {measure} is missing") as caught:
        drawn(name, dataclasses.replace(material, measures=table))
    assert "\n" not in str(caught.value)


def test_missing_images_are_named(make_loops: Make) -> None:
    material = make_loops(SYNTHETIC, generations=2)
    for name in ("embedding", "strips"):
        with pytest.raises(ValueError, match="images of the real data are missing"):
            drawn(name, dataclasses.replace(material, real={}))
        with pytest.raises(ValueError, match="images of run synthetic-1 are missing"):
            drawn(name, dataclasses.replace(material, images={}))


def test_needs_name_what_a_figure_cannot_do_without() -> None:
    assert {name: set(plot(name).needs) for name in NAMES} == {
        "quality_diversity": {"fid", "precision", "recall"},
        "parameter_distance": {"parameter_distance"},
        "bias": {"fid", "precision", "recall"},
        "embedding": {"images"},
        "feature_embedding": {"images", "features"},
        "strips": {"images"},
    }


def test_options_are_parsed_strictly() -> None:
    options = parse(plot("quality_diversity").Options, {"rows": "loop", "measures": ["fid"]}, "figures.q")
    assert options == plot("quality_diversity").Options(measures=("fid",), rows="loop")
    for name, given in (
        ("quality_diversity", {"rows": "seed"}),
        ("bias", {"generation": -1}),
        ("embedding", {"perplexity": 1}),
        ("strips", {"rows": 0}),
    ):
        with pytest.raises(SpecError, match=f"figures.{name}.{next(iter(given))}"):
            parse(plot(name).Options, given, f"figures.{name}")


# --- quality and diversity


def test_quality_and_diversity_are_means_over_seeds_with_bands_of_one_deviation(make_loops: Make) -> None:
    material = make_loops(LOOPS, generations=3, seeds=(0, 1, 2))
    fig = drawn("quality_diversity", material, measures=MORE)
    assert len(fig.axes) == len(MORE)
    for ax, measure in zip(fig.axes, MORE, strict=True):
        assert list(lines(ax)) == list(material.runs["run"])
        for (run, line), band in zip(lines(ax).items(), ax.collections, strict=True):
            corners = band.get_paths()[0].vertices
            for generation, mean in zip(line.get_xdata(), line.get_ydata(), strict=True):
                found = values(material, run, measure, generation)
                assert mean == pytest.approx(found.mean(), rel=1e-12)
                top = corners[corners[:, 0] == generation, 1].max()
                assert top == pytest.approx(mean + found.std(ddof=1), rel=1e-12)


def test_the_rows_of_one_run_alone_have_its_name_or_none(make_loops: Make) -> None:
    (name, run), *_ = SYNTHETIC.items()
    material = make_loops({name: run}, generations=2)
    assert [ax.get_ylabel() for ax in drawn("quality_diversity", material).axes] == ["", "", ""]
    first = drawn("quality_diversity", material, rows="run").axes[0]
    assert [first.get_ylabel()] == list(material.runs["run"])


def test_floors_sizes_and_seeds_are_said_once(make_loops: Make) -> None:
    fig = drawn("quality_diversity", make_loops(SYNTHETIC, generations=2))
    assert titles(fig) == ["FID", "Quality (precision)", "Diversity (recall)"]
    assert [grey(ax) for ax in fig.axes] == [[1.3], [0.93], [0.94]]
    assert note(fig) == "one seed; FID: n = 1\u2009000; precision, recall: n = 2\u2009000, k = 5"
    several = make_loops(SYNTHETIC, generations=2, seeds=(0, 1))
    assert note(drawn("quality_diversity", several)).startswith("mean ± s.d. over 2 seeds; FID")


def test_runs_measured_on_different_n_share_a_panel_and_both_n_are_said(make_loops: Make) -> None:
    material = make_loops(LOOPS, generations=2)
    table = material.measures
    small = (table["run"] == "fresh-1") & (table["measure"] == "precision")
    table = table.assign(n=table["n"].mask(small, 400))
    fig = drawn("quality_diversity", dataclasses.replace(material, measures=table))
    assert len(lines(fig.axes[1])) == 3
    assert grey(fig.axes[1]) == [0.93]  # of n = 2 000; real data was not measured with 400
    assert "precision: n = 400 and 2\u2009000, k = 5; recall: n = 2\u2009000, k = 5" in note(fig)


def test_a_share_has_an_axis_from_0_to_1_and_a_distance_begins_at_0(make_loops: Make) -> None:
    fid, precision, recall = drawn("quality_diversity", make_loops(SYNTHETIC, generations=3)).axes
    assert precision.get_ylim() == recall.get_ylim() == (-0.02, 1.02)
    assert (fid.get_yscale(), fid.get_ylim()[0]) == ("linear", 0.0)


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        ("loop", ["synthetic", "augmentation", "fresh"]),
        ("bias", ["λ = 1", "λ = 0.5"]),
        ("family", ["vae"]),
        ("dataset", ["mnist"]),
    ],
)
def test_rows_divide_the_runs_and_share_their_axes(make_loops: Make, rows: str, names: list[str]) -> None:
    material = make_loops(LOOPS, (1.0, 0.5), generations=4)
    axes = drawn("quality_diversity", material, rows=rows).axes
    assert [ax.get_ylabel() for ax in axes[::3]] == names
    for column in range(3):
        below = axes[column::3]
        assert [run for ax in below for run in lines(ax)] == [
            run
            for name in names
            for run in material.runs["run"]
            if len(names) == 1 or run.startswith(name) or run.endswith(f"-{name.removeprefix('λ = ')}")
        ]
        assert len({(ax.get_xlim(), ax.get_ylim(), ax.get_yscale()) for ax in below}) == 1
        assert [ax.get_xlabel() for ax in below] == [""] * (len(names) - 1) + ["generation"]


def test_a_run_without_a_measure_is_left_out_of_that_panel(make_loops: Make) -> None:
    material = make_loops(LOOPS, generations=2)
    table = material.measures
    table = table[~((table["run"] == "fresh-1") & (table["measure"] == "recall"))]
    material = dataclasses.replace(material, measures=table)
    one_row = drawn("quality_diversity", material)
    assert [len(lines(ax)) for ax in one_row.axes] == [3, 3, 2]
    last = drawn("quality_diversity", material, rows="loop").axes[-1]
    assert [text.get_text() for text in last.texts] == ["not measured"]


def test_a_table_without_the_bias_is_unbiased(make_loops: Make) -> None:
    material = make_loops(LOOPS, generations=2)
    material = dataclasses.replace(material, runs=material.runs.drop(columns="loop.bias"))
    assert drawn("quality_diversity", material, rows="bias").axes[0].get_ylabel() == "λ = 1"


# --- weights


def test_weights_have_a_panel_a_family_and_its_mean_first_step(make_material: Make) -> None:
    material = make_material(generations=4, seeds=(0, 1))
    fig = drawn("parameter_distance", material)
    assert [(title, list(lines(ax))) for title, ax in zip(titles(fig), fig.axes, strict=True)] == [
        ("vae", ["vae"]),
        ("wgan_gp", ["setup1", "setup2"]),
    ]
    table = material.measures[material.measures["measure"] == "parameter_distance_initial"]
    for family, ax in zip(("vae", "wgan_gp"), fig.axes, strict=True):
        assert grey(ax) == [pytest.approx(table.loc[table["family"] == family, "value"].mean(), rel=1e-12)]
    line = lines(fig.axes[1])["setup2"]
    for generation, mean in zip(line.get_xdata(), line.get_ydata(), strict=True):
        found = values(material, "setup2", "parameter_distance", generation)
        assert mean == pytest.approx(found.mean(), rel=1e-12, abs=0)


def test_weights_are_drawn_with_and_without_a_first_step(make_material: Make) -> None:
    material = make_material(generations=3, runs={"a": ("vae", "A")})
    table, initial = material.measures, material.measures["measure"] == "parameter_distance_initial"
    (ax,) = drawn("parameter_distance", dataclasses.replace(material, measures=table[~initial])).axes
    assert grey(ax) == []
    far = table.assign(value=table["value"].mask(initial, 1.0))
    (ax,) = drawn("parameter_distance", dataclasses.replace(material, measures=far)).axes
    assert grey(ax) == [1.0]


# --- sampling bias


def test_bias_runs_from_low_to_one_through_the_means_of_the_last_common_generation(make_loops: Make) -> None:
    last = {"synthetic-1": 4, "synthetic-0.5": 3, "synthetic-0.8": 6, "synthetic-0.66": 4}
    material = make_loops(SYNTHETIC, LAMBDAS, generations=last, seeds=(0, 1, 2))
    fig = drawn("bias", material)
    assert note(fig).startswith("generation 3; mean ± s.d. over 3 seeds; precision, recall: n")
    for ax, measure in zip(fig.axes, ("precision", "recall", "fid"), strict=True):
        ((_, line),) = lines(ax, "group").items()
        assert list(line.get_xdata()) == [0.5, 0.66, 0.8, 1.0]
        found = [values(material, f"synthetic-{bias:g}", measure, 3) for bias in line.get_xdata()]
        np.testing.assert_allclose(line.get_ydata(), [v.mean() for v in found], rtol=1e-12)
        bars = np.array([np.diff(bar[:, 1]).item() / 2 for bar in ax.collections[0].get_segments()])
        np.testing.assert_allclose(bars, [v.std(ddof=1) for v in found], rtol=1e-9)  # of a difference


def test_bias_shows_the_wanted_generation_of_the_runs_that_reach_it(make_loops: Make) -> None:
    last = {"synthetic-1": 4, "synthetic-0.5": 2, "synthetic-0.8": 6, "synthetic-0.66": 4}
    fig = drawn("bias", make_loops(SYNTHETIC, LAMBDAS, generations=last), generation=4)
    assert note(fig).startswith("generation 4;")
    assert [list(line.get_xdata()) for line in lines(fig.axes[0], "group").values()] == [[0.66, 0.8, 1.0]]


def test_bias_joins_runs_by_family_and_kind_of_loop(make_loops: Make) -> None:
    material = make_loops(LOOPS, (1.0, 0.5), generations=2)
    labels = [line.get_label() for line in lines(drawn("bias", material).axes[0], "group").values()]
    assert labels == ["vae, fully synthetic", "vae, synthetic augmentation", "vae, fresh data"]


def test_bias_needs_two_lambdas(make_loops: Make) -> None:
    with pytest.raises(ValueError, match=r"two or more runs that differ only in loop\.bias") as caught:
        drawn("bias", make_loops(LOOPS, generations=2))
    assert "\n" not in str(caught.value)


def test_bias_has_error_bars_only_with_several_seeds(make_loops: Make) -> None:
    fig = drawn("bias", make_loops(SYNTHETIC, (1.0, 0.5), generations=2))
    assert not any(ax.collections for ax in fig.axes)
    assert note(fig).startswith("generation 2; one seed;")


# --- embedding


def test_embedding_is_the_same_every_time_and_one_for_all_panels(make_loops: Make) -> None:
    material = make_loops(LOOPS, generations=9)
    first, second = (drawn("embedding", material, images=10) for _ in range(2))
    assert len(first.axes) == 3 * 5
    for ax, again in zip(first.axes, second.axes, strict=True):
        np.testing.assert_array_equal(points(ax)["reference"], points(first.axes[0])["reference"])
        assert points(ax).keys() == points(again).keys()
        for name, places in points(ax).items():
            np.testing.assert_array_equal(places, points(again)[name])
        assert (ax.get_xlim(), ax.get_ylim()) == (first.axes[0].get_xlim(), first.axes[0].get_ylim())
    assert len(points(first.axes[0])["reference"]) == 25  # all that the material has, below 5 × 10
    assert [len(places) for name, places in points(first.axes[0]).items() if name != "reference"] == [10]
    assert [ax.get_title() for ax in first.axes[:5]] == [f"generation {g}" for g in (1, 3, 5, 7, 9)]


def test_each_panel_has_the_points_of_its_own_run_and_generation(make_loops: Make) -> None:
    material = make_loops(LOOPS, generations={"synthetic-1": 2, "augmentation-1": 1, "fresh-1": 2})
    fig = drawn("embedding", material, generations=(1, 2), images=10)
    shown = [[name for name in points(ax) if name != "reference"] for ax in fig.axes]
    assert shown == [["run:synthetic-1"]] * 2 + [["run:augmentation-1"], []] + [["run:fresh-1"]] * 2
    cells = [("synthetic-1", 1), ("synthetic-1", 2), ("augmentation-1", 1), ("fresh-1", 1), ("fresh-1", 2)]
    images = [material.real["mnist"], *(material.images[cell][:10] for cell in cells)]
    real, *others = embedded([np.clip(several, 0, 1) for several in images], 30.0)
    np.testing.assert_array_equal(points(fig.axes[0])["reference"], real)
    own = [points(ax)[names[0]] for ax, names in zip(fig.axes, shown, strict=True) if names]
    np.testing.assert_array_equal(np.concatenate(own), np.concatenate(others))


def test_images_coloured_by_class_have_the_class_asked_for_or_that_of_the_nearest_real_image(
    make_loops: Make,
) -> None:
    material = make_loops(LOOPS, generations=1)
    rng = np.random.default_rng(0)
    of_real, asked = rng.integers(10, size=25), rng.integers(10, size=25)
    copies = {("augmentation-1", 1): material.real["mnist"][:10]}
    material = dataclasses.replace(
        material,
        images={**material.images, **copies},
        labels={("synthetic-1", 1): asked},
        real_labels={"mnist": of_real},
    )
    fig = drawn("embedding", material, images=10, colour="class")
    shades = np.array([to_rgb(shade(place)) for place in range(10)])
    for ax, own in zip(fig.axes[:2], (asked, of_real), strict=False):
        real, generated = (np.asarray(found.get_facecolors())[:, :3] for found in ax.collections)
        np.testing.assert_allclose(generated, shades[own[:10]], atol=1e-6)
        np.testing.assert_allclose(real, 1 - 0.35 * (1 - shades[of_real]), atol=1e-6)
    legend = [text.get_text() for text in fig.legends[0].get_texts()]
    assert legend == [*"0123456789", "25 real images, pale"]
    title = note(fig)
    assert title.endswith("colour: the class asked for or the class of the nearest real image")
    unclassed = dataclasses.replace(material, classes={})
    with pytest.raises(ValueError, match="colour: the data of run synthetic-1 have no classes"):
        drawn("embedding", unclassed, images=10, colour="class")


def test_features_are_placed_by_themselves_and_named(make_loops: Make) -> None:
    material = make_loops(SYNTHETIC, generations=2)
    fig = drawn("feature_embedding", material, images=10)
    real, *others = embedded(
        [material.real_features["mnist"], *(material.features["synthetic-1", g][:10] for g in (1, 2))], 30.0
    )
    for ax, own in zip(fig.axes, others, strict=True):
        np.testing.assert_array_equal(points(ax)["reference"], real)
        np.testing.assert_array_equal(points(ax)["run:synthetic-1"], own)
    assert note(fig).startswith("t-SNE of features (classifier); 10 generated images")
    assert note(drawn("embedding", material, images=10)).startswith("t-SNE of pixels; ")


def test_the_nearest_real_image_is_that_of_the_nearest_features(make_loops: Make) -> None:
    material = make_loops(SYNTHETIC, generations=1)
    of_real = np.random.default_rng(0).integers(10, size=25)
    copies = {("synthetic-1", 1): material.real_features["mnist"][::-1]}
    material = dataclasses.replace(material, features=copies, real_labels={"mnist": of_real})
    fig = drawn("feature_embedding", material, images=25, colour="class")
    _, generated = (np.asarray(found.get_facecolors())[:, :3] for found in fig.axes[0].collections)
    expected = np.array([to_rgb(shade(place)) for place in of_real[::-1]])
    np.testing.assert_allclose(generated, expected, atol=1e-6)


def test_embedding_keeps_clusters_apart_and_copies_together() -> None:
    rng = np.random.default_rng(0)
    dark, light = (rng.uniform(low, low + 0.1, (40, 1, 8, 8)) for low in (0.0, 0.9))
    first, second, third = embedded([dark, light, dark[:20]], perplexity=10)
    assert np.linalg.norm(third - first[:20], axis=1).max() < 0.2 * np.linalg.norm(
        first.mean(0) - second.mean(0)
    )
    spread = max(np.linalg.norm(x - x.mean(0), axis=1).max() for x in (first, second))
    assert np.linalg.norm(first.mean(0) - second.mean(0)) > spread


def test_embedding_of_too_few_images_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4, got 3"):
        embedded([np.zeros((3, 1, 4, 4))], 30.0)


# --- strips


def test_strips_have_one_column_a_generation_after_the_real_images(make_loops: Make) -> None:
    material = make_loops(LOOPS, generations={"synthetic-1": 12, "augmentation-1": 12, "fresh-1": 3})
    fig = drawn("strips", material, generations=(1, 3, 12, 99), rows=2)
    assert [ax.get_title() for ax in fig.axes[:4]] == ["real", "gen. 1", "3", "12"]
    assert not any(ax.get_title() for ax in fig.axes[4:])
    pictures = [np.asarray(ax.images[0].get_array()) for ax in fig.axes]
    assert len(pictures) == 3 * 4
    assert {picture.shape for picture in pictures} == {(2 * 30 - 2, 28, 3)}
    np.testing.assert_array_equal(pictures[0][:28, :, 0], material.real["mnist"][0, 0])
    second = np.clip(material.images["augmentation-1", 3][1, 0], 0, 1)
    np.testing.assert_array_equal(pictures[4 + 2][30:, :, 0], second)
    assert (pictures[-1] == 1.0).all()  # the last run has no generation 12


def test_strips_show_up_to_ten_generations(make_loops: Make) -> None:
    fig = drawn("strips", make_loops(SYNTHETIC, generations=20))
    assert len(fig.axes) == 1 + 10
    assert fig.axes[-1].get_title() == "20"


# --- verdicts in the collapse figure


def test_collapse_writes_each_verdict_below_its_run(make_loops: Make) -> None:
    material = make_loops(LOOPS, generations=3)
    judged = pd.DataFrame(
        {"run": ["fresh-1", "synthetic-1"], "verdict": ["too short", "collapse"], "seeds": 1}
    )
    fig = drawn("collapse", dataclasses.replace(material, verdicts=judged))
    fig.draw_without_rendering()
    found = {" ".join(ax.get_ylabel().split()): ax for ax in fig.axes if ax.images and ax.get_ylabel()}
    words = {label: [text.get_text() for text in ax.texts] for label, ax in found.items()}
    assert words == {
        "DDPM, synthetic, λ = 1": ["collapse"],
        "DDPM, augmentation, λ = 1": [],
        "DDPM, fresh, λ = 1": ["too short"],
    }
    for ax in found.values():
        for text in ax.texts:
            name, verdict = ax.yaxis.label.get_window_extent(), text.get_window_extent()
            assert verdict.x1 == pytest.approx(name.x1, abs=1.0)  # within a pixel
            assert verdict.y1 <= name.y0 + 1.0
            assert (ax.yaxis.label.get_weight(), text.get_weight()) == ("bold", "normal")
    assert not [text for ax in drawn("collapse", material).axes for text in ax.texts]

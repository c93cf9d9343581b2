"""The figures of loops on known densities: trajectories, point clouds, sweeps and the choice of a mode."""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.text import Text

from bigloop.figures import Material, plot
from bigloop.figures.parts import style
from bigloop.metrics.theory import expected_sd, fresh_recursion
from bigloop.spec.options import SpecError, parse

from ..tables import run as bare_run

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("error::UserWarning"),  # a layout that does not fit is a warning
]

NAMES = ("trajectories", "point_clouds", "animation_of_points", "sweep", "mode_seeking", "ecosystem", "map")
DIVERGENCES = ("forward_kl", "reverse_kl", "jensen_shannon")
LONG = "a model in a loop with a label that goes on for more than one line of the page, as some do"
Value = Callable[[int, int], float]  # of a seed and a generation


def run(name: str, **more: Any) -> dict[str, Any]:
    return bare_run(name, **{"label": f"label of {name}", **more})


def rows(
    of: Mapping[str, Any], values: Mapping[str, Value], seeds: Sequence[int] = (0,), n: float = 100
) -> list[dict[str, Any]]:
    """Rows of the measures table: measure → value of a seed and a generation, for each of them."""
    key = {name: of[name] for name in ("run", "family", "dataset")}
    return [
        key | {"seed": s, "generation": t, "measure": name, "value": value(s, t), "n": n}
        for name, value in values.items()
        for s in seeds
        for t in range(1, of["generations"] + 1)
    ]


def material(
    runs: Sequence[Mapping[str, Any]], measures: Sequence[Mapping[str, Any]], **more: Any
) -> Material:
    columns = ["run", "family", "dataset", "seed", "generation", "measure", "value", "n", "k", "detail"]
    table = pd.DataFrame(measures).reindex(columns=columns)
    return Material(table, pd.DataFrame(runs), pd.DataFrame(), **more)


def trajectories(count: int, seeds: Sequence[int] = (0, 1, 2), label: str = "") -> Material:
    """A mix of loops with the measures of a Gaussian, whose standard deviation falls from generation to generation."""
    kinds: list[dict[str, Any]] = [
        {},
        {"loop.real.fresh": 30},
        {"loop.bias": 0.8},
        {"loop.real.fixed": 50},
        {"loop.synthetic.from": "3"},
        {"loop.start": "continue"},
        {"density.dimension": 4},
        {"family": "gmm"},
    ]
    runs = [run(f"r{i}", **kinds[i]) for i in range(count)]
    if label:
        runs = [r | {"label": f"{label}, {r['run']}"} for r in runs]
    table = []
    for place, r in enumerate(runs):
        values: dict[str, Value] = {
            "sd": lambda s, t, place=place: math.exp(-0.1 * t * (1 + place) + 0.1 * s),
            "mean_error": lambda s, t, place=place: 0.02 * t * (1 + place) * (1 + 0.3 * s),
            "trace": lambda s, t, place=place: math.exp(-0.2 * t * (1 + place) + 0.2 * s),
            "good_share": lambda s, t: 0.9 - 0.05 * t - 0.01 * s,
            "wasserstein1": lambda s, t, place=place: 0.1 * t + 0.05 * place + 0.03 * s,
        }
        table += rows(r, values, seeds)
    table.append({"run": "real", "dataset": "gaussian", "measure": "wasserstein1", "value": 0.08, "n": 100})
    return material(runs, table)


def clouds(count: int, label: str = "points", generations: int = 9, k: int = 60) -> Material:
    runs = [run(f"p{i}", label=f"{label} {i}", generations=generations) for i in range(count)]
    rng = np.random.default_rng(0)
    points: dict[tuple[str, int | None], np.ndarray] = {}
    for r in runs:
        points[r["run"], None] = rng.uniform(-1, 1, (k, 2))
        points |= {(r["run"], t): rng.normal(0, 0.2, (k, 2)) for t in range(1, generations + 1)}
    return material(runs, rows(runs[0], {"sd": lambda s, t: 1.0}), points=points)


def together(*sizes: int, label: str = "models", generations: int = 6) -> Material:
    """Ecosystems of so many members; of each, those with neighbouring numbers exchange, and draw together."""
    runs, table = [], []
    for place, size in enumerate(sizes):
        names = [f"eco{place}-{'abcdefgh'[i]}" for i in range(size)]
        for i, name in enumerate(names):
            shares = {f"shares.{other}": 0.0 for other in names}
            shares |= {f"shares.{name}": 0.7, f"shares.{names[(i + 1) % size]}": 0.3}
            r = run(name, sweep=f"{label} {place}", generations=generations, **shares)
            runs.append(r)
            for j, other in enumerate(names):
                if other != name:
                    apart = abs(i - j)
                    values: dict[str, Value] = {
                        "between": lambda s, t, apart=apart: apart * 0.5**t * (1 + 0.1 * s)
                    }
                    table += [row | {"detail": other} for row in rows(r, values, (0, 1))]
    table.append({"run": "real", "dataset": "gaussian", "measure": "between", "value": 0.02, "n": 100})
    return material(runs, table)


def mapped(policies: int, shares: int, label: str = "real rows stay") -> Material:
    """Loops of which less is left, the fewer real rows there are, and the later the policy."""
    runs, table, words = [], [], []
    for p, s in itertools.product(range(policies), range(shares)):
        real = round(100 * s / max(1, shares - 1))
        r = run(
            f"m{p}-{s}", sweep=f"{label} {p}", **{"loop.real.fixed": real, "loop.synthetic.n": 100 - real}
        )
        runs.append(r)
        loss = 0.3 * (p + 1) * (1 - real / 100)
        table += rows(r, {"sd": lambda s, t, loss=loss: math.exp(-loss * (t - 1))}, (0, 1))
        words.append({"run": r["run"], "verdict": ["collapse", "drift", "not clear", "stable"][min(3, s)]})
    return dataclasses.replace(material(runs, table), verdicts=pd.DataFrame(words))


def swept(seeds: Sequence[int] = range(20), label: str = "") -> Material:
    """Loops whose distance is that of a single fit on twice their fresh rows for λ = 1, on half of them for λ = 0.5.

    Single fits on n rows are at a distance of 3 n^-½ on average; seeds differ by up to 10 % both ways.
    """
    table, runs = [], []

    def add(r: dict[str, Any], distance: float) -> None:
        wiggle = np.linspace(-0.1, 0.1, len(seeds)) if len(seeds) > 1 else np.zeros(1)
        runs.append(r)
        table.extend(rows(r, {"distance": lambda s, t: distance * (1 + wiggle[list(seeds).index(s)])}, seeds))

    for n in (20, 50, 100, 400):
        add(run(f"single-{n}", generations=1, **{"loop.initial.n": n}), 3 * n**-0.5)
    for bias, worth in ((1.0, 2.0), (0.5, 0.5)):
        for synthetic in (0, 50, 100, 1000):
            keys = {"loop.real.fresh": 100, "loop.synthetic.n": synthetic, "loop.bias": bias}
            add(run(f"loop-{bias:g}-{synthetic}", generations=3, **keys), 3 * (100 * worth) ** -0.5)
    return material([r | {"label": f"{label}{r['run']}"} for r in runs], table)


def fits(count: int, seeds: Sequence[int] = range(10), label: str = "") -> Material:
    """Odd runs found a mode each, the right one twice in five seeds; even ones cover both."""
    x = np.linspace(-4, 4, 200)
    p = 0.5 * sum(np.exp(-0.5 * ((x - m) / 0.5) ** 2) / (0.5 * math.sqrt(2 * math.pi)) for m in (-2, 2))
    runs = [
        run(f"f{i}", generations=1, dataset="bimodal", label=f"{label or 'fit'} {i}") for i in range(count)
    ]
    table = []
    for place, r in enumerate(runs):
        modes: Value = lambda s, t: -2.0 if s % 5 < 3 else 2.0  # noqa: E731
        one: Value = lambda s, t: 0.01 * (s % 2)  # noqa: E731
        values: dict[str, Value] = {
            "mean": modes if place % 2 else one,
            "sd": lambda s, t, place=place: 0.5 if place % 2 else 2.1,
            **{
                m: (lambda s, t, place=place, i=i: 0.1 * (1 + i) * (1 + place))
                for i, m in enumerate(DIVERGENCES)
            },
        }
        table += rows(r, values, seeds)
    for i, m in enumerate(DIVERGENCES):
        table.append({"run": "real", "dataset": "bimodal", "measure": m, "value": 0.01 * (1 + i), "n": 100})
    return material(runs, table, curves={r["run"]: (x, p) for r in runs})


def drawn(name: str, given: Material, **options: Any) -> Figure:
    entry = plot(name)
    return entry.draw(given, entry.Options(**options))


def lines(ax: Axes, kind: str = "run") -> dict[str, Any]:
    gids = {str(line.get_gid()): line for line in ax.lines}
    return {gid.removeprefix(f"{kind}:"): line for gid, line in gids.items() if gid.startswith(f"{kind}:")}


def note(fig: Figure) -> str:
    return " ".join(fig.legends[0].get_title().get_text().split())


def entries(fig: Figure) -> list[str]:
    return [" ".join(text.get_text().split()) for text in fig.legends[0].get_texts()]


def values_of(given: Material, name: str, measure: str, generation: int) -> np.ndarray:
    t = given.measures
    picked = (t["run"] == name) & (t["measure"] == measure) & (t["generation"] == generation)
    return t.loc[picked, "value"].to_numpy()


# --- what all have in common


EVERY = {"measures": ("sd", "mean_error", "trace", "good_share", "wasserstein1")}
SWEEP = {"measure": "distance", "x": "loop.synthetic.n", "by": "loop.bias", "runs": ("loop",)}
MAP: dict[str, Any] = {"measure": "distance", "x": "loop.bias", "by": "loop.synthetic.n", "runs": ("loop",)}
MAP |= {"effective": True, "map": True}
SHAPES: dict[str, tuple[str, Callable[[], Material], dict[str, Any]]] = {
    "a trajectory": ("trajectories", lambda: trajectories(1, (0,)), {"measures": ("sd",)}),
    "trajectories": ("trajectories", lambda: trajectories(3), EVERY | {"log": True, "theory": True}),
    "trajectories by images": (
        "trajectories",
        lambda: trajectories(3),
        EVERY | {"x": "images", "columns": 3},
    ),
    "long trajectories": ("trajectories", lambda: trajectories(8, label=LONG), EVERY | {"theory": True}),
    "a cloud": ("point_clouds", lambda: clouds(1), {}),
    "long clouds": ("point_clouds", lambda: clouds(8, LONG), {}),
    "many clouds": ("point_clouds", lambda: clouds(3, LONG, 12), {"generations": tuple(range(1, 13))}),
    "a film": ("animation_of_points", lambda: clouds(2), {}),
    "a long film": ("animation_of_points", lambda: clouds(8, LONG), {}),
    "densities": ("point_clouds", lambda: clouds(2), {"density": True}),
    "a map": ("sweep", swept, MAP),
    "a sweep": ("sweep", swept, SWEEP),
    "a sweep without by": ("sweep", swept, SWEEP | {"by": "", "runs": ("loop-1-",), "log_x": False}),
    "effective": ("sweep", swept, SWEEP | {"effective": True}),
    "many lines": ("sweep", swept, SWEEP | {"x": "loop.bias", "by": "loop.synthetic.n", "log_y": False}),
    "two models": ("ecosystem", lambda: together(2), {}),
    "ecosystems": ("ecosystem", lambda: together(2, 4, 3), {}),
    "long ecosystems": ("ecosystem", lambda: together(8, 2, label=LONG), {"generations": 6}),
    "a small map of loops": ("map", lambda: mapped(1, 2), {"measure": "sd"}),
    "a map of loops": ("map", lambda: mapped(20, 10), {"measure": "sd"}),
    "a map of loops with long names": ("map", lambda: mapped(4, 5, LONG), {"measure": "sd"}),
    "a fit": ("mode_seeking", lambda: fits(1, (0,)), {}),
    "fits": ("mode_seeking", lambda: fits(3), {}),
    "long fits": ("mode_seeking", lambda: fits(8, label=LONG), {}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_text_is_on_the_page_and_none_covers_another(shape: str) -> None:
    name, make, options = SHAPES[shape]
    fig = drawn(name, make(), **options)
    fig.savefig(io.BytesIO(), format="png")
    assert fig.get_size_inches()[0] <= style.WIDTH
    page, boxes = fig.bbox.padded(1.0), {t: t.get_window_extent().padded(-1.0) for t in written(fig)}
    for text, box in boxes.items():
        assert text.get_fontsize() >= style.SMALL, text
        assert page.x0 <= box.x0 < box.x1 <= page.x1, text
        assert page.y0 <= box.y0 < box.y1 <= page.y1, text
    for one, other in itertools.combinations(boxes, 2):
        assert not boxes[one].overlaps(boxes[other]), (one, other)
    for legend in fig.legends:
        assert not any(legend.get_window_extent().overlaps(ax.bbox) for ax in fig.axes)


def written(fig: Figure) -> list[Text]:
    """All that is written but the ticks of y, which stand beside their own label."""
    found = [t for legend in fig.legends for t in [legend.get_title(), *legend.get_texts()]]
    for ax in fig.axes:
        ticks = ax.get_xticklabels() if ax.xaxis.get_tick_params()["labelbottom"] else []
        inside = [t for t in ticks if ax.get_xlim()[0] <= t.get_position()[0] <= ax.get_xlim()[1]]
        found += [ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label, *ax.texts, *inside]
    return [t for t in dict.fromkeys(found) if t.get_text() and t.get_visible()]


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_is_not_there_is_named(name: str) -> None:
    _, make, options = next(shape for shape in SHAPES.values() if shape[0] == name)
    with pytest.raises(ValueError, match="no run is named 'other'"):
        drawn(name, make(), **options | {"runs": ("other",)})


@pytest.mark.parametrize(
    ("name", "given", "options", "measure"),
    [
        ("trajectories", trajectories(2), {"measures": ("sd", "recall")}, "recall"),
        ("sweep", swept(), SWEEP | {"measure": "sd"}, "sd"),
        ("ecosystem", together(2), {}, "between"),
        ("map", mapped(2, 2), {"measure": "sd"}, "sd"),
        *(("mode_seeking", fits(2), {}, m) for m in ("mean", "sd", *DIVERGENCES)),
    ],
)
def test_missing_measure_is_named(name: str, given: Material, options: dict[str, Any], measure: str) -> None:
    table = given.measures[given.measures["measure"] != measure]
    with pytest.raises(ValueError, match=f"measure {measure} is missing") as caught:
        drawn(name, dataclasses.replace(given, measures=table), **options)
    assert "\n" not in str(caught.value)


def test_what_must_be_chosen_is_named() -> None:
    with pytest.raises(ValueError, match="measures: expected at least one"):
        drawn("trajectories", trajectories(1))
    for key in ("measure", "x"):
        with pytest.raises(ValueError, match=f"^{key}: expected one"):
            drawn("sweep", swept(), **SWEEP | {key: ""})


def test_options_are_parsed_strictly() -> None:
    given = {"measures": ["sd"], "x": "images", "runs": ["a"], "log": True}
    assert parse(plot("trajectories").Options, given, "f") == plot("trajectories").Options(
        measures=("sd",), x="images", runs=("a",), log=True
    )
    for name, wrong in (
        ("trajectories", {"x": "epochs"}),
        ("trajectories", {"columns": 0}),
        ("sweep", {"last": 0}),
        ("point_clouds", {"generations": ["first"]}),
    ):
        with pytest.raises(SpecError, match=f"figures.{name}.{next(iter(wrong))}"):
            parse(plot(name).Options, wrong, f"figures.{name}")


# --- trajectories


def test_curves_are_means_over_seeds_with_bands_of_one_deviation() -> None:
    given = trajectories(3)
    fig = drawn("trajectories", given, **EVERY)
    assert len(fig.axes) == len(EVERY["measures"])
    for ax, measure in zip(fig.axes, EVERY["measures"], strict=True):
        assert list(lines(ax)) == ["r0", "r1", "r2"]
        for (name, line), band in zip(lines(ax).items(), ax.collections, strict=True):
            corners = band.get_paths()[0].vertices
            np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 7))
            for generation, mean in zip(line.get_xdata(), line.get_ydata(), strict=True):
                found = values_of(given, name, measure, generation)
                assert mean == pytest.approx(found.mean(), rel=1e-12)
                top = corners[corners[:, 0] == generation, 1].max()
                assert top == pytest.approx(mean + found.std(ddof=1), rel=1e-12)
    assert note(fig) == "mean ± s.d. over 3 seeds"
    assert entries(fig) == ["label of r0", "label of r1", "label of r2", "real vs real"]


def test_one_seed_has_no_band() -> None:
    fig = drawn("trajectories", trajectories(2, seeds=(7,)), **EVERY)
    assert not any(ax.collections for ax in fig.axes)
    assert note(fig) == "one seed"


def test_panels_say_what_they_show_in_words_and_on_how_many_rows() -> None:
    fig = drawn("trajectories", trajectories(2), measures=("mean_error", "wasserstein1", "good_share"))
    assert [" ".join(ax.get_ylabel().split()) for ax in fig.axes] == [
        "squared error of the mean (n = 100)",
        "Wasserstein-1 distance (n = 100)",
        "share of good samples (n = 100)",
    ]
    assert fig.axes[2].get_ylim() == (-0.02, 1.02)
    floors = [[float(x.get_ydata()[0]) for x in ax.lines if x.get_gid() == "reference"] for ax in fig.axes]
    assert floors == [[], [0.08], []]
    given = trajectories(1)
    odd = dataclasses.replace(given, measures=given.measures.replace("sd", "measure_of_mine"))
    (ax,) = drawn("trajectories", odd, measures=("measure_of_mine",)).axes
    assert ax.get_ylabel().startswith("measure of mine")


def test_a_panel_is_logarithmic_only_where_asked_for_and_all_are_above_0() -> None:
    given = trajectories(1)
    table = given.measures
    zero = (table["measure"] == "mean_error") & (table["generation"] == 2)
    given = dataclasses.replace(given, measures=table.assign(value=table["value"].mask(zero, 0.0)))
    for log, scales in ((False, ["linear", "linear"]), (True, ["log", "linear"])):
        axes = drawn("trajectories", given, measures=("sd", "mean_error"), log=log).axes
        assert [ax.get_yscale() for ax in axes] == scales


def test_only_the_chosen_runs_are_drawn_by_name_or_by_how_it_begins() -> None:
    given = trajectories(3)
    runs = given.runs.assign(run=["r0", "a", "a2"])
    table = given.measures.replace({"r1": "a", "r2": "a2"})
    given = dataclasses.replace(given, runs=runs, measures=table)
    for wanted, shown in ((("a",), ["a"]), (("r", "a2"), ["r0", "a2"]), ((), ["r0", "a", "a2"])):
        assert list(lines(drawn("trajectories", given, measures=("sd",), runs=wanted).axes[0])) == shown


def test_a_run_without_a_measure_is_left_out_of_that_panel() -> None:
    given = trajectories(2)
    table = given.measures
    table = table[~((table["run"] == "r1") & (table["measure"] == "sd"))]
    fig = drawn("trajectories", dataclasses.replace(given, measures=table), measures=("sd", "trace"))
    assert [list(lines(ax)) for ax in fig.axes] == [["r0"], ["r0", "r1"]]


def test_a_measure_of_several_things_is_refused() -> None:
    given = trajectories(1)
    table = given.measures
    details = table.assign(detail=["a", "b"] * (len(table) // 2) + ["a"] * (len(table) % 2))
    with pytest.raises(ValueError, match="measure sd is of several things"):
        drawn("trajectories", dataclasses.replace(given, measures=details), measures=("sd",))


def test_a_curve_over_images_has_what_its_models_have_seen_for_x() -> None:
    given = run("a")
    (ax,) = drawn(
        "trajectories",
        material([given], rows(given, {"sd": lambda s, t: 1.0})),
        measures=("sd",),
        x="images",
    ).axes
    assert lines(ax)["a"].get_xdata().tolist() == [100, 160, 220, 280, 340, 400]  # 2 × 50 first, 3 × 20 later
    assert ax.get_xlabel() == "training examples seen"


@pytest.mark.parametrize("x", ["generation", "images"])
def test_theory_is_drawn_for_the_loops_that_it_knows(x: str) -> None:
    given = trajectories(8)
    fig = drawn("trajectories", given, measures=("sd", "mean_error", "trace", "good_share"), theory=True, x=x)
    sd, mean_error, trace, share = (lines(ax, "theory") for ax in fig.axes)
    assert [list(known) for known in (sd, mean_error, trace, share)] == [
        ["r0", "r2"],  # fully synthetic, in one dimension
        ["r0", "r1", "r2", "r3", "r6"],
        ["r0", "r1", "r2", "r3", "r6"],
        [],
    ]
    t = np.arange(1, 7)
    np.testing.assert_array_equal(sd["r0"].get_ydata(), expected_sd(t, 50, 20))
    np.testing.assert_array_equal(sd["r2"].get_ydata(), expected_sd(t, 50, 20, 0.8))
    for name, keys, d in (
        ("r0", (0, 20, 1.0), 1),
        ("r1", (30, 20, 1.0), 1),
        ("r2", (0, 20, 0.8), 1),
        ("r6", (0, 20, 1.0), 4),
    ):
        error, variance = fresh_recursion(6, 50, *keys)
        np.testing.assert_array_equal(mean_error[name].get_ydata(), d * error)
        np.testing.assert_array_equal(trace[name].get_ydata(), d * variance)
    for ax in fig.axes[:3]:
        for name, line in lines(ax, "theory").items():
            assert line.get_color() == lines(ax)[name].get_color()
            np.testing.assert_array_equal(line.get_xdata(), lines(ax)[name].get_xdata())
    assert entries(fig).count("theory") == 1


def test_theory_reaches_generations_that_were_not_measured() -> None:
    given = trajectories(1)
    table = given.measures[given.measures["generation"].isin([1, 4])]
    (ax,) = drawn(
        "trajectories", dataclasses.replace(given, measures=table), measures=("sd",), theory=True
    ).axes
    np.testing.assert_array_equal(lines(ax)["r0"].get_xdata(), [1, 4])
    np.testing.assert_array_equal(lines(ax, "theory")["r0"].get_xdata(), [1, 2, 3, 4])


def test_theory_that_knows_nothing_is_not_in_the_legend() -> None:
    fig = drawn("trajectories", trajectories(3), measures=("good_share",), theory=True)
    assert "theory" not in entries(fig)


# --- point clouds


def dots(ax: Axes) -> dict[str, np.ndarray]:
    return {str(found.get_gid()): np.asarray(found.get_offsets()) for found in ax.collections}


def test_each_panel_has_the_points_of_its_run_and_generation() -> None:
    given = clouds(2)
    fig = drawn("point_clouds", given)
    assert [ax.get_title() for ax in fig.axes] == [
        *("true density", "generation 1", "generation 4", "generation 6", "generation 9"),
        *[""] * 5,
    ]
    cells = list(itertools.product(("p0", "p1"), (None, 1, 4, 6, 9)))
    for ax, (name, generation) in zip(fig.axes, cells, strict=True):
        gid = "reference" if generation is None else f"run:{name}"
        np.testing.assert_array_equal(dots(ax)[gid], given.points[name, generation])
        assert ax.get_aspect() == 1.0
    labels = [" ".join(ax.get_ylabel().split()) for ax in fig.axes]
    assert labels == ["points 0", *[""] * 4, "points 1", *[""] * 4]


def test_the_true_points_alone_set_the_axes_of_a_row_and_those_outside_are_counted() -> None:
    given = clouds(2)
    before = drawn("point_clouds", given).axes[0]
    points = dict(given.points)
    far = np.array(points["p0", 1])
    far[:15] = 1e3
    fig = drawn(
        "point_clouds", dataclasses.replace(given, points=points | {("p0", 1): far}), generations=(1,)
    )
    assert {(ax.get_xlim(), ax.get_ylim()) for ax in fig.axes[:2]} == {(before.get_xlim(), before.get_ylim())}
    (low, high), true = before.get_xlim(), points["p0", None][:, 0]
    assert low < true.min() < true.max() < high
    assert high - low < 1.5 * (true.max() - true.min())
    assert [ax.get_xlabel() for ax in fig.axes] == ["", "25% outside", "", ""]


def test_wanted_generations_and_a_run_that_ends_early() -> None:
    given = clouds(2)
    points = {key: array for key, array in given.points.items() if key[0] == "p0" or (key[1] or 1) < 3}
    fig = drawn("point_clouds", dataclasses.replace(given, points=points), generations=(1, 2, 8, 99))
    assert [ax.get_title() for ax in fig.axes] == [
        *("true density", "generation 1", "generation 2", "generation 8"),
        *("true density", "generation 1", "generation 2"),
    ]


def test_runs_outside_the_plane_are_left_out() -> None:
    given = clouds(2)
    line = {key: array[:, :1] if key[0] == "p0" else array for key, array in given.points.items()}
    fig = drawn("point_clouds", dataclasses.replace(given, points=line))
    assert [ax.get_ylabel() for ax in fig.axes if ax.get_ylabel()] == ["points 1"]
    none = {key: array[:, :1] for key, array in given.points.items()}
    for points in (none, {}):
        with pytest.raises(ValueError, match="two-dimensional points are missing"):
            drawn("point_clouds", dataclasses.replace(given, points=points))
    untrue = {key: array for key, array in given.points.items() if key != ("p1", None)}
    with pytest.raises(ValueError, match="true density of run p1 are missing"):
        drawn("point_clouds", dataclasses.replace(given, points=untrue))


def test_a_density_is_that_of_the_points_within_the_square() -> None:
    given = clouds(1)
    fig, dotted = drawn("point_clouds", given, density=True), drawn("point_clouds", given)
    assert [ax.get_xlim() for ax in fig.axes] == [ax.get_xlim() for ax in dotted.axes]
    for ax, generation in zip(fig.axes, (None, 1, 4, 6, 9), strict=True):
        density = np.asarray(ax.images[0].get_array())
        points, (low, high), (bottom, top) = given.points["p0", generation], ax.get_xlim(), ax.get_ylim()
        near = (points[:, 0] > low) & (points[:, 0] < high) & (points[:, 1] > bottom) & (points[:, 1] < top)
        # smoothing loses what it carries over the edge
        assert density.sum() == pytest.approx(near.sum(), rel=0.1)
        places = np.linspace(low, high, len(density) + 1)[:-1] + (high - low) / len(density) / 2
        centre = (density.sum(0) * places).sum() / density.sum()
        assert centre == pytest.approx(points[near, 0].mean(), abs=0.05 * (high - low))


# --- sweeps


def test_points_of_a_sweep_are_means_and_their_bars_standard_errors() -> None:
    given = swept()
    fig = drawn("sweep", given, **SWEEP)
    (ax,) = fig.axes
    assert list(lines(ax, "line")) == ["λ = 0.5", "λ = 1"]
    assert entries(fig) == ["λ = 0.5", "λ = 1"]
    assert note(fig) == "sampling bias λ; generation 3; mean ± standard error over 20 seeds"
    for bias, bars in zip((0.5, 1.0), ax.collections, strict=True):
        line = lines(ax, "line")[f"λ = {bias:g}"]
        np.testing.assert_array_equal(line.get_xdata(), [0, 50, 100, 1000])
        for x, mean, segment in zip(line.get_xdata(), line.get_ydata(), bars.get_segments(), strict=True):
            found = values_of(given, f"loop-{bias:g}-{x:g}", "distance", 3)
            assert mean == pytest.approx(found.mean(), rel=1e-12)
            error = found.std(ddof=1) / math.sqrt(20)
            np.testing.assert_allclose(segment[:, 1], [mean - error, mean + error], rtol=1e-12)
    assert ax.get_xlabel() == "synthetic rows $n_s$"
    assert (ax.get_xscale(), ax.get_yscale()) == ("symlog", "log")  # with a value of 0


def test_a_sweep_over_one_seed_has_no_bars() -> None:
    fig = drawn("sweep", swept(seeds=(3,)), **SWEEP)
    assert not fig.axes[0].collections
    assert note(fig).endswith("one seed")


def test_a_sweep_without_by_is_one_line_of_the_chosen_runs() -> None:
    fig = drawn("sweep", swept(), measure="distance", x="loop.initial.n", runs=("single",))
    (ax,) = fig.axes
    (line,) = lines(ax, "line").values()
    np.testing.assert_array_equal(line.get_xdata(), [20, 50, 100, 400])
    assert entries(fig) == ["mean ± standard error over 20 seeds"]
    assert (note(fig), ax.get_xscale()) == ("generation 1", "log")
    plain = drawn(
        "sweep", swept(), measure="distance", x="loop.initial.n", runs=("single",), log_x=False
    ).axes[0]
    assert plain.get_xscale() == "linear"


def test_runs_that_share_a_place_of_a_line_are_refused() -> None:
    with pytest.raises(ValueError, match=r"runs loop-1-0 and loop-0\.5-0 share loop\.synthetic\.n"):
        drawn("sweep", swept(), **SWEEP | {"by": ""})


def test_runs_without_the_keys_are_left_out() -> None:
    given = swept()
    runs = given.runs.assign(**{"model.width": [np.nan] * 8 + [1, 2, 3, 4]})
    (ax,) = drawn("sweep", dataclasses.replace(given, runs=runs), measure="distance", x="model.width").axes
    (line,) = lines(ax, "line").values()
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
    assert ax.get_xlabel() == "width"
    with pytest.raises(ValueError, match=r"no run has distance, model\.depth"):
        drawn("sweep", given, measure="distance", x="model.depth")
    with pytest.raises(ValueError, match="no run has distance, loop"):  # a word is no place on an axis
        drawn("sweep", given, measure="distance", x="loop.start")


def test_a_sweep_over_the_last_generations_says_so() -> None:
    given = run("a", generations=5)
    table = rows(given, {"sd": lambda s, t: 10.0 * s + t}, seeds=(0, 1))
    fig = drawn("sweep", material([given], table), measure="sd", x="loop.bias", last=2)
    assert lines(fig.axes[0], "line").popitem()[1].get_ydata().tolist() == [9.5]
    assert note(fig) == "last 2 measured generations"


def test_effective_sample_size_of_each_loop_is_drawn_for_each_fresh_row() -> None:
    given = swept()
    fig = drawn("sweep", given, **SWEEP | {"effective": True})
    (ax,) = fig.axes
    for label, worth in (("λ = 0.5", 0.5), ("λ = 1", 2.0)):
        # the mean of seeds that differ by ±10 % is exact: rounding alone
        np.testing.assert_allclose(lines(ax, "line")[label].get_ydata(), worth, rtol=1e-10)
    spread = np.linspace(-0.1, 0.1, 20).std(ddof=1) / math.sqrt(20)
    segment = ax.collections[1].get_segments()[0]  # λ = 1; n_e goes with the inverse square of the distance
    np.testing.assert_allclose(segment[:, 1], 2 / np.array([1 + spread, 1 - spread]) ** 2, rtol=1e-10)
    assert entries(fig)[-2:] == ["admissible", "$n_e = n_r$"]
    (one,) = (line for line in ax.lines if line.get_label() == "$n_e = n_r$")
    assert list(one.get_ydata()) == [1.0, 1.0]
    (above,) = ax.patches
    assert above.get_y() == 1.0
    assert above.get_y() + above.get_height() == pytest.approx(ax.get_ylim()[1])


def test_effective_sample_size_needs_loops_with_fresh_rows() -> None:
    with pytest.raises(ValueError, match=r"loop\.real\.fresh and several generations"):
        drawn("sweep", swept(), **SWEEP | {"effective": True, "runs": ("single",)})


def test_a_map_has_the_worth_of_each_loop_and_surrounds_the_admissible_ones() -> None:
    fig = drawn("sweep", swept(), **MAP)
    (ax,) = fig.axes
    shown = ax.images[0].get_array()
    np.testing.assert_allclose(shown, [[0.5, 2.0]] * 4, rtol=1e-10)  # λ = 0.5 and 1, left and right
    texts = {tuple(text.get_position()): text.get_text() for text in ax.texts}
    assert texts == {(c, r): ("0.50", "2.00")[c] for c in (0, 1) for r in range(4)}
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.5", "1"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "50", "100", "1\u2009000"]
    (edge,) = (line for line in ax.lines if line.get_gid() == "admissible")
    x, y = edge.get_data()
    assert (np.nanmin(x), np.nanmax(x), np.nanmin(y), np.nanmax(y)) == (0.5, 1.5, -0.5, 3.5)
    assert np.isnan(x).sum() == 2 * 4 + 2  # four cells high on both sides, one wide above and below
    assert note(fig) == "$n_e / n_r$ by distance (n = 100); generation 3; mean over 20 seeds"


def test_two_runs_in_one_cell_of_a_map_are_refused() -> None:
    with pytest.raises(ValueError, match=r"runs loop-1-0 and loop-1-50 share x and by"):
        drawn("sweep", swept(), **MAP | {"by": "loop.real.fresh"})
    for wrong in ({"effective": False}, {"by": ""}):
        with pytest.raises(ValueError, match="map: expected effective: true, and a key for by"):
            drawn("sweep", swept(), **MAP | wrong)


# --- the choice of a mode


def test_each_solution_is_a_gaussian_with_the_share_of_the_seeds_that_found_it() -> None:
    given = fits(2)
    left, _ = drawn("mode_seeking", given).axes
    shapes = [line for line in left.lines if str(line.get_gid()).startswith("run:")]
    assert [line.get_gid() for line in shapes] == ["run:f0", "run:f1", "run:f1"]
    for line, (mean, sd) in zip(shapes, ((0.005, 2.1), (-2, 0.5), (2, 0.5)), strict=True):
        x, y = line.get_data()
        density = np.exp(-((x - mean) ** 2) / (2 * sd**2)) / math.sqrt(2 * math.pi * sd**2)
        np.testing.assert_allclose(y, density, rtol=1e-9)
        assert np.trapezoid(y, x) == pytest.approx(1, abs=1e-3)  # 4 sd each way: a mass of 6e-5 is missing
    assert {text.get_text(): text.xy[0] for text in left.texts} == {"60%": -2.0, "40%": 2.0}
    (filled,) = left.collections
    x, p = given.curves["f0"]
    assert filled.get_paths()[0].vertices[:, 1].max() == pytest.approx(p.max(), rel=1e-12)


def test_divergences_are_means_over_seeds_of_generation_1_with_their_floors() -> None:
    given = fits(2)
    table = given.measures
    half = (table["measure"] == "reverse_kl") & (table["seed"] < 5)
    later = table[table["run"] == "f0"].assign(generation=2, value=9.0)
    given = dataclasses.replace(
        given, measures=pd.concat([table.assign(value=table["value"].mask(half, 0.5)), later])
    )
    fig = drawn("mode_seeking", given)
    _, right = fig.axes
    points = {str(x.get_gid()): float(x.get_ydata()[0]) for x in right.lines if ":" in str(x.get_gid())}
    expected = {
        "forward_kl:f0": 0.1,
        "forward_kl:f1": 0.2,
        "reverse_kl:f0": (0.5 + 0.2) / 2,
        "reverse_kl:f1": (0.5 + 0.4) / 2,
        "jensen_shannon:f0": 0.3,
        "jensen_shannon:f1": 0.6,
    }
    assert points == pytest.approx(expected, rel=1e-12)
    floors = [float(found.get_segments()[0][0, 1]) for found in right.collections]
    assert floors == [0.01, 0.02, 0.03]
    assert right.get_yscale() == "log"
    assert right.get_ylabel() == "divergence (nats), n = 100"
    assert entries(fig) == ["fit 0", "fit 1", "true density", "real vs real"]
    assert note(fig) == "right: mean, pale each seed, over 10 seeds; left: share of the seeds"
    assert note(drawn("mode_seeking", fits(2, seeds=(0,)))) == "one seed"


def test_runs_of_two_densities_stand_apart_and_those_without_a_curve_are_left_out() -> None:
    given = fits(4)
    x, p = given.curves["f0"]
    runs = given.runs.assign(dataset=["bimodal", "bimodal", "other", "other"])
    curves = {"f0": (x, p), "f2": (x, 2 * p), "f3": (x, 2 * p)}
    fig = drawn("mode_seeking", dataclasses.replace(given, runs=runs, curves=curves))
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["bimodal", "", "other", ""]
    assert [list(lines(ax)) for ax in fig.axes[::2]] == [["f0"], ["f2", "f3"]]
    with pytest.raises(ValueError, match="no run has a one-dimensional density"):
        drawn("mode_seeking", dataclasses.replace(given, curves={}))


def test_an_ecosystem_shows_who_trains_on_whom() -> None:
    fig = drawn("ecosystem", together(3), generations=2)
    first, last, bar = fig.axes
    arrows = [patch for patch in first.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == 3  # not those to themselves
    assert len(first.lines) == 3
    assert (first.get_title("center"), last.get_title("center")) == ("generation 1", "generation 6")
    assert "agree from generation" in first.get_ylabel().replace("\n", " ")
    assert bar.get_xlabel() == "distance between members"


def test_runs_of_no_ecosystem_are_none() -> None:
    given = trajectories(1)
    table = given.measures.assign(measure="between")
    with pytest.raises(ValueError, match="no run shown is a member of an ecosystem"):
        drawn("ecosystem", dataclasses.replace(given, measures=table))


def test_a_map_says_what_is_left_and_what_became_of_it() -> None:
    fig = drawn("map", mapped(2, 3), measure="sd")
    ax = fig.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["real rows stay 0", "real rows stay 1"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "50", "100"]
    written_in = {text.get_position(): text.get_text() for text in ax.texts}
    last = run("any")["generations"]
    assert written_in[0, 0] == f"{math.exp(-0.3 * (last - 1)):.2f}×"
    assert written_in[2, 1] == "1.00?"
    assert "× collapse" in fig.legends[0].get_title().get_text()


def test_two_runs_in_a_cell_of_a_map_are_named() -> None:
    given = mapped(1, 2)
    runs = given.runs.assign(**{"loop.real.fixed": 50, "loop.synthetic.n": 50})
    with pytest.raises(ValueError, match="runs m0-0 and m0-1 share a cell"):
        drawn("map", dataclasses.replace(given, runs=runs), measure="sd")

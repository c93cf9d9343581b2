"""The matrix of remedies writes what the tables say, on one page, whatever the number of runs and measures."""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from scipy import stats

from bigloop.figures import Material, plot
from bigloop.figures.parts import style
from bigloop.figures.parts.matrix import Form, bands, fitted, form_of, inches
from bigloop.figures.remedies import FACES
from bigloop.spec.options import SpecError, parse

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("error::UserWarning"),  # a layout that does not fit is a warning
]

MEASURES = ("modes_covered", "good_share", "mode_kl")
LONG = "unrolled for five steps, with packed points, penalties of both gradients and a name without end"
SCALES = {
    "modes_covered": (10.0, 1.2),
    "good_share": (0.8, 0.04),
    "mode_kl": (0.4, 0.07),
    "fid": (3e-4, 2e-5),
}


def material(
    remedies: int = 3,
    datasets: Sequence[str] = ("ring",),
    measures: Sequence[str] = MEASURES,
    seeds: int = 10,
    generations: int = 1,
    label: str = "remedy",
) -> Material:
    """The first is the plain one; of the others, every second moves each measure by two standard deviations."""
    rng, rows, runs = np.random.default_rng(0), [], []
    for dataset, place in itertools.product(datasets, range(remedies)):
        name = f"{dataset}-{place}"
        called = f"{label} {place}" if place else "plain"
        runs.append({"run": name, "family": "mlp_gan", "dataset": dataset, "label": called})
        for measure, seed, t in itertools.product(measures, range(seeds), range(1, generations + 1)):
            centre, sd = SCALES.get(measure, (1.0, 0.2))
            value = centre + sd * (rng.normal() + 2 * (place % 2) - 0.5 * t)
            rows.append([name, "mlp_gan", dataset, seed, t, measure, value, 1000])
    columns = ["run", "family", "dataset", "seed", "generation", "measure", "value", "n"]
    table = pd.DataFrame(rows, columns=columns).assign(k=np.nan, detail=np.nan)
    return Material(table, pd.DataFrame(runs), pd.DataFrame())


def without(given: Material, run: str, measure: str) -> Material:
    gone = (given.measures["run"] == run) & (given.measures["measure"] == measure)
    return dataclasses.replace(given, measures=given.measures[~gone])


def drawn(given: Material, **options: Any) -> Figure:
    entry = plot("remedies")
    return entry.draw(given, entry.Options(**options))


def boxes(fig: Figure) -> dict[str, tuple[Axes, Rectangle]]:
    """The boxes of the cells by label:dataset:measure."""
    found = ((ax, patch) for ax in fig.axes for patch in ax.patches if patch.get_gid())
    return {patch.get_gid().removeprefix("cell:"): (ax, patch) for ax, patch in found}


def texts(fig: Figure, key: str) -> list[Text]:
    """The lines of one cell."""
    ax, box = boxes(fig)[key]
    left, top, bottom = box.get_x(), box.get_y(), box.get_y() + box.get_height()
    return [
        text
        for text in ax.texts
        if left < text.get_position()[0] < left + 1 and top < text.get_position()[1] < bottom
    ]


def lines(fig: Figure, key: str) -> list[str]:
    return [text.get_text() for text in texts(fig, key)]


def note(fig: Figure) -> str:
    return fig.legends[0].get_title().get_text().replace("\n", " ").replace("\xa0", " ")


def entries(fig: Figure) -> list[str]:
    return [text.get_text() for text in fig.legends[0].get_texts()]


def values(given: Material, run: str, measure: str) -> np.ndarray:
    table = given.measures
    return table.loc[(table["run"] == run) & (table["measure"] == measure), "value"].to_numpy()


def minus(text: str) -> str:
    return text.replace("-", "−")


# --- what is written


@pytest.mark.parametrize(("measure", "decimals"), [("modes_covered", 1), ("good_share", 3), ("mode_kl", 2)])
def test_a_cell_is_mean_and_deviation_and_the_difference_with_the_interval_of_welch(
    measure: str, decimals: int
) -> None:
    given = material(measures=(measure,))
    fig = drawn(given, measures=(measure,))
    plain = values(given, "ring-0", measure)

    def written(value: float, sign: str = "") -> str:
        return minus(f"{value:{sign}.{decimals}f}")

    assert lines(fig, f"plain:ring:{measure}") == [f"{written(plain.mean())} ± {written(plain.std(ddof=1))}"]
    for place in (1, 2):
        own = values(given, f"ring-{place}", measure)
        test = stats.ttest_ind(own, plain, equal_var=False)
        low, high = test.confidence_interval(0.95)
        first, second = lines(fig, f"remedy {place}:ring:{measure}")
        assert first == f"{written(own.mean())} ± {written(own.std(ddof=1))}"
        change = written(own.mean() - plain.mean(), "+")
        assert second.lstrip("✓✗○ ") == f"{change} [{written(low, '+')}, {written(high, '+')}]"
        weights = {text.get_weight() for text in texts(fig, f"remedy {place}:ring:{measure}")[1:]}
        assert weights == {"bold" if test.pvalue <= 0.05 else "normal"}


@pytest.mark.parametrize(
    ("measure", "arrow", "mark", "outcome"),
    [
        ("modes_covered", "↑", "✓", "better"),
        ("good_share", "↑", "✓", "better"),
        ("mode_kl", "↓", "✗", "worse"),
        ("fid", "↓", "✗", "worse"),
        ("seconds", "", "", ""),
    ],
)
def test_mark_and_colour_say_whether_a_larger_value_is_better(
    measure: str, arrow: str, mark: str, outcome: str
) -> None:
    fig = drawn(material(measures=(measure,)), measures=(measure,))
    key = f"remedy 1:ring:{measure}"
    _, box = boxes(fig)[key]
    assert to_rgb(box.get_facecolor()[:3]) == pytest.approx(style.tint(*FACES[outcome]))
    assert lines(fig, key)[1].startswith(f"{mark} +" if mark else "+")
    assert texts(fig, key)[1].get_weight() == "bold"
    (head,) = (tick.get_text() for tick in fig.axes[0].get_xticklabels())
    assert head[-1] == arrow if arrow else head == measure
    assert entries(fig) == ([f"{mark} {outcome}", "○ not clear"] if mark else [])
    _, plain = boxes(fig)[f"plain:ring:{measure}"]
    assert to_rgb(plain.get_facecolor()[:3]) == (1.0, 1.0, 1.0)


def test_the_colours_differ_in_grey_print_too() -> None:
    grey = [
        float(np.dot(style.tint(*FACES[name]), (0.299, 0.587, 0.114)))
        for name in ("better", "worse", "not clear", "")
    ]
    assert min(abs(a - b) for a, b in itertools.combinations(grey, 2)) > 0.02


def test_datasets_stand_side_by_side_and_share_their_rows_by_label() -> None:
    given = material(3, ("ring", "grid"))
    runs = given.runs[given.runs["run"] != "grid-1"].iloc[
        ::-1
    ]  # grid first, and each from its last to its first
    fig = drawn(dataclasses.replace(given, runs=runs), plain="plain")
    left, right = fig.axes
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["grid", "ring"]
    assert [tick.get_text() for tick in left.get_yticklabels()] == ["plain", "remedy 2", "remedy 1"]
    assert [tick.get_text() for tick in right.get_yticklabels()] == ["", "", ""]
    for label, place in (("plain", 0), ("remedy 2", 2)):
        for dataset in ("ring", "grid"):
            mean = values(given, f"{dataset}-{place}", "mode_kl").mean()
            assert lines(fig, f"{label}:{dataset}:mode_kl")[0].startswith(f"{mean:.2f} ±")
    assert lines(fig, "remedy 1:grid:mode_kl") == ["no run"]
    tops = {key: box.get_y() for key, (_, box) in boxes(fig).items()}
    for label, measure in itertools.product(("plain", "remedy 2", "remedy 1"), MEASURES):
        assert tops[f"{label}:ring:{measure}"] == tops[f"{label}:grid:{measure}"]


def test_what_a_run_lacks_is_not_measured_and_nothing_is_held_against_a_plain_run_without_it() -> None:
    fig = drawn(without(material(), "ring-1", "mode_kl"))
    assert lines(fig, "remedy 1:ring:mode_kl") == ["not measured"]
    assert len(lines(fig, "remedy 2:ring:mode_kl")) > 1
    fig = drawn(without(material(), "ring-0", "mode_kl"))
    assert lines(fig, "plain:ring:mode_kl") == ["not measured"]
    (only,) = lines(fig, "remedy 1:ring:mode_kl")
    assert "±" in only


def test_one_seed_has_no_deviation_no_interval_and_no_colour_and_that_is_said() -> None:
    given = material(seeds=1)
    fig = drawn(given)
    plain, own = (values(given, run, "good_share").item() for run in ("ring-0", "ring-1"))
    assert lines(fig, "remedy 1:ring:good_share") == [f"{own:.2f}", f"{own - plain:+.2f}"]
    assert all(to_rgb(box.get_facecolor()[:3]) == (1.0, 1.0, 1.0) for _, box in boxes(fig).values())
    assert "one seed; below it the difference from the plain run (top row), without an interval" in note(fig)
    assert entries(fig) == []


def test_the_note_says_what_is_written_and_how_sure_it_is() -> None:
    said = note(drawn(material(4, ("ring", "grid"))))
    assert said.startswith(
        "generation 1; mean ± s.d. over 10 seeds; below it the difference from the plain run"
    )
    assert "95 % interval (Welch's, for independent seeds), bold where that excludes 0" in said
    assert "p ≤ 0.05, adjusted for all 18 differences (Holm)" in said
    assert said.endswith("modes covered, good share, mode kl: n = 1\u2009000")
    assert "spread" not in said
    given = material(4)
    table = given.measures
    lone = table[(table["run"] != "ring-2") | (table["seed"] == 0)]
    said = note(drawn(dataclasses.replace(given, measures=lone)))
    assert "mean ± s.d. over 1–10 seeds" in said
    assert "where one of the two has one seed, the other's spread stands for both" in said


def test_the_change_is_written_for_each_generation() -> None:
    given = material(2, seeds=3, generations=5, measures=("modes_covered",))
    fig = drawn(given, measures=("modes_covered",), value="change")
    rates = {
        run: (own[:, 4] - own[:, 0]) / 4
        for run in ("ring-0", "ring-1")
        if len(own := values(given, run, "modes_covered").reshape(3, 5))
    }
    form = form_of([r.mean() for r in rates.values()], [r.std(ddof=1) for r in rates.values()])
    mean, change = (rates["ring-1"].mean(), rates["ring-1"].mean() - rates["ring-0"].mean())
    first, second = lines(fig, "remedy 1:ring:modes_covered")
    assert first.startswith(f"{form.text(mean)} ± ")
    assert form.text(change, "+") in second
    assert note(fig).startswith(
        "change for each generation, from generation 1 to 5; mean ± s.d. over 3 seeds"
    )


def test_the_end_may_be_a_mean_over_the_last_generations() -> None:
    given = material(2, generations=4)
    table = given.measures
    late = table[(table["generation"] > 2) & (table["run"] == "ring-1") & (table["measure"] == "mode_kl")]
    fig = drawn(given, last=2)
    assert lines(fig, "remedy 1:ring:mode_kl")[0].startswith(f"{late['value'].mean():.2f} ± ")
    assert note(fig).startswith("last 2 measured generations; ")
    assert note(drawn(given)).startswith("generation 4; ")


# --- numbers and room


def test_numbers_of_a_column_have_the_digits_of_their_deviation() -> None:
    assert form_of([4.6], [0.34]) == Form(2)
    assert form_of([4.6], [0.36]) == Form(1)
    assert form_of([4.6, 5], [0.2, 0.0, math.nan]) == Form(2)  # a deviation of 0 says nothing
    assert form_of([25, 25], [0, 0]) == Form(1)
    assert form_of([4.6], [0.34], fewer=1) == Form(1)
    assert form_of([3e-4], [2e-5]) == Form(0, -6)
    assert form_of([52_000], [4_000]) == Form(1 - 1, 3)
    assert form_of([], []) == Form(2)


@pytest.mark.parametrize(
    ("form", "value", "sign", "text"),
    [
        (Form(2), 1.234, "", "1.23"),
        (Form(2), -0.001, "", "0.00"),
        (Form(2), -0.001, "+", "−0.00"),  # the end of an interval that excludes 0
        (Form(2), 0.0, "+", "+0.00"),
        (Form(1, -3), 0.01234, "+", "+12.3"),
        (Form(1), 2_345_678, "", "2e+06"),
        (Form(1), math.inf, "", "inf"),
    ],
)
def test_a_number_is_written_in_its_form(form: Form, value: float, sign: str, text: str) -> None:
    assert form.text(value, sign) == text


def test_the_unit_of_a_column_of_very_small_numbers_stands_in_its_head() -> None:
    fig = drawn(material(measures=("fid",)), measures=("fid",))
    (head,) = (tick.get_text() for tick in fig.axes[0].get_xticklabels())
    assert " ".join(head.split()) == "FID, in 10⁻⁶ ↓"


def test_blocks_are_broken_only_where_they_alone_do_not_fit() -> None:
    assert bands([("a", "xy"), ("b", "xy")], 4) == [[("a", ["x", "y"]), ("b", ["x", "y"])]]
    assert bands([("a", "xy"), ("b", "xy")], 3) == [[("a", ["x", "y"])], [("b", ["x", "y"])]]
    assert bands([("a", "xyz")], 2) == [[("a", ["x", "y"])], [("a", ["z"])]]


def test_long_labels_are_broken_between_words_and_cut_off_with_an_ellipsis() -> None:
    assert fitted("spectral norm", 5) == "spectral norm"
    found = fitted(LONG, 1.0, 3).split("\n")
    assert len(found) == 3
    assert found[-1].endswith("…")
    assert all(inches(line) <= 1.0 for line in found)
    assert LONG.startswith(" ".join(found)[:-1])
    (word,) = fitted("a" * 60, 1.0).split("\n")
    assert word.endswith("a…")
    assert inches(word) <= 1.0


SHAPES: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one run": ({"remedies": 1, "measures": ("modes_covered",)}, {"measures": ("modes_covered",)}),
    "three by one": ({"measures": ("modes_covered",)}, {"measures": ("modes_covered",)}),
    "a loop": ({"remedies": 6, "generations": 4}, {"value": "change"}),
    "24 × 2 × 3": ({"remedies": 24, "datasets": ("ring", "grid"), "label": LONG}, {}),
    "one seed": ({"datasets": ("ring", "grid"), "seeds": 1, "label": LONG}, {}),
    "three datasets": ({"datasets": ("ring", "grid", "a density with a long name"), "label": LONG}, {}),
    "many measures": (
        {"measures": (*MEASURES, "fid", "gradient_norm_critic", "vendi", "recall", "precision")},
        {"measures": (*MEASURES, "fid", "gradient_norm_critic", "vendi", "recall", "precision")},
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_text_is_on_the_page_within_its_cell_and_covers_no_other(shape: str) -> None:
    made, options = SHAPES[shape]
    fig = drawn(material(**made), **options)
    fig.savefig(io.BytesIO(), format="png")
    assert fig.get_size_inches()[0] <= style.WIDTH
    page, extents = fig.bbox.padded(1.0), {t: t.get_window_extent().padded(-2.0) for t in written(fig)}
    for text, box in extents.items():
        assert text.get_fontsize() >= style.SMALL, text
        assert page.x0 <= box.x0 < box.x1 <= page.x1, text
        assert page.y0 <= box.y0 < box.y1 <= page.y1, text
    for one, other in itertools.combinations(extents, 2):
        assert not extents[one].overlaps(extents[other]), (one, other)
    for key, (_, box) in boxes(fig).items():
        outer = box.get_window_extent()
        for text in texts(fig, key):
            inner = text.get_window_extent()
            assert outer.x0 <= inner.x0 < inner.x1 <= outer.x1, text
            assert outer.y0 <= inner.y0 < inner.y1 <= outer.y1, text


def written(fig: Figure) -> list[Text]:
    found = [t for legend in fig.legends for t in [legend.get_title(), *legend.get_texts()]]
    for ax in fig.axes:
        heads = [tick.label2 for tick in ax.xaxis.get_major_ticks()]
        found += [ax._left_title, *ax.texts, *heads, *ax.get_yticklabels()]
    return [t for t in dict.fromkeys(found) if t.get_text() and t.get_visible()]


def test_two_datasets_of_three_measures_fit_side_by_side_and_more_stand_below_each_other() -> None:
    def places(**made: Any) -> list[tuple[float, float]]:
        axes = drawn(material(3, **made)).axes
        return [(round(ax.get_position().x0, 3), round(ax.get_position().y0, 3)) for ax in axes]

    (first, level), (second, same) = places(datasets=("ring", "grid"))
    assert first < second
    assert level == same
    (first, top), (_, same), (third, below) = places(datasets=("ring", "grid", "line"))
    assert first == third
    assert top == same > below


# --- what is refused


def test_only_the_chosen_runs_are_shown() -> None:
    fig = drawn(material(4), runs=("ring-0", "ring-3"))
    assert [tick.get_text() for tick in fig.axes[0].get_yticklabels()] == ["plain", "remedy 3"]
    with pytest.raises(ValueError, match="no run is named 'other'"):
        drawn(material(), runs=("other",))


def test_what_cannot_be_shown_is_named_in_one_line() -> None:
    for options, said in (
        ({"measures": ()}, "measures: expected at least one"),
        ({"measures": ("fid",)}, "measure fid is missing"),
        ({"plain": "other"}, r"plain: ring has no run named or labelled 'other' \(it has: plain, remedy 1"),
        ({"value": "change"}, "value: change needs two generations"),
    ):
        with pytest.raises(ValueError, match=said) as caught:
            drawn(material(), **options)
        assert "\n" not in str(caught.value)


def test_options_are_parsed_strictly() -> None:
    given = {"measures": ["fid"], "plain": "a", "value": "end", "last": 3, "lower": ["mine"]}
    assert parse(plot("remedies").Options, given, "f") == plot("remedies").Options(
        measures=("fid",), plain="a", last=3, lower=("mine",)
    )
    for wrong in ({"last": 0}, {"value": "start"}, {"measures": "fid"}, {"value": "change", "last": 2}):
        with pytest.raises(SpecError, match=f"figures.remedies.{list(wrong)[-1]}"):
            parse(plot("remedies").Options, wrong, "figures.remedies")

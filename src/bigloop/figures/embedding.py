"""Real and generated images in the plane, by t-SNE of pixels or features (Alemohammad et al. 2024, figs. 5 and 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from bigloop.analysis.series import dataset_of, run_names
from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.tiles import classes_of, name_row
from bigloop.figures.strips import LABEL, PAGE, common_columns
from bigloop.spec.options import option

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = "0.82"
DIMENSIONS = 50  # principal components that t-SNE is given
ITERATIONS = 500  # 1 000 take twice as long and look the same
REAL_SHARE = 5  # times as many real images as generated ones in a panel, at most
PALE = 0.35  # of the colour of a class, for its real images


@dataclass(frozen=True)
class Options:
    generations: tuple[int, ...] = option((), "generations to show; none: up to five, evenly spread")
    images: int = option(100, "images of each generation", minimum=1)
    perplexity: float = option(30.0, "t-SNE's: about how many neighbours count", above=1)
    colour: Literal["run", "class"] = option(
        "run",
        "colour generated images as their run, or all by class: the one asked for, or of the nearest real image",
    )


class Seen(NamedTuple):
    """What images are placed by: (run, generation) → (k, …), of generated ones; dataset → (k, …), of real ones.

    words: what that is, for the legend.
    """

    generated: Mapping[tuple[str, int], np.ndarray]
    real: Mapping[str, np.ndarray]
    words: str

    def shown(self, cell: tuple[str, int], options: Options) -> np.ndarray:
        """Of the images that a cell, (run, generation), shows."""
        return self.generated[cell][: options.images]

    def background(self, dataset: str, options: Options) -> np.ndarray:
        """Of the real images behind those of a dataset."""
        if dataset not in self.real:
            raise ValueError(f"images of the real data are missing ({dataset})")
        return self.real[dataset][: REAL_SHARE * options.images]


def draw_pixels(material: Material, options: Options) -> Figure:
    """A row a run, a column a generation: its images on grey real ones, placed by their pixels."""
    generated = {cell: np.clip(images, 0, 1) for cell, images in material.images.items()}
    real = {dataset: np.clip(images, 0, 1) for dataset, images in material.real.items()}
    return draw(material, Seen(generated, real, "pixels"), options)


def draw_features(material: Material, options: Options) -> Figure:
    """The same, placed by the features that the measures compare images on."""
    names = " and ".join(dict.fromkeys(material.features_named.values()))
    return draw(material, Seen(material.features, material.real_features, f"features ({names})"), options)


def draw(material: Material, seen: Seen, options: Options) -> Figure:
    """The images of a dataset's runs are placed in one plane for all its panels."""
    looks, runs = style.looks(material.runs), run_names(material)
    generations = common_columns(material, options.generations, most=5)
    cells = [(run, g) for run in runs for g in generations if (run, g) in seen.generated]
    planes = {
        name: plane(seen, name, [cell for cell in cells if dataset_of(material, cell[0]) == name], options)
        for name in dict.fromkeys(dataset_of(material, run) for run in runs)
    }
    side = min(1.6, (style.WIDTH - 1.3) / len(generations), PAGE / len(runs))
    lines = max(style.wrapped(looks[run].label, LABEL).count("\n") + 1 for run in runs)
    width = min(style.WIDTH, 1.3 + max(2, len(generations)) * side)
    with style.page(0.3 + len(runs) * max(0.16 * lines, side), width) as fig:
        grid = fig.add_gridspec(len(runs), len(generations))
        for row, run in enumerate(runs):
            background, points = planes[dataset_of(material, run)]
            limits = square_around(np.concatenate([background, *points.values()]))
            for column, generation in enumerate(generations):
                ax = fig.add_subplot(grid[row, column])
                draw_plane(ax, limits)
                if (run, generation) in points:
                    pale, strong = colours(material, seen, (run, generation), looks[run].colour, options)
                    draw_points(ax, background, pale, "reference")
                    draw_points(ax, points[run, generation], strong, f"run:{run}")
                else:
                    ax.spines[:].set_visible(False)  # a run that does not reach as far
                if row == 0:
                    ax.set_title(f"generation {generation}", fontsize=style.SMALL, loc="center")
                if column == 0:
                    name_row(ax, looks[run].label, LABEL)
        most = max(len(found) for _, points in planes.values() for found in points.values())
        real = max(len(background) for background, _ in planes.values())
        if options.colour == "class":
            for place, name in enumerate(
                dict.fromkeys(name for run in runs for name in classes_of(material, run))
            ):
                fig.axes[0].plot([], [], "o", color=shade(place), label=name)
        grey = f"{real} real images{', pale' if options.colour == 'class' else ''}"
        fig.axes[0].plot([], [], "o", color=GREY, label=grey, gid="reference")
        words = f"t-SNE of {seen.words}; {most} generated images a panel{words_of_classes(material, options)}"
        style.legend(fig, style.wrapped(words, width - 0.3))
    return fig


def colours(
    material: Material, seen: Seen, cell: tuple[str, int], colour: str, options: Options
) -> tuple[Any, Any]:
    """Colours of the real images and of those of a cell, (run, generation): one for all, or one an image."""
    if options.colour == "run":
        return GREY, colour
    run, dataset = cell[0], dataset_of(material, cell[0])
    shown, real = seen.shown(cell, options), seen.background(dataset, options)
    names = classes_of(material, run)
    if len(names) < 2:
        raise ValueError(f"colour: the data of run {run} have no classes")
    of_real = material.real_labels[dataset][: len(real)]
    asked = material.labels.get(cell)
    own = of_real[nearest(shown, real)] if asked is None else asked[: len(shown)]
    every = list(dict.fromkeys(name for other in run_names(material) for name in classes_of(material, other)))
    places = [every.index(name) for name in names]
    return [style.tint(shade(places[c]), PALE) for c in of_real], [shade(places[c]) for c in own]


def shade(place: int) -> str:
    """A colour for each of ten classes, and again for the next ten."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return to_hex(colormaps["tab10"](place % 10))


def nearest(images: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Of each image, (n, …), the number of the real one, (k, …), that is nearest, (n,)."""
    from scipy.spatial.distance import cdist

    return cdist(*(x.reshape(len(x), -1).astype(np.float64) for x in (images, real))).argmin(axis=1)


def words_of_classes(material: Material, options: Options) -> str:
    """Which class a generated image has, where classes are shown."""
    if options.colour == "run":
        return ""
    asked = {run in {of for of, _ in material.labels} for run in run_names(material)}
    kinds = {True: "the class asked for", False: "the class of the nearest real image"}
    return f"; colour: {' or '.join(kinds[kind] for kind in sorted(asked, reverse=True))}"


def plane(
    seen: Seen, dataset: str, cells: list[tuple[str, int]], options: Options
) -> tuple[np.ndarray, dict[tuple[str, int], np.ndarray]]:
    """Real images of a dataset, (k, 2), and those of each of its cells, (run, generation), in one plane."""
    shown = [seen.shown(cell, options) for cell in cells]
    background, *others = embedded([seen.background(dataset, options), *shown], options.perplexity)
    return background, dict(zip(cells, others, strict=True))


def embedded(groups: list[np.ndarray], perplexity: float) -> list[np.ndarray]:
    """Groups of images or of their features, (k, …), as points (k, 2) of one plane, the same for the same images.

    t-SNE in float64 on the first DIMENSIONS principal components; it starts from the first two. The perplexity is
    lowered where there are too few images for it.
    """
    from sklearn.decomposition import PCA  # type: ignore[import-untyped]
    from sklearn.manifold import TSNE  # type: ignore[import-untyped]
    from threadpoolctl import threadpool_limits

    rows = np.concatenate([g.reshape(len(g), -1).astype(np.float64) for g in groups])
    n, ends = len(rows), np.cumsum([len(g) for g in groups])[:-1]
    if n < 4:
        raise ValueError(f"images: an embedding needs at least 4, got {n}")
    with threadpool_limits(1):  # sums in one order: the picture does not depend on the machine's cores
        components = PCA(min(DIMENSIONS, *rows.shape), svd_solver="full").fit_transform(rows)
        tsne = TSNE(init="pca", random_state=0, perplexity=min(perplexity, (n - 1) / 3), max_iter=ITERATIONS)
        return np.split(tsne.fit_transform(components), ends)


def square_around(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower left and upper right corner of a square that holds all points, (n, 2), with a margin."""
    low, high = points.min(axis=0), points.max(axis=0)
    return (low + high) / 2 - 0.53 * (high - low).max(), (low + high) / 2 + 0.53 * (high - low).max()


def draw_plane(ax: Axes, limits: tuple[np.ndarray, np.ndarray]) -> None:
    """An empty square without ticks: coordinates of t-SNE have no meaning of their own."""
    ax.set(xlim=(limits[0][0], limits[1][0]), ylim=(limits[0][1], limits[1][1]), aspect="equal")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set(visible=True, color="0.85")


def draw_points(ax: Axes, points: np.ndarray, colour: Any, gid: str) -> None:
    ax.scatter(points[:, 0], points[:, 1], s=4, color=colour, linewidths=0, gid=gid)


CAPTION = (
    "Images of selected generations (in colour) among real images (grey or pale), placed by one t-SNE of the "
    "{} of all of them, so that positions can be compared between panels."
)

PLOT = Plot(draw_pixels, Options, frozenset({"images"}), caption=CAPTION.format("pixels"))
OF_FEATURES = Plot(
    draw_features, Options, frozenset({"images", "features"}), caption=CAPTION.format("features")
)
